"""The order in which photos are seen: a function of seed and epoch, shared out among processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.training.randomness import keyed_generator


@dataclass(frozen=True, eq=False)
class Order:
    """How an epoch of `count` photos is cut into steps, and steps into batches for processes.

    A step takes ``batch * accumulate * world`` photos that lie together in the epoch's order: batch after
    batch of all processes side by side. So N processes see in a step what one sees with N times the batch.
    What doesn't fill a last step is left to other epochs; fewer photos than a step needs are repeated.

    Attributes
    ----------
    count : photos.
    seed : of the order.
    batch : photos a process sees at once.
    accumulate : batches to a step.
    world, rank : processes, and which of them this is.
    weights : (count,) how often each photo is drawn, relative to the others; None: each once.
    """

    count: int
    seed: int
    batch: int
    accumulate: int = 1
    world: int = 1
    rank: int = 0
    weights: Float[np.ndarray, " count"] | None = None

    def __post_init__(self) -> None:
        if min(self.count, self.batch, self.accumulate, self.world) < 1:
            raise ValueError("count, batch, accumulate and world must be at least 1")
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank must be 0 to {self.world - 1}, got {self.rank}")
        if self.weights is not None:
            shape, usable = self.weights.shape, np.isfinite(self.weights).all() and (self.weights >= 0).all()
            if shape != (self.count,) or not usable or self.weights.sum() <= 0:
                raise ValueError(
                    f"weights must be {self.count} numbers of at least 0, not all 0, got {shape}"
                )

    @property
    def step_size(self) -> int:
        """Photos to a step, of all processes."""
        return self.batch * self.accumulate * self.world

    @property
    def steps(self) -> int:
        """Steps to an epoch."""
        return max(1, self.count // self.step_size)

    def epoch(self, epoch: int) -> Int[np.ndarray, " n"]:
        """Return which photo is at each position of an epoch, of `steps` times `step_size` of them."""
        generator = keyed_generator("order", self.seed, epoch)
        drawn = np.arange(self.count) if self.weights is None else _systematic(self.weights, generator)
        return np.resize(generator.permutation(drawn), self.steps * self.step_size).astype(np.int64)

    def positions(self, step: int, micro: int) -> Int[np.ndarray, " batch"]:
        """Return the positions in the epoch's order of this process's batch.

        Parameters
        ----------
        step : in the epoch, from 0.
        micro : which of the step's `accumulate` batches.
        """
        start = step * self.step_size + (micro * self.world + self.rank) * self.batch
        return np.arange(start, start + self.batch)


def _systematic(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw as many as there are, each as often as its share says, rounded up or down at random."""
    ends = np.cumsum(weights / weights.sum())
    places = (np.arange(len(weights)) + generator.random()) / len(weights)
    return np.minimum(np.searchsorted(ends, places, side="right"), len(weights) - 1)


def shared_out(count: int, world: int, rank: int) -> Int[np.ndarray, " n"]:
    """Return which of `count` photos a process validates: every photo once over all processes."""
    return np.arange(rank, count, world, dtype=np.int64)
