"""The camera of a photo: plain numpy, OpenCV's conventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

CONVENTIONS = (
    "pixel = K (R X + t) / depth, as in OpenCV: camera x right, y down, z into the scene; X in millimetres "
    "in the head frame (x to the subject's left, y up, z out of the face); pixels of the photo, upright "
    "after its EXIF, x right, y down, the image's outer corner at (0, 0), so the first pixel's centre is at "
    "(0.5, 0.5). For tools that put pixel centres at whole numbers, subtract 0.5 from cx and cy."
)


@dataclass(frozen=True, eq=False)
class PhotoCamera:
    """A pinhole camera in the photo's own pixels.

    Attributes
    ----------
    K : (3, 3) intrinsics, pixels; pixel centres lie at +0.5.
    R : (3, 3) rotation, head frame to camera (x right, y down, z into the scene).
    t : (3,) translation, millimetres.
    width, height : the photo's size, pixels.
    """

    K: Float[np.ndarray, "3 3"]
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    width: int
    height: int

    def to_camera(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return head-frame points in camera coordinates, millimetres."""
        return points @ self.R.T + self.t

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of head-frame points."""
        homogeneous = self.to_camera(points) @ self.K.T
        return homogeneous[:, :2] / homogeneous[:, 2:]

    def cropped(self, left: float, top: float, width: int, height: int, zoom: float = 1.0) -> PhotoCamera:
        """Return the camera of a window of the photo, enlarged `zoom` times; width and height are its own."""
        window = np.array([[zoom, 0.0, -zoom * left], [0.0, zoom, -zoom * top], [0.0, 0.0, 1.0]])
        return PhotoCamera(window @ self.K, self.R, self.t, width, height)

    def to_clip(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
        """Return clip coordinates of head-frame points (y up, near and far planes fitted around them)."""
        x, y, w = (self.to_camera(points) @ self.K.T).T
        near = max(0.9 * float(w.min()), 1e-3 * float(w.max()))
        far = 1.1 * float(w.max())
        z = ((far + near) * w - 2.0 * far * near) / (far - near)
        return np.stack([2.0 * x / self.width - w, w - 2.0 * y / self.height, z, w], axis=1)
