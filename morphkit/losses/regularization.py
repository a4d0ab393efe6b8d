"""How unlikely coefficients are."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def coefficient_loss(
    identity: Float[Tensor, "batch i"],
    expression: Float[Tensor, "batch e"],
    albedo: Float[Tensor, "batch a"],
    identity_weight: float = 1.0,
    expression_weight: float = 0.8,
    albedo_weight: float = 1.7e-3,
) -> Float[Tensor, ""]:
    """Return the weighted squared lengths of the coefficients, averaged over the batch.

    In standard deviations; Deng et al. 2019, eq. 5, with its weights.
    """
    groups = ((identity_weight, identity), (expression_weight, expression), (albedo_weight, albedo))
    total: Tensor = sum(
        (weight * (group**2).sum(dim=1) for weight, group in groups), start=identity.new_zeros(())
    )
    return total.mean()
