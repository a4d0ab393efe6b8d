"""How antialiasing blends two pixels across a silhouette edge, whoever finds the edges."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def blend_crossings(
    color: Float[Tensor, "batch h w c"],
    image: Int[Tensor, "n"],
    near: Int[Tensor, "n"],
    far: Int[Tensor, "n"],
    first: Float[Tensor, "n 3"],
    second: Float[Tensor, "n 3"],
) -> Float[Tensor, "batch h w c"]:
    """Return `color`, blended where a silhouette passes between two pixel centres.

    Parameters
    ----------
    image, near, far : the image, the nearer surface's pixel, and the other, numbered row by row.
    first, second : (x, y, w) of the edge's ends, through which gradients go.
    """
    height, width = color.shape[1:3]
    line = torch.linalg.cross(first, second)
    at_near, at_far = (_line_at(line, pixel, height, width) for pixel in (near, far))
    # The nearer surface reaches from its own pixel's centre (0) to `reach` towards the other centre (1).
    reach = at_near / (at_near - at_far)
    spills = reach > 0.5
    target = torch.where(spills, far, near) + image * (height * width)
    source = torch.where(spills, near, far) + image * (height * width)
    amount = (reach - 0.5).abs().to(color.dtype)[:, None]
    flat = color.reshape(-1, color.shape[-1])
    return flat.index_add(0, target, amount * (flat[source] - flat[target])).reshape(color.shape)


def _line_at(line: Tensor, pixel: Tensor, height: int, width: int) -> Tensor:
    """Return the homogeneous line's value at a pixel's centre."""
    x = (2 * (pixel % width) + 1) / width - 1.0
    y = (2 * torch.div(pixel, width, rounding_mode="floor") + 1) / height - 1.0
    return line[:, 0] * x + line[:, 1] * y + line[:, 2]
