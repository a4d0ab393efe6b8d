"""Interpolation on a CPU: numba loops inside torch autograd functions.

Both directions see a batch as one run of pixels. Gradients of attributes that several images share are summed
in a number of partial buffers that depends on the sizes alone, so they don't depend on the threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, thread_count
from morphkit.rendering import _cpu_interpolate_kernels as kernels
from morphkit.rendering._arrays import array
from morphkit.rendering._cpu_pixels import picture, pixels, shares, sum_dtype
from morphkit.rendering._scene_arguments import check_attributes, chosen_channels

_MOST_PARTIAL_SUMS = 8


def interpolate(
    attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
    rast: Float[Tensor, "batch h w 4"],
    faces: Int[Tensor, "f 3"],
) -> Float[Tensor, "batch h w c"]:
    """Return vertex attributes at each pixel (`Rasterizer.interpolate`).

    Raises
    ------
    ValueError
        If the attributes have neither one instance nor one per image, or an index points beyond them.
    """
    check_attributes(attributes, rast, faces)
    return cast(Tensor, _Interpolate.apply(_instances(attributes), rast, faces))  # type: ignore[no-untyped-call]


def interpolate_with_derivatives(
    attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
    rast: Float[Tensor, "batch h w 4"],
    faces: Int[Tensor, "f 3"],
    rast_derivatives: Float[Tensor, "batch h w 4"],
    channels: Sequence[int] | None = None,
) -> tuple[Float[Tensor, "batch h w c"], Float[Tensor, "batch h w d"]]:
    """Return `interpolate`'s values and (da/dX, da/dY) of the named channels, or of all, side by side.

    With (du/dX, du/dY, dv/dX, dv/dY) from the rasterizer, da/dX = (a0 - a2) du/dX + (a1 - a2) dv/dX.

    Raises
    ------
    ValueError
        If the attributes have neither one instance nor one per image, an index points beyond them,
        `rast_derivatives` has another shape than `rast`, or a channel doesn't exist.
    """
    values = interpolate(attributes, rast, faces)
    chosen = chosen_channels(attributes, rast, rast_derivatives, channels)
    derivatives = _Differentiate.apply(_instances(attributes), rast, faces, rast_derivatives, chosen)  # type: ignore[no-untyped-call]
    return values, cast(Tensor, derivatives)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        ctx.save_for_backward(attributes, rast, faces)
        values, seen, triangles = array(attributes), pixels(rast), array(faces, np.int32)
        out = np.empty((len(seen), values.shape[2]), values.dtype)
        run_all(
            kernels.interpolate_forward,
            [
                (values[i], seen[part], triangles, out[part])
                for i, part in shares(len(values), len(seen), thread_count())
            ],
        )
        return picture(out, rast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces = ctx.saved_tensors
        values, seen, triangles = array(attributes), pixels(rast), array(faces, np.int32)
        grads, grad_rast = pixels(grad_out), np.empty_like(seen)
        parts, sums = _partial_sums(values, len(seen))
        run_all(
            kernels.interpolate_backward,
            [
                (grads[part], values[i], seen[part], triangles, own, grad_rast[part])
                for (i, part), own in zip(parts, sums, strict=True)
            ],
        )
        return _total(sums, values), picture(grad_rast, rast), None


class _Differentiate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attributes: Tensor,
        rast: Tensor,
        faces: Tensor,
        rast_derivatives: Tensor,
        channels: tuple[int, ...],
    ) -> Tensor:
        ctx.save_for_backward(attributes, rast, faces, rast_derivatives)
        ctx.channels = np.array(channels, np.int64)
        values, seen, triangles = array(attributes), pixels(rast), array(faces, np.int32)
        slopes = pixels(rast_derivatives)
        out = np.empty((len(seen), 2 * len(channels)), values.dtype)
        run_all(
            kernels.differentiate_forward,
            [
                (values[i], ctx.channels, seen[part], triangles, slopes[part], out[part])
                for i, part in shares(len(values), len(seen), thread_count())
            ],
        )
        return picture(out, rast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces, rast_derivatives = ctx.saved_tensors
        values, seen, triangles = array(attributes), pixels(rast), array(faces, np.int32)
        slopes, grads = pixels(rast_derivatives), pixels(grad_out)
        grad_slopes = np.empty_like(slopes)
        parts, sums = _partial_sums(values, len(seen))
        run_all(
            kernels.differentiate_backward,
            [
                (
                    grads[part],
                    values[i],
                    ctx.channels,
                    seen[part],
                    triangles,
                    slopes[part],
                    own,
                    grad_slopes[part],
                )
                for (i, part), own in zip(parts, sums, strict=True)
            ],
        )
        return _total(sums, values), None, None, picture(grad_slopes, rast), None


def _instances(attributes: Tensor) -> Tensor:
    """Return (instances, v, c): one instance, or one per image."""
    return attributes[None] if attributes.ndim == 2 else attributes


def _partial_sums(values: np.ndarray, count: int) -> tuple[list[tuple[int, slice]], np.ndarray]:
    """Return the runs of pixels that sum their gradients in one buffer each, and the buffers (n, v, c).

    Instances have one each; a single one gets several where pixels are many enough to outweigh the buffers.
    """
    instances, vertices, channels = values.shape
    worthwhile = min(_MOST_PARTIAL_SUMS, count // max(1, vertices))
    parts = shares(instances, count, worthwhile if instances == 1 else instances)
    dtype = sum_dtype(count, instances * vertices, values.dtype)
    return parts, np.zeros((len(parts), vertices, channels), dtype)


def _total(sums: np.ndarray, like: np.ndarray) -> Tensor:
    """Return the gradient (instances, v, c) from one buffer per instance, or from all of a single one."""
    total = sums if len(sums) == len(like) else sums.sum(axis=0, keepdims=True)
    return torch.from_numpy(total.astype(like.dtype, copy=False))
