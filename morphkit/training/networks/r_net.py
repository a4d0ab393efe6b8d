"""R-Net: from a picture of a face to what its coefficients are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from morphkit.training.networks.resnet import Features, ResNet


@dataclass(frozen=True, eq=False)
class RNetOutput:
    """What R-Net says of pictures.

    Attributes
    ----------
    heads : (batch, n) each, by name; `OutputLayout.decode` reads them.
    features : of the backbone, which C-Net reads.
    """

    heads: dict[str, Float[Tensor, "batch _"]]
    features: Features


class RNet(nn.Module):
    """A ResNet with one linear head per group of numbers (Deng et al. 2019, section 4.1).

    The heads start at zero, so that training begins at what a layout makes of zeros: the mean face in the
    middle of the crop. From anywhere else the first pictures would show no face, and no gradient.

    Parameters
    ----------
    depth : of the backbone, 18 or 50.
    heads : how many numbers each head gives, by name (`OutputLayout.heads`).
    zero_gamma : see `ResNet`.

    Raises
    ------
    ValueError
        If there is no head, one of no size, or no such depth.
    """

    def __init__(self, depth: int, heads: Mapping[str, int], zero_gamma: bool = False) -> None:
        super().__init__()
        if not heads or min(heads.values()) < 1:
            raise ValueError(f"heads must give at least one number each, got {dict(heads)}")
        self.backbone = ResNet(depth, zero_gamma)
        self.heads = nn.ModuleDict({name: _zero_linear(self.deep_channels, n) for name, n in heads.items()})

    @property
    def depth(self) -> int:
        """The backbone's depth."""
        return self.backbone.depth

    @property
    def deep_channels(self) -> int:
        """How many features the heads read."""
        return self.backbone.deep_channels

    @property
    def head_sizes(self) -> dict[str, int]:
        """How many numbers each head gives, by name."""
        return {name: head.out_features for name, head in self.heads.items() if isinstance(head, nn.Linear)}

    def forward(self, srgb: Float[Tensor, "batch 3 h w"]) -> RNetOutput:
        """Return the heads' numbers for aligned faces, sRGB 0..1."""
        features = self.backbone(srgb)
        return RNetOutput({name: head(features.deep) for name, head in self.heads.items()}, features)


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
