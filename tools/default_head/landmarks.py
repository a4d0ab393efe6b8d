"""The 68 iBUG landmarks on the template, chosen by hand on its edge loops; right mirrors left."""

from __future__ import annotations

import numpy as np
from head import HeadTopology

from morphkit.mesh import LandmarkEmbedding

# Template vertices on the midline and the subject's left; two vertices stand for the middle of their edge.
IBUG_LEFT: dict[int, tuple[int, ...]] = {
    8: (1646,), 9: (11718,), 10: (3831,), 11: (3053,), 12: (11663,), 13: (7930,),
    14: (3010,), 15: (7835,), 16: (11901,),
    22: (10842, 7202), 23: (7229,), 24: (7235,), 25: (7200,), 26: (10856,),
    27: (4551,), 28: (4547,), 29: (164,), 30: (4909,),
    33: (317,), 34: (2509,), 35: (2531,),
    42: (3592,), 43: (3563,), 44: (3546,), 45: (3551,), 46: (2261,), 47: (2267,),
    51: (455,), 52: (2651,), 53: (10916,), 54: (2618,), 55: (2602,), 56: (7499,), 57: (492,),
    62: (474,), 63: (2663,), 64: (3528,), 65: (10941,), 66: (493,),
}  # fmt: skip
# iBUG's left-right partners, for those that `IBUG_LEFT` lists.
IBUG_PARTNER = {
    9: 7, 10: 6, 11: 5, 12: 4, 13: 3, 14: 2, 15: 1, 16: 0, 22: 21, 23: 20, 24: 19, 25: 18, 26: 17,
    34: 32, 35: 31, 42: 39, 43: 38, 44: 37, 45: 36, 46: 41, 47: 40, 52: 50, 53: 49, 54: 48, 55: 59, 56: 58,
    63: 61, 64: 60, 65: 67,
}  # fmt: skip


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
