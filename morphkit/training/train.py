"""R-Net from datasets to weights, in one call."""

from __future__ import annotations

from morphkit.training.config import TrainConfig
from morphkit.training.devices import launched_fabric
from morphkit.training.loop import Loop, LoopResult, Progress
from morphkit.training.r_net_task import RNetTask
from morphkit.training.report import write_report
from morphkit.training.settings_tree import to_table


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
    fabric = launched_fabric(config.training)
    task = RNetTask.build(config, fabric)
    table = to_table(config)
    shown = progress if progress is not None and fabric.is_global_zero else _quiet
    result = Loop(task, fabric, config.training, config.output, table, shown).run(resume=resume)
    if fabric.is_global_zero:
        write_report(result.folder, "R-Net", table)
    return result


def _quiet(stage: str, done: int, total: int) -> None:
    """Say nothing."""
