"""R-Net: from a picture of a face to what its coefficients are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.training.networks.landmark_guide import LandmarkGuide
from morphkit.training.networks.resnet import Features, ResNet


@dataclass(frozen=True, eq=False)
class RNetOutput:
    """What R-Net says of pictures.

    Attributes
    ----------
    heads : (batch, n) each, by name; `OutputLayout.decode` reads them.
    features : of the backbone, which C-Net reads; the deep ones with those of the guide.
    """

    heads: dict[str, Float[Tensor, "batch _"]]
    features: Features


class RNet(nn.Module):
    """A ResNet with one linear head per group of numbers (Deng et al. 2019, section 4.1).

    The heads start at zero, so that training begins at what a layout makes of zeros: the mean face in the
    middle of the crop. From anywhere else the first pictures would show no face, and no gradient. A guided
    network begins at the face that explains the landmarks, and adds its heads' numbers to that.

    Parameters
    ----------
    depth : of the backbone, 18 or 50.
    heads : how many numbers each head gives, by name (`OutputLayout.heads`).
    zero_gamma : see `ResNet`.
    guided : read landmarks, too; for the "morphkit" layout. Give `guide.solve` its model then
        (`LandmarkSolve.from_model`), or load it with the weights.

    Raises
    ------
    ValueError
        If there is no head, one of no size, or no such depth.
    """

    def __init__(
        self, depth: int, heads: Mapping[str, int], zero_gamma: bool = False, guided: bool = False
    ) -> None:
        super().__init__()
        if not heads or min(heads.values()) < 1:
            raise ValueError(f"heads must give at least one number each, got {dict(heads)}")
        if guided and not {"identity", "rotation", "translation"} <= set(heads):
            raise ValueError(f"heads must be of the morphkit layout to be guided, got {dict(heads)}")
        self.backbone = ResNet(depth, zero_gamma)
        self.guide = _guide(self.backbone.middle_channels, heads) if guided else None
        self.heads = nn.ModuleDict({name: _zero_linear(self.deep_channels, n) for name, n in heads.items()})

    @property
    def depth(self) -> int:
        """The backbone's depth."""
        return self.backbone.depth

    @property
    def deep_channels(self) -> int:
        """How many features the heads read: the backbone's for the whole picture, and the guide's."""
        return self.backbone.deep_channels + (0 if self.guide is None else self.guide.width)

    @property
    def head_sizes(self) -> dict[str, int]:
        """How many numbers each head gives, by name."""
        return {name: head.out_features for name, head in self.heads.items() if isinstance(head, nn.Linear)}

    def forward(
        self, srgb: Float[Tensor, "batch 3 h w"], landmarks: Float[Tensor, "batch 68 2"] | None = None
    ) -> RNetOutput:
        """Return the heads' numbers for aligned faces.

        Parameters
        ----------
        srgb : 0..1, row 0 at the top.
        landmarks : iBUG-68, pixels of the crop, outer corner at (0, 0), NaN where unknown; read by a guided
            network alone.

        Raises
        ------
        ValueError
            If the network is guided, and there are no landmarks.
        """
        features = self.backbone(srgb)
        if self.guide is None:
            return RNetOutput({name: head(features.deep) for name, head in self.heads.items()}, features)
        if landmarks is None or features.middle is None:
            raise ValueError("landmarks must be given to a guided network")
        guidance = self.guide(features.middle, landmarks, srgb.shape[3])
        joined = torch.cat([features.deep, guidance.features.to(features.deep)], dim=1)
        own = {name: head(joined).float() for name, head in self.heads.items()}
        heads = {name: own[name] + guidance.heads.get(name, 0.0) for name in own}
        return RNetOutput(heads, Features(features.shallow, joined, features.middle))


def _guide(channels: int, heads: Mapping[str, int]) -> LandmarkGuide:
    return LandmarkGuide(channels, heads["identity"], heads.get("expression", 0))


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
