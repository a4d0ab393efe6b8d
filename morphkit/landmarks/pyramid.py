"""Resampled square crops of a photo, at any place, size and angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image


@dataclass(frozen=True)
class Square:
    """A square region of a photo, possibly turned and reaching beyond the borders.

    Attributes
    ----------
    center : (x, y) pixels, the photo's outer corner at (0, 0).
    side : pixels.
    angle : radians; the region's own x axis points along (cos, sin) of it, so clockwise on the screen.
    """

    center: tuple[float, float]
    side: float
    angle: float = 0.0

    def to_photo(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Map points given in 0..1 inside the square to photo pixels."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rotation = np.array([[cosine, sine], [-sine, cosine]])  # acts on rows
        return (points - 0.5) * self.side @ rotation + np.array(self.center)


class Pyramid:
    """A photo with its halved copies, so that crops of any scale are cheap and free of aliasing."""

    def __init__(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        self.height, self.width = image.shape[:2]
        self._levels = [image]
        while min(self._levels[-1].shape[:2]) >= 64:
            self._levels.append(np.asarray(Image.fromarray(self._levels[-1]).reduce(2)))

    def crop(self, square: Square, size: int, *, replicate: bool) -> Float[np.ndarray, "size size 3"]:
        """Resample a square to `size` pixels, 0..1.

        Beyond the photo's borders the edge pixels are repeated if `replicate`, else it is black.
        """
        scale = square.side / size  # photo pixels per crop pixel
        number = int(np.clip(np.log2(max(scale, 1.0)), 0, len(self._levels) - 1))
        centers = (np.arange(size) + 0.5) / size
        grid = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)
        points = square.to_photo(grid)
        pixels = _bilinear(self._levels[number], points / 2**number)
        if not replicate:
            pixels[((points < 0) | (points > (self.width, self.height))).any(axis=1)] = 0
        return pixels.reshape(size, size, 3)


def _bilinear(
    image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 3"]:
    """Sample an image at points (x, y), outer corner at (0, 0), the border repeated outside; 0..1 float32."""
    height, width = image.shape[:2]
    x, y = (points - 0.5).clip(0, (width - 1, height - 1)).T
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = (x - left).astype(np.float32)[:, None], (y - top).astype(np.float32)[:, None]
    upper = image[top, left] * (1 - u) + image[top, right] * u
    lower = image[bottom, left] * (1 - u) + image[bottom, right] * u
    mixed: Float[np.ndarray, "n 3"] = (upper * (1 - v) + lower * v) / np.float32(255)
    return mixed
