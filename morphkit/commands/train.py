"""`morphkit train` and `morphkit train-cnet`: a settings file to a trained network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from morphkit.errors import BadInputError
from morphkit.training.c_net_config import CNetConfig
from morphkit.training.c_net_train import train_c_net as run_c_net
from morphkit.training.config import TrainConfig
from morphkit.training.config_files import read_config
from morphkit.training.loop import LoopResult, Progress
from morphkit.training.train import train as run_r_net

_Config = TypeVar("_Config", TrainConfig, CNetConfig)


def train(
    config: str | os.PathLike[str] | TrainConfig,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> LoopResult:
    """Train R-Net.

    Parameters
    ----------
    config : settings, or a TOML file of them.
    overrides : ``"training.batch=8"`` and the like, for a file.
    output : the run's folder, in place of the settings'.
    resume : go on from the last checkpoint there.
    progress : called with a stage, the steps done and all of them.
    """
    settings = config if isinstance(config, TrainConfig) else _read(config, TrainConfig, overrides)
    if output is not None:
        settings = replace(settings, output=replace(settings.output, folder=str(output)))
    return run_r_net(settings, resume=resume, progress=progress)


def train_c_net(
    config: str | os.PathLike[str] | CNetConfig,
    *,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> LoopResult:
    """Train C-Net on the sets of photos of a dataset's people; parameters as of `train`."""
    settings = config if isinstance(config, CNetConfig) else _read(config, CNetConfig, overrides)
    if output is not None:
        settings = replace(settings, output=replace(settings.output, folder=str(output)))
    return run_c_net(settings, resume=resume, progress=progress)


def _read(path: str | os.PathLike[str], kind: type[_Config], overrides: Sequence[str]) -> _Config:
    try:
        return read_config(path, kind, overrides)
    except BadInputError as error:
        command = _command_for(path, kind)
        if command is None:
            raise
        raise BadInputError(f"{error} It may be meant for `morphkit {command}`, which reads it.") from error


def _command_for(path: str | os.PathLike[str], kind: type) -> str | None:
    """Return the command of another network whose settings a file holds."""
    for command, other in {"train": TrainConfig, "train-cnet": CNetConfig}.items():
        if other is not kind:
            with suppress(BadInputError):
                read_config(path, other)
                return command
    return None
