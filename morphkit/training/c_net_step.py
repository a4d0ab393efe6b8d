"""What sets cost: the mean over their photos of each photo's loss with the aggregated identity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from morphkit.training.batch import Batch
from morphkit.training.networks.c_net import CNet, aggregate
from morphkit.training.networks.r_net import RNet, RNetOutput
from morphkit.training.networks.resnet import Features
from morphkit.training.step import Costs, head_terms
from morphkit.training.task import Module, StepTerms


@dataclass(frozen=True, eq=False)
class SetBatch:
    """Photos of people as R-Net sees them, set after set.

    Attributes
    ----------
    faces : (sets * m) rows.
    corrupted : which are spoilt.
    photos : m, to a set.
    """

    faces: Batch
    corrupted: Bool[Tensor, " batch"]
    photos: int


class Confidences(nn.Module):
    """C-Net with its answer by name."""

    def __init__(self, c_net: CNet) -> None:
        super().__init__()
        self.c_net = c_net

    def forward(
        self, shallow: Float[Tensor, "batch c h w"], deep: Float[Tensor, "batch d"]
    ) -> dict[str, Tensor]:
        """Return how far to trust each photo, a number a coefficient."""
        return {"confidence": self.c_net(Features(shallow, deep))}


@dataclass(frozen=True, eq=False)
class Aggregated:
    """What sets come to.

    Attributes
    ----------
    heads : of each photo; its identity is R-Net's own.
    confidence : of each photo.
    identity : of each set.
    """

    heads: dict[str, Float[Tensor, "batch _"]]
    confidence: Float[Tensor, "sets m k"]
    identity: Float[Tensor, "sets k"]

    @property
    def single(self) -> Float[Tensor, "sets m k"]:
        """The identity that R-Net gives each photo."""
        return self.heads["identity"].reshape(self.confidence.shape)


def aggregated(r_net: RNet, module: Module, batch: SetBatch) -> Aggregated:
    """Return the identity of each set.

    Parameters
    ----------
    r_net : in eval mode; it gets no gradient.
    module : C-Net, called with R-Net's features.
    """
    with torch.no_grad():
        found: RNetOutput = r_net(batch.faces.images.permute(0, 3, 1, 2), batch.faces.shown_landmarks)
    heads = {name: head.float() for name, head in found.heads.items()}
    confidence = module(found.features.shallow, found.features.deep)["confidence"]
    shape = (-1, batch.photos, confidence.shape[1])
    confidence, single = confidence.reshape(shape), heads["identity"].reshape(shape)
    return Aggregated(heads, confidence, aggregate(confidence, single))


def set_losses(r_net: RNet, module: Module, batch: SetBatch, costs: Costs) -> StepTerms:
    """Return the terms of sets (Deng et al. 2019, section 4.2): every photo drawn with its set's identity."""
    found = aggregated(r_net, module, batch)
    shared = found.identity.repeat_interleave(batch.photos, dim=0)
    terms = head_terms({**found.heads, "identity": shared}, batch.faces, costs)
    return StepTerms(terms, {"confidence": found.confidence})
