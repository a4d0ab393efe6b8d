"""What becomes of a walk over a mesh at each edge: it passes, stops, or has met a silhouette."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering._torch_lists import around, edge_lines, exact_dtype

PASS, STOP, FLAT, STEEP = range(4)


class Topology(NamedTuple):
    """What the faces alone say; edge k of a face lies opposite its corner k.

    faces : (3, f). across : (3, f), 3 x face + the edge's number there, or -1. opposite : (3, f), the vertex
    there that is not on the edge, or any.
    """

    faces: Tensor
    across: Tensor
    opposite: Tensor

    def ends(self, edge: Tensor) -> Tensor:
        """Return both vertices of edges, numbered 3 x face + k through several images: (2, n)."""
        face, k = torch.div(edge, 3, rounding_mode="floor") % self.faces.shape[1], edge % 3
        both = torch.stack([(k + 1) % 3, (k + 2) % 3])
        return self.faces.take(both * self.faces.shape[1] + face)


class EdgeTable(NamedTuple):
    """Edges of some images' triangles, numbered 3 x face + k through all images; n triangles in all.

    lines : (3, 3, n), a, b, c of three edges each, a x + b y + c >= 0 inside. across : (3 n,), the edge on
    the other side or -1. kinds : (3 n,), PASS, STOP where a vertex lies behind the camera, or a silhouette:
    FLAT or STEEP, as it runs in the picture.
    """

    lines: Tensor
    across: Tensor
    kinds: Tensor
    images: int


def topology(faces: Int[Tensor, "f 3"]) -> Topology:
    """Return what the faces alone say."""
    across, corners = edge_neighbours(faces).t(), faces.long()
    opposite = corners.reshape(-1)[across.clamp(min=0)] if len(faces) else across
    return Topology(corners.t().contiguous(), across.contiguous(), opposite.contiguous())


def edge_neighbours(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "f 3"]:
    """Return what lies across each edge: 3 x face + the edge's number there, or -1.

    Edge k of a face lies opposite its corner k. Open edges, and those with more than two faces, have -1.
    """
    ends = faces.long()[:, [1, 2, 2, 0, 0, 1]].reshape(-1, 2)
    key, order = torch.sort((ends.amin(1) << 32) | ends.amax(1), stable=True)
    starts = torch.ones_like(key, dtype=torch.bool)
    starts[1:] = key[1:] != key[:-1]
    begin = starts.nonzero()[:, 0]
    end = torch.cat([begin[1:], begin.new_tensor([len(key)])])
    begin = begin[end - begin == 2]
    across = torch.full_like(key, -1)
    across[order[begin]], across[order[begin + 1]] = order[begin + 1], order[begin]
    return across.reshape(-1, 3)


def edge_table(sets: Float[Tensor, "images v 4"], mesh: Topology, size: tuple[int, int]) -> EdgeTable:
    """Return what becomes of walks at the edges of some images' triangles.

    An edge is a silhouette if it is open or if both its triangles lie on the same side of it in the picture.
    """
    images, count = len(sets), sets.shape[1]
    number = torch.arange(images, device=sets.device)[:, None]
    base, first_edge = number * count, 3 * number * mesh.faces.shape[1]
    vertices = sets.reshape(-1, 4).t()[[0, 1, 3]].to(exact_dtype(sets.device)).contiguous()
    corners, opposite = (
        torch.stack([part.take((index[:, None] + base).flatten(1)) for part in vertices])
        for index in (mesh.faces, mesh.opposite)
    )
    lines = edge_lines(corners)
    lines = lines * (lines[:, 0] * corners[:, 0]).sum(0).sign()
    is_open = (mesh.across < 0)[:, None].expand(-1, images, -1).flatten(1)
    across = torch.where(mesh.across[:, None] < 0, -1, mesh.across[:, None] + first_edge).flatten(1)
    folds = (lines * opposite).sum(0) > 0
    start, end = around(corners)
    behind = torch.stack([start[2], end[2], opposite[2]]).amin(0) <= 0
    kinds = _slopes(corners, size).masked_fill(~is_open & ~folds, PASS)
    kinds = kinds.masked_fill(~is_open & behind, STOP)
    return EdgeTable(lines, across.t().reshape(-1), kinds.t().reshape(-1), images)


def _slopes(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Return STEEP for edges that run rather from top to bottom in the picture, FLAT for the others."""
    height, width = size
    place = corners[:2] / corners[2]
    start, end = around(place)
    dx, dy = (start - end).abs()
    return torch.where(dy * height >= dx * width, STEEP, FLAT)
