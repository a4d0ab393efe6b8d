"""The loop that trains a task: steps, logs, validations and checkpoints, and how it goes on after a stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

import torch
from torch import Tensor, nn

from morphkit.errors import BadInputError
from morphkit.io.images import write_image
from morphkit.training.average import WeightAverage
from morphkit.training.checkpoint import Checkpoint, CheckpointFolder, ensure_same_run, load_checkpoint
from morphkit.training.config import LoopSettings, OutputSettings, changed_settings
from morphkit.training.devices import flushed_denormals
from morphkit.training.guard import NotFiniteError
from morphkit.training.interruption import Interruption
from morphkit.training.log import Board, RowLog
from morphkit.training.schedule import learning_rate
from morphkit.training.steps import Stepper, summed
from morphkit.training.task import BatchT, Module, Task, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class LoopResult:
    """What a run came to.

    Attributes
    ----------
    folder : of the run: ``metrics.csv``, ``validation.csv``, ``panels/``, ``tensorboard/``, ``checkpoints/``,
        ``weights.pt`` and ``best.pt``.
    weights : the trained network.
    steps : how many were taken, those before a resumption included.
    validation : of the last weights; None without held-out photos.
    leader : whether this process is the first, which has written it all.
    best : the network as it did best on held-out photos, ``best.pt``; None without any.
    best_step : when that was.
    """

    folder: Path
    weights: Path
    steps: int
    validation: Validation | None
    leader: bool = True
    best: Path | None = None
    best_step: int | None = None


def total_steps(settings: LoopSettings, steps_per_epoch: int) -> int:
    """Return how many steps a run has."""
    if settings.steps is not None:
        return settings.steps
    return (settings.epochs or 0) * steps_per_epoch


class Loop(Generic[BatchT]):
    """A run of a task in one of its processes.

    Parameters
    ----------
    task : what is trained.
    fabric : launched.
    settings : how.
    output : where to, how often.
    config : all settings as plain values, kept in checkpoints and weights.
    progress : called with stage, steps done and all steps.
    """

    def __init__(
        self,
        task: Task[BatchT],
        fabric: Fabric,
        settings: LoopSettings,
        output: OutputSettings,
        config: Mapping[str, Any],
        progress: Progress,
    ) -> None:
        self.task, self.fabric, self.settings, self.output = task, fabric, settings, output
        self.config, self.progress = dict(config), progress
        self.folder = Path(output.folder)
        self.checkpoints = CheckpointFolder(self.folder / "checkpoints")
        self.total = total_steps(settings, task.steps_per_epoch)
        self.step = 0
        self.best: dict[str, float] | None = None
        self.network = _laid_out(task.network, settings)
        self.stepper = Stepper(task, fabric, self.network, settings)
        self.average = WeightAverage(self.network, settings.ema) if settings.ema > 0 else None

    def run(self, *, resume: bool = False) -> LoopResult:
        """Train to the end.

        Raises
        ------
        BadInputError
            When the folder holds a run and `resume` isn't asked for, or what is there can't be gone on with.
        NotFiniteError
            When a loss or gradient isn't finite.
        KeyboardInterrupt
            After Ctrl-C, with a checkpoint left.
        """
        self._start(resume)
        validation = None
        self._open_logs()
        try:
            with Interruption() as interruption, flushed_denormals():
                validation = self._train(interruption)
        finally:
            if self.board is not None:
                self.board.close()
        weights = self._write_weights("weights.pt", validation)
        self.fabric.barrier()
        found = LoopResult(self.folder, weights, self.step, validation, self.fabric.is_global_zero)
        if self.best is None:
            return found
        return replace(found, best=self.folder / "best.pt", best_step=int(self.best["step"]))

    def _train(self, interruption: Interruption) -> Validation | None:
        validation = None
        batches = self.task.batches(self.step, self.total)
        stage = f"Training on from step {self.step}" if self.step else "Training from the start"
        self.progress(stage, self.step, self.total)
        began, seen = time.perf_counter(), 0
        while self.step < self.total:
            rate = learning_rate(self.settings, self.step, self.total)
            asked = self._one_step(batches, rate, interruption)
            seen += 1
            self.progress(stage, self.step, self.total)
            if self.step % self.output.log_every == 0 or self.step == self.total:
                seconds = (time.perf_counter() - began) / seen
                self._log(rate, seconds)
                began, seen = time.perf_counter(), 0
            improved = False
            if self._validates():
                paused = time.perf_counter()
                validation, improved = self._validate()
                began += time.perf_counter() - paused
            if improved or asked or self.step % self.output.checkpoint_every == 0 or self.step == self.total:
                self._save(best=improved)
            if asked:
                raise KeyboardInterrupt
        return self._measured(panels=False) if validation is None else validation

    def _one_step(self, batches: Iterator[BatchT], rate: float, interruption: Interruption) -> bool:
        """Take a step; return whether any process was asked to stop."""

        def keep() -> str:
            self._save()
            return str(self.checkpoints.path(self.step))

        asked = self.stepper.take(batches, rate, self.step, asked=lambda: interruption.asked, keep=keep)
        if self.average is not None:
            self.average.update(self.network)
        self.step += 1
        return asked

    def _validates(self) -> bool:
        every = self.output.validate_every * self.task.steps_per_epoch
        return self.step % every == 0 or self.step == self.total

    def _log(self, rate: float, seconds: float) -> None:
        """Write the means since the last row."""
        means = self.stepper.means()
        if self.board is None or self.metrics is None:
            return
        photos = self._step_size() / seconds
        row = {
            "step": self.step,
            "epoch": self._epoch(),
            "learning_rate": rate,
            "photos_per_second": photos,
            **means,
        }
        self.metrics.add({name: _short(value) for name, value in row.items()})
        self.board.scalars("training", {name: float(value) for name, value in row.items()}, self.step)

    def _step_size(self) -> int:
        """Return how many photos, or sets, all processes see in a step."""
        return self.settings.batch * self.settings.accumulate * self.fabric.world_size

    def _validate(self) -> tuple[Validation | None, bool]:
        """Return what held-out photos say of the averaged weights, and whether it is the best so far."""
        found = self._measured(panels=self.fabric.is_global_zero and self.output.panels > 0)
        if found is None:
            return None, False
        improved = math.isfinite(found.score) and (self.best is None or found.score < self.best["value"])
        if improved:
            self.best = {"value": found.score, "step": float(self.step)}
            self._write_weights("best.pt", found)
        if self.held_out is not None and self.board is not None:
            self.held_out.add({"step": self.step, **{n: _short(v) for n, v in found.values.items()}})
            self.board.scalars("validation", found.values, self.step)
        return found, improved

    def _measured(self, *, panels: bool) -> Validation | None:
        """Return what held-out photos say of the averaged weights; nothing is noted."""
        with self._averaged(), self.stepper.evaluating() as module:
            sums = self._held_out_sums(module)
            sums = {name: summed(self.fabric, value) for name, value in sums.items()}
            found = self.task.validation(sums) if sums else None
            if panels:
                self._draw_panels(module)
        return found

    def _held_out_sums(self, module: Module) -> dict[str, Tensor]:
        try:
            return self.task.validation_sums(module)
        except NotFiniteError as error:
            error.step = self.step  # which a task doesn't know
            raise

    def _write_weights(self, name: str, validation: Validation | None) -> Path:
        """Write the averaged weights into the folder, in the first process; return their file."""
        path = self.folder / name
        if self.fabric.is_global_zero:
            with self._averaged():
                self.task.save_weights(path, self.config, {} if validation is None else validation.extras)
        return path

    def _draw_panels(self, module: Callable[..., dict[str, Tensor]]) -> None:
        picture = self.task.panels(module, self.output.panels)
        if picture is not None and self.board is not None:
            write_image(self.folder / "panels" / f"step-{self.step:08d}.png", picture)
            self.board.picture("held-out", picture, self.step)

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self.average is None else self.average.applied(self.network)

    def _epoch(self) -> float:
        return self.step / self.task.steps_per_epoch

    def _open_logs(self) -> None:
        """Open the logs, in the first process only."""
        self.metrics: RowLog | None = None
        self.held_out: RowLog | None = None
        self.board: Board | None = None
        if self.fabric.is_global_zero:
            names = ["step", "epoch", "learning_rate", "photos_per_second", "gradient", "total"]
            self.metrics = RowLog(self.folder / "metrics.csv", [*names, *self.task.term_names], self.step)
            self.held_out = RowLog(
                self.folder / "validation.csv", ["step", *self.task.validation_names], self.step
            )
            self.board = Board(self.folder / "tensorboard", self.step)

    def _identity(self) -> dict[str, str | int]:
        return {**self.task.identity, "step_size": self._step_size()}

    def _start(self, resume: bool) -> None:
        """Begin anew, or go on from the last checkpoint."""
        latest = self.checkpoints.latest()
        if latest is None:
            return
        if not resume:
            raise BadInputError(
                f"{self.folder} already holds a run, at step {self.checkpoints.steps()[-1]}; go on with "
                "--resume, or choose another output folder."
            )
        found = load_checkpoint(latest)
        changed = changed_settings(found.config, self.config)
        ensure_same_run(latest, found.identity, self._identity(), changed)
        self._restore(latest, found)
        self.fabric.barrier()

    def _restore(self, path: Path, found: Checkpoint) -> None:
        try:
            self.network.load_state_dict(found.network)
            self.stepper.load(found.optimizer, found.scaler, found.window)
            if self.average is not None and found.average is not None:
                self.average.load(found.average["count"], found.average["values"])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise BadInputError(f"{path} holds another network than these settings make.") from error
        self.step = found.step
        self.best = None if found.best is None else dict(found.best)

    def _save(self, *, best: bool = False) -> None:
        optimizer, scaler, window = self.stepper.state()
        if self.fabric.is_global_zero:
            checkpoint = Checkpoint(
                self.step,
                self._identity(),
                self.config,
                self.network.state_dict(),
                optimizer,
                None if self.average is None else self.average.state(),
                scaler,
                self.best,
                window,
            )
            self.checkpoints.save(checkpoint, best=best)
        self.fabric.barrier()


def _laid_out(network: nn.Module, settings: LoopSettings) -> nn.Module:
    """Return the network in the memory layout in which it is fastest."""
    mixed = settings.precision != "32-true"
    last = mixed if settings.channels_last is None else settings.channels_last
    return network.to(memory_format=torch.channels_last) if last else network  # type: ignore[call-overload]


def _short(value: float | int) -> str | int:
    """Return a number as it is written: seven digits tell float32 values apart."""
    if isinstance(value, int):
        return value
    return f"{value:.9g}" if math.isfinite(value) else ""
