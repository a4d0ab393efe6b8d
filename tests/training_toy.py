"""A small task for the tests of the loop: a network with batch norm learns random numbers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from morphkit.training.config import LoopSettings, OutputSettings
from morphkit.training.devices import launched_fabric
from morphkit.training.loop import Loop, LoopResult
from morphkit.training.sampler import Order
from morphkit.training.task import Module, StepTerms, Validation

COUNT = 26


class Toy(nn.Module):
    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            layers = [
                nn.Linear(5, 8),
                nn.BatchNorm1d(8) if norm else nn.Identity(),
                nn.Tanh(),
                nn.Linear(8, 2),
            ]
            self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.layers(x)}


@dataclass
class ToyTask:
    """Learns `COUNT` pairs; `trouble` makes photo 7 not finite, `stop_at` sends signals to itself."""

    settings: LoopSettings
    world: int = 1
    rank: int = 0
    trouble: float | None = None
    stop_at: tuple[int, signal.Signals] | None = None
    norm: bool = True
    network: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.network = Toy(self.norm)
        rng = np.random.default_rng(0)
        self.x, way = (torch.from_numpy(rng.normal(size=size)).float() for size in ((COUNT, 5), (5, 2)))
        self.y = self.x @ way
        s = self.settings
        self.order = Order(COUNT, s.seed, s.batch, s.accumulate, self.world, self.rank)
        self.steps_per_epoch = self.order.steps
        self.identity: dict[str, str | int] = {"config": "c"}
        self.term_names = ["square", "size"]
        self.validation_names = ["error"]

    def batches(self, start: int, stop: int) -> Iterator[Tensor]:
        for step in range(start, stop):
            if self.stop_at and step == self.stop_at[0]:
                os.kill(os.getpid(), self.stop_at[1])
            for micro in range(self.order.accumulate):
                epoch, inner = divmod(step, self.order.steps)
                yield torch.from_numpy(self.order.epoch(epoch)[self.order.positions(inner, micro)])

    def losses(self, module: Module, batch: Tensor) -> StepTerms:
        outputs = module(self.x[batch])
        y = outputs["y"]
        square = ((y - self.y[batch]) ** 2).mean()
        if self.trouble is not None and bool((batch == 7).any()):
            square = square * self.trouble
        return StepTerms({"square": square, "size": 0.1 * (y**2).mean()}, outputs)

    def describe(self, batch: Tensor) -> list[str]:
        return [f"photo {int(row)}" for row in batch]

    def validation_sums(self, module: Module) -> dict[str, Tensor]:
        mine = torch.arange(self.rank, COUNT, self.world)
        errors = (module(self.x[mine])["y"] - self.y[mine]).double().square().sum()
        return {"error": errors, "count": torch.tensor(float(len(mine)), dtype=torch.float64)}

    def validation(self, sums: Mapping[str, Tensor]) -> Validation:
        error = float(sums["error"] / sums["count"])
        return Validation({"error": error}, error)

    def panels(self, _: Module, count: int) -> UInt8[np.ndarray, "h w 3"] | None:
        return np.full((8, 8, 3), count, np.uint8)

    def save_weights(self, path: Path, *_: Mapping[str, Any]) -> None:
        torch.save(self.network.state_dict(), path)


def run_toy(
    folder: Path,
    settings: LoopSettings,
    *,
    resume: bool = False,
    output: OutputSettings | None = None,
    **task: Any,
) -> LoopResult:
    """Train the toy; under torchrun, one of its processes."""
    fabric = launched_fabric(settings)
    made = ToyTask(settings, fabric.world_size, fabric.global_rank, **task)
    output = output or OutputSettings(log_every=1, checkpoint_every=3, validate_every=2)
    output = replace(output, folder=str(folder))
    return Loop(made, fabric, settings, output, {}, lambda *_: None).run(resume=resume)
