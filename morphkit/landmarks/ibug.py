"""The 68 iBUG points as points, or mixtures of two neighbours, of MediaPipe's 478."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# (a, b, weight of a), in iBUG order. Neighbours lie on the same line of the face (lid, lip, brow, jaw), so
# the mixture follows closed eyes and open mouths. Weights of the inner points were fitted on 80 frontal
# photos with hand-set points (Face Research Lab London Set; mirrored twins share a weight): error on those
# 2.0 % of the outer-eye distance, against 2.9 % with the nearest single points. The inner mouth corners
# (60, 64) are set by meaning. The jaw (0..16) was fitted on rendered heads; from the side, a 2D network sees
# the outline there, not the bone.
MEDIAPIPE_TO_IBUG68 = (
    # jaw, from the subject's right ear to the left
    (127, 127, 1.0), (234, 93, 0.85), (93, 132, 0.65), (132, 58, 0.5), (172, 172, 1.0), (150, 136, 0.65),
    (149, 149, 1.0), (148, 176, 0.65), (152, 152, 1.0), (377, 400, 0.65), (378, 378, 1.0), (379, 365, 0.65),
    (397, 397, 1.0), (361, 288, 0.5), (323, 361, 0.65), (454, 323, 0.85), (356, 356, 1.0),
    # right brow, left brow
    (156, 63, 0.73), (63, 63, 1.0), (105, 105, 1.0), (66, 66, 1.0), (107, 55, 0.62),
    (336, 285, 0.62), (296, 296, 1.0), (334, 334, 1.0), (293, 293, 1.0), (383, 293, 0.73),
    # bridge and base of the nose
    (168, 9, 0.88), (197, 197, 1.0), (5, 195, 0.55), (4, 4, 1.0),
    (98, 99, 0.61), (238, 2, 0.76), (2, 19, 0.7), (458, 2, 0.76), (327, 328, 0.61),
    # right eye, left eye
    (33, 130, 0.87), (159, 160, 0.51), (158, 158, 1.0), (133, 155, 0.7), (145, 154, 0.62), (145, 163, 0.55),
    (362, 382, 0.7), (385, 385, 1.0), (386, 387, 0.51), (263, 359, 0.87), (374, 390, 0.55), (374, 381, 0.62),
    # outer lips, upper then lower
    (76, 57, 0.89), (40, 37, 0.74), (37, 37, 1.0), (0, 0, 1.0), (267, 267, 1.0), (270, 267, 0.74),
    (306, 287, 0.89), (321, 405, 0.81), (314, 405, 0.57), (17, 17, 1.0), (84, 181, 0.57), (91, 181, 0.81),
    # inner lips
    (78, 78, 1.0), (82, 81, 0.6), (13, 13, 1.0), (312, 311, 0.6),
    (308, 308, 1.0), (317, 402, 0.6), (14, 14, 1.0), (87, 178, 0.6),
)  # fmt: skip

IBUG68_GROUPS = {  # in order, covering all 68
    "jaw": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}

NOW_POINTS = {
    "right_eye_outer": "36",
    "right_eye_inner": "39",
    "left_eye_inner": "42",
    "left_eye_outer": "45",
    "nose_bottom": "33",
    "mouth_right": "48",
    "mouth_left": "54",
}
"""The seven points that align a face for the NoW benchmark, by their iBUG-68 names (right: the subject's)."""

_FIRST, _SECOND = np.array([(a, b) for a, b, _ in MEDIAPIPE_TO_IBUG68]).T
_WEIGHT = np.array([weight for _, _, weight in MEDIAPIPE_TO_IBUG68])[:, None]


def to_ibug68(points: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "68 d"]:
    """Return the 68 iBUG points of a face given by MediaPipe's 468 or 478, in 2D or 3D."""
    return _WEIGHT * points[_FIRST] + (1 - _WEIGHT) * points[_SECOND]
