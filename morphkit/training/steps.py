"""One step of training: batches to gradients to weights, with a look whether all is finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor, nn

from morphkit.training.config import LoopSettings
from morphkit.training.guard import NotFiniteError, all_finite, first_not_finite, sentence
from morphkit.training.task import BatchT, Module, StepTerms, Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Stepper(Generic[BatchT]):
    """The network with its optimizer, and sums of the losses since they were last asked for."""

    def __init__(
        self, task: Task[BatchT], fabric: Fabric, network: nn.Module, settings: LoopSettings
    ) -> None:
        self.task, self.fabric, self.settings = task, fabric, settings
        self.network = network
        optimizer = _optimizer(network, settings)
        self.module, self.optimizer = fabric.setup(network, optimizer)
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def take(
        self,
        batches: Iterator[BatchT],
        rate: float,
        step: int,
        *,
        asked: Callable[[], bool],
        keep: Callable[[], str],
    ) -> bool:
        """Take a step; return whether any process was asked to stop.

        Parameters
        ----------
        rate : of learning.
        step : counted from 0.
        asked : says whether this process was asked to stop.
        keep : saves the state before this step and says where, when something isn't finite.

        Raises
        ------
        NotFiniteError
            Naming the first term that isn't finite and the photos; the weights stay as they were.
        """
        buffers = {name: value.clone() for name, value in self.network.named_buffers()}
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.module.train()
        self.optimizer.zero_grad()
        seen = [
            self._backward(next(batches), last=micro == self.settings.accumulate - 1)
            for micro in range(self.settings.accumulate)
        ]
        limit = self.settings.gradient_clip or float("inf")
        norm = self.fabric.clip_gradients(
            self.module, self.optimizer, max_norm=limit, error_if_nonfinite=False
        )
        assert norm is not None  # noqa: S101 - it is, with max_norm; tells mypy
        good = torch.stack([all_finite(_looked_at(found)) for _, found in seen]).all()
        fine = torch.isfinite(norm) if self.settings.precision != "16-mixed" else torch.ones_like(good)
        bad, broken, stop = self._anywhere(~good, ~fine, torch.tensor(asked(), device=good.device))
        if bad or broken:
            self._refuse(seen, step, buffers, keep)
        self.optimizer.step()
        self._note({"gradient": norm, **_means([found for _, found in seen])})
        return stop

    def _backward(self, batch: BatchT, *, last: bool) -> tuple[BatchT, StepTerms]:
        with self.fabric.no_backward_sync(self.module, enabled=not last):
            found = self.task.losses(self.module, batch)
            total = torch.stack(list(found.terms.values())).sum()
            # so that every head has a gradient, also where no term of this batch looks at it
            total = total + 0.0 * torch.stack([values.sum() for values in found.outputs.values()]).sum()
            self.fabric.backward(total / self.settings.accumulate)
        return batch, found

    def _anywhere(self, *flags: Tensor) -> list[bool]:
        """Return which flags are up in any process."""
        raised = torch.stack([flag.float() for flag in flags])
        raised = summed(self.fabric, raised)
        return [value > 0 for value in raised.tolist()]

    def _refuse(
        self,
        seen: list[tuple[BatchT, StepTerms]],
        step: int,
        buffers: Mapping[str, Tensor],
        keep: Callable[[], str],
    ) -> None:
        """Put back what the step has changed, keep it, and say what was wrong."""
        for name, value in self.network.named_buffers():
            value.copy_(buffers[name])
        self.optimizer.zero_grad()
        term, photos = "gradient", [photo for batch, _ in seen for photo in self.task.describe(batch)]
        for batch, found in seen:
            bad = first_not_finite(_looked_at(found))
            if bad is not None:
                term, photos = bad, self.task.describe(batch)
                break
        term, photos = self._first_of_all(term, photos)
        raise NotFiniteError(sentence(term, step, photos, keep()), term, step)

    def _first_of_all(self, term: str, photos: list[str]) -> tuple[str, list[str]]:
        """Return what the first process says that has more to say than that gradients are bad."""
        if self.fabric.world_size == 1:
            return term, photos
        said: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(said, (term, photos))
        found: tuple[str, list[str]] = next((one for one in said if one[0] != "gradient"), said[0])
        return found

    @contextmanager
    def evaluating(self) -> Iterator[Module]:
        """Lend the network for prediction: in eval mode, without gradients, in the precision of training."""
        self.module.eval()

        def module(*inputs: Tensor) -> dict[str, Tensor]:
            with self.fabric.autocast():
                outputs = self.network(*inputs)
            return {name: value.float() for name, value in outputs.items()}

        with torch.no_grad():
            yield module
        self.module.train()

    def _note(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def means(self) -> dict[str, float]:
        """Return the mean of each term a step since last asked, over all processes, and begin anew."""
        count, sums = max(1, self._count), self._shared_sums()
        self._sums, self._count = {}, 0
        return {name: float(value) / count for name, value in sums.items()}

    def _shared_sums(self) -> dict[str, Tensor]:
        """Return the mean of the processes' sums, of every term."""
        names = ["gradient", "total", *self.task.term_names]
        sums = torch.stack([self._sums.get(name, torch.zeros(())).double().cpu() for name in names])
        shared = summed(self.fabric, sums.to(self.fabric.device)) / self.fabric.world_size
        return dict(zip(names, shared.cpu(), strict=True))

    def state(self) -> tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]:
        """Return the optimizer's, the loss scaler's and the sums' state; all processes must ask at once."""
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        window = {
            "count": self._count,
            "sums": {n: value.clone() for n, value in self._shared_sums().items()},
        }
        return self.optimizer.state_dict(), None if scaler is None else scaler.state_dict(), window

    def load(
        self, optimizer: Mapping[str, Any], scaler: Mapping[str, Any] | None, window: Mapping[str, Any]
    ) -> None:
        """Go on from a state."""
        self.optimizer.load_state_dict(dict(optimizer))
        if scaler is not None:
            self.fabric.strategy.precision.scaler.load_state_dict(dict(scaler))  # type: ignore[attr-defined]
        self._count = int(window["count"])
        self._sums = {name: value.to(self.fabric.device) for name, value in window["sums"].items()}


def summed(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, in each of them."""
    if fabric.world_size == 1:
        return values
    total: Tensor = fabric.all_reduce(values.clone(), reduce_op="sum")  # type: ignore[assignment]
    return total


def _optimizer(network: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """Return the optimizer; matrices and kernels decay: of what else is learnt, zero is no plain choice."""
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in trained if one.ndim < 2], "weight_decay": 0.0},
    ]
    return kind(groups, lr=settings.learning_rate)


def _looked_at(found: StepTerms) -> dict[str, Tensor]:
    """Return outputs, then terms: the order in which one spoils the next."""
    outputs = {f"network's {name}": value for name, value in found.outputs.items()}
    return outputs | {f"{name} term": value for name, value in found.terms.items()}


def _means(found: list[StepTerms]) -> dict[str, Tensor]:
    """Return a step's mean terms and their total; a batch that lacks a term counts zero."""
    sums: dict[str, Tensor] = {}
    for one in found:
        for name, value in one.terms.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach() / len(found)
    return {"total": torch.stack(list(sums.values())).sum(), **sums}
