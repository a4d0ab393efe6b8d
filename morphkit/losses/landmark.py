"""How far projected landmarks are from the detected ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def landmark_loss(
    projected: Float[Tensor, "batch n 2"], observed: Float[Tensor, "batch n 2"], weights: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Return the mean weighted squared distance in pixels (Deng et al. 2019, eq. 3)."""
    square = ((projected - observed) ** 2).sum(dim=-1)
    return (weights * square).mean()


def ibug68_weights() -> Float[Tensor, "68"]:
    """Return the paper's weights: 20 for the inner mouth (60-67) and the bridge of the nose (28-30), else 1.

    The paper says "inner mouth and nose points"; which of the nose's is taken from its authors' code.
    """
    weights = torch.ones(68)
    weights[28:31] = 20
    weights[60:68] = 20
    return weights
