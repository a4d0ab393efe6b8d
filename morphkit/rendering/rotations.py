"""Rotation matrices from and to the numbers that describe them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def facing() -> Float[Tensor, "3 3"]:
    """Return the rotation by which a head (y up, face towards +z) looks into a camera (y down, z forward)."""
    return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def axis_angle_to_matrix(axis_angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Return rotation matrices by Rodrigues' formula, with exact gradients at and near zero."""
    square = (axis_angle**2).sum(dim=1)
    small = square < 1e-6
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    # sin a / a and (1 - cos a) / a², by their series where those would divide by nearly zero
    first = torch.where(small, 1 - square / 6 + square**2 / 120, angle.sin() / angle)
    second = torch.where(small, 0.5 - square / 24 + square**2 / 720, (1 - angle.cos()) / safe)
    x, y, z = axis_angle.unbind(dim=1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first[:, None, None] * cross + second[:, None, None] * (cross @ cross)


def matrix_to_axis_angle(rotation: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Return axis times angle, in 0..pi, of rotation matrices; it carries no gradient."""
    w, vector = _quaternion(rotation.detach())
    length = vector.norm(dim=1, keepdim=True)
    angle = 2.0 * torch.atan2(length, w[:, None])
    small = length < 1e-12
    return torch.where(small, 2.0 * vector, vector * angle / length.clamp_min(1e-12))


def _quaternion(m: Float[Tensor, "batch 3 3"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 3"]]:
    """Return unit quaternions, real part not negative, from the one of four formulas that divides by most.

    Row i of ``products`` is 4 · q_i · q.
    """
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(dim=1) for row in m.unbind(dim=1))
    products = torch.stack(
        [
            torch.stack([1 + a + e + i, h - f, c - g, d - b], dim=1),
            torch.stack([h - f, 1 + a - e - i, b + d, c + g], dim=1),
            torch.stack([c - g, b + d, 1 - a + e - i, f + h], dim=1),
            torch.stack([d - b, c + g, f + h, 1 - a - e + i], dim=1),
        ],
        dim=1,
    )
    largest = products.diagonal(dim1=1, dim2=2).argmax(dim=1)
    row = products.gather(1, largest[:, None, None].expand(-1, 1, 4))[:, 0]
    q = row / row.norm(dim=1, keepdim=True)
    q = torch.where(q[:, :1] < 0, -q, q)
    return q[:, 0], q[:, 1:]


def angles_to_matrix(angles: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Return Rz · Ry · Rx of angles (about x, about y, about z), radians: about x first, axes fixed."""
    x, y, z = torch.eye(3, dtype=angles.dtype, device=angles.device)
    about_x, about_y, about_z = (
        axis_angle_to_matrix(angle[:, None] * axis)
        for angle, axis in zip(angles.unbind(dim=1), (x, y, z), strict=True)
    )
    return about_z @ about_y @ about_x


def matrix_to_angles(rotation: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Return the angles of `angles_to_matrix`, the second in -pi/2..pi/2.

    Differentiable but where the second angle is a quarter turn: there the other two are one.
    """
    side = torch.hypot(rotation[:, 0, 0], rotation[:, 1, 0])
    about_x = torch.atan2(rotation[:, 2, 1], rotation[:, 2, 2])
    about_y = torch.atan2(-rotation[:, 2, 0], side)
    about_z = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return torch.stack([about_x, about_y, about_z], dim=1)
