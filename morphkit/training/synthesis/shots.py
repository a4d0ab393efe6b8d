"""Where the camera stands: focal length, distance, the head's pose, and its place in the photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.geometry.views import turn
from morphkit.training.synthesis.settings import SynthesisSettings

_FILM_DIAGONAL = 43.27  # millimetres of 35 mm film
_FACE = 200.0  # millimetres from the chin to the hair, about
_LEAST_FACE, _MOST_FACE = 75.0, 0.72  # pixels; of the photo's height, or 1.2 times its width
_CANDIDATES = 64
_ASPECTS = (1.0, 4 / 3, 3 / 2, 16 / 9)
_FACING = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, eq=False)
class Shot:
    """A camera before a head.

    Attributes
    ----------
    width, height : of the photo, pixels.
    K, R, t : OpenCV camera.
    pose : (3,) pitch, yaw, roll of the head against the line of sight, radians; as `Faces.poses`.
    distance : from the camera to the face, millimetres.
    """

    width: int
    height: int
    K: Float[np.ndarray, "3 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    pose: Float[np.ndarray, "3"]
    distance: float


def draw_shot(rng: np.random.Generator, origin: Float[np.ndarray, "3"], settings: SynthesisSettings) -> Shot:
    """Draw a camera that looks at a face whose middle is `origin`, in the head frame."""
    width, height = _photo_size(rng, settings)
    focal, distance = _lens(rng, width, height, settings)
    face = focal * _FACE / distance
    pixel = np.array([
        _place(rng, 0.5 * width, 0.1 * width, 0.42 * face, width),
        _place(rng, 0.44 * height, 0.08 * height, 0.55 * face, height),
    ])  # fmt: skip
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    sight = np.linalg.solve(K, np.append(pixel, 1.0))
    sight /= np.linalg.norm(sight)
    pitch, yaw, roll = pose = _pose(rng, settings)
    R = _towards(sight) @ _FACING @ turn(yaw, pitch, roll)
    return Shot(width, height, K, R, distance * sight - R @ origin, pose, distance)


def _photo_size(rng: np.random.Generator, settings: SynthesisSettings) -> tuple[int, int]:
    short = round(float(np.exp(rng.uniform(*np.log(settings.photo_sizes)))))
    long = round(float(short * rng.choice(_ASPECTS)))
    return (long, short) if rng.random() < 0.5 else (short, long)


def _lens(
    rng: np.random.Generator, width: int, height: int, settings: SynthesisSettings
) -> tuple[float, float]:
    """Return the focal length in pixels and the distance: the first draw with a face of a usual size."""
    focal = _log_uniform(rng, *settings.focal_lengths, _CANDIDATES) * np.hypot(width, height) / _FILM_DIAGONAL
    distance = _log_uniform(rng, *settings.distances, _CANDIDATES)
    face = focal * _FACE / distance
    most = _MOST_FACE * min(height, 1.2 * width)
    misfit = np.abs(np.log(face / np.clip(face, min(_LEAST_FACE, most), most)))
    chosen = int(np.argmin(misfit))  # the first of those that fit
    return float(focal[chosen]), float(distance[chosen])


def _place(rng: np.random.Generator, usual: float, spread: float, margin: float, size: int) -> float:
    return float(np.clip(rng.normal(usual, spread), min(margin, size / 2), max(size - margin, size / 2)))


def _pose(rng: np.random.Generator, settings: SynthesisSettings) -> Float[np.ndarray, "3"]:
    """Return pitch, yaw and roll: mostly small, now and then up to the most; roll is mostly small."""
    yaw = rng.uniform(-1, 1) if rng.random() < 0.35 else np.clip(rng.normal(0, 0.35), -1, 1)
    pitch, roll = np.clip(rng.normal(0, 0.4, 2), -1, 1)
    most = [settings.max_pitch, settings.max_yaw, settings.max_roll]
    return np.radians(most) * [pitch, yaw, roll]


def _towards(sight: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return the least rotation that carries the optical axis to a unit line of sight."""
    axis = np.cross([0.0, 0.0, 1.0], sight)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + sight[2])


def _log_uniform(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), count))
