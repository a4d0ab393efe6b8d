"""All that a run needs to go on to the same numbers, in one file: tensors and plain values, never code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path

FORMAT, VERSION = "morphkit-checkpoint", 1
_NAME = re.compile(r"step-(\d{8})\.ckpt")
_KEYS = {
    "format",
    "version",
    "step",
    "identity",
    "config",
    "network",
    "optimizer",
    "average",
    "scaler",
    "best",
    "window",
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run between two steps.

    Attributes
    ----------
    step : how many were taken; with the config and the counter-based random numbers it says where in which
        epoch the run stands.
    identity : what must be the same to go on: digests of config, data and model, the photos to a step, and so
        on.
    config : as plain values.
    network, optimizer : state dicts.
    average : count and values of the weights' running average, or None.
    scaler : of the loss, with 16-mixed precision, or None.
    best : the best validation so far: its value and step, or None.
    window : sums of the losses since the last row of the log, and of how many steps.
    """

    step: int
    identity: Mapping[str, str | int]
    config: Mapping[str, Any]
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Any] | None = None
    scaler: Mapping[str, Any] | None = None
    best: Mapping[str, float] | None = None
    window: Mapping[str, Any] = field(default_factory=lambda: {"count": 0, "sums": {}})


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically.

    Raises
    ------
    OutputError
        When the folder cannot be written to.
    """
    values = {"format": FORMAT, "version": VERSION, **vars(checkpoint)}
    with atomic_path(path) as temporary:
        torch.save(values, temporary)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint; only tensors and plain values are let in, so that nothing in it can run.

    Raises
    ------
    BadInputError
        When the file is missing, damaged, or no checkpoint.
    """
    source = Path(path)
    try:
        values = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInputError(f"{source}: there is no such file.") from None
    except Exception as error:  # torch has many ways to say that a file is no good
        raise BadInputError(
            f"{source} is no checkpoint, or a damaged one; remove it to go on from the one before."
        ) from error
    if not isinstance(values, dict) or values.get("format") != FORMAT or set(values) != _KEYS:
        raise BadInputError(f"{source} is no checkpoint of a training run.")
    if values["version"] != VERSION:
        raise BadInputError(f"{source} was written by another version of morphkit; train anew.")
    del values["format"], values["version"]
    mappings = ("identity", "config", "network", "optimizer", "window")
    if not isinstance(values["step"], int) or not all(isinstance(values[name], dict) for name in mappings):
        raise BadInputError(f"{source} is no checkpoint of a training run.")
    return Checkpoint(**values)


def ensure_same_run(path: Path, found: Mapping[str, str | int], wanted: Mapping[str, str | int]) -> None:
    """Refuse to go on from a checkpoint of another run.

    Raises
    ------
    BadInputError
        Naming what differs.
    """
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BadInputError(
                f"{path} is of a run with {_OTHERS.get(name, f'another {name}')}; go on with what it was "
                "started with, or choose another output folder."
            )


_OTHERS = {
    "config": "other settings",
    "data": "other training data",
    "step_size": "another number of photos to a step (batch times accumulate times processes)",
    "model": "another model",
}


class CheckpointFolder:
    """The checkpoints of a run: the last two, and the best.

    Parameters
    ----------
    folder : where they lie, ``step-00000100.ckpt`` and ``best.ckpt``.
    kept : how many of the last stay.
    """

    def __init__(self, folder: Path, kept: int = 2) -> None:
        self.folder = folder
        self._kept = kept

    def steps(self) -> list[int]:
        """Return the steps of the checkpoints that are there, rising."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> Path:
        """Return the file of a step."""
        return self.folder / f"step-{step:08d}.ckpt"

    @property
    def best(self) -> Path:
        """The file of the best validation so far."""
        return self.folder / "best.ckpt"

    def save(self, checkpoint: Checkpoint, *, best: bool = False) -> Path:
        """Write a checkpoint and remove those that are too old; return its file."""
        path = self.path(checkpoint.step)
        save_checkpoint(path, checkpoint)
        if best:
            _link(path, self.best)
        for step in self.steps()[: -self._kept]:
            with suppress(FileNotFoundError):
                self.path(step).unlink()
        return path

    def latest(self) -> Path | None:
        """Return the newest file, None if there is none."""
        steps = self.steps()
        return self.path(steps[-1]) if steps else None


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; atomically."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            temporary.write_bytes(source.read_bytes())
