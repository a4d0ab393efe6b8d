"""Smooth random fields and soft edges on a picture's pixels, in millimetres around the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image, ImageFilter

from morphkit.training.synthesis import _noise_kernels as kernels

Picture = Float32[np.ndarray, "h w 3"]
Layer = Float32[np.ndarray, "h w"]


@dataclass(frozen=True)
class Grid:
    """The pixels of a picture, measured on the plane of the face: scenes look alike at any resolution.

    Attributes
    ----------
    left, top : millimetres, right and down of the middle of the face's crop, of the picture's corner.
    step : millimetres a pixel.
    width, height : pixels.
    """

    left: float
    top: float
    step: float
    width: int
    height: int

    def coordinates(self) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
        """Return x of the columns and y of the rows, millimetres."""
        x = self.left + self.step * (np.arange(self.width) + 0.5)
        y = self.top + self.step * (np.arange(self.height) + 0.5)
        return x[None], y[:, None]

    def pixels(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of points in millimetres."""
        return (points - [self.left, self.top]) / self.step

    def millimetres(self, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
        """Return where pixels lie; the inverse of `pixels`."""
        return pixels * self.step + [self.left, self.top]

    def coarser(self, factor: int) -> Grid:
        """Return a grid over the same, or slightly more, with fewer pixels."""
        return Grid(
            self.left, self.top, self.step * factor, -(-self.width // factor), -(-self.height // factor)
        )


def noise(
    x: Float[np.ndarray, "*shape"],
    y: Float[np.ndarray, "*shape"],
    seed: int,
    octaves: int = 1,
    gain: float = 0.5,
) -> Float32[np.ndarray, "*shape"]:
    """Return value noise at coordinates: of mean 0, about one blob a unit, each octave twice as fine."""
    across, down = np.broadcast_arrays(x, y)
    out = np.empty(across.size, np.float32)
    flat = (np.ascontiguousarray(values, np.float64).reshape(-1) for values in (across, down))
    kernels.fractal_noise(*flat, np.uint32(seed), octaves, gain, out)
    return out.reshape(across.shape)


def grid_noise(
    grid: Grid,
    rng: np.random.Generator,
    length: float,
    octaves: int = 1,
    gain: float = 0.5,
    stretch: float = 1.0,
    angle: float = 0.0,
) -> Layer:
    """Return noise on a grid, with blobs of `length` millimetres, `stretch` times that along `angle`."""
    x, y = grid.coordinates()
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = (cos * x + sin * y) / (length * stretch), (cos * y - sin * x) / length
    return noise(along, across, int(rng.integers(1 << 31)), octaves, gain)


def smoothstep(values: Float[np.ndarray, "*shape"], low: float, high: float) -> Float[np.ndarray, "*shape"]:
    """Return 0 below `low`, 1 above `high`, and a smooth step between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def resized(layer: Layer, width: int, height: int) -> Float32[np.ndarray, "h2 w2"]:
    """Return a layer resampled, bilinear; averaged where it shrinks."""
    picture = Image.fromarray(layer).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)


def blurred(picture: Float32[np.ndarray, "h w c"], deviation: float) -> Float32[np.ndarray, "h w c"]:
    """Return a picture in 0..1 blurred by a Gaussian (three box filters) of so many pixels; 8 bits deep."""
    codes = np.rint(np.sqrt(np.clip(picture, 0, 1)) * 255).astype(np.uint8)
    image = Image.fromarray(codes[..., 0] if codes.shape[2] == 1 else codes)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(float(deviation))), np.float32)
    return ((soft / 255) ** 2).reshape(picture.shape)
