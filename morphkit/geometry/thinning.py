"""Fewer triangles between some of a mesh's own vertices."""

from __future__ import annotations

import fast_simplification
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree


def thinned(
    points: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], face_count: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "g 3"]]:
    """Return the indices of some of the points, and about `face_count` triangles in their numbering.

    A mesh that has no more is returned whole. Quadric decimation moves the vertices that it keeps a little;
    each is replaced by the nearest of the mesh's own.
    """
    if len(faces) <= face_count:
        return np.arange(len(points)), faces
    thin, thin_faces = fast_simplification.simplify(
        points.astype(np.float32), faces.astype(np.int32), target_count=face_count
    )
    nearest = np.asarray(cKDTree(points).query(thin)[1])
    thin_faces = nearest[thin_faces]
    a, b, c = thin_faces.T
    thin_faces = thin_faces[(a != b) & (b != c) & (c != a)]
    chosen = np.unique(thin_faces)
    return chosen, np.searchsorted(chosen, thin_faces)
