"""A running average of a network's weights, which predicts better than the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages parameters and buffers, batch norm's among them: average += (1 - decay) (value - average).

    The decay begins at 1/10 and rises as (1 + n) / (10 + n) to its own, so that the first random weights are
    soon forgotten. Whole numbers (batch norm's count) are taken as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"decay must lie between 0 and 1, got {decay}")
        self.decay = decay
        self.count = 0
        self.values = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's present weights in."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1.0 - decay)
            else:
                self.values[name].copy_(value)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Lend the network its averaged weights."""
        own = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.values)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state(self) -> dict[str, object]:
        """Return what `load` needs."""
        return {"count": self.count, "values": self.values}

    def load(self, count: int, values: Mapping[str, Tensor]) -> None:
        """Go on from another average's state.

        Raises
        ------
        ValueError
            If the names or shapes are others.
        """
        shapes = {name: value.shape for name, value in values.items()}
        if shapes != {name: value.shape for name, value in self.values.items()}:
            raise ValueError("values must have the network's names and shapes")
        self.count = count
        for name, value in values.items():
            self.values[name].copy_(value)
