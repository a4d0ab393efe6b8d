"""R-Net from datasets to weights, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from morphkit.training.c_net_config import CNetConfig
from morphkit.training.config import TrainConfig
from morphkit.training.devices import launched_fabric
from morphkit.training.loop import Loop, LoopResult, Progress
from morphkit.training.r_net_task import RNetTask
from morphkit.training.report import write_report
from morphkit.training.settings_tree import to_table
from morphkit.training.task import Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric

ConfigT = TypeVar("ConfigT", TrainConfig, CNetConfig)


def train(config: TrainConfig, *, resume: bool = False, progress: Progress | None = None) -> LoopResult:
    """Train R-Net as the settings say.

    Parameters
    ----------
    config : all settings.
    resume : go on from the last checkpoint in the output folder, if there is one.
    progress : called with a stage, the steps done and all of them; in the first process only.

    Raises
    ------
    BadInputError
        When model, data or weights are missing or don't fit, or the folder holds a run and `resume` isn't
        set.
    MissingDependencyError
        Without the extra `train`.
    NotFiniteError
        When a loss isn't finite; the last good state is kept.
    KeyboardInterrupt
        After Ctrl-C; a checkpoint is kept.
    """
    return run_task(RNetTask.build, "R-Net", config, resume, progress)


def run_task(
    build: Callable[[ConfigT, Fabric], Task[Any]],
    name: str,
    config: ConfigT,
    resume: bool,
    progress: Progress | None,
) -> LoopResult:
    """Open all that a task needs, train it, and write the page of the run, which `name` heads."""
    fabric = launched_fabric(config.training)
    task = build(config, fabric)
    table = to_table(config)
    shown = progress if progress is not None and fabric.is_global_zero else _quiet
    result = Loop(task, fabric, config.training, config.output, table, shown).run(resume=resume)
    if fabric.is_global_zero:
        write_report(result.folder, name, table, _notes(result))
    return result


def _notes(result: LoopResult) -> list[str]:
    if result.best is None:
        return []
    return [
        f"{result.weights.name} holds the last weights; {result.best.name} those that did best on held-out "
        f"people, of step {result.best_step:,}."
    ]


def _quiet(stage: str, done: int, total: int) -> None:
    """Say nothing."""
