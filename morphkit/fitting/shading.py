"""Matte shading under spherical-harmonics light in numpy, with the derivatives that Gauss–Newton needs.

The light of `morphkit.rendering.lighting`: radiance in camera axes, the cosine kernel applied here.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from morphkit.rendering import lighting
from morphkit.rendering.spherical_harmonics import bands

_NORMS = lighting.reflection_norms(2)
_BANDS = np.array(bands(2))


def reflection_basis(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 9"]:
    """Return irradiance / π per unit coefficient at unit normals (Ramamoorthi & Hanrahan 2001)."""
    basis: np.ndarray = lighting.reflection_basis(torch.from_numpy(normals)).numpy()
    return basis


def reflection_slope(
    normals: Float[np.ndarray, "n 3"], sh_coefficients: Float[np.ndarray, "9 3"]
) -> Float[np.ndarray, "n 3 3"]:
    """Return the derivative of ``reflection_basis(normals) @ sh_coefficients`` (colour) by the normal."""
    x, y, z = normals.T
    o, i = np.zeros_like(x), np.ones_like(x)
    by_x = [o, o, o, i, y, o, o, z, 2 * x]  # of 1, y, z, x, xy, yz, 3z² − 1, xz, x² − y²
    by_y = [o, i, o, o, x, z, o, o, -2 * y]
    by_z = [o, o, i, o, o, y, 6 * z, x, o]
    slopes = np.stack([np.stack(column, axis=1) for column in (by_x, by_y, by_z)], axis=2)
    return np.einsum("nkd,kc->ncd", slopes, np.array(_NORMS)[:, None] * sh_coefficients)


def light_prior(ridge: float, chroma: float) -> Float[np.ndarray, "27 27"]:
    """Return the precision of the light's prior, for coefficients flattened as (9, 3).

    `ridge` holds the first and second band near zero, `chroma` the three colours near their mean.
    """
    bands = np.diag(np.repeat(np.where(_BANDS == 0, 0.0, ridge), 3))
    coloured = np.eye(3) - 1.0 / 3.0
    return bands + chroma * np.kron(np.eye(9), coloured)


def fit_light(
    albedo: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    prior: Float[np.ndarray, "27 27"],
) -> Float[np.ndarray, "9 3"]:
    """Return the light that explains colours best, in closed form.

    Parameters
    ----------
    albedo, normals, colors : linear RGB, unit normal (camera axes) and seen linear RGB of n points.
    weights : of the points; they are scaled to a mean albedo-weighted square of one, so that `prior` means
        the same for every photo.
    prior : precision of the coefficients, from `light_prior`.
    """
    basis = reflection_basis(normals)
    precision, right = np.zeros((27, 27)), np.zeros(27)
    scale = 1.0 / max(float((weights[:, None] * albedo**2).mean()) * len(weights), 1e-12)
    for channel in range(3):
        design = basis * albedo[:, channel, None]
        rows = slice(channel, 27, 3)
        precision[rows, rows] = scale * (design * weights[:, None]).T @ design
        right[rows] = scale * design.T @ (weights * colors[:, channel])
    return np.linalg.solve(precision + prior + 1e-9 * np.eye(27), right).reshape(9, 3)
