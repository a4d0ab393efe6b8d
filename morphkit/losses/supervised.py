"""How far coefficients and cameras are from known ones, in millimetres, colours and pixels."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

_KEPT = [1.0] + 3 * [2 / 3] + 5 * [1 / 4]  # A_l / pi of each harmonic (Ramamoorthi & Hanrahan 2001, eq. 8)


def gram_matrix(
    basis: Float[Tensor, "k n d"],
    weights: Float[Tensor, " n"] | Float[Tensor, "n d"],
    projected_out: Float[Tensor, "m n d"] | None = None,
) -> Float[Tensor, "k k"]:
    """Return G by which (c − ĉ)ᵀ G (c − ĉ) is the weighted mean squared distance of a linear model's points.

    G = Bᵀ W B / Σ w in double precision: the points themselves are never needed again.

    Parameters
    ----------
    basis : how each point moves per coefficient, in mm or colour per standard deviation.
    weights : how much each point, or each of its coordinates, counts; the sum over points (the mean over
        coordinates of them) divides.
    projected_out : movements of all points that don't count, such as `similarity_tangents`: the distance is
        what is left after the best combination of them.
    """
    per_value = weights.double().reshape(len(weights), -1).expand(basis.shape[1:]).flatten()
    roots = (per_value / (per_value.sum() / basis.shape[2])).sqrt()
    scaled = basis.double().flatten(1) * roots
    if projected_out is not None:
        directions, _ = torch.linalg.qr((projected_out.double().flatten(1) * roots).T)
        scaled = scaled - (scaled @ directions) @ directions.T
    return scaled @ scaled.T


def similarity_tangents(points: Float[Tensor, "n 3"]) -> Float[Tensor, "7 n 3"]:
    """Return how points move when they are shifted, turned and enlarged a little, all seven ways."""
    centred = points - points.mean(dim=0)
    axes = torch.eye(3, dtype=points.dtype, device=points.device)
    shifts = axes[:, None].expand(3, len(points), 3)
    turns = torch.linalg.cross(axes[:, None].expand(3, len(points), 3), centred.expand(3, -1, 3))
    return torch.cat([shifts, turns, centred[None]])


def gram_loss(
    predicted: Float[Tensor, "batch k"], truth: Float[Tensor, "batch k"], gram: Float[Tensor, "k k"]
) -> Float[Tensor, ""]:
    """Return the mean squared distance of a linear model's points for two sets of coefficients.

    In mm², or squared colour, as the model of `gram_matrix` is; averaged over the batch.
    """
    away = predicted - truth
    return ((away @ gram) * away).sum(dim=1).mean()


def light_loss(predicted: Float[Tensor, "batch 9 3"], truth: Float[Tensor, "batch 9 3"]) -> Float[Tensor, ""]:
    """Return the mean squared difference of the light that a white matte sphere reflects.

    Over all directions, colours and the batch; under `ambient_light` it reflects 1. The harmonics are
    orthonormal, so it is Σ (A_l / π)² (L − L̂)² / 4π: what no matte surface shows costs nothing.
    """
    kept = predicted.new_tensor(_KEPT)
    away = kept[:, None] * (predicted - truth)
    return (away**2).sum(dim=1).mean() / (4 * math.pi)


def projection_loss(
    predicted: Float[Tensor, "batch n 2"], truth: Float[Tensor, "batch n 2"]
) -> Float[Tensor, ""]:
    """Return the mean squared distance of projected points, pixels²."""
    return ((predicted - truth) ** 2).sum(dim=-1).mean()
