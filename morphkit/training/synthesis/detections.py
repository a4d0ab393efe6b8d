"""Landmarks as a detector would see them: true, with errors that go together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.landmarks import detect_faces, to_ibug68
from morphkit.landmarks.ibug import IBUG68_GROUPS

_WHOLE = 0.7  # millimetres, standard deviation: of the whole face
_GROUP = {"jaw": 1.5, "brows": 0.8, "nose": 0.6, "eyes": 0.4, "mouth": 0.6}
_POINT = {"jaw": 1.5, "brows": 0.9, "nose": 0.7, "eyes": 0.5, "mouth": 0.7}
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
    strength : 1 is a good detector's; a network sees the jaw's points worst.
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
