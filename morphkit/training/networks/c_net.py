"""C-Net: of several photos of one person, how far to believe each for every coefficient."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from morphkit.training.networks.resnet import Features

_WIDTH = 256  # channels of the convolutions
_HIDDEN = 512
_LEAST = 1e-4  # so that sets of bad photos alone still have an average


class CNet(nn.Module):
    """Confidences from R-Net's features (Deng et al. 2019, section 4.2).

    Three 3 × 3 convolutions of stride 2 see the shallow features, are averaged over the picture, and join the
    deep ones; two linear layers and a sigmoid make one positive number per coefficient. The last layer starts
    at zero, so that all confidences are equal and a set's coefficients their plain average.

    Parameters
    ----------
    k : confidences to give, the identity's components.
    shallow_channels, deep_channels : of the backbone's features, which are not trained with it.
    """

    def __init__(self, k: int, shallow_channels: int, deep_channels: int) -> None:
        super().__init__()
        widths = (shallow_channels, _WIDTH, _WIDTH, _WIDTH)
        steps = [(nn.Conv2d(a, b, 3, 2, 1), nn.ReLU(inplace=True)) for a, b in pairwise(widths)]
        self.convolutions = nn.Sequential(*(layer for step in steps for layer in step))
        self.hidden = nn.Linear(_WIDTH + deep_channels, _HIDDEN)
        self.last = nn.Linear(_HIDDEN, k)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.zeros_(self.last.weight)

    @property
    def k(self) -> int:
        """How many confidences it gives."""
        return self.last.out_features

    @property
    def channels(self) -> tuple[int, int]:
        """How many channels of shallow and deep features it reads."""
        first = self.convolutions[0]
        if not isinstance(first, nn.Conv2d):
            raise ValueError("convolutions must begin with one")
        return first.in_channels, self.hidden.in_features - _WIDTH

    def forward(self, features: Features) -> Float[Tensor, "batch k"]:
        """Return confidences, above 0 and below 1; an untrained network gives a half for all.

        No gradient reaches the features: R-Net stays as it is.
        """
        seen = self.convolutions(features.shallow.detach()).mean(dim=(2, 3))
        joined = torch.cat([seen, features.deep.detach()], dim=1)
        confidence: Tensor = self.last(self.hidden(joined).relu()).sigmoid()
        return confidence.clamp_min(_LEAST)


def aggregate(
    confidence: Float[Tensor, "sets m k"], coefficients: Float[Tensor, "sets m k"]
) -> Float[Tensor, "sets k"]:
    """Return each set's coefficients, Σ c ⊙ α ⊘ Σ c over its m photos (Deng et al. 2019, section 4.2).

    Parameters
    ----------
    confidence : positive; equal ones give the plain average, zero leaves a photo out of a set.
    """
    share = confidence / confidence.sum(dim=1, keepdim=True)
    return (share * coefficients).sum(dim=1)
