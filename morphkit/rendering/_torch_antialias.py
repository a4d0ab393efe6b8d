"""Antialiasing by torch operations: all pixel pairs walk to their silhouettes at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering._blend import blend, find_blends
from morphkit.rendering._scene_arguments import check_antialias
from morphkit.rendering._torch_edges import FLAT, PASS, STEEP, EdgeTable, Topology, edge_table, topology
from morphkit.rendering._torch_lists import exact_dtype, pick, usual_length


class Antialiaser:
    """Blend pixels across silhouettes.

    Parameters
    ----------
    steps, list_length : see `TorchRasterizer`.
    """

    def __init__(self, steps: int, list_length: int | None) -> None:
        self._steps, self._list_length = steps, list_length
        self._last: tuple[Tensor, Topology] | None = None

    def __call__(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return the blended colours (`Rasterizer.antialias`).

        Raises
        ------
        ValueError
            If shapes, types or indices don't fit together.
        """
        check_antialias(color, rast, vertices_clip, faces)
        size = color.shape[1], color.shape[2]
        sets = vertices_clip if vertices_clip.ndim == 3 else vertices_clip[None]
        pairs = _unequal_pairs(rast.detach())
        found = self._crossings(pairs, sets.detach(), self._topology(faces), size)
        image, near, far = (pick(part, found[0]) for part in pairs[:3])
        base = (image if len(sets) > 1 else torch.zeros_like(image)) * sets.shape[1]
        ends = (_corners(sets, vertex + base) for vertex in found[1:])
        return blend(color, find_blends(size, image, near, far, *ends))

    def _crossings(self, pairs: _Pairs, sets: Tensor, mesh: Topology, size: tuple[int, int]) -> Tensor:
        """Return which pairs a silhouette passes between, and its edge's two vertices: (3, n).

        A few images' triangles are looked at together, so that memory is bounded.
        """
        length = self._list_length or usual_length(sets.device)
        at_once = max(1, length // max(1, mesh.faces.shape[1]))
        found = [pairs.image.new_zeros(3, 0)]
        for first in range(0, len(sets), at_once):
            some = sets[first : first + at_once]
            here = (pairs.image >= first) & (pairs.image < first + at_once) | (len(sets) == 1)
            chosen = here.nonzero()[:, 0]
            own = _Pairs(*(pick(part, chosen) for part in pairs))
            own = own._replace(image=(own.image - first) * (len(sets) > 1))
            pair, edge = _walk(edge_table(some, mesh, size), own, size, self._steps)
            found.append(torch.cat([pick(chosen, pair)[None], mesh.ends(edge)]))
        every = torch.cat(found, dim=1)
        return pick(every, every[0].argsort())

    def _topology(self, faces: Tensor) -> Topology:
        # The last topology is remembered: a fit renders the same one again and again, and comparing
        # faces is far faster than pairing their edges.
        last = self._last
        if last is None or last[0].device != faces.device or not torch.equal(last[0], faces):
            last = (faces.clone(), topology(faces))
            self._last = last
        return last[1]


class _Pairs(NamedTuple):
    """Neighbouring pixels with different faces: image, pixel of the nearer surface and other pixel, faces."""

    image: Tensor
    near: Tensor
    far: Tensor
    face: Tensor
    goal: Tensor


def _corners(sets: Tensor, vertex: Tensor) -> Tensor:
    """Return (x, y, w) of vertices: (n, 3), in the precision that geometry is evaluated in."""
    return sets.reshape(-1, 4).index_select(0, vertex)[:, [0, 1, 3]].to(exact_dtype(sets.device))


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
        place = pair + image * (rast.shape[1] * width)
        face, z = (part.reshape(-1).take(place) for part in (ids, depth))
        swap = (face[0] < 0) | ((face[1] >= 0) & (z[1] < z[0]))
        near, far = torch.where(swap, pair.flip(0), pair)
        f, goal = torch.where(swap, face.flip(0), face)
        parts.append(torch.stack([image, near, far, f, goal]))
    return _Pairs(*torch.cat(parts, dim=1))


def _walk(table: EdgeTable, pairs: _Pairs, size: tuple[int, int], steps: int) -> tuple[Tensor, Tensor]:
    """Walk on the surface from each pair's near centre to the far one, to the first silhouette edge.

    Returns the pairs that met one, and the edges. Each silhouette counts in one direction of pairs only, the
    one that it crosses more steeply.
    """
    per_image = table.lines.shape[2] // table.images
    near, far = (_centre(pixel, size, table.lines.dtype) for pixel in (pairs.near, pairs.far))
    wanted = torch.where(near[1] == far[1], STEEP, FLAT)
    goal = torch.where(pairs.goal < 0, -2, pairs.goal + pairs.image * per_image)
    face = pairs.face + pairs.image * per_image
    active, entry = torch.arange(len(face), device=face.device), torch.full_like(face, -1)
    met = [face.new_zeros(2, 0)]
    for _ in range(steps):
        if not len(active):
            break
        exit_edge = _exit_edges(pick(table.lines, face), entry, pick(near, active), pick(far, active))
        edge = 3 * face + exit_edge.clamp(min=0)
        across, kind = table.across.take(edge), table.kinds.take(edge)
        face, entry = torch.div(across, 3, rounding_mode="floor"), across % 3
        open_way = (exit_edge >= 0) & (face != pick(goal, active))
        counts = (open_way & (kind == pick(wanted, active))).nonzero()[:, 0]
        met.append(torch.stack([pick(active, counts), pick(edge, counts)]))
        onwards = (open_way & (kind == PASS)).nonzero()[:, 0]
        active, face, entry = (pick(part, onwards) for part in (active, face, entry))
    pair, edge = torch.cat(met, dim=1)
    return pair, edge


def _exit_edges(lines: Tensor, entry: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """Return by which edge the ways between pixels leave triangles, -1 where by none."""
    at_near, at_far = ((lines * centre[:, None]).sum(0) for centre in (near, far))
    edges = torch.arange(3, device=entry.device)[:, None]
    share = at_near / (at_near - at_far)
    leaves = (edges != entry) & (at_far < at_near) & (share <= 1)
    share = share.masked_fill(~leaves, torch.inf)
    last_of_least = edges.masked_fill(share != share.amin(0), -1)
    return last_of_least.masked_fill(~leaves, -1).amax(0)


def _centre(pixel: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return homogeneous NDC (x, y, 1) of pixels' centres: (3, n)."""
    height, width = size
    row = torch.div(pixel, width, rounding_mode="floor")
    x, y = ((2 * at + 1).to(dtype) / size - 1 for at, size in ((pixel - row * width, width), (row, height)))
    return torch.stack([x, y, torch.ones_like(x)])
