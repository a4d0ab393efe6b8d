"""Antialiasing by torch operations: all pixel pairs walk to their silhouettes at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering._blend import blend, find_blends
from morphkit.rendering._torch_lists import cross, edge_lines, exact_dtype, pick


class Antialiaser:
    """Blend pixels across silhouettes.

    Parameters
    ----------
    steps : how many triangles are walked over between two pixel centres, see `TorchRasterizer`.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return the blended colours (`Rasterizer.antialias`)."""
        flat = vertices_clip.reshape(-1, 4)
        corners = flat.detach().t()[[0, 1, 3]].to(exact_dtype(flat.device))
        pairs = _unequal_pairs(rast.detach())
        surface = _Surface(
            corners,
            faces.long(),
            self._neighbours(faces),
            pairs.image * vertices_clip.shape[1]
            if vertices_clip.ndim == 3
            else torch.zeros_like(pairs.image),
        )
        index, first, second = _walk(surface, pairs, (rast.shape[1], rast.shape[2]), self._steps)
        image, near, far = (pick(part, index) for part in pairs[:3])
        ends = (flat.index_select(0, vertex)[:, [0, 1, 3]].to(corners.dtype) for vertex in (first, second))
        blends = find_blends((color.shape[1], color.shape[2]), image, near, far, *ends)
        return blend(color, blends)

    def _neighbours(self, faces: Tensor) -> Tensor:
        # The last topology is remembered: a fit renders the same one again and again, and comparing
        # faces is far faster than pairing their edges.
        last = self._last
        if last is None or last[0].device != faces.device or not torch.equal(last[0], faces):
            last = (faces.clone(), edge_neighbours(faces))
            self._last = last
        return last[1]


class _Pairs(NamedTuple):
    """Neighbouring pixels with different faces: image, pixel of the nearer surface and other pixel, faces."""

    image: Tensor
    near: Tensor
    far: Tensor
    face: Tensor
    goal: Tensor


class _Surface(NamedTuple):
    """vertices (3, n): x, y, w, faces (f, 3), what lies across their edges (f, 3).

    Base says for each pair of pixels where its image's vertices start.
    """

    vertices: Tensor
    faces: Tensor
    neighbours: Tensor
    base: Tensor


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


def _unequal_pairs(rast: Tensor) -> _Pairs:
    """Return the pairs of each pixel with the next in its row, and with the one in the next row."""
    width = rast.shape[2]
    depth, ids = rast[..., 2], rast[..., 3].long() - 1
    parts = []
    for axis, step in ((2, 1), (1, width)):
        here, there = (ids.narrow(axis, k, ids.shape[axis] - 1) for k in (0, 1))
        image, row, column = (here != there).nonzero().unbind(1)
        pixel = row * width + column
        pair = torch.stack([pixel, pixel + step])
        face, z = (part.reshape(len(rast), -1)[image, pair] for part in (ids, depth))
        swap = (face[0] < 0) | ((face[1] >= 0) & (z[1] < z[0]))
        near, far = torch.where(swap, pair.flip(0), pair)
        f, goal = torch.where(swap, face.flip(0), face)
        parts.append(torch.stack([image, near, far, f, goal]))
    return _Pairs(*torch.cat(parts, dim=1))


def _walk(
    surface: _Surface, pairs: _Pairs, size: tuple[int, int], steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Walk on the surface from each pair's near centre to the far one, to the first silhouette edge.

    An edge is a silhouette if it is open or if both its triangles lie on the same side of it in the picture.
    Each silhouette counts in one direction of pairs only, the one that it crosses more steeply. Edges with a
    vertex behind the camera are left out.

    Returns
    -------
    The pairs that met a silhouette, and its edge's two vertices.
    """
    active = torch.arange(len(pairs.face), device=pairs.face.device)
    face, entry = pairs.face, torch.full_like(pairs.face, -1)
    met: list[Tensor] = []
    for _ in range(steps):
        if not len(active):
            break
        near, far, base = (pick(part, active) for part in (pairs.near, pairs.far, surface.base))
        exit_edge, sign = _exit_edges(surface, face, base, entry, near, far, size)
        active, face, base, exit_edge, sign = _keep(exit_edge >= 0, active, face, base, exit_edge, sign)
        ends = [_corner(surface.faces, face, (exit_edge + k) % 3) + base for k in (1, 2)]
        across = _corner(surface.neighbours, face, exit_edge)
        is_open = across < 0
        face, entry = across.clamp(min=0) // 3, across.clamp(min=0) % 3
        third = _corner(surface.faces, face, entry) + base
        p, q, opposite = (pick(surface.vertices, vertex) for vertex in (*ends, third))
        stops = ~is_open & (
            (torch.stack([p[2], q[2], opposite[2]]).amin(0) <= 0) | (face == pick(pairs.goal, active))
        )
        goes_on = ~is_open & ~(sign * _dot(cross(p, q), opposite) > 0)
        counts = _is_steeper(p, q, pick(pairs.near, active), pick(pairs.far, active), size)
        met.append(torch.stack(_keep(~stops & ~goes_on & counts, active, *ends)))
        active, face, entry = _keep(~stops & goes_on, active, face, entry)
    found = torch.cat(met, dim=1) if met else active.new_zeros(3, 0)
    index, first, second = pick(found, found[0].argsort())
    return index, first, second


