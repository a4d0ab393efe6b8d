"""The 68 iBUG landmarks on the template, chosen by hand on its edge loops; the right half mirrors the left."""

from __future__ import annotations

import numpy as np
from head import HeadTopology

from morphkit.mesh import LandmarkEmbedding

# Template vertices on the midline and the subject's left; two vertices stand for the middle of their edge.
IBUG_LEFT: dict[int, tuple[int, ...]] = {
    8: (1646,), 9: (11718,), 10: (3831,), 11: (3053,), 12: (11663,), 13: (7930,), 14: (3010,), 15: (7835,), 16: (11901,),
    22: (10842,), 23: (7233,), 24: (2432,), 25: (7234,), 26: (2423,),
    27: (132,), 28: (131,), 29: (4600,), 30: (1475,),
    33: (343,), 34: (2512,), 35: (2516,),
    42: (3592,), 43: (3563,), 44: (3547,), 45: (3551,), 46: (3557,), 47: (3560,),
    51: (455,), 52: (2651,), 53: (10916,), 54: (2618,), 55: (7440,), 56: (7499,), 57: (492,),
    62: (474,), 63: (2663,), 64: (2614,), 65: (12115,), 66: (493,),
}  # fmt: skip
# iBUG's left-right partners, for those that `IBUG_LEFT` lists.
IBUG_PARTNER = {
    9: 7, 10: 6, 11: 5, 12: 4, 13: 3, 14: 2, 15: 1, 16: 0, 22: 21, 23: 20, 24: 19, 25: 18, 26: 17, 34: 32, 35: 31,
    42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40, 52: 50, 53: 49, 54: 48, 55: 59, 56: 58, 63: 61, 64: 60, 65: 67,
}  # fmt: skip
IRISES = {468: 3, 473: 2}  # MediaPipe's iris centres: the subject's right eye first; the part number of each ball


def ibug_embedding(topology: HeadTopology) -> LandmarkEmbedding:
    """Return the 68 points, "0" to "67"."""
    corners: dict[int, tuple[int, ...]] = dict(IBUG_LEFT)
    for left, right in IBUG_PARTNER.items():
        corners[right] = tuple(int(topology.mirror[v]) for v in IBUG_LEFT[left])
    rows = [_at_vertices(topology.faces, corners[i]) for i in range(68)]
    return LandmarkEmbedding(
        tuple(str(i) for i in range(68)),
        np.array([face for face, _ in rows], np.int32),
        np.array([weights for _, weights in rows]),
    )


def _at_vertices(faces: np.ndarray, vertices: tuple[int, ...]) -> tuple[int, np.ndarray]:
    """Return a triangle that holds the vertices, and equal weights on them."""
    holds = np.all([np.any(faces == v, axis=1) for v in vertices], axis=0)
    face = int(np.flatnonzero(holds)[0])
    return face, np.isin(faces[face], vertices) / len(vertices)
