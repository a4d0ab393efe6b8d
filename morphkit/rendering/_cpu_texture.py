"""Texture sampling on a CPU: numba loops inside torch autograd functions.

torch builds the mip levels and adds bias to level, so their gradients are its own; the loops find a pixel's
level from its footprint, and blend texels. Going back, a texture's rows are shared out among the threads,
and each adds to its own rows only: no second buffer, and the same sums for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from morphkit.geometry.parallel import run_all, split_range, thread_count
from morphkit.rendering import _cpu_texture_kernels as kernels
from morphkit.rendering._arrays import array
from morphkit.rendering._cpu_pixels import picture, pixels, runs, shares, sum_dtype
from morphkit.rendering._texture_arguments import check_texture, mip_levels, resolved_filter
from morphkit.rendering.rasterizer import Boundary, Filter

_BOUNDARIES = {"wrap": kernels.WRAP, "clamp": kernels.CLAMP, "zero": kernels.ZERO}


def texture(
    texture: Float[Tensor, "instances th tw c"],
    uv: Float[Tensor, "batch h w 2"],
    uv_derivatives: Float[Tensor, "batch h w 4"] | None = None,
    mip_level_bias: Float[Tensor, "batch h w"] | None = None,
    *,
    mip: Sequence[Tensor] | None = None,
    filter_mode: Filter = "auto",
    boundary: Boundary = "wrap",
    max_mip_level: int | None = None,
) -> Float[Tensor, "batch h w c"]:
    """Return a texture's colours at given coordinates (`Rasterizer.texture`).

    Levels are built until a side is odd; with bias alone, the bias is the level. Where a coordinate or a
    level is no number, and where a coordinate to be wrapped is infinite, the colour and its gradients are 0.

    Raises
    ------
    ValueError
        If shapes or types don't fit, a name is unknown, `max_mip_level` is negative, or a mip-mapping filter
        gets neither `uv_derivatives` nor `mip_level_bias`.
    """
    check_texture(texture, uv, uv_derivatives, mip_level_bias, boundary)
    filter_mode = resolved_filter(filter_mode, uv_derivatives is not None or mip_level_bias is not None)
    if "mipmap" in filter_mode:
        levels = [texture, *mip_levels(texture, mip, max_mip_level)]
        level = _level(texture, uv_derivatives, mip_level_bias, len(levels) - 1)
    else:
        levels, level = [texture], uv.new_zeros(uv.shape[:3])
    if filter_mode == "linear-mipmap-nearest":
        level = (level.detach() + 0.5).floor()
    nearest = filter_mode == "nearest"
    return cast(Tensor, _Sample.apply(uv, level, nearest, _BOUNDARIES[boundary], *levels))  # type: ignore[no-untyped-call]


def _level(texture: Tensor, uv_derivatives: Tensor | None, bias: Tensor | None, last: int) -> Tensor:
    """Return each pixel's mip level (batch, h, w), from 0 to `last`."""
    level = bias
    if uv_derivatives is not None:
        _, th, tw, _ = texture.shape
        level = cast(Tensor, _Footprint.apply(uv_derivatives, tw, th))  # type: ignore[no-untyped-call]
        level = level if bias is None else level + bias
    return cast(Tensor, level).clamp(0, last)


class _Footprint(torch.autograd.Function):
    """log2 of the longer axis of a pixel's footprint in texels."""

    @staticmethod
    def forward(ctx: Any, uv_derivatives: Tensor, width: int, height: int) -> Tensor:
        ctx.save_for_backward(uv_derivatives)
        ctx.size = width, height
        derivatives = pixels(uv_derivatives)
        out = np.empty(len(derivatives), derivatives.dtype)
        parts = runs(len(out), thread_count())
        run_all(kernels.footprint_forward, [(derivatives[p], width, height, out[p]) for p in parts])
        return picture(out, uv_derivatives)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        (uv_derivatives,) = ctx.saved_tensors
        derivatives, grads = pixels(uv_derivatives), pixels(grad_out)
        out = np.empty_like(derivatives)
        parts = runs(len(out), thread_count())
        run_all(
            kernels.footprint_backward,
            [(grads[p], derivatives[p], *ctx.size, out[p]) for p in parts],
        )
        return picture(out, uv_derivatives), None, None


class _Sample(torch.autograd.Function):
    """Blend texels of the mip levels that surround each pixel's level."""

    @staticmethod
    def forward(ctx: Any, uv: Tensor, level: Tensor, nearest: bool, boundary: int, *levels: Tensor) -> Tensor:
        ctx.save_for_backward(uv, level, *levels)
        ctx.nearest, ctx.boundary = nearest, boundary
        places, heights = pixels(uv), pixels(level)
        out = np.zeros((len(places), levels[0].shape[3]), places.dtype)
        for index in _shown(heights, len(levels) - 1):
            texels = array(levels[index])
            run_all(
                kernels.sample_forward,
                [
                    (texels[i], places[p], heights[p], index, nearest, boundary, out[p])
                    for i, p in shares(len(texels), len(places), 2 * thread_count())
                ],
            )
        return picture(out, uv)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        uv, level, *levels = ctx.saved_tensors
        grads, places, heights = pixels(grad_out), pixels(uv), pixels(level)
        shown = _shown(heights, len(levels) - 1)
        grad_uv, grad_level = np.zeros_like(places), np.zeros_like(heights)
        if not ctx.nearest and any(ctx.needs_input_grad[:2]):
            out = grad_uv, grad_level
            for index in shown:
                _backward_place(grads, places, heights, index, ctx.boundary, levels, out)
        grad_levels = [
            _backward_texels(grads, places, heights, index, ctx.nearest, ctx.boundary, texels)
            if ctx.needs_input_grad[4 + index] and index in shown
            else None
            for index, texels in enumerate(levels)
        ]
        return picture(grad_uv, uv), picture(grad_level, uv), None, None, *grad_levels


def _backward_place(
    grads: np.ndarray,
    places: np.ndarray,
    heights: np.ndarray,
    index: int,
    boundary: int,
    levels: Sequence[Tensor],
    out: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add to the gradients of coordinates and level what comes through one mip level."""
    texels, last = array(levels[index]), len(levels) - 1
    run_all(
        kernels.sample_backward_place,
        [
            (grads[p], texels[i], places[p], heights[p], index, last, boundary, *(o[p] for o in out))
            for i, p in shares(len(texels), len(places), 2 * thread_count())
        ],
    )


def _backward_texels(
    grads: np.ndarray,
    places: np.ndarray,
    heights: np.ndarray,
    index: int,
    nearest: bool,
    boundary: int,
    texels: Tensor,
) -> Tensor:
    """Return the gradient of one mip level."""
    instances, th, tw, _ = texels.shape
    out = np.zeros(tuple(texels.shape), sum_dtype(len(places), instances * th * tw, grads.dtype))
    bands = split_range(th, -(-thread_count() // instances))
    run_all(
        kernels.sample_backward_texels,
        [
            (grads[p], places[p], heights[p], index, nearest, boundary, *band, out[i])
            for i, p in shares(instances, len(places), instances)
            for band in bands
        ],
    )
    return torch.from_numpy(out.astype(grads.dtype, copy=False))


def _shown(heights: np.ndarray, last: int) -> range:
    """Return the levels that pixels show, or are about to."""
    lowest, highest = np.fmin.reduce(heights, initial=np.inf), np.fmax.reduce(heights, initial=-np.inf)
    return range(int(lowest), min(int(highest) + 1, last) + 1) if lowest <= highest else range(0)
