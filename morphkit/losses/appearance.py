"""How unlikely skin and light are that change colour."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor


def texture_flattening_loss(
    albedo: Float[Tensor, "batch v 3"], region: Bool[Tensor, " v"] | Int[Tensor, " n"]
) -> Float[Tensor, ""]:
    """Return the variance of the albedo over a region, summed over the colours (Deng et al. 2019, eq. 6).

    It keeps shadows out of the albedo, so that the light explains them. Averaged over the batch.

    Parameters
    ----------
    albedo : RGB 0..1 per vertex; the paper's weight is meant for a 3DMM texture, which is close to sRGB.
    region : the vertices of bare skin: cheeks, nose and forehead; as a mask, or their numbers.
    """
    skin = albedo[:, region]
    return ((skin - skin.mean(dim=1, keepdim=True)) ** 2).mean(dim=1).sum(dim=1).mean()


def monochrome_light_loss(sh_coefficients: Float[Tensor, "batch k 3"]) -> Float[Tensor, ""]:
    """Return the mean squared departure of a light's coefficients from white.

    The paper's light is white; the public implementations give it three colours and add this.
    """
    return ((sh_coefficients - sh_coefficients.mean(dim=2, keepdim=True)) ** 2).mean()
