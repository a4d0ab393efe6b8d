"""Products of three-vectors as tuples, for the kernels of other modules."""

from __future__ import annotations

from typing import no_type_check

import numba


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def cross(a, b):
    """Return a x b."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check
def dot(a, b):
    """Return a · b."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
