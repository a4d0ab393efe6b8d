"""How far a rendered picture is from the photo."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def photometric_loss(
    rendered: Float[Tensor, "batch h w 3"],
    observed: Float[Tensor, "batch h w 3"],
    weights: Float[Tensor, "batch h w"],
    epsilon: float = 1e-3,
) -> Float[Tensor, ""]:
    """Return the weighted mean distance of pixel colours (Deng et al. 2019, eq. 2), averaged over the batch.

    Σ A_i ‖I_i − I'_i‖₂ / max(Σ A_i, 1), the norm written √(‖·‖² + ε²) − ε: like the public implementations'
    √(‖·‖² + 1e-6), but zero for a perfect picture.

    Parameters
    ----------
    rendered, observed : colours in the same space; the paper's weights are meant for sRGB 0..1.
    weights : attention times the mask of the rendered face; not differentiated, or a face would shrink to
        look better. An image whose weights sum to less than one pixel counts by that sum.
    epsilon : the colour distance below which the norm turns smooth.
    """
    square = ((rendered - observed) ** 2).sum(dim=-1)
    distance = (square + epsilon**2).sqrt() - epsilon
    weights = weights.detach()
    per_image = (weights * distance).sum(dim=(1, 2)) / weights.sum(dim=(1, 2)).clamp_min(1.0)
    return per_image.mean()
