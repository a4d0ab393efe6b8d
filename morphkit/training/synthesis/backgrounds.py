"""What stands behind a head: walls, blurred rooms and greenery, shapes; or pictures of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from morphkit.errors import BadInputError
from morphkit.io.color import srgb_to_linear
from morphkit.io.files import natural_order
from morphkit.io.images import read_image
from morphkit.training.synthesis.fields import Grid, Picture, blurred, grid_noise, resized, smoothstep

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_LONGEST = 1024  # pixels that are kept of a picture
_PICTURES = 64  # kept in memory


@dataclass(frozen=True)
class Backgrounds:
    """Where backgrounds come from.

    Attributes
    ----------
    pictures : files to cut them from; none means that they are made up.
    """

    pictures: tuple[Path, ...] = ()

    @classmethod
    def of(cls, folder: Path | None) -> Backgrounds:
        """Return those of a folder of pictures, of all folders in it.

        Raises
        ------
        BadInputError
            If there is no picture.
        """
        if folder is None:
            return cls()
        found = [path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file()]
        if not found:
            raise BadInputError(f"{folder} holds no pictures to cut backgrounds from; give another folder.")
        return cls(tuple(sorted(found, key=lambda path: natural_order(str(path)))))

    def draw(self, rng: np.random.Generator, grid: Grid) -> Picture:
        """Draw a background in linear RGB."""
        if self.pictures:
            return _cut(rng, grid, _picture(self.pictures[int(rng.integers(len(self.pictures)))]))
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))]
        coarse = grid.coarser(2)
        picture = np.clip(kind(rng, coarse), 0.0, 1.0).astype(np.float32)
        layers = [
            resized(np.ascontiguousarray(picture[..., c]), 2 * coarse.width, 2 * coarse.height)
            for c in range(3)
        ]
        return np.stack(layers, axis=-1)[: grid.height, : grid.width]


def _wall(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return one colour, lit unevenly."""
    x, y = grid.coordinates()
    angle, tilt = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.0025)
    vignette = rng.uniform(0, 0.6) * ((x / 300) ** 2 + (y / 300) ** 2)
    light = np.exp(tilt * (np.cos(angle) * x + np.sin(angle) * y) - vignette)
    grain = grid_noise(grid, rng, rng.uniform(2, 60), 3, 0.6) * rng.uniform(0, 0.08)
    return _color(rng) * (light * np.exp(grain))[..., None]


def _cloudy(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return soft blobs of several colours, as greenery or a room out of focus."""
    length = np.exp(rng.uniform(np.log(15), np.log(160)))
    octaves, gain = int(rng.integers(1, 5)), rng.uniform(0.3, 0.6)
    first, second, third = (_color(rng) for _ in range(3))
    one = grid_noise(grid, rng, length, octaves, gain, rng.uniform(1, 3), rng.uniform(0, np.pi))
    two = grid_noise(grid, rng, 1.7 * length, octaves, gain)
    share = smoothstep(one, -2.0, 2.0)[..., None]
    base = first * share + second * (1 - share)
    share = smoothstep(two, -0.5, 2.5)[..., None]
    return base * (1 - share) + third * share


def _shapes(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return boxes and discs before a wall, more or less in focus: shelves, windows, lamps."""
    picture = _wall(rng, grid)
    x, y = grid.coordinates()
    for _ in range(int(rng.integers(3, 14))):
        middle, half = rng.uniform(-230, 230, 2), np.exp(rng.uniform(np.log(8), np.log(140), 2))
        if rng.random() < 0.25:
            inside = np.hypot(x - middle[0], y - middle[1]) < half[0] / 2
        else:
            slant = rng.normal(0, 0.04)
            inside = (np.abs(x - middle[0] + slant * y) < half[0]) & (
                np.abs(y - middle[1] - slant * x) < half[1]
            )
        brightness = np.exp(rng.normal(0, 0.7))
        picture = np.where(inside[..., None], _color(rng) * brightness, picture)
    soft = np.exp(rng.uniform(np.log(0.3), np.log(20))) / grid.step
    return blurred(np.clip(picture, 0, 1).astype(np.float32), soft)


def _texture(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Return stripes, bricks of noise, or cloth."""
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    stretch = np.exp(rng.uniform(0, np.log(20)))
    rough = grid_noise(grid, rng, rng.uniform(4, 25), 3, rng.uniform(0.3, 0.9), stretch, angle)
    return _color(rng) * np.exp(rng.uniform(0.15, 0.6) * rough)[..., None]


_Kind = Callable[[np.random.Generator, Grid], np.ndarray]
_KINDS: tuple[_Kind, ...] = (_wall, _cloudy, _shapes, _texture)
_SHARES = (0.36, 0.22, 0.36, 0.06)


def _color(rng: np.random.Generator) -> np.ndarray:
    """Return a linear RGB, grey more often than bright."""
    return np.exp(rng.uniform(np.log(0.02), np.log(0.85))) * np.exp(
        rng.normal(0, rng.choice([0.05, 0.08, 0.3]), 3)
    )


def _cut(rng: np.random.Generator, grid: Grid, picture: np.ndarray) -> Picture:
    """Return a random part of a picture, mirrored at will, as large as the grid."""
    height, width = picture.shape[:2]
    zoom = rng.uniform(0.4, 1.0) * min(width / grid.width, height / grid.height)
    wide, high = zoom * grid.width, zoom * grid.height
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    box = (left, top, left + wide, top + high)
    part = Image.fromarray(picture).resize((grid.width, grid.height), Image.Resampling.BICUBIC, box)
    flipped = np.asarray(part)[:, :: int(rng.choice([-1, 1]))]
    return np.asarray(srgb_to_linear(np.ascontiguousarray(flipped)), np.float32)


@lru_cache(maxsize=_PICTURES)
def _picture(path: Path) -> np.ndarray:
    image = Image.fromarray(read_image(path))
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)
