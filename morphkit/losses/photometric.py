"""How far a rendered picture is from the photo."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def photometric_loss(
    rendered: Float[Tensor, "batch h w 3"],
    observed: Float[Tensor, "batch h w 3"],
    weights: Float[Tensor, "batch h w"],
    epsilon: float = 1e-3,
) -> Float[Tensor, ""]:
    """Return the weighted mean distance of pixel colours (Deng et al. 2019, eq. 2), averaged over the batch.

    Parameters
    ----------
    rendered, observed : colours in the same space.
    weights : attention times the mask of the rendered face; not differentiated, or a face would shrink to
        look better. An image whose weights sum to less than one pixel counts by that sum.
    epsilon : the colour distance below which the norm turns smooth.
    """
    square = ((rendered - observed) ** 2).sum(dim=-1)
    distance = (square + epsilon**2).sqrt() - epsilon
    weights = weights.detach()
    per_image = (weights * distance).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp_min(1.0)
    return per_image.mean()


def attention(skin_probability: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return how much a pixel counts: 1 where skin is likelier than not, else its probability."""
    return torch.where(skin_probability > 0.5, 1.0, skin_probability)
