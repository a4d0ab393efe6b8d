"""A photo's finished result on disk, and whether it still holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from morphkit.fitting.batch.outcome import FitFigures
from morphkit.io.atomic import write_json

RECORD = "outcome.json"
"""The file that says that a result is complete, and of what it was made; written last."""

Fingerprint = Mapping[str, str]
"""Hashes of the things that a fit depends on, by name."""


@dataclass(frozen=True)
class Record:
    """A finished result.

    Attributes
    ----------
    run : that made it.
    fingerprint : of what it was made.
    figures : of the fit.
    seconds : that it took.
    files : sizes in bytes of its files by their names.
    """

    run: str
    fingerprint: Fingerprint
    figures: FitFigures
    seconds: float
    files: Mapping[str, int]


def write_record(
    folder: Path, run: str, fingerprint: Fingerprint, figures: FitFigures, seconds: float
) -> None:
    """Complete a folder that holds a result's files, and nothing else."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    write_json(folder / RECORD, Record(run, fingerprint, figures, round(seconds, 3), files))


def read_record(folder: Path) -> Record | None:
    """Return what a folder's record says, or None if there is none that can be read."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # whatever else has that name
        values = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = {str(name): int(size) for name, size in values["files"].items()}
        figures = FitFigures.read(values["figures"])
        run, made_of = str(values.get("run", "")), dict(values["fingerprint"])
        return Record(run, made_of, figures, float(values["seconds"]), files)
    return None


def is_complete(folder: Path, record: Record) -> bool:
    """Return whether all files of a result are there as they were written."""
    with suppress(OSError):
        return all((folder / name).stat().st_size == size for name, size in record.files.items())
    return False


def remove_files(folder: Path, record: Record | None, *, kept: frozenset[str] = frozenset()) -> None:
    """Remove an earlier result's files but those `kept`, and the folder if nothing else is in it."""
    if record is None:
        return
    for name in (RECORD, *record.files):  # the record first: without it the rest counts for nothing
        if name not in kept and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
