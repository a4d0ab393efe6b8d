"""Where a face's crop lies in its photo: upright, at one scale, centred where the model's head is.

After Deng et al. 2019: five points of the photo against the same of a morphable model's mean, by scaled
orthography. The scale is theirs, 102 pixels a decimetre of a 224-pixel crop, for any model. Otherwise than
theirs, a tilted head is turned upright, and pixels are counted from the outer corner throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.errors import BadInputError
from morphkit.geometry.orthography import ScaledOrthography, fit_orthography
from morphkit.morphable import MorphableModel
from morphkit.training.data.cutting import cut

__all__ = [
    "PIXELS_PER_MM",
    "STANDARD_SIZE",
    "FaceFrame",
    "align",
    "crop_of",
    "cut",
    "five_points",
    "head_angles",
    "head_pose",
]

PIXELS_PER_MM = 1.02  # of a crop of 224 pixels
STANDARD_SIZE = 224

_FIVE = ((36, 39), (42, 45), (30,), (48,), (54,))  # eyes (right, left), tip of the nose, corners of the mouth
_RIGID = np.r_[17:48]  # brows, nose and eyes: neither the outline, which turns with the head, nor the mouth
_LEAST_EXTENT = 2.0  # pixels; five points nearer together are none of a face


@dataclass(frozen=True, eq=False)
class FaceFrame:
    """What aligning needs of a morphable model.

    Attributes
    ----------
    origin : (3,) millimetres in the model's frame: the middle of the mean's face, the crop's centre.
    five : (5, 3) the mean's right and left eye, tip of the nose, right and left corner of the mouth,
        millimetres from the origin.
    points68 : (68, 3) all its iBUG points, likewise.
    """

    origin: Float[np.ndarray, "3"]
    five: Float[np.ndarray, "5 3"]
    points68: Float[np.ndarray, "68 3"]

    @classmethod
    def of(cls, model: MorphableModel) -> FaceFrame:
        """Return the frame of a model.

        Raises
        ------
        BadInputError
            When the model lacks any of the 68 iBUG landmarks.
        """
        names = [str(number) for number in range(68)]
        embedding = model.landmarks.get("ibug68")
        missing = sorted(set(names) - set(() if embedding is None else embedding.names), key=int)
        if embedding is None or missing:
            what = "no iBUG landmarks" if embedding is None else f"no landmark {missing[0]} of the 68 of iBUG"
            raise BadInputError(f"The model has {what}; add them with `morphkit complete`.")
        vertices = model.instance()
        origin = model.face_middle
        points = embedding.landmarks(vertices, model.faces).select(names).points - origin
        return cls(origin, five_points(points), points)


def five_points(points68: Float[np.ndarray, "68 d"]) -> Float[np.ndarray, "5 d"]:
    """Return right eye, left eye, tip of the nose, right and left corner of the mouth, in 2D or 3D.

    An eye is the mean of its corners.
    """
    return np.stack([points68[list(group)].mean(axis=0) for group in _FIVE])


def align(
    points68: Float[np.ndarray, "68 2"], frame: FaceFrame, size: int = STANDARD_SIZE
) -> Float[np.ndarray, "2 3"]:
    """Return the map from the photo's pixels to those of the face's crop: turned, scaled and moved.

    Parameters
    ----------
    points68 : iBUG points in the photo, pixels; only those of eyes, nose and mouth corners count.
    frame : of the model.
    size : side of the crop, pixels.

    Raises
    ------
    ValueError
        When a point that counts is not finite, or all lie in one place.
    """
    points = five_points(np.asarray(points68, dtype=np.float64))
    if not np.isfinite(points).all():
        raise ValueError("points68: eyes, tip of the nose and corners of the mouth must be known")
    if np.ptp(points, axis=0).max() < _LEAST_EXTENT:
        raise ValueError("points68: eyes, nose and mouth lie in one place")
    return crop_of(fit_orthography(frame.five, points), size)


def crop_of(camera: ScaledOrthography, size: int = STANDARD_SIZE) -> Float[np.ndarray, "2 3"]:
    """Return the map to a crop in which a head that a camera sees stands upright, at the standard scale.

    Parameters
    ----------
    camera : sees points told from the frame's origin.
    size : side of the crop, pixels.
    """
    zoom = PIXELS_PER_MM * size / STANDARD_SIZE / camera.scale
    roll = head_angles(camera.rotation)[2]
    cosine, sine = zoom * np.cos(roll), zoom * np.sin(roll)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, size / 2 - linear @ camera.shift])


def head_pose(points68: Float[np.ndarray, "68 2"], frame: FaceFrame) -> Float[np.ndarray, "3"]:
    """Return pitch, yaw and roll of a head in its photo, radians; see `morphkit.geometry.views.turn`.

    By scaled orthography of the model's mean: brows, eyes and nose, as far as they are known.

    Raises
    ------
    ValueError
        When fewer than four of these points are known.
    """
    points = np.asarray(points68, dtype=np.float64)[_RIGID]
    known = np.isfinite(points).all(axis=1)
    camera = fit_orthography(frame.points68[_RIGID][known], points[known])
    return np.array(head_angles(camera.rotation))


def head_angles(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float]:
    """Return pitch, yaw and roll, radians, of a head that a camera sees.

    Parameters
    ----------
    rotation : (3, 3) head frame to camera axes: ``diag(1, -1, -1) @ turn(yaw, pitch, roll)``.
    """
    turned = np.diag([1.0, -1.0, -1.0]) @ rotation
    pitch = np.arcsin(np.clip(turned[2, 1], -1.0, 1.0))
    yaw = np.arctan2(-turned[2, 0], turned[2, 2])
    roll = np.arctan2(-turned[0, 1], turned[1, 1])
    return float(pitch), float(yaw), float(roll)
