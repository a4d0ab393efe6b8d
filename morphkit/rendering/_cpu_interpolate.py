"""Interpolation on a CPU: numba loops inside a torch autograd function."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.rendering import _cpu_interpolate_kernels as kernels
from morphkit.rendering._arrays import array


def interpolate(
    attributes: Float[Tensor, "instances v c"],
    rast: Float[Tensor, "batch h w 4"],
    faces: Int[Tensor, "f 3"],
) -> Float[Tensor, "batch h w c"]:
    """Return vertex attributes at each pixel (`Rasterizer.interpolate`).

    Raises
    ------
    ValueError
        If the attributes have neither one instance nor one per image.
    """
    if len(attributes) not in (1, len(rast)):
        raise ValueError(f"attributes must have 1 or {len(rast)} instances, got {len(attributes)}")
    return cast(Tensor, _Interpolate.apply(attributes, rast, faces))  # type: ignore[no-untyped-call]


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        ctx.save_for_backward(attributes, rast, faces)
        values, seen, triangles = array(attributes), array(rast), array(faces, np.int32)
        batch, height, width, _ = seen.shape
        out = np.empty((batch, height, width, values.shape[2]), values.dtype)
        bands = split_range(height, 1 if batch >= thread_count() else thread_count())
        run_all(
            kernels.interpolate_forward,
            [
                (values[i % len(values)], seen[i], triangles, *band, out[i])
                for i in range(batch)
                for band in bands
            ],
        )
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces = ctx.saved_tensors
        values, seen, triangles, grads = (
            array(attributes),
            array(rast),
            array(faces, np.int32),
            array(grad_out),
        )
        batch = len(seen)
        grad_attributes = np.zeros((batch, *values.shape[1:]), values.dtype)
        grad_rast = np.empty_like(seen)
        run_all(
            kernels.interpolate_backward,
            [
                (grads[i], values[i % len(values)], seen[i], triangles, grad_attributes[i], grad_rast[i])
                for i in range(batch)
            ],
        )
        if len(values) < batch:
            grad_attributes = grad_attributes.sum(axis=0, keepdims=True)
        return torch.from_numpy(grad_attributes), torch.from_numpy(grad_rast), None
