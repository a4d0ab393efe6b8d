"""How different two faces look to a network that tells people apart."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def perceptual_loss(
    rendered: Float[Tensor, "batch d"], observed: Float[Tensor, "batch d"]
) -> Float[Tensor, ""]:
    """Return 1 − cosine of the embeddings (Deng et al. 2019, eq. 4), averaged over the batch.

    Parameters
    ----------
    rendered, observed : what a face-recognition network makes of the rendered picture and of the photo; of
        any length, see `morphkit.losses.FaceNetwork`.
    """
    dot = (rendered * observed).sum(dim=1)
    lengths = rendered.norm(dim=1) * observed.norm(dim=1)
    return (1 - dot / lengths.clamp_min(1e-12)).mean()
