"""Light from far away as spherical harmonics, and what it makes of matte skin.

`sh_coefficients (batch, k, 3)` are the **radiance** coming in, per colour, in the real orthonormal basis of
`spherical_harmonics`, k = 1, 4, 9 or 16; Lambert's cosine kernel is *not* folded into them. Constant radiance
1 from everywhere, which is `ambient_light()`, shows an albedo as it is.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.rendering import _cpu_shading
from morphkit.rendering.normals import unit
from morphkit.rendering.spherical_harmonics import (
    bands,
    coefficient_count,
    order_of,
    sh_basis,
    sh_norms,
    sh_polynomials,
)

# A_l / pi: what a cosine-weighted hemisphere keeps of each band (Ramamoorthi & Hanrahan 2001, eq. 8), over pi
# because a matte surface of albedo 1 sends back irradiance / pi.
_BAND_FACTORS = (1.0, 2 / 3, 1 / 4, 0.0)
_MATTE_ORDER = 2


def reflection_basis(normals: Float[Tensor, "*shape 3"], order: int = 2) -> Float[Tensor, "*shape k"]:
    """Return irradiance / pi per unit coefficient: the harmonics after the cosine kernel.

    Order 2 leaves out 1 % of a distant lamp's energy on a matte surface (Ramamoorthi & Hanrahan 2001).
    Order 3 adds nothing: A_3 = 0, so its columns are zeros; no matte surface shows what a light has there.
    """
    return sh_basis(normals, order) * normals.new_tensor([_BAND_FACTORS[band] for band in bands(order)])


def reflection_norms(order: int = 2) -> list[float]:
    """Return what the plain polynomials of `sh_polynomials` are multiplied by to make `reflection_basis`."""
    return [norm * _BAND_FACTORS[band] for norm, band in zip(sh_norms(order), bands(order), strict=True)]


def shade(
    albedo: Float[Tensor, "batch *shape 3"],
    normals: Float[Tensor, "batch *shape 3"],
    sh_coefficients: Float[Tensor, "lights k 3"],
) -> Float[Tensor, "batch *shape 3"]:
    """Return the linear RGB of matte surfaces under a light; `normals` are unit, in the light's frame.

    One light may serve the whole batch.

    Raises
    ------
    ValueError
        If there aren't 1, 4, 9 or 16 coefficients, or the shapes or types don't fit together.
    """
    if albedo.shape != normals.shape or albedo.shape[-1] != 3:
        shapes = f"{tuple(albedo.shape)} and {tuple(normals.shape)}"
        raise ValueError(f"albedo and normals must have one shape (batch, ..., 3), got {shapes}")
    if len(sh_coefficients) not in (1, len(albedo)) or sh_coefficients.shape[-1] != 3:
        shape = tuple(sh_coefficients.shape)
        raise ValueError(f"sh_coefficients must be (1 or {len(albedo)}, k, 3), got {shape}")
    if not albedo.dtype == normals.dtype == sh_coefficients.dtype:
        types = f"{albedo.dtype}, {normals.dtype} and {sh_coefficients.dtype}"
        raise ValueError(f"albedo, normals and sh_coefficients must have one type, got {types}")
    order = min(order_of(sh_coefficients.shape[1]), _MATTE_ORDER)
    factors = reflection_norms(order)
    reflected = sh_coefficients[:, : len(factors)] * sh_coefficients.new_tensor(factors)[:, None]
    reflected = reflected.expand(len(albedo), -1, -1)
    if albedo.device.type == "cpu":
        return _cpu_shading.shade(albedo, normals, reflected)
    polynomials = sh_polynomials(normals, order).reshape(len(normals), -1, len(factors))
    return albedo * (polynomials @ reflected).reshape(normals.shape)


def ambient_light(batch: int = 1, radiance: float = 1.0, order: int = 2) -> Float[Tensor, "batch k 3"]:
    """Return the coefficients of the same white radiance from everywhere."""
    coefficients = torch.zeros(batch, coefficient_count(order), 3)
    coefficients[:, 0] = radiance * math.sqrt(4 * math.pi)
    return coefficients


def directional_light(
    direction: Float[Tensor, "batch 3"], color: Float[Tensor, "batch 3"], order: int = 2
) -> Float[Tensor, "batch k 3"]:
    """Return the coefficients of a distant lamp; lights add.

    White matte skin that faces it shows `color`, and color · cos when turned, as far as the harmonics can say
    so: to order 2 it is 1.06 in front, 1/16 behind, and nowhere off by more than 0.1.

    Parameters
    ----------
    direction : towards the lamp, of any length; in camera axes, a lamp above the photographer has a negative
        y and a negative z.
    color : linear RGB.
    """
    return math.pi * sh_basis(unit(direction), order)[:, :, None] * color[:, None]


def fit_light(
    albedo: Float[Tensor, "batch n 3"],
    normals: Float[Tensor, "batch n 3"],
    pixels: Float[Tensor, "batch n 3"],
    weights: Float[Tensor, "batch n"] | None = None,
    ridge: float = 1e-4,
    order: int = 2,
    monochrome: bool = False,
) -> Float[Tensor, "batch k 3"]:
    """Return the light that explains pixels best, in the least-squares sense and in closed form, per colour.

    Parameters
    ----------
    albedo, normals, pixels : the linear RGB, the unit normal and the observed linear RGB of n surface points.
    weights : confidence of each point, 0 leaves it out; one each if None.
    ridge : pulls all bands but the constant one towards zero, relative to the mean diagonal of the normal
        equations: it settles what a face seen from one side leaves open.
    order : 0, 1 or 2.
    monochrome : one white light for all three colours.

    Raises
    ------
    ValueError
        If `ridge` is negative, or `order` one of which a matte surface says nothing.
    """
    if ridge < 0:
        raise ValueError(f"ridge must not be negative, got {ridge}")
    if order not in range(_MATTE_ORDER + 1):
        raise ValueError(f"order must be 0, 1 or 2: a matte surface shows no more of a light, got {order}")
    weights = torch.ones_like(normals[..., 0]) if weights is None else weights
    design = torch.einsum("bnc,bnk->bcnk", albedo, reflection_basis(normals, order))
    weighted = design * weights[:, None, :, None]
    normal = weighted.transpose(2, 3) @ design
    right = torch.einsum("bcnk,bnc->bck", weighted, pixels)
    if monochrome:
        normal, right = normal.sum(dim=1, keepdim=True), right.sum(dim=1, keepdim=True)
    light = torch.linalg.solve(normal + _pull(normal, ridge, order), right)
    return light.transpose(1, 2).expand(-1, -1, 3)


def _pull(normal: Float[Tensor, "batch c k k"], ridge: float, order: int) -> Float[Tensor, "batch c k k"]:
    """Return what the ridge adds to normal equations."""
    pull = ridge * normal.diagonal(dim1=2, dim2=3).mean(dim=2, keepdim=True) + torch.finfo(normal.dtype).tiny
    # The constant band keeps a trace of the pull, so that even an all-black picture has a solution.
    shares = [1e-3 if band == 0 else 1.0 for band in bands(order)]
    return torch.diag_embed(pull * normal.new_tensor(shares))
