"""What a loop needs to know of what it trains: R-Net and C-Net are two such tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

Module = Callable[..., dict[str, Tensor]]
"""The network as the loop lends it: with mixed precision and gradients shared among processes."""

BatchT = TypeVar("BatchT")


@dataclass(frozen=True, eq=False)
class StepTerms:
    """What a batch costs.

    Attributes
    ----------
    terms : weighted; their sum is what is made smaller.
    outputs : of the network, which are looked at first when something isn't finite.
    """

    terms: Mapping[str, Float[Tensor, ""]]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Validation:
    """How well a network does on held-out photos.

    Attributes
    ----------
    values : numbers by name.
    score : what decides which checkpoint is the best, smaller is better.
    extras : arrays that go with the weights, such as the error of each coefficient.
    """

    values: Mapping[str, float]
    score: float
    extras: Mapping[str, Float[ndarray, "..."]] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol[BatchT]):
    """A network, its data and its loss."""

    @property
    def network(self) -> nn.Module:
        """What is trained; called with tensors it returns tensors by name."""
        ...

    @property
    def identity(self) -> dict[str, str | int]:
        """What must be the same for a run to go on: digests by name."""
        ...

    @property
    def term_names(self) -> Sequence[str]:
        """All terms that a batch may have."""
        ...

    @property
    def validation_names(self) -> Sequence[str]:
        """The numbers that a validation gives; none without held-out photos."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the photos are seen once."""
        ...

    def batches(self, start: int, stop: int) -> Iterator[BatchT]:
        """Yield this process's batches of steps `start` to `stop`, on the device."""
        ...

    def losses(self, module: Module, batch: BatchT) -> StepTerms:
        """Return the terms of a batch; those that it hasn't are left out."""
        ...

    def describe(self, batch: BatchT) -> list[str]:
        """Return the photos of a batch, as a person calls them."""
        ...

    def validation_sums(self, module: Module) -> dict[str, Tensor]:
        """Return float64 sums over this process's share of the held-out photos; empty if there are none."""
        ...

    def validation(self, sums: Mapping[str, Tensor]) -> Validation:
        """Return what the sums over all processes say."""
        ...

    def panels(self, module: Module, count: int) -> UInt8[ndarray, "h w 3"] | None:
        """Return a picture of how the network does on some photos; None if there are none."""
        ...

    def save_weights(self, path: Path, config: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        """Write the network for use."""
        ...
