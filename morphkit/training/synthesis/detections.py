"""Landmarks as a detector would see them: true, with errors that go together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.geometry.procrustes import fit_similarity
from morphkit.landmarks import to_ibug68
from morphkit.landmarks.canonical import canonical_face
from morphkit.landmarks.framing import landmarks_near
from morphkit.landmarks.ibug import IBUG68_GROUPS
from morphkit.landmarks.pyramid import Pyramid

# Standard deviations in millimetres, a coordinate: those of the network of `morphkit.landmarks`, without
# constant offsets, on 31 rendered photos with yaw to 60 degrees.
_WHOLE = 0.9  # of the whole face
_GROUP = {"jaw": 4.5, "brows": 1.0, "nose": 2.0, "eyes": 1.3, "mouth": 1.4}
_POINT = {"jaw": 3.8, "brows": 1.7, "nose": 1.3, "eyes": 1.1, "mouth": 1.4}
_LOOKS, _PRESENT = 2, 0.5
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
    """Return the landmarks that the network sees of the face at `true`; `otherwise` where it sees none.

    Where the face is need not be found: the network is shown it, and then once more as it framed it itself.
    """
    pyramid, canonical = Pyramid(image), canonical_face().vertices[:, :2] * (1, -1)
    place = fit_similarity(_flat(to_ibug68(_with_irises(canonical))), _flat(true))
    points = _with_irises(place.apply(_flat(canonical))[:, :2])
    for _ in range(_LOOKS):
        table, presence = landmarks_near(pyramid, points)
        points = table[:, :2]
    if presence < _PRESENT:
        return otherwise
    return to_ibug68(points).astype(np.float64)


def _flat(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    return np.column_stack([points, np.zeros(len(points))])


def _with_irises(points: Float[np.ndarray, "468 2"]) -> Float[np.ndarray, "478 2"]:
    """Return the mesh's points with room for the irises', which frame nothing."""
    return np.concatenate([points, np.repeat(points[:1], 10, axis=0)])
