"""What the torch backend's operations share: ragged lists in bounded pieces, edge lines, pixel centres."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def exact_dtype(device: torch.device) -> torch.dtype:
    """Return the precision that geometry is evaluated in: double, but single on MPS, which has no other."""
    return torch.float32 if device.type == "mps" else torch.float64


def usual_length(device: torch.device) -> int:
    """Return how many entries of a list are worked on at a time, if nobody says otherwise."""
    return 1 << 16 if device.type == "cpu" else 1 << 20


def expand(counts: Tensor, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (owner, number within the owner) of every entry of ragged lists, at most `limit` at a time.

    Owner i has counts[i] entries; they come in order. Memory is thus bounded, whatever the scene.
    """
    ends = counts.cumsum(0)
    starts = ends - counts
    total = int(ends[-1]) if len(ends) else 0
    owners = torch.arange(len(counts), device=counts.device)
    for first in range(0, total, limit):
        last = min(first + limit, total)
        part = counts if last - first == total else ends.clamp(first, last) - starts.clamp(first, last)
        owner = torch.repeat_interleave(owners, part, output_size=last - first)
        yield owner, torch.arange(first, last, device=counts.device) - pick(starts, owner)


def pick(table: Tensor, index: Tensor) -> Tensor:
    """Return table[..., index] for a flat `index`, several times faster on a CPU."""
    return table.gather(-1, index.expand(*table.shape[:-1], -1))


def cross(p: Tensor, q: Tensor) -> Tensor:
    """Return the cross product along the first axis; cross(q, p) is its negative, bit for bit.

    Written out because a compiled kernel may fuse a product and the difference, and then it is not.
    """
    return torch.stack([p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]])


def around(corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next and the last corner of each corner (along the second axis), as views of one copy."""
    twice = torch.cat([corners, corners[:, :2]], dim=1)
    return twice[:, 1:4], twice[:, 2:5]


def edge_lines(corners: Tensor) -> Tensor:
    """Return (a, b, c) of the homogeneous lines opposite the corners (x, y, w) of triangles: (3, 3, n) each.

    Both triangles at an edge get the same numbers but for the sign, bit for bit.
    """
    return cross(*around(corners))


def centres(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the NDC of the pixel centres along an axis of `size` pixels."""
    return (2 * torch.arange(size, device=device) + 1).to(dtype) / size - 1


def split_pixels(pixel: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, row and column of pixels numbered through the whole batch."""
    image_row = torch.div(pixel, width, rounding_mode="floor")
    image = torch.div(image_row, height, rounding_mode="floor")
    return image, image_row - image * height, pixel - image_row * width
