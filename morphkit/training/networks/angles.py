"""From Euler angles to axis-angle, with gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL = 1e-3  # half angles whose ratio to their sine is taken from its series


def angles_to_axis_angle(angles: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
    """Return axis times angle, radians, of Rz · Ry · Rx, with exact gradients at zero.

    Parameters
    ----------
    angles : about x, y and z, as `rendering.rotations.angles_to_matrix` takes them.
    """
    cos, sin = (0.5 * angles).cos().unbind(dim=1), (0.5 * angles).sin().unbind(dim=1)
    (a, b, c), (x, y, z) = cos, sin
    whole = c * b * a + z * y * x
    parts = [c * b * x - z * y * a, c * y * a + z * b * x, z * b * a - c * y * x]
    sign = torch.where(whole < 0, -1.0, 1.0)[:, None]  # of the two quaternions, the one that turns by less
    vector, whole = sign * torch.stack(parts, dim=1), whole.abs()
    square = (vector**2).sum(dim=1)
    small = square < _SMALL**2
    length = torch.where(small, 1.0, square).sqrt()
    # angle / length of the vector part; near zero 2 asin(s) / s
    ratio = torch.where(small, 2 + square / 3 + 3 * square**2 / 20, 2 * torch.atan2(length, whole) / length)
    return ratio[:, None] * vector
