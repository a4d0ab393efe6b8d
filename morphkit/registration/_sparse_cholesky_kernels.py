"""The compiled kernel of the sparse Cholesky factorisation."""

from __future__ import annotations

from typing import no_type_check

import numba


@numba.njit(cache=True, nogil=True)
@no_type_check
def extend_add(panel, rest, update, index):
    """Add the upper triangle of a (m, m) `update` to its parent's front, at rows and columns `index`.

    The front's upper triangle is `panel`, (p, q), atop `rest`, (q - p, q - p), at the right. `index` ascends,
    so an upper triangle stays one.
    """
    count = len(panel)
    for j in range(len(index)):
        shift = 0 if index[j] < count else count
        row = panel[index[j]] if shift == 0 else rest[index[j] - count]
        for i in range(j, len(index)):
            row[index[i] - shift] += update[j, i]
