"""Where results may go: never over what a person gave, and only where they can be written."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from morphkit.building.store import result_paths
from morphkit.errors import BadInputError
from morphkit.scans.discover import ScanFile

MODEL_SUFFIXES = (".h5", ".hdf5")


def ensure_results_apart(
    folder: Path, scans: Sequence[ScanFile], others: Iterable[str | Path | None] = ()
) -> None:
    """Refuse a folder where results would take the place of a scan, of its neighbours, or of `others`.

    Raises
    ------
    BadInputError
        Naming the file that is in danger.
    """
    place = _identity(folder)
    for scan in scans:
        if place in (_identity(scan.path.parent), _identity(scan.path.resolve().parent)):
            raise BadInputError(
                f"Results in {folder} would lie among the raw scans and could overwrite {scan.path}; "
                "choose another folder for them."
            )
    inputs = _inputs(scans, others)
    for scan in scans:
        for result in result_paths(folder, scan.name):
            given = inputs.get(_identity(result))
            if given is not None:
                raise BadInputError(
                    f"The result {result} would overwrite {given}, which is read; "
                    "choose another folder for the results."
                )


def ensure_model_path(
    path: Path, scans: Sequence[ScanFile], others: Iterable[str | Path | None] = ()
) -> None:
    """Refuse a path that is no place for a model file.

    Raises
    ------
    BadInputError
        When it is a folder, has another suffix, or is one of the inputs.
    """
    if path.is_dir():
        raise BadInputError(f"{path} is a folder; give the model's file, such as {path / 'model.h5'}.")
    if path.suffix.lower() not in MODEL_SUFFIXES:
        raise BadInputError(f"{path} is no model file's name; let it end in {' or '.join(MODEL_SUFFIXES)}.")
    given = _inputs(scans, others).get(_identity(path))
    if given is not None:
        raise BadInputError(f"The model {path} would overwrite {given}, which is read; choose another name.")


def _inputs(scans: Sequence[ScanFile], others: Iterable[str | Path | None]) -> dict[Hashable, Path]:
    files = [path for scan in scans for path in (scan.path, scan.landmarks_path) if path is not None]
    files += [Path(path) for path in others if path is not None]
    return {_identity(path): path for path in files}


def _identity(path: Path) -> Hashable:
    """Return what two names of one file share, through links and letter case."""
    with suppress(OSError):
        facts = path.stat()
        if facts.st_ino:
            return facts.st_dev, facts.st_ino
    return path.resolve()
