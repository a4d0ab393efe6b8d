"""Interpolation on a CPU: numba loops inside torch autograd functions.

Both directions see a batch as one run of pixels. Gradients of attributes that several images share are summed
in a number of partial buffers that depends on the sizes alone, so they don't depend on the threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.rendering import _cpu_interpolate_kernels as kernels
from morphkit.rendering._arrays import array

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
        If the attributes have neither one instance nor one per image.
    """
    instances = _instances(attributes, rast)
    return cast(Tensor, _Interpolate.apply(instances, rast, faces))  # type: ignore[no-untyped-call]


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
        If the attributes have neither one instance nor one per image, `rast_derivatives` another shape than
        `rast`, or a channel doesn't exist.
    """
    instances = _instances(attributes, rast)
    if rast_derivatives.shape != rast.shape:
        got = tuple(rast_derivatives.shape)
        raise ValueError(f"rast_derivatives must have rast's shape {tuple(rast.shape)}, got {got}")
    count = instances.shape[2]
    chosen = tuple(range(count)) if channels is None else tuple(channels)
    if any(not 0 <= c < count for c in chosen):
        raise ValueError(f"channels must lie in 0..{count - 1}, got {chosen}")
    derivatives = _Differentiate.apply(instances, rast, faces, rast_derivatives, chosen)  # type: ignore[no-untyped-call]
    return interpolate(instances, rast, faces), cast(Tensor, derivatives)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        ctx.save_for_backward(attributes, rast, faces)
        values, seen, triangles = array(attributes), _pixels(rast), array(faces, np.int32)
        out = np.empty((len(seen), values.shape[2]), values.dtype)
        run_all(
            kernels.interpolate_forward,
            [
                (values[i], seen[part], triangles, out[part])
                for i, part in _shares(len(values), len(seen), thread_count())
            ],
        )
        return _picture(out, rast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces = ctx.saved_tensors
        values, seen, triangles = array(attributes), _pixels(rast), array(faces, np.int32)
        grads, grad_rast = _pixels(grad_out), np.empty_like(seen)
        shares = _backward_shares(values, len(seen))
        sums = np.zeros((len(shares), *values.shape[1:]), values.dtype)
        run_all(
            kernels.interpolate_backward,
            [
                (grads[part], values[i], seen[part], triangles, own, grad_rast[part])
                for (i, part), own in zip(shares, sums, strict=True)
            ],
        )
        return _total(sums, len(values)), _picture(grad_rast, rast), None


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
        values, seen, triangles = array(attributes), _pixels(rast), array(faces, np.int32)
        slopes = _pixels(rast_derivatives)
        out = np.empty((len(seen), 2 * len(channels)), values.dtype)
        run_all(
            kernels.differentiate_forward,
            [
                (values[i], ctx.channels, seen[part], triangles, slopes[part], out[part])
                for i, part in _shares(len(values), len(seen), thread_count())
            ],
        )
        return _picture(out, rast)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        attributes, rast, faces, rast_derivatives = ctx.saved_tensors
        values, seen, triangles = array(attributes), _pixels(rast), array(faces, np.int32)
        slopes, grads = _pixels(rast_derivatives), _pixels(grad_out)
        grad_slopes = np.empty_like(slopes)
        shares = _backward_shares(values, len(seen))
        sums = np.zeros((len(shares), *values.shape[1:]), values.dtype)
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
                for (i, part), own in zip(shares, sums, strict=True)
            ],
        )
        return _total(sums, len(values)), None, None, _picture(grad_slopes, rast), None


def _instances(attributes: Tensor, rast: Tensor) -> Tensor:
    """Return (instances, v, c): one instance, or one per image."""
    instances = attributes[None] if attributes.ndim == 2 else attributes
    if len(instances) not in (1, len(rast)):
        raise ValueError(f"attributes must have 1 or {len(rast)} instances, got {len(instances)}")
    return instances


def _pixels(tensor: Tensor) -> np.ndarray:
    """Return (batch * h * w, c)."""
    return array(tensor).reshape(-1, tensor.shape[3])


def _picture(pixels: np.ndarray, like: Tensor) -> Tensor:
    """Return (batch, h, w, c)."""
    return torch.from_numpy(pixels.reshape(*like.shape[:3], -1))


def _shares(instances: int, pixels: int, parts: int) -> list[tuple[int, slice]]:
    """Return which instance serves which run of pixels, in at least `parts` runs if there are so many."""
    return list(_runs(instances, pixels, -(-parts // instances)))


def _runs(instances: int, pixels: int, parts_each: int) -> Iterator[tuple[int, slice]]:
    size = pixels // instances
    for i in range(instances):
        for first, last in split_range(size, parts_each):
            yield i, slice(i * size + first, i * size + last)


def _backward_shares(values: np.ndarray, pixels: int) -> list[tuple[int, slice]]:
    """Return the runs of pixels that sum their gradients in one buffer each.

    Instances have one each; a single one gets several where pixels are many enough to outweigh the buffers.
    """
    instances, vertices, _ = values.shape
    worthwhile = max(1, min(_MOST_PARTIAL_SUMS, pixels // (2 * max(1, vertices))))
    return _shares(instances, pixels, worthwhile if instances == 1 else instances)


def _total(sums: np.ndarray, instances: int) -> Tensor:
    """Return the gradient (instances, v, c) from one buffer per instance, or from all of a single one."""
    return torch.from_numpy(sums if len(sums) == instances else sums.sum(axis=0, keepdims=True))
