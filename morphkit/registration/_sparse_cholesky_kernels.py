"""The compiled kernel of the sparse Cholesky factorisation."""

from __future__ import annotations

from typing import no_type_check

import numba


@numba.njit(cache=True, nogil=True)
@no_type_check
def extend_add(front, update, index):
    """Add the upper triangle of a (m, m) `update` to the rows and columns `index` of the parent's front.

    `index` ascends, so the upper triangle stays the upper triangle.
    """
    for j in range(len(index)):
        row = front[index[j]]
        for i in range(j, len(index)):
            row[index[i]] += update[j, i]
