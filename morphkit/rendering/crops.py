"""From the pixels of a picture to those of a part of it, turned, resized or mirrored, and back.

Pixels have their origin at the outer corner of the picture, so that resizing is a plain product and nothing
is ever off by half a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Number = float | int | Float[Tensor, "batch"]


@dataclass(frozen=True, eq=False)
class ImageTransform:
    """A batch of affine maps from the pixels of one picture to those of another.

    Start from `identity` and say what happens to the picture, in order:
    ``ImageTransform.identity(640, 480).crop(100, 50, 300, 300).resize(224, 224).flip()``. Every number may
    be a tensor (batch,), differentiable, in place of one for all.

    Attributes
    ----------
    affine : (batch, 2, 3), target pixel = affine @ (source pixel, 1).
    source : width and height of the picture it maps from.
    target : width and height of the picture it maps to.
    """

    affine: Float[Tensor, "batch 2 3"]
    source: tuple[int, int]
    target: tuple[int, int]

    @classmethod
    def identity(cls, width: int, height: int) -> ImageTransform:
        """Return the map of a picture to itself, in double precision."""
        return cls(torch.eye(2, 3, dtype=torch.float64)[None], (width, height), (width, height))

    @property
    def matrix(self) -> Float[Tensor, "batch 3 3"]:
        """The map in homogeneous coordinates."""
        last = self.affine.new_tensor([0.0, 0.0, 1.0]).expand(len(self.affine), 1, 3)
        return torch.cat([self.affine, last], dim=1)

    def apply(self, pixels: Float[Tensor, "#batch n 2"]) -> Float[Tensor, "batch n 2"]:
        """Return where pixels of the source lie in the target."""
        affine = self.affine.to(pixels)
        return pixels @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]

    def inverse(self) -> ImageTransform:
        """Return the map from target to source."""
        linear = torch.linalg.inv(self.affine[:, :, :2])
        return ImageTransform(
            torch.cat([linear, -linear @ self.affine[:, :, 2:]], dim=2), self.target, self.source
        )

    def __matmul__(self, first: ImageTransform) -> ImageTransform:
        """Return `first`, then this one.

        Raises
        ------
        ValueError
            If `first` doesn't lead to pictures of the size that this one starts from.
        """
        if first.target != self.source:
            raise ValueError(
                f"cannot follow a transform to {_size(first.target)} by one from {_size(self.source)}"
            )
        affine = self.affine.to(first.affine) @ first.matrix
        return ImageTransform(affine, first.source, self.target)

    def then(self, affine: Float[Tensor, "#batch 2 3"], width: int, height: int) -> ImageTransform:
        """Return this transform followed by any other affine map, to a picture of the given size."""
        return ImageTransform(affine, self.target, (width, height)) @ self

    def window(self, left: Number, top: Number, zoom: Number, width: int, height: int) -> ImageTransform:
        """Cut out from pixel (left, top) on, enlarge by `zoom`: the result measures width × height pixels."""
        zoomed, x, y = self._numbers(zoom, left, top)
        zero = torch.zeros_like(zoomed)
        rows = [zoomed, zero, -zoomed * x, zero, zoomed, -zoomed * y]
        return self.then(torch.stack(rows, dim=1).reshape(-1, 2, 3), width, height)

    def crop(self, left: Number, top: Number, width: int, height: int) -> ImageTransform:
        """Cut out width × height pixels from pixel (left, top) on; they may lie outside the picture."""
        return self.window(left, top, 1.0, width, height)

    def resize(self, width: int, height: int) -> ImageTransform:
        """Stretch to another size."""
        scale = torch.tensor([width / self.target[0], height / self.target[1]], dtype=torch.float64)
        return self.then(torch.eye(2, 3, dtype=torch.float64)[None] * scale[:, None], width, height)

    def flip(self) -> ImageTransform:
        """Mirror left and right."""
        width, height = self.target
        return self.then(torch.tensor([[[-1, 0, width], [0, 1, 0]]], dtype=torch.float64), width, height)

    def rotate(self, angle: Number) -> ImageTransform:
        """Turn about the picture's centre, clockwise as seen, by an angle in radians; the size stays."""
        width, height = self.target
        (turn,) = self._numbers(angle)
        cos, sin = turn.cos(), turn.sin()
        x, y = width / 2, height / 2
        rows = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]
        return self.then(torch.stack(rows, dim=1).reshape(-1, 2, 3), width, height)

    def _numbers(self, *values: Number) -> tuple[Tensor, ...]:
        """Return values as tensors of one length, of this transform's type."""
        tensors = [torch.as_tensor(value, dtype=self.affine.dtype).reshape(-1) for value in values]
        count = max(len(tensor) for tensor in tensors)
        return tuple(tensor.to(self.affine.device).expand(count) for tensor in tensors)


def sample_image(
    image: Float[Tensor, "#batch h w c"],
    transform: ImageTransform,
    padding: Literal["zeros", "border"] = "zeros",
    antialias: bool = True,
) -> Float[Tensor, "batch h2 w2 c"]:
    """Return the pictures that transforms make of pictures; differentiable in both.

    Bilinear; where the picture shrinks k-fold, ceil(k)² samples are averaged per pixel, so that nothing
    between the samples is overlooked. Average linear light, not sRGB.

    Parameters
    ----------
    image : row 0 at the top, of the transform's source size; one may serve all transforms.
    padding : what lies outside the picture: nothing, or its border carried on.
    antialias : False takes a single sample per pixel.

    Raises
    ------
    ValueError
        If the size of `image` isn't the transform's source size.
    """
    height, width = image.shape[1:3]
    if (width, height) != transform.source:
        raise ValueError(f"image must be {_size(transform.source)} pixels, got {_size((width, height))}")
    columns, rows = transform.target
    finer = _shrinkage(transform) if antialias else 1
    dense = transform.resize(finer * columns, finer * rows)
    pixels = dense.inverse().apply(_pixel_centres(*dense.target, image))
    # grid_sample calls the outer corners of the picture -1 and 1, as the pixel convention here does
    grid = pixels * (2 / pixels.new_tensor([width, height])) - 1
    grid = grid.reshape(-1, finer * rows, finer * columns, 2)
    batch = max(len(image), len(grid))
    channels = image.permute(0, 3, 1, 2).expand(batch, -1, -1, -1)
    sampled = torch.nn.functional.grid_sample(
        channels, grid.expand(batch, -1, -1, -1), padding_mode=padding, align_corners=False
    )
    return torch.nn.functional.avg_pool2d(sampled, finer).permute(0, 2, 3, 1)


def _pixel_centres(width: int, height: int, like: Tensor) -> Float[Tensor, "1 n 2"]:
    """Return the centres of a picture's pixels, row by row."""
    x = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5
    y = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5
    return torch.cartesian_prod(y, x).flip(1)[None]


def _shrinkage(transform: ImageTransform) -> int:
    """Return the whole number of source pixels, rounded up, that a step of one target pixel crosses."""
    steps = torch.linalg.matrix_norm(torch.linalg.inv(transform.affine.detach()[:, :, :2]), ord=2)
    return max(1, math.ceil(float(steps.max()) - 1e-6))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
