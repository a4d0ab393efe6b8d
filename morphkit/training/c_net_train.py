"""C-Net from datasets of people to weights, in one call."""

from __future__ import annotations

from morphkit.training.c_net_config import CNetConfig
from morphkit.training.c_net_task import CNetTask
from morphkit.training.loop import LoopResult, Progress
from morphkit.training.train import run_task


def train_c_net(config: CNetConfig, *, resume: bool = False, progress: Progress | None = None) -> LoopResult:
    """Train C-Net as the settings say; parameters and errors as of `morphkit.training.train.train`."""
    return run_task(CNetTask.build, "C-Net", config, resume, progress)
