"""Grids of points around an axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Surface:
    """A grid of points, rows from below, columns once around from the back: first and last lie together.

    Attributes
    ----------
    points : (rows · columns, 3) millimetres, camera axes.
    uv : (rows · columns, 2) what the surface's colours are told by.
    shape : rows, columns.
    """

    points: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    shape: tuple[int, int]


def lathe_faces(rows: int, columns: int) -> Int[np.ndarray, "f 3"]:
    """Return the triangles of a grid, counter-clockwise seen from outside."""
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    return np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
