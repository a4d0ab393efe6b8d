"""All that a run needs to go on to the same numbers, in one file: tensors and plain values, never code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path
from morphkit.torch_file import read_torch_file, write_torch_file

FORMAT, VERSION = "morphkit-checkpoint", 2
_NEEDED = "a checkpoint of a training run (the one before it serves once this file is moved away)"
_MOST = 10**9  # steps
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
        When the folder cannot be written to, or the disk is full.
    """
    write_torch_file(path, {"format": FORMAT, "version": VERSION, **vars(checkpoint)})


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint; only tensors and plain values are let in, so that nothing in it can run.

    Raises
    ------
    BadInputError
        When the file is missing, cannot be read, is damaged, or no checkpoint.
    """
    values = read_torch_file(path, _NEEDED)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise BadInputError(f"{path}: no checkpoint of morphkit; {_NEEDED} is needed.")
    if values.get("version") != VERSION:
        raise BadInputError(f"{path} was written by another version of morphkit; train anew.")
    odd = _odd_entry(values)
    if odd:
        raise BadInputError(f"{path}: damaged, {odd} is not what it should be; {_NEEDED} is needed.")
    return Checkpoint(**{name: values[name] for name in _KEYS - {"format", "version"}})


def _odd_entry(values: Mapping[str, Any]) -> str | None:
    """Return the first entry that is missing, unknown, or of another kind than a run writes; None if none."""
    if set(values) != _KEYS:
        return str(sorted(set(values) ^ _KEYS, key=str)[0])[:60]
    optional = ("average", "scaler", "best")
    good = {
        "step": _is_count(values["step"]),
        "identity": _maps(values["identity"], str | int),
        "config": isinstance(values["config"], dict),
        "network": _maps(values["network"], Tensor),
        "optimizer": _is_optimizer(values["optimizer"]),
        "average": _counts(values["average"], "values"),
        "scaler": isinstance(values["scaler"], dict),
        "best": _maps(values["best"], float | int) and set(values["best"]) == {"value", "step"},
        "window": _counts(values["window"], "sums"),
    }
    return next(
        (
            name
            for name, is_good in good.items()
            if not is_good and (name not in optional or values[name] is not None)
        ),
        None,
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _maps(value: object, kind: Any) -> bool:
    """Return whether a value is a mapping from texts to one kind, which true and false are not."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(item, kind) and not isinstance(item, bool)
        for name, item in value.items()
    )


def _counts(value: object, tensors: str) -> bool:
    """Return whether a value is a count with named tensors."""
    return (
        isinstance(value, dict)
        and set(value) == {"count", tensors}
        and _is_count(value["count"])
        and _maps(value[tensors], Tensor)
    )


def _is_optimizer(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("state"), dict)
        and all(isinstance(state, dict) for state in value["state"].values())
        and isinstance(value.get("param_groups"), list)
        and all(isinstance(group, dict) for group in value["param_groups"])
    )


def ensure_same_run(
    path: Path,
    found: Mapping[str, str | int],
    wanted: Mapping[str, str | int],
    changed: Sequence[str] = (),
) -> None:
    """Refuse to go on from a checkpoint of another run.

    Parameters
    ----------
    path : the checkpoint.
    found, wanted : its identity, and that of the run to go on with.
    changed : names of the settings that differ.

    Raises
    ------
    BadInputError
        Naming what differs.
    """
    for name, value in wanted.items():
        if found.get(name) != value:
            what = _OTHERS.get(name, f"another {name}")
            which = f" ({', '.join(changed)})" if name == "config" and changed else ""
            raise BadInputError(
                f"{path} is of a run with {what}{which}; go on with what it was started with, or choose "
                "another output folder."
            )


_OTHERS = {
    "config": "other settings",
    "data": "other training data",
    "validation": "other held-out data",
    "step_size": "another number of photos to a step (batch times accumulate times processes)",
    "model": "another model",
    "r_net": "another R-Net",
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