def _exit_edges(
    surface: _Surface,
    face: Tensor,
    base: Tensor,
    entry: Tensor,
    near: Tensor,
    far: Tensor,
    size: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Return by which edge segments between pixels leave triangles (-1: not at all), and the facings."""
    vertex = surface.faces.index_select(0, face).t() + base
    corners = torch.stack([part.take(vertex) for part in surface.vertices])
    lines = edge_lines(corners)
    sign = _dot(lines[:, 0], corners[:, 0]).sign()
    at_near, at_far = (sign * _dot(lines, _centre(pixel, size, lines.dtype)) for pixel in (near, far))
    edges = torch.arange(3, device=face.device)[:, None]
    leaves = (edges != entry) & (at_far < at_near)
    share = torch.where(leaves, at_near / (at_near - at_far), torch.inf)
    share = torch.where(share <= 1, share, torch.inf)
    least = share.amin(0)
    exit_edge = torch.where(share == least, edges, -1).amax(0)  # the last of equals
    return torch.where(least.isfinite(), exit_edge, -1), sign


def _is_steeper(p: Tensor, q: Tensor, near: Tensor, far: Tensor, size: tuple[int, int]) -> Tensor:
    """Return whether the edge is nearer to upright and pixels lie side by side, or neither."""
    height, width = size
    dx, dy = ((p[0] / p[2] - q[0] / q[2]).abs() * width, (p[1] / p[2] - q[1] / q[2]).abs() * height)
    return (dy >= dx) == (_row(near, width) == _row(far, width))


def _centre(pixel: Tensor, size: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    height, width = size
    row = _row(pixel, width)
    column = pixel - row * width
    x, y = ((2 * at + 1).to(dtype) / size - 1 for at, size in ((column, width), (row, height)))
    return x, y, torch.ones_like(x)


def _row(pixel: Tensor, width: int) -> Tensor:
    return torch.div(pixel, width, rounding_mode="floor")


def _corner(table: Tensor, face: Tensor, k: Tensor) -> Tensor:
    """Return table[face, k]."""
    return table.take(3 * face + k)


def _dot(p: Tensor, q: Tensor | tuple[Tensor, ...]) -> Tensor:
    return p[0] * q[0] + p[1] * q[1] + p[2] * q[2]


def _keep(mask: Tensor, *lists: Tensor) -> tuple[Tensor, ...]:
    index = mask.nonzero()[:, 0]
    return tuple(pick(part, index) for part in lists)
