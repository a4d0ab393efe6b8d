"""Rasterization on a CPU: numba loops inside a torch autograd function."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all
from morphkit.geometry.raster import rasterize_batch
from morphkit.rendering import _cpu_kernels as kernels
from morphkit.rendering._arrays import array


def rasterize(
    vertices_clip: Float[Tensor, "batch v 4"], faces: Int[Tensor, "f 3"], resolution: tuple[int, int]
) -> Float[Tensor, "batch h w 4"]:
    """Return (u, v, z/w, face index + 1) per pixel (`Rasterizer.rasterize`)."""
    return cast(Tensor, _Rasterize.apply(vertices_clip, faces, *resolution))  # type: ignore[no-untyped-call]


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices_clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
        vertices = array(vertices_clip)
        rast = torch.from_numpy(
            rasterize_batch(vertices, array(faces, np.int32), height, width, vertices.dtype.type)[0]
        )
        ctx.save_for_backward(vertices_clip, faces, rast)
        return rast

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rast: Tensor) -> tuple[Tensor | None, ...]:
        vertices, faces, rast = (array(t) for t in ctx.saved_tensors)
        grad_vertices = np.zeros_like(vertices)
        images = zip(array(grad_rast), vertices, rast, grad_vertices, strict=True)
        triangles = faces.astype(np.int32, copy=False)
        run_all(kernels.rasterize_backward, [(g, v, r, triangles, out) for g, v, r, out in images])
        return torch.from_numpy(grad_vertices), None, None, None
