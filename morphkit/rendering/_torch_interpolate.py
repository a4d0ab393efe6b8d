"""Interpolation of vertex attributes by torch operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.rendering._scene_arguments import check_attributes, chosen_channels
from morphkit.rendering._torch_blend import blend_rows


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
    return _values(attributes, rast, *_corners(attributes, rast, faces))


def interpolate_with_derivatives(
    attributes: Float[Tensor, "instances v c"] | Float[Tensor, "v c"],
    rast: Float[Tensor, "batch h w 4"],
    faces: Int[Tensor, "f 3"],
    rast_derivatives: Float[Tensor, "batch h w 4"],
    channels: Sequence[int] | None = None,
) -> tuple[Float[Tensor, "batch h w c"], Float[Tensor, "batch h w d"]]:
    """Return `interpolate`'s values and (da/dX, da/dY) of the named channels, or of all, side by side.

    Raises
    ------
    ValueError
        If the attributes have neither one instance nor one per image, `rast_derivatives` another shape than
        `rast`, or a channel doesn't exist.
    """
    chosen = chosen_channels(attributes, rast, rast_derivatives, channels)
    pixel, corners = _corners(attributes, rast, faces)
    some = attributes if channels is None else attributes[..., list(chosen)]
    ux, uy, vx, vy = _at(rast_derivatives, pixel)
    by_x, by_y = (
        _spread(some, corners, torch.stack([u, v, -u - v]), pixel, rast) for u, v in ((ux, vx), (uy, vy))
    )
    values = _values(attributes, rast, pixel, corners)
    return values, torch.stack([by_x, by_y], dim=-1).flatten(-2)


def _values(attributes: Tensor, rast: Tensor, pixel: Tensor, corners: Tensor) -> Tensor:
    u, v = _at(rast[..., :2], pixel)
    return _spread(attributes, corners, torch.stack([u, v, 1 - u - v]), pixel, rast)


def _corners(attributes: Tensor, rast: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Return the n pixels that see something, and their corners' rows in the flat attributes: (3, n)."""
    check_attributes(attributes, rast, faces)
    instances = attributes.shape[0] if attributes.ndim == 3 else 1
    ids = rast[..., 3].detach().reshape(-1)
    pixel = (ids > 0).nonzero()[:, 0]
    corners = faces.long().index_select(0, ids[pixel].long() - 1).t()
    if instances > 1:
        per_image = rast.shape[1] * rast.shape[2]
        corners = corners + torch.div(pixel, per_image, rounding_mode="floor") * attributes.shape[1]
    return pixel, corners


def _at(picture: Tensor, pixel: Tensor) -> tuple[Tensor, ...]:
    """Return a picture's channels at some pixels."""
    return picture.reshape(-1, picture.shape[-1]).index_select(0, pixel).unbind(1)


def _spread(attributes: Tensor, corners: Tensor, weights: Tensor, pixel: Tensor, rast: Tensor) -> Tensor:
    """Return the picture of weighted attributes, zeros where nothing is seen."""
    table = attributes.reshape(-1, attributes.shape[-1])
    values = blend_rows(table, corners, weights.to(table.dtype))
    out = values.new_zeros(rast.shape[:3].numel(), table.shape[1]).index_copy(0, pixel, values)
    return out.reshape(*rast.shape[:3], -1)
