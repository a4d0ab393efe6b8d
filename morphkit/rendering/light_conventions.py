"""Lights of other tools, in and out: the public implementations of Deng et al. 2019.

Theirs: colour = albedo · (Y γ) at normals in camera-aligned axes with x right, y **up**, z **towards** the
viewer; Y are the harmonics with the Condon-Shortley phase, band l multiplied by a_l = π, 2π/√3, 2π/√8 (not
Lambert's constants); 0.8 is added to each colour's γ[0], so that zeros are an even light.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_AMBIENT = 0.8
# For each of our coefficients a_l / (A_l / π), times the phase (-1)^m, times what y -> -y, z -> -z does.
_SCALES = [math.pi * math.sqrt(root) for root in (1, 3, 3, 3, 8, 8, 8, 8, 8)]
_PHASES = [1, -1, 1, -1, 1, -1, 1, -1, 1]
_AXES = [1, -1, -1, 1, -1, 1, 1, -1, 1]
_FACTORS = [s * p * a for s, p, a in zip(_SCALES, _PHASES, _AXES, strict=True)]


def from_deep3d(gamma: Float[Tensor, "batch g"]) -> Float[Tensor, "batch 9 3"]:
    """Return the radiance of the public implementations' light coefficients, in our camera axes.

    Parameters
    ----------
    gamma : 27, channel-major (nine of red, of green, of blue), or the paper's nine of a white light;
        *without* the 0.8, which is added here as they add it.

    Raises
    ------
    ValueError
        If there are neither 27 nor 9 coefficients.
    """
    if gamma.shape[1] not in (9, 27):
        raise ValueError(f"gamma must be (batch, 27) or (batch, 9), got {tuple(gamma.shape)}")
    channels = from_channel_major(gamma if gamma.shape[1] == 27 else gamma.repeat(1, 3))
    return (channels + _ambient(gamma)) * gamma.new_tensor(_FACTORS)[:, None]


def to_deep3d(sh_coefficients: Float[Tensor, "batch 9 3"]) -> Float[Tensor, "batch 27"]:
    """Return the public implementations' 27 light coefficients, channel-major, of a light in camera axes."""
    factors = sh_coefficients.new_tensor(_FACTORS)[:, None]
    return to_channel_major(sh_coefficients / factors - _ambient(sh_coefficients))


def to_channel_major(sh_coefficients: Float[Tensor, "batch k 3"]) -> Float[Tensor, "batch 3*k"]:
    """Return coefficients in one row each: all of red, all of green, all of blue."""
    return sh_coefficients.transpose(1, 2).flatten(1)


def from_channel_major(rows: Float[Tensor, "batch n"]) -> Float[Tensor, "batch k 3"]:
    """Return (batch, k, 3) from rows with all of red, all of green, all of blue."""
    return rows.reshape(len(rows), 3, -1).transpose(1, 2)


def _ambient(like: Tensor) -> Float[Tensor, "9 1"]:
    return torch.nn.functional.pad(like.new_tensor([[_AMBIENT]]), (0, 0, 0, 8))
