"""Which part of a true face is measured, and the seven points that align a fit to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.landmarks.ibug import NOW_POINTS
from morphkit.mesh import Landmarks

_RIGHT_OUTER, _RIGHT_INNER, _LEFT_INNER, _LEFT_OUTER, _NOSE_BOTTOM, _MOUTH_RIGHT, _MOUTH_LEFT = range(7)
_UP_THE_NOSE = 0.3  # from its bottom to the bridge: the centre of NoW's crop
_NOW_RADIUS = 1.4  # times the mean of outer-eye distance and nose length
_NOSE_TIP = ("nose_tip", "30")


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """A ball around the middle of a face.

    Attributes
    ----------
    centre : (3,).
    radius : in the units of the mesh, positive.
    """

    centre: Float[np.ndarray, "3"]
    radius: float

    def contains(self, vertices: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, " v"]:
        """Return which vertices lie in the ball; those that are not numbers do not."""
        inside: np.ndarray = np.linalg.norm(vertices - self.centre, axis=1) <= self.radius
        return inside


def seven_points(landmarks: Landmarks) -> Float[np.ndarray, "7 3"]:
    """Return the points that NoW aligns by, in the order of `NOW_POINTS`.

    They go by name, or by their iBUG-68 numbers. Just seven points called "0".."6" are taken in that order,
    which is that of NoW's own files.

    Raises
    ------
    ValueError
        When one is missing; the message names it.
    """
    place = dict(zip(landmarks.names, landmarks.points, strict=True))
    if set(landmarks.names) == {str(number) for number in range(7)}:
        return np.stack([place[str(number)] for number in range(7)])
    missing = [name for name, number in NOW_POINTS.items() if not ({name, number} & place.keys())]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} of the seven points ({', '.join(NOW_POINTS)}; or iBUG's 68) are missing"
        )
    return np.stack([place[name] if name in place else place[number] for name, number in NOW_POINTS.items()])


def now_crop(points: Float[np.ndarray, "7 3"]) -> FaceCrop:
    """Return the part of a face that the NoW benchmark measures.

    A ball around the point three tenths of the way from the nose's bottom to its bridge (which is taken to
    be midway between the inner corners of the eyes); its radius is 0.7 times the sum of the distance
    of the outer corners and that from bottom to bridge.

    Parameters
    ----------
    points : (7, 3) on the true face, in the order of `NOW_POINTS`.

    References
    ----------
    Sanyal et al. 2019 (RingNet), the NoW benchmark's evaluation.
    """
    bottom = points[_NOSE_BOTTOM]
    bridge = 0.5 * (points[_RIGHT_INNER] + points[_LEFT_INNER])
    eyes = np.linalg.norm(points[_RIGHT_OUTER] - points[_LEFT_OUTER])
    radius = _NOW_RADIUS * 0.5 * (eyes + np.linalg.norm(bridge - bottom))
    return FaceCrop(bottom + _UP_THE_NOSE * (bridge - bottom), float(radius))


def nose_crop(landmarks: Landmarks, radius: float) -> FaceCrop:
    """Return the part of a face within `radius` of the tip of the nose ("nose_tip", or iBUG's "30").

    Raises
    ------
    ValueError
        When the radius is not positive, or the tip is not among the landmarks.
    """
    if not radius > 0:
        raise ValueError(f"radius: expected a positive number, got {radius}")
    for name, point in zip(landmarks.names, landmarks.points, strict=True):
        if name in _NOSE_TIP:
            return FaceCrop(point, radius)
    raise ValueError("the tip of the nose (nose_tip; or 30 of iBUG's 68) is missing")


def upright(points: Float[np.ndarray, "7 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation that turns a face to the head frame: x to its left, y up, z out of it.

    Parameters
    ----------
    points : (7, 3) on it, in the order of `NOW_POINTS`.
    """
    across = points[_LEFT_OUTER] - points[_RIGHT_OUTER]
    up = 0.5 * (points[_LEFT_OUTER] + points[_RIGHT_OUTER] - points[_MOUTH_LEFT] - points[_MOUTH_RIGHT])
    out = np.cross(across, up)
    axes = np.stack([across, np.cross(out, across), out])
    rotation: np.ndarray = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return rotation
