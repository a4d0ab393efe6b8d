"""Antialiasing on a CPU: numba finds the silhouettes between pixels and blends across them."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.geometry.topology import edge_neighbours
from morphkit.rendering import _cpu_antialias_kernels as kernels
from morphkit.rendering._arrays import array
from morphkit.rendering._blend import find_blends
from morphkit.rendering._scene_arguments import check_antialias

_BAND_PIXELS = 1 << 20  # the most that one list of crossings is made for


class Antialiaser:
    """Blend pixels across silhouettes.

    Parameters
    ----------
    steps : how many triangles are walked over between two pixel centres, see `CpuRasterizer`.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._known: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=4)  # faces, what lies across edges

    def __call__(
        self,
        color: Float[Tensor, "batch h w c"],
        rast: Float[Tensor, "batch h w 4"],
        vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
        faces: Int[Tensor, "f 3"],
    ) -> Float[Tensor, "batch h w c"]:
        """Return the blended colours (`Rasterizer.antialias`).

        numba finds which pixel pairs and edges take part and blends; what an edge's place does to a blend is
        torch. Edges with a vertex behind the camera are left out.

        Raises
        ------
        ValueError
            If shapes, types or indices don't fit together.
        """
        check_antialias(color, rast, vertices_clip, faces)
        image, near, far, first, second = self._crossings(rast, vertices_clip, faces)
        height, width = color.shape[1:3]
        ends = (_ends(vertices_clip, image, vertex) for vertex in (first, second))
        blends = find_blends((height, width), image, near, far, *ends)
        return cast(Tensor, _Blend.apply(color, blends.amount, blends.target, blends.source))  # type: ignore[no-untyped-call]

    def _crossings(self, rast: Tensor, vertices_clip: Tensor, faces: Tensor) -> tuple[Tensor, ...]:
        """Return image, near pixel, far pixel and the edge's two vertices of every silhouette crossing."""
        batch, height = rast.shape[:2]
        triangles = array(faces, np.int32)
        neighbours, seen, corners = self._neighbours(triangles), array(rast), array(vertices_clip)
        sets = corners[None] if corners.ndim == 2 else corners
        fewest = 1 if batch >= thread_count() else thread_count()
        bands = split_range(height, max(fewest, height * rast.shape[2] // _BAND_PIXELS))
        found = run_all(
            _band_crossings,
            [
                (sets[i if corners.ndim == 3 else 0], triangles, neighbours, seen[i], band, self._steps)
                for i in range(batch)
                for band in bands
            ],
        )
        image = np.repeat(np.repeat(np.arange(batch), len(bands)), [len(f) for f in found])
        columns = np.concatenate(found).astype(np.int64).T
        return torch.from_numpy(image), *(torch.from_numpy(np.ascontiguousarray(c)) for c in columns)

    def _neighbours(self, faces: np.ndarray) -> np.ndarray:
        # The last topologies are remembered: a fit renders the same ones again and again, and comparing
        # faces is a hundred times faster than pairing their edges.
        for known, neighbours in list(self._known):
            if np.array_equal(known, faces):
                return neighbours
        neighbours = edge_neighbours(faces)
        self._known.append((faces.copy(), neighbours))
        return neighbours


def _band_crossings(
    vertices: np.ndarray,
    faces: np.ndarray,
    neighbours: np.ndarray,
    rast: np.ndarray,
    band: tuple[int, int],
    steps: int,
) -> np.ndarray:
    crossings = np.empty((2 * (band[1] - band[0]) * rast.shape[1], 4), np.int32)
    count = kernels.find_crossings(vertices, faces, neighbours, rast, *band, steps, crossings)
    return crossings[:count].copy()


def _ends(vertices_clip: Tensor, image: Tensor, vertex: Tensor) -> Tensor:
    """Return (x, y, w) in double of one vertex per crossing."""
    picked = vertices_clip[vertex] if vertices_clip.ndim == 2 else vertices_clip[image, vertex]
    return picked[:, [0, 1, 3]].double()


class _Blend(torch.autograd.Function):
    """`blend`, without a copy of the picture for every step of it."""

    @staticmethod
    def forward(ctx: Any, color: Tensor, amount: Tensor, target: Tensor, source: Tensor) -> Tensor:
        ctx.save_for_backward(color, amount, target, source)
        out = color.contiguous().clone()
        kernels.blend_forward(_flat(color), array(amount), array(target), array(source), _flat(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        color, amount, target, source = ctx.saved_tensors
        grad_color, grad_amount = grad_out.contiguous().clone(), torch.empty_like(amount)
        kernels.blend_backward(
            _flat(grad_out),
            _flat(color),
            array(amount),
            array(target),
            array(source),
            _flat(grad_color),
            array(grad_amount),
        )
        return grad_color, grad_amount, None, None


def _flat(picture: Tensor) -> np.ndarray:
    return array(picture).reshape(-1, picture.shape[-1])
