"""How antialiasing blends two pixels across a silhouette edge, whoever finds the edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Blends(NamedTuple):
    """Pixels that take on a part of a neighbour's colour.

    Attributes
    ----------
    target, source : (n,) pixels, numbered row by row through all images.
    amount : (n,) how much of the source goes into the target, 0..0.5.
    """

    target: Int[Tensor, " n"]
    source: Int[Tensor, " n"]
    amount: Float[Tensor, " n"]


def find_blends(
    resolution: tuple[int, int],
    image: Int[Tensor, " n"],
    near: Int[Tensor, " n"],
    far: Int[Tensor, " n"],
    first: Float[Tensor, "n 3"],
    second: Float[Tensor, "n 3"],
) -> Blends:
    """Return what a silhouette's place between two pixel centres makes of them.

    Parameters
    ----------
    resolution : (height, width).
    image, near, far : the image, the nearer surface's pixel, and the other, numbered row by row.
    first, second : (x, y, w) of the edge's ends, through which gradients go.
    """
    height, width = resolution
    line = torch.linalg.cross(first, second)
    at_near, at_far = (_line_at(line, pixel, height, width) for pixel in (near, far))
    # The nearer surface reaches from its own pixel's centre (0) to `reach` towards the other centre (1).
    reach = at_near / (at_near - at_far)
    spills = reach > 0.5
    target = torch.where(spills, far, near) + image * (height * width)
    source = torch.where(spills, near, far) + image * (height * width)
    return Blends(target, source, (reach - 0.5).abs())


def blend(color: Float[Tensor, "batch h w c"], blends: Blends) -> Float[Tensor, "batch h w c"]:
    """Return `color` with every blend added; they add up where several meet in a pixel."""
    flat = color.reshape(-1, color.shape[-1])
    change = blends.amount.to(color.dtype)[:, None] * (flat[blends.source] - flat[blends.target])
    return flat.index_add(0, blends.target, change).reshape(color.shape)


def _line_at(line: Tensor, pixel: Tensor, height: int, width: int) -> Tensor:
    """Return the homogeneous line's value at a pixel's centre."""
    x = (2 * (pixel % width) + 1) / width - 1.0
    y = (2 * torch.div(pixel, width, rounding_mode="floor") + 1) / height - 1.0
    return line[:, 0] * x + line[:, 1] * y + line[:, 2]
