"""How a basis is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class BasisSettings:
    """How a basis is built.

    Attributes
    ----------
    identity_components : how many, or the share of the variance (a float in 0..1); None keeps all.
    albedo_components : how many at most; one less than the scans when None.
    expression_components : as for identity, of the offsets from neutral faces.
    scale : remove the shapes' size (off: the size of a head is part of its shape).
    alignment_mask : the template's mask whose vertices say where a face lies; all vertices when the template
        has no such mask.
    robust : trust less, when aligning, what of a scan lies far from the mean; see `align_shapes`.
    method : "exact", or "randomized" for ten thousand scans and more; see `fit_pca`.
    missing : what shapes are where their scan has holes: "registered" takes what registration continued them
        with, "statistics" leaves those vertices to probabilistic PCA (slower).
    mirrored : every scan counts together with its mirror image, so that the mean is symmetric.
    """

    identity_components: int | float | None = 80
    albedo_components: int | None = 40
    expression_components: int | float | None = 50
    scale: bool = False
    alignment_mask: str = "face"
    robust: Literal["huber", "tukey"] | None = None
    method: Literal["exact", "randomized"] = "exact"
    missing: Literal["registered", "statistics"] = "registered"
    mirrored: bool = False
