"""Light from far away as spherical harmonics, and what it makes of matte skin.

`sh_coefficients (batch, 9, 3)` are the **radiance** coming in, per colour, in the real orthonormal basis to
order 2; Lambert's cosine kernel is *not* folded into them. Constant radiance 1 from everywhere, which is
`ambient_light()`, shows an albedo as it is.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# A_l / pi: what a cosine-weighted hemisphere keeps of each band (Ramamoorthi & Hanrahan 2001, eq. 8), over pi
# because a matte surface of albedo 1 sends back irradiance / pi.
_BAND_FACTORS = (1.0, 2 / 3, 1 / 4)
_BANDS = (0, 1, 1, 1, 2, 2, 2, 2, 2)


def sh_basis(normals: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 9"]:
    """Return the nine real orthonormal spherical harmonics to order 2 in given unit directions.

    Ordered (l, m) = (0,0), (1,-1), (1,0), (1,1), (2,-2), (2,-1), (2,0), (2,1), (2,2), without the
    Condon-Shortley phase: 1, y, z, x, xy, yz, 3z²-1, xz, x²-y² times their norms.
    """
    x, y, z = normals.unbind(dim=-1)
    c0 = math.sqrt(1 / (4 * math.pi))
    c1 = math.sqrt(3 / (4 * math.pi))
    c2 = math.sqrt(15 / (4 * math.pi))
    constant = torch.full_like(x, c0)
    second = [
        c2 * x * y,
        c2 * y * z,
        c2 / math.sqrt(12) * (3 * z * z - 1),
        c2 * x * z,
        0.5 * c2 * (x * x - y * y),
    ]
    return torch.stack([constant, c1 * y, c1 * z, c1 * x, *second], dim=-1)


def reflection_basis(normals: Float[Tensor, "*shape 3"]) -> Float[Tensor, "*shape 9"]:
    """Return irradiance / pi per unit coefficient: the harmonics after the cosine kernel.

    Order 2 leaves out 1 % of a distant lamp's energy on a matte surface (Ramamoorthi & Hanrahan 2001).
    """
    factors = [_BAND_FACTORS[band] for band in _BANDS]
    return sh_basis(normals) * torch.tensor(factors, dtype=normals.dtype, device=normals.device)


def shade(
    albedo: Float[Tensor, "batch *shape 3"],
    normals: Float[Tensor, "batch *shape 3"],
    sh_coefficients: Float[Tensor, "batch 9 3"],
) -> Float[Tensor, "batch *shape 3"]:
    """Return the linear RGB of matte surfaces under a light; `normals` are unit, in the light's frame."""
    batch = len(normals)
    brightness = reflection_basis(normals).reshape(batch, -1, 9) @ sh_coefficients
    return albedo * brightness.reshape(normals.shape)


def ambient_light(batch: int = 1, radiance: float = 1.0) -> Float[Tensor, "batch 9 3"]:
    """Return the coefficients of the same white radiance from everywhere."""
    coefficients = torch.zeros(batch, 9, 3)
    coefficients[:, 0] = radiance * math.sqrt(4 * math.pi)
    return coefficients


def fit_light(
    albedo: Float[Tensor, "batch n 3"],
    normals: Float[Tensor, "batch n 3"],
    pixels: Float[Tensor, "batch n 3"],
    weights: Float[Tensor, "batch n"] | None = None,
    ridge: float = 1e-4,
) -> Float[Tensor, "batch 9 3"]:
    """Return the light that explains pixels best, in the least-squares sense and in closed form, per colour.

    Parameters
    ----------
    albedo, normals, pixels : the linear RGB, the unit normal and the observed linear RGB of n surface points.
    weights : confidence of each point, 0 leaves it out; one each if None.
    ridge : pulls bands 1 and 2 towards zero, relative to the mean diagonal of the normal equations: it
        settles what a face seen from one side leaves open.

    Raises
    ------
    ValueError
        If `ridge` is negative.
    """
    if ridge < 0:
        raise ValueError(f"ridge must not be negative, got {ridge}")
    basis = reflection_basis(normals)
    weights = torch.ones_like(normals[..., 0]) if weights is None else weights
    design = torch.einsum("bnc,bnk->bcnk", albedo, basis)
    weighted = design * weights[:, None, :, None]
    normal = weighted.transpose(2, 3) @ design
    right = torch.einsum("bcnk,bnc->bck", weighted, pixels)
    pull = ridge * normal.diagonal(dim1=2, dim2=3).mean(dim=2, keepdim=True) + torch.finfo(normal.dtype).tiny
    bands = torch.tensor(
        [0.0 if band == 0 else 1.0 for band in _BANDS], dtype=normal.dtype, device=normal.device
    )
    # The constant band keeps a trace of the pull, so that even an all-black picture has a solution.
    normal = normal + torch.diag_embed(pull * bands.clamp_min(1e-3))
    return torch.linalg.solve(normal, right).transpose(1, 2)
