"""Landmarks as a detector would see them: true, with errors that go together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.landmarks import detect_faces, to_ibug68
from morphkit.landmarks.ibug import IBUG68_GROUPS

# Standard deviations in millimetres, a coordinate: those of the network of `morphkit.landmarks`, without
# constant offsets, on 31 rendered photos with yaw to 60 degrees.
_WHOLE = 0.9  # of the whole face
_GROUP = {"jaw": 4.5, "brows": 1.0, "nose": 2.0, "eyes": 1.3, "mouth": 1.4}
_POINT = {"jaw": 3.8, "brows": 1.7, "nose": 1.3, "eyes": 1.1, "mouth": 1.4}
_SAME = 0.35  # of a face's size, within which a face that is seen is the one that was drawn
_SIZE, _TURN = 0.012, 0.012  # relative, radians


def noisy_landmarks(
    rng: np.random.Generator, pixels: Float[np.ndarray, "68 2"], scale: float, strength: float
) -> Float[np.ndarray, "68 2"]:
    """Return landmarks with errors of the whole face, of each of its parts, and of each point.

    Parameters
    ----------
    pixels : true landmarks.
    scale : pixels per millimetre.
    strength : 1 is a detector's; it sees the jaw's points worst.
    """
    errors = rng.normal(0, _WHOLE, (1, 2)) + np.zeros((68, 2))
    for name, points in IBUG68_GROUPS.items():
        errors[points] += rng.normal(0, _GROUP[name], 2) + rng.normal(0, _POINT[name], (len(points), 2))
    size, angle = rng.normal(0, [_SIZE, _TURN])
    around = (pixels - pixels.mean(axis=0)) / scale
    errors += around @ np.array([[size, angle], [-angle, size]])
    return pixels + strength * scale * errors


def detected(
    image: UInt8[np.ndarray, "h w 3"],
    true: Float[np.ndarray, "68 2"],
    otherwise: Float[np.ndarray, "68 2"],
) -> Float[np.ndarray, "68 2"]:
    """Return the landmarks that the network sees of the face at `true`; `otherwise` where it sees none."""
    reach = _SAME * np.ptp(true, axis=0).max()
    for face in detect_faces(image):
        points = to_ibug68(face.points478[:, :2]).astype(np.float64)
        if np.linalg.norm(points.mean(axis=0) - true.mean(axis=0)) < reach:
            return points
    return otherwise
