"""Rasterization on a CPU: numba loops inside torch autograd functions.

Backward passes cut a batch into a number of row bands that depends on its size alone. Each sums into a buffer
of its own, and the buffers are added in order, so that gradients don't depend on the threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range
from morphkit.geometry.raster import PicturePart, picture_parts, rasterize_batch
from morphkit.rendering import _cpu_rasterize_kernels as kernels
from morphkit.rendering._arrays import array
from morphkit.rendering._scene_arguments import check_scene

_BACKWARD_JOBS = 4  # at least, for a batch of any size


def rasterize(
    vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
    faces: Int[Tensor, "f 3"],
    resolution: tuple[int, int],
    ranges: Int[Tensor, "batch 2"] | None = None,
) -> Float[Tensor, "batch h w 4"]:
    """Return (u, v, z/w, face index + 1) per pixel (`Rasterizer.rasterize`).

    Raises
    ------
    ValueError
        If shapes, types, indices, ranges or the resolution don't fit together.
    """
    check_scene(vertices_clip, faces, resolution, ranges)
    return cast(Tensor, _Rasterize.apply(_sets(vertices_clip), faces, *resolution, ranges))  # type: ignore[no-untyped-call]


def rasterize_with_derivatives(
    vertices_clip: Float[Tensor, "batch v 4"] | Float[Tensor, "v 4"],
    faces: Int[Tensor, "f 3"],
    resolution: tuple[int, int],
    ranges: Int[Tensor, "batch 2"] | None = None,
) -> tuple[Float[Tensor, "batch h w 4"], Float[Tensor, "batch h w 4"]]:
    """Return what `rasterize` does, and (du/dX, du/dY, dv/dX, dv/dY) by the pixel coordinates.

    Raises
    ------
    ValueError
        As `rasterize` does.
    """
    rast = rasterize(vertices_clip, faces, resolution, ranges)
    derivatives = _Differentiate.apply(_sets(vertices_clip), faces, rast.detach(), ranges)  # type: ignore[no-untyped-call]
    return rast, cast(Tensor, derivatives)


def _sets(vertices_clip: Tensor) -> Tensor:
    """Return (sets, v, 4): one set a picture, or a single one for all."""
    return vertices_clip[None] if vertices_clip.ndim == 2 else vertices_clip


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vertices_clip: Tensor, faces: Tensor, height: int, width: int, ranges: Tensor | None
    ) -> Tensor:
        chosen = None if ranges is None else array(ranges)
        rast = torch.from_numpy(rasterize_batch(array(vertices_clip), array(faces), height, width, chosen))
        ctx.save_for_backward(vertices_clip, faces, rast)
        ctx.ranges = chosen
        return rast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rast: Tensor) -> tuple[Tensor | None, ...]:
        gradient = _gradient(kernels.rasterize_backward, grad_rast, ctx.saved_tensors, ctx.ranges)
        return gradient, None, None, None, None


class _Differentiate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vertices_clip: Tensor, faces: Tensor, rast: Tensor, ranges: Tensor | None
    ) -> Tensor:
        chosen = None if ranges is None else array(ranges)
        ctx.save_for_backward(vertices_clip, faces, rast)
        ctx.ranges = chosen
        seen = array(rast)
        out = np.empty_like(seen)
        run_all(
            kernels.differentiate_forward,
            [
                (part.vertices, part.faces, part.first_face, seen[i], *rows, out[i])
                for i, part in enumerate(picture_parts(array(vertices_clip), array(faces), chosen))
                for rows in _row_bands(len(seen), seen.shape[1])
            ],
        )
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        gradient = _gradient(kernels.differentiate_backward, grad_out, ctx.saved_tensors, ctx.ranges)
        return gradient, None, None, None


def _gradient(
    kernel: Callable[..., None],
    grad_out: Tensor,
    saved: tuple[Tensor, ...],
    ranges: np.ndarray | None,
) -> Tensor:
    """Return the gradient by the vertices, of (vertices, faces, rast), summed over bands of rows in order."""
    vertices, faces, seen = (array(tensor) for tensor in saved)
    grads, parts = array(grad_out), picture_parts(vertices, faces, ranges)
    rows = _row_bands(len(seen), seen.shape[1])
    sums = [np.zeros((len(rows), *part.vertices.shape), vertices.dtype) for part in parts]
    run_all(
        kernel,
        [
            (grads[i], part.vertices, part.faces, part.first_face, seen[i], *band, sums[i][j])
            for i, part in enumerate(parts)
            for j, band in enumerate(rows)
        ],
    )
    return torch.from_numpy(_gathered(sums, parts, vertices))


def _gathered(sums: list[np.ndarray], parts: list[PicturePart], vertices: np.ndarray) -> np.ndarray:
    gradient = np.zeros_like(vertices)
    for i, (total, part) in enumerate(zip(sums, parts, strict=True)):
        own = gradient[i % len(vertices), part.first_vertex : part.first_vertex + len(part.vertices)]
        for band in total:
            own += band
    return gradient


def _row_bands(batch: int, height: int) -> list[tuple[int, int]]:
    return split_range(height, max(1, _BACKWARD_JOBS // batch))
