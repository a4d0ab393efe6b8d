"""The part of a photo that a fit looks at, resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from morphkit.export.camera import PhotoCamera
from morphkit.fitting.pose import Pose
from morphkit.io.color import srgb_to_linear

_SATURATED = 252  # sRGB code from which a colour may have been brighter than the sensor could say


@dataclass(frozen=True, eq=False)
class Window:
    """A square of the photo at the resolution of a fit.

    Attributes
    ----------
    image : (s, s, 3) float32, linear RGB.
    usable : (s, s) whether a pixel lies in the photo and is not saturated.
    left, top, zoom : pixel of the window = zoom · (pixel of the photo − (left, top)).
    """

    image: Float[np.ndarray, "s s 3"]
    usable: Bool[np.ndarray, "s s"]
    left: float
    top: float
    zoom: float

    def camera(self, pose: Pose) -> PhotoCamera:
        """Return the window's camera for a pose in the photo."""
        size = len(self.image)
        whole = PhotoCamera(pose.intrinsics, pose.rotation, pose.translation, size, size)
        return whole.cropped(self.left, self.top, size, size, self.zoom)

    def spread(self, values: Float[np.ndarray, "s s"], height: int, width: int) -> Float[np.ndarray, "h w"]:
        """Return the window's values in a photo of a size, float32, and 1 beyond the window."""
        left, top = int(np.floor(self.left)), int(np.floor(self.top))
        right, bottom = (int(np.ceil(edge + len(values) / self.zoom)) for edge in (self.left, self.top))
        corner = self.zoom * (np.array([left, top]) - [self.left, self.top])
        picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32)).transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            (self.zoom, 0.0, float(corner[0]), 0.0, self.zoom, float(corner[1])),
            Image.Resampling.BILINEAR,
            fillcolor=1.0,
        )
        photo = np.ones((height, width), dtype=np.float32)
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        photo[y0:y1, x0:x1] = np.asarray(picture)[y0 - top : y1 - top, x0 - left : x1 - left]
        return photo


def cut_window(
    photo: UInt8[np.ndarray, "h w 3"], pixels: Float[np.ndarray, "n 2"], size: int, margin: float = 0.1
) -> Window:
    """Return the square around `pixels`, with `margin` of its side left on each side, at `size` pixels.

    Reduced by an antialiasing filter in linear light; beyond the photo's edge its border is repeated.
    """
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    side = float((high - low).max()) / (1.0 - 2.0 * margin)
    left, top = (0.5 * (low + high) - 0.5 * side).tolist()
    codes, inside, corner = _padded_patch(photo, left, top, side)
    box = (left - corner[0], top - corner[1], left - corner[0] + side, top - corner[1] + side)
    channels = [codes[..., i] for i in range(3)]
    image = np.stack([_resized(srgb_to_linear(channel), box, size) for channel in channels], axis=2)
    for channel in channels:
        inside &= channel < _SATURATED
    usable = _resized(inside, box, size) > 0.999
    return Window(image, usable, left, top, size / side)


def _padded_patch(
    photo: UInt8[np.ndarray, "h w 3"], left: float, top: float, side: float
) -> tuple[UInt8[np.ndarray, "p q 3"], Bool[np.ndarray, "p q"], tuple[int, int]]:
    """Return the photo around a square, what of that lies in the photo, and where its corner is there."""
    height, width = photo.shape[:2]
    x0, y0 = int(np.floor(left)) - 2, int(np.floor(top)) - 2
    columns = np.arange(x0, int(np.ceil(left + side)) + 2)
    rows = np.arange(y0, int(np.ceil(top + side)) + 2)
    codes = photo[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return codes, inside, (x0, y0)


def _resized(
    channel: Float[np.ndarray, "p q"] | Bool[np.ndarray, "p q"],
    box: tuple[float, float, float, float],
    size: int,
) -> Float[np.ndarray, "s s"]:
    picture = Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))
