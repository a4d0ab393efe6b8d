"""What a loop must be sure of before it follows an index: shapes, types and ranges, each in one sentence.

Indices of tensors on a GPU are trusted outside `rasterize`: to look at them would make the GPU wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from morphkit.geometry.raster import LARGEST_SIDE


def check_scene(
    vertices_clip: Tensor, faces: Tensor, resolution: tuple[int, int], ranges: Tensor | None
) -> None:
    """Raise ValueError unless these can be rasterized."""
    check_vertices(vertices_clip, None if ranges is None else len(ranges))
    check_faces(faces, vertices_clip, "vertices_clip")
    if not all(1 <= side <= LARGEST_SIDE for side in resolution):
        raise ValueError(f"resolution must be 1..{LARGEST_SIDE} a side, got {tuple(resolution)}")
    if ranges is None:
        return
    if ranges.ndim != 2 or ranges.shape[1] != 2 or ranges.is_floating_point():
        raise ValueError(f"ranges must be integers (batch, 2), got {_seen(ranges)}")
    if bool(((ranges < 0).any(1) | (ranges.sum(1) > len(faces))).any()):
        raise ValueError(f"ranges must be (first, count) within {len(faces)} faces, got {ranges.tolist()}")


def check_vertices(vertices_clip: Tensor, pictures: int | None) -> None:
    """Raise ValueError unless these are clip vertices: of one set for so many pictures, or a set for each."""
    shape = "(batch, v, 4)" if pictures is None else "(v, 4) with ranges"
    if vertices_clip.ndim != (3 if pictures is None else 2) or vertices_clip.shape[-1] != 4:
        raise ValueError(f"vertices_clip must have shape {shape}, got {tuple(vertices_clip.shape)}")
    check_real(vertices_clip, "vertices_clip")
    if (len(vertices_clip) if pictures is None else pictures) < 1:
        raise ValueError("a batch must hold at least one picture, got none")


def check_faces(faces: Tensor, vertices: Tensor, name: str) -> None:
    """Raise ValueError unless faces are triangles of the vertices (..., v, c), on the same device."""
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.is_floating_point():
        raise ValueError(f"faces must be integers (f, 3), got {_seen(faces)}")
    if faces.device != vertices.device:
        raise ValueError(f"faces must be on {vertices.device} like {name}, got {faces.device}")
    low, high = (int(i) for i in torch.stack(faces.aminmax()).tolist()) if faces.numel() else (0, -1)
    if low < 0 or high >= vertices.shape[-2]:
        raise ValueError(f"faces must index the {vertices.shape[-2]} vertices of {name}, got {low}..{high}")


def check_rast(rast: Tensor, faces: Tensor) -> None:
    """Raise ValueError unless this is a rasterizer's output for these faces."""
    if rast.ndim != 4 or rast.shape[3] != 4 or not rast.numel():
        raise ValueError(f"rast must have shape (batch, h, w, 4), none of them 0, got {tuple(rast.shape)}")
    check_real(rast, "rast")
    if rast.device.type == "cpu":
        last = rast.detach()[..., 3].max().item()
        if not last < len(faces) + 1:  # nor NaN
            raise ValueError(f"rast shows face {last - 1:g} of {len(faces)} faces")


def check_attributes(attributes: Tensor, rast: Tensor, faces: Tensor) -> None:
    """Raise ValueError unless attributes (instances, v, c) or (v, c) can be interpolated over `rast`."""
    check_rast(rast, faces)
    if attributes.ndim not in (2, 3):
        raise ValueError(f"attributes must have shape (instances, v, c) or (v, c), got {_seen(attributes)}")
    check_real(attributes, "attributes")
    if attributes.ndim == 3 and len(attributes) not in (1, len(rast)):
        raise ValueError(f"attributes must have 1 or {len(rast)} instances, got {len(attributes)}")
    if attributes.device.type == "cpu":
        check_faces(faces, attributes, "attributes")


def chosen_channels(
    attributes: Tensor, rast: Tensor, rast_derivatives: Tensor, channels: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the channels to differentiate, all if None; raise ValueError unless they can be."""
    if rast_derivatives.shape != rast.shape:
        got = tuple(rast_derivatives.shape)
        raise ValueError(f"rast_derivatives must have rast's shape {tuple(rast.shape)}, got {got}")
    count = attributes.shape[-1]
    chosen = tuple(range(count)) if channels is None else tuple(channels)
    if any(not 0 <= c < count for c in chosen):
        raise ValueError(f"channels must lie in 0..{count - 1}, got {chosen}")
    return chosen


def check_antialias(color: Tensor, rast: Tensor, vertices_clip: Tensor, faces: Tensor) -> None:
    """Raise ValueError unless these belong to one batch of pictures."""
    check_rast(rast, faces)
    check_vertices(vertices_clip, len(rast) if vertices_clip.ndim == 2 else None)
    if color.ndim != 4 or color.shape[:3] != rast.shape[:3]:
        raise ValueError(f"color must be {(*rast.shape[:3], 'c')} like rast, got {tuple(color.shape)}")
    check_real(color, "color")
    if vertices_clip.ndim == 3 and len(vertices_clip) != len(rast):
        raise ValueError(f"vertices_clip must be {len(rast)} sets like rast, got {len(vertices_clip)}")
    if color.device.type == "cpu":
        check_faces(faces, vertices_clip, "vertices_clip")


def check_real(tensor: Tensor, name: str) -> None:
    """Raise ValueError unless a tensor is in single or double precision."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64, got {tensor.dtype}")


def _seen(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} in {tensor.dtype}"
