"""C-Net from datasets of people to weights, in one call."""

from __future__ import annotations

from morphkit.training.c_net_config import CNetConfig
from morphkit.training.c_net_task import CNetTask
from morphkit.training.devices import launched_fabric
from morphkit.training.loop import Loop, LoopResult, Progress
from morphkit.training.report import write_report
from morphkit.training.settings_tree import to_table


def train_c_net(config: CNetConfig, *, resume: bool = False, progress: Progress | None = None) -> LoopResult:
    """Train C-Net as the settings say; parameters and errors as of `morphkit.training.train.train`."""
    fabric = launched_fabric(config.training)
    task = CNetTask.build(config, fabric)
    table = to_table(config)
    shown = progress if progress is not None and fabric.is_global_zero else _quiet
    result = Loop(task, fabric, config.training, config.output, table, shown).run(resume=resume)
    if fabric.is_global_zero:
        write_report(result.folder, "C-Net", table)
    return result


def _quiet(stage: str, done: int, total: int) -> None:
    """Say nothing."""
