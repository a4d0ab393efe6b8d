"""Real orthonormal spherical harmonics to order 3, and what a rotation does to their coefficients.

Ordered by band l, then by m from -l to l, without the Condon-Shortley phase: coefficient l (l + 1) + m.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

MAX_ORDER = 3


def sh_basis(directions: Float[Tensor, "*shape 3"], order: int = 2) -> Float[Tensor, "*shape k"]:
    """Return the (order + 1)² real orthonormal spherical harmonics in given unit directions.

    (l, m) = (0,0), (1,-1), (1,0), (1,1), (2,-2), (2,-1), (2,0), (2,1), (2,2), (3,-3) … (3,3), which are
    1, y, z, x, xy, yz, 3z²-1, xz, x²-y², y(3x²-y²), xyz, y(5z²-1), z(5z²-3), x(5z²-1), z(x²-y²), x(x²-3y²)
    times their norms.

    Raises
    ------
    ValueError
        If `order` isn't 0, 1, 2 or 3.
    """
    norms = sh_norms(order)
    return sh_polynomials(directions, order) * directions.new_tensor(norms)


def sh_polynomials(directions: Float[Tensor, "*shape 3"], order: int = 2) -> Float[Tensor, "*shape k"]:
    """Return the harmonics of `sh_basis` before their norms, 1, y, z, x and so on.

    Who multiplies them with a few coefficients multiplies those with `sh_norms`, and saves a pass over all
    directions.
    """
    x, y, z = directions.unbind(dim=-1)
    functions = [torch.ones_like(x)]
    if order >= 1:
        functions += [y, z, x]
    if order >= 2:
        functions += [x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    if order >= 3:
        functions += _third_band(x, y, z)
    return torch.stack(functions, dim=-1)


def sh_norms(order: int = 2) -> list[float]:
    """Return what the polynomials of `sh_polynomials` are multiplied by to become orthonormal.

    Raises
    ------
    ValueError
        If `order` isn't 0, 1, 2 or 3.
    """
    return _NORMS[: coefficient_count(order)]


def coefficient_count(order: int) -> int:
    """Return (order + 1)², the number of harmonics to an order.

    Raises
    ------
    ValueError
        If `order` isn't 0, 1, 2 or 3.
    """
    if order not in range(MAX_ORDER + 1):
        raise ValueError(f"order must be 0 to {MAX_ORDER}, got {order}")
    return (order + 1) ** 2


def order_of(count: int) -> int:
    """Return the order to which there are that many coefficients.

    Raises
    ------
    ValueError
        If that is no order from 0 to 3.
    """
    order = math.isqrt(count) - 1
    if count != (order + 1) ** 2 or not 0 <= order <= MAX_ORDER:
        raise ValueError(f"spherical harmonics have 1, 4, 9 or 16 coefficients, got {count}")
    return order


def bands(order: int) -> list[int]:
    """Return the band l of each harmonic to an order."""
    return [band for band in range(order + 1) for _ in range(2 * band + 1)]


def rotate_light(
    sh_coefficients: Float[Tensor, "#batch k c"], rotation: Float[Tensor, "#batch 3 3"]
) -> Float[Tensor, "batch k c"]:
    """Return a light turned by a rotation: what came from direction d now comes from R d.

    So ``rotate_light(light_of_the_head, camera.R)`` is a light that was given in head axes, in camera axes.
    Exact up to rounding, and differentiable in both.

    Raises
    ------
    ValueError
        If there aren't 1, 4, 9 or 16 coefficients.
    """
    return sh_rotation(rotation, order_of(sh_coefficients.shape[1])) @ sh_coefficients


def sh_rotation(rotation: Float[Tensor, "batch 3 3"], order: int = 2) -> Float[Tensor, "batch k k"]:
    """Return the matrices that turn coefficients with rotations; orthogonal, each band by itself.

    Entry (i, j) is the integral over the sphere of Y_i(R d) Y_j(d), taken by a quadrature that is exact for
    polynomials of its degree. (Ivanic & Ruedenberg 1996 have a recursion; to order 3 this is shorter.)
    """
    directions, weighted, same_band = (
        torch.from_numpy(values).to(rotation) for values in _rotation_quadrature(order)
    )
    turned = sh_basis(directions @ rotation.transpose(1, 2), order)
    return (turned.transpose(1, 2) @ weighted) * same_band


@cache
def _rotation_quadrature(order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return directions, the weighted basis in them, and which harmonics share a band."""
    directions, weights = sphere_quadrature(2 * order)
    basis = sh_basis(torch.from_numpy(directions), order).numpy()
    band = np.array(bands(order))
    return directions, weights[:, None] * basis, (band[:, None] == band).astype(np.float64)


def sphere_quadrature(degree: int) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """Return directions and weights that integrate polynomials to a degree over the unit sphere exactly.

    Gauss-Legendre along z times evenly spaced angles about it.
    """
    z, along = np.polynomial.legendre.leggauss(degree // 2 + 1)
    angle = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    z, angle = (values.reshape(-1) for values in np.meshgrid(z, angle, indexing="ij"))
    radius = np.sqrt(1 - z**2)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)
    return directions, np.repeat(along * 2 * np.pi / (degree + 1), degree + 1)


def _third_band(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    """Return the seven cubic harmonics, without their norms."""
    xx, yy, zz = x * x, y * y, z * z
    return [
        y * (3 * xx - yy),
        x * y * z,
        y * (5 * zz - 1),
        z * (5 * zz - 3),
        x * (5 * zz - 1),
        z * (xx - yy),
        x * (xx - 3 * yy),
    ]


_NORMS: list[float] = np.sqrt(
    np.array([1, 3, 3, 3, 15, 15, 5 / 4, 15, 15 / 4, 35 / 8, 105, 21 / 8, 7 / 4, 21 / 8, 105 / 4, 35 / 8])
    / (4 * np.pi)
).tolist()
