"""Texture sampling by torch operations: mip levels lie in one table, of which each pixel blends rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.rendering._texture_arguments import check_texture, mip_levels, resolved_filter
from morphkit.rendering._torch_blend import blend_rows
from morphkit.rendering.rasterizer import Boundary, Filter


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
    if "mipmap" not in filter_mode:
        pyramid = _Pyramid([texture], uv, boundary, nearest=filter_mode == "nearest")
        return pyramid.sample(torch.zeros_like(uv[..., 0], dtype=torch.long)).reshape(*uv.shape[:3], -1)
    levels = [texture, *mip_levels(texture, mip, max_mip_level)]
    level = _level(texture, uv_derivatives, mip_level_bias, len(levels) - 1)
    pyramid = _Pyramid(levels, uv, boundary, nearest=False)
    return _between(pyramid, level, filter_mode).reshape(*uv.shape[:3], -1)


class _Pyramid:
    """Mip levels in one table, and the places where pixels look at it."""

    def __init__(self, levels: list[Tensor], uv: Tensor, boundary: Boundary, nearest: bool) -> None:
        instances, device = len(levels[0]), uv.device
        self.last = len(levels) - 1
        self._table = torch.cat([level.flatten(1, 2) for level in levels], dim=1)
        self._sizes = torch.tensor([level.shape[1:3] for level in levels], device=device).t()
        texels = self._sizes.prod(0)
        self._starts = texels.cumsum(0) - texels
        image = torch.arange(len(uv), device=device) if instances > 1 else torch.zeros(len(uv), device=device)
        self._base = (image.long()[:, None, None] * self._table.shape[1]).expand(uv.shape[:3]).reshape(-1)
        self._uv, self._boundary, self._nearest = uv.reshape(-1, 2).unbind(1), boundary, nearest

    def sample(self, level: Tensor, share: Tensor | None = None) -> Tensor:
        """Return the colours (n, c) of pixels at whole levels, times `share`."""
        level = level.reshape(-1)
        th, tw = self._sizes[0].take(level), self._sizes[1].take(level)
        columns, across = _taps(self._uv[0], tw, self._nearest, self._boundary)
        rows, down = _taps(self._uv[1], th, self._nearest, self._boundary)
        if share is not None:
            down = down * share.reshape(-1)
        index = self._base + self._starts.take(level) + rows[:, None] * tw + columns[None]
        weights = down[:, None] * across[None]
        return blend_rows(self._table.flatten(0, 1), index.flatten(0, 1), weights.flatten(0, 1))


def _taps(coordinate: Tensor, size: Tensor, nearest: bool, boundary: Boundary) -> tuple[Tensor, Tensor]:
    """Return the k texels along one axis that coordinates fall on or between, and their weights, (k, n) each.

    What is no number weighs nothing.
    """
    coordinate = coordinate - coordinate.detach().floor() if boundary == "wrap" else coordinate.clamp(-1, 2)
    known = coordinate.isfinite()
    place = torch.where(known, coordinate, 0.0) * size
    if nearest:
        texel = place.detach().floor().long()[None]
        weights = known[None].to(place.dtype)
    else:
        place = place - 0.5
        first = place.detach().floor()
        share = place - first
        texel = first.long() + torch.arange(2, device=first.device)[:, None]
        weights = torch.where(known, torch.stack([1 - share, share]), 0.0)
    if boundary == "wrap":
        return texel % size, weights
    folded = torch.minimum(texel.clamp(min=0), size - 1)
    return folded, weights if boundary == "clamp" else torch.where(folded == texel, weights, 0.0)


def _between(pyramid: _Pyramid, level: Tensor, filter_mode: Filter) -> Tensor:
    """Return the colours at levels that may lie between whole ones; zero where a level is no number."""
    known = ~level.isnan()
    level = torch.where(known, level, 0.0)
    if filter_mode == "linear-mipmap-nearest":
        return pyramid.sample((level.detach() + 0.5).floor().long(), known.to(level.dtype))
    lower = level.detach().floor()
    share = level - lower
    lower = lower.long()
    upper = (lower + 1).clamp(max=pyramid.last)
    low, high = torch.where(known, 1 - share, 0.0), torch.where(known, share, 0.0)
    return pyramid.sample(lower, low) + pyramid.sample(upper, high)


def _level(texture: Tensor, uv_derivatives: Tensor | None, bias: Tensor | None, last: int) -> Tensor:
    """Return each pixel's mip level (batch, h, w), from 0 to `last`."""
    parts = [] if uv_derivatives is None else [_footprint(uv_derivatives, texture)]
    parts += [] if bias is None else [bias]
    return torch.stack(parts).sum(0).clamp(0, last)


def _footprint(uv_derivatives: Tensor, texture: Tensor) -> Tensor:
    """Return log2 of the longer axis of a pixel's footprint in texels: a matrix's larger singular value."""
    th, tw = texture.shape[1:3]
    scale = uv_derivatives.new_tensor([tw, tw, th, th])
    a, b, c, d = (uv_derivatives * scale).unbind(-1)
    axis = (_root((a + d) ** 2 + (b - c) ** 2) + _root((a - d) ** 2 + (b + c) ** 2)) / 2
    return torch.where(axis == 0, -torch.inf, torch.where(axis == 0, 1.0, axis).log2())


def _root(square: Tensor) -> Tensor:
    """Return the square root, with gradient zero at zero."""
    return torch.where(square == 0, 0.0, torch.where(square == 0, 1.0, square).sqrt())
