"""What all backends agree on before they sample a texture: what fits together, which filter, which levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

import torch
from torch import Tensor

from morphkit.rendering.rasterizer import Boundary, Filter


def check_texture(
    texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, bias: Tensor | None, boundary: str
) -> None:
    """Raise ValueError, with names and shapes, unless these fit together."""
    if boundary not in get_args(Boundary):
        raise ValueError(f"boundary must be one of {', '.join(get_args(Boundary))}, got {boundary!r}")
    if texture.ndim != 4 or min(texture.shape) < 1:
        raise ValueError(
            f"texture must be (instances, th, tw, c), none of them 0, got {tuple(texture.shape)}"
        )
    if texture.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"texture must be float32 or float64, got {texture.dtype}")
    if uv.ndim != 4 or uv.shape[3] != 2:
        raise ValueError(f"uv must be (batch, h, w, 2), got {tuple(uv.shape)}")
    if len(texture) not in (1, len(uv)):
        raise ValueError(f"texture must have 1 or {len(uv)} instances, got {len(texture)}")
    batch = tuple(uv.shape[:3])
    for name, tensor, shape in (
        ("uv", uv, (*batch, 2)),
        ("uv_derivatives", uv_derivatives, (*batch, 4)),
        ("mip_level_bias", bias, batch),
    ):
        if tensor is not None and (tuple(tensor.shape) != shape or tensor.dtype != texture.dtype):
            got = f"{tuple(tensor.shape)} in {tensor.dtype}"
            raise ValueError(f"{name} must be {shape} in {texture.dtype} like texture, got {got}")


def resolved_filter(filter_mode: str, has_level: bool) -> Filter:
    """Return the filter that "auto" stands for, or the one named."""
    if filter_mode not in get_args(Filter):
        raise ValueError(f"filter_mode must be one of {', '.join(get_args(Filter))}, got {filter_mode!r}")
    if filter_mode == "auto":
        return "linear-mipmap-linear" if has_level else "linear"
    if "mipmap" in filter_mode and not has_level:
        raise ValueError(f"filter_mode {filter_mode!r} needs uv_derivatives or mip_level_bias, got neither")
    return cast(Filter, filter_mode)


def mip_levels(texture: Tensor, mip: Sequence[Tensor] | None, most: int | None) -> list[Tensor]:
    """Return the levels from 1 on: those given, or averages of 2 x 2 texels for as long as sides are even."""
    if most is not None and most < 0:
        raise ValueError(f"max_mip_level must not be negative, got {most}")
    if mip is not None:
        _check_mip(texture, mip)
        return list(mip)[:most]
    levels: list[Tensor] = []
    finer = texture
    for _ in range(level_count(texture, mip, most)):
        finer = torch.nn.functional.avg_pool2d(finer.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
        levels.append(finer)
    return levels


def level_count(texture: Tensor, mip: Sequence[Tensor] | None, most: int | None) -> int:
    """Return how many levels lie above the texture: until a side is odd, where they are not given."""
    count, (th, tw) = 0, texture.shape[1:3]
    if mip is not None:
        count = len(mip)
    else:
        while th % 2 == 0 and tw % 2 == 0:
            count, th, tw = count + 1, th // 2, tw // 2
    return count if most is None else min(count, most)


def _check_mip(texture: Tensor, mip: Sequence[Tensor]) -> None:
    instances, th, tw, channels = texture.shape
    for index, level in enumerate(mip):
        parts = 2 ** (index + 1)
        if th % parts or tw % parts:
            raise ValueError(
                f"mip must have at most {index} levels, for sides of {th} and {tw}, got {len(mip)}"
            )
        shape = (instances, th // parts, tw // parts, channels)
        if tuple(level.shape) != shape or level.dtype != texture.dtype:
            got = f"{tuple(level.shape)} in {level.dtype}"
            raise ValueError(f"mip[{index}] must be {shape} in {texture.dtype}, got {got}")
