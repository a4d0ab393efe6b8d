"""A crop out of a photo: any affine map, light averaged over all that a pixel covers."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.io.color import linear_to_srgb_uint8, srgb_to_linear
from morphkit.training.data._cutting_kernels import block_means, sample_means

_DECODED = srgb_to_linear(np.arange(256, dtype=np.uint8))
_LEFT = 4.0  # shrinking that is left to the second step: samples need not lie on blocks


def cut(
    photo: UInt8[np.ndarray, "h w 3"], affine: Float[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Return the square crop that an affine map makes of an sRGB photo.

    Linear light is averaged: first over blocks of whole pixels, where the photo shrinks eightfold and more,
    then over ceil(k)² bilinear samples for the k-fold that is left. Beyond its border the photo's last pixels
    are carried on. Pixels outside the crop cost nothing.

    Parameters
    ----------
    photo : row 0 at the top.
    affine : photo pixel to crop pixel, both from the outer corner.
    size : side of the crop, pixels.

    Raises
    ------
    ValueError
        When the map flattens the plane, or is not finite.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:, :2])) < 1e-12:
        raise ValueError("affine: expected a finite map that can be inverted")
    linear = np.linalg.inv(affine[:, :2])
    inverse = np.column_stack([linear, -linear @ affine[:, 2]])
    shrinkage = float(np.linalg.norm(linear, ord=2))
    block = max(1, int(shrinkage / _LEFT))
    light, left, top = _blocks(photo, inverse, size, block)
    to_blocks = (inverse - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])) / block
    out = np.empty((size, size, 3), dtype=np.float32)
    sample_means(light, to_blocks, max(1, math.ceil(shrinkage / block - 1e-6)), out)
    return linear_to_srgb_uint8(out)


def _blocks(
    photo: np.ndarray, inverse: np.ndarray, size: int, block: int
) -> tuple[Float[np.ndarray, "h w 3"], int, int]:
    """Return the light of what a crop sees of its photo, reduced, and where that begins."""
    corners = np.array([(0, 0, 1), (size, 0, 1), (0, size, 1), (size, size, 1)]) @ inverse.T
    extent = np.array(photo.shape[1::-1])
    first = np.clip(np.floor(corners.min(axis=0)) - block, 0, extent - 1).astype(np.int64)
    last = np.clip(np.ceil(corners.max(axis=0)) + block, first + 1, extent).astype(np.int64)
    columns, rows = -(-(last - first) // block)
    light = np.empty((rows, columns, 3), dtype=np.float32)
    left, top = (int(value) for value in first)
    block_means(np.ascontiguousarray(photo), _DECODED, left, top, block, light)
    return light, left, top
