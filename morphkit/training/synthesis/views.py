"""A camera, the light in its axes, and the picture that it fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.training.data.alignment import PIXELS_PER_MM, STANDARD_SIZE
from morphkit.training.synthesis.fields import Grid
from morphkit.training.synthesis.lights import Light
from morphkit.training.synthesis.shots import Shot


@dataclass(frozen=True, eq=False)
class View:
    """A camera, the light in its axes, and the picture that it fills.

    Attributes
    ----------
    K, R, t : OpenCV camera of the picture.
    light : in the camera's axes.
    grid : the picture's pixels on the plane of the face.
    detail : how many pixels of the photo a pixel of the picture is wide.
    """

    K: Float[np.ndarray, "3 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    light: Light
    grid: Grid
    detail: float

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of points in the head frame."""
        image = (points @ self.R.T + self.t) @ self.K.T
        return image[:, :2] / image[:, 2:]


def photo_view(shot: Shot, light: Light, crop: Float[np.ndarray, "2 3"], size: int) -> View:
    """Return the view of a whole photo; `crop` leads from its pixels to those of the face's crop."""
    zoom = float(np.sqrt(np.linalg.det(crop[:, :2])))
    step = zoom / scale_of(size)
    middle = np.linalg.solve(crop[:, :2], size / 2 - crop[:, 2])
    grid = Grid(-step * middle[0], -step * middle[1], step, shot.width, shot.height)
    return View(shot.K, shot.R, shot.t, light, grid, 1.0)


def crop_view(shot: Shot, light: Light, crop: Float[np.ndarray, "2 3"], size: int, margin: int = 0) -> View:
    """Return the view of the crop: upright, so that its turn against the photo is one of the camera.

    K stays upper triangular, with square pixels; R, t and the light are told in the crop's axes.

    Parameters
    ----------
    margin : pixels that are shown beyond the crop on every side.
    """
    zoom = float(np.sqrt(np.linalg.det(crop[:, :2])))
    turn = np.eye(3)
    turn[:2, :2] = crop[:, :2] / zoom
    focal = zoom * shot.K[0, 0]
    K = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
    K[:2, 2] = crop[:, :2] @ shot.K[:2, 2] + crop[:, 2] + margin
    step, side = 1 / scale_of(size), size + 2 * margin
    grid = Grid(-step * side / 2, -step * side / 2, step, side, side)
    return View(K, turn @ shot.R, turn @ shot.t, light.turned(turn), grid, 1 / zoom)


def scale_of(size: int) -> float:
    """Return a crop's pixels per millimetre on the face."""
    return PIXELS_PER_MM * size / STANDARD_SIZE
