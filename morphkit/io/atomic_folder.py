"""A folder of files that appears whole: filled elsewhere, then moved to its place."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from morphkit.io.atomic import explained_error

_SCRATCH = ".fitting-"
_STALE = 3600.0  # seconds after which a run's scratch folder, touched at every photo, belongs to a dead one


@contextmanager
def filled_folder(target: Path, scratch: Path, *, last: str) -> Iterator[Path]:
    """Yield a new folder; on success its files get to `target`, on any failure they are gone.

    A target that does not exist appears at once. In one that does, what else it holds is left alone; the
    file `last` is taken away first and comes back last, so that where it is, all belong together.

    Parameters
    ----------
    target : the folder that gets the files.
    scratch : a folder for this alone, on the same disk; what a killed process left in it is removed.
    last : the name of the file that stands for the whole.

    Raises
    ------
    OutputError
        When a folder cannot be written to, or the disk is full.
    """
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            _move_into(target, scratch, last)
        else:
            scratch.rename(target)
    except OSError as error:
        raise explained_error(error, target, scratch) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_into(target: Path, scratch: Path, last: str) -> None:
    (target / last).unlink(missing_ok=True)
    for name in sorted(files_below(scratch), key=lambda name: (name == last, name)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(scratch / name, target / name)


@contextmanager
def renewed_folder(target: Path, *, record: str) -> Iterator[Path]:
    """Yield a new folder; on success its files, however deep, replace those of an earlier run in `target`.

    The JSON file `record` stands for the whole: who fills the folder writes into it, as "files", the names of
    all files (`files_below`). Those that an earlier record names and this one does not are removed, and so
    are folders that become empty by it; whatever else the target holds is left alone.

    Raises
    ------
    OutputError
        When a folder cannot be written to, or the disk is full.
    """
    earlier = _recorded(target / record)
    with scratch_folder(target) as scratch, filled_folder(target, scratch, last=record) as folder:
        yield folder
        new = set(files_below(folder))
    for name in earlier - new:
        (target / name).unlink(missing_ok=True)
        for parent in (target / name).parents[: len(Path(name).parts) - 1]:
            with suppress(OSError):  # others' files are in it
                parent.rmdir()


def files_below(folder: Path) -> list[str]:
    """Return the files in a folder and its folders, by their sorted paths below it, with ``/``."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def _recorded(record: Path) -> set[str]:
    """Return the files that a record names, but none outside its folder."""
    with suppress(OSError, ValueError, TypeError, KeyError):  # whatever else has that name
        names = [PurePosixPath(name) for name in json.loads(record.read_text(encoding="utf-8"))["files"]]
        return {str(name) for name in names if not name.is_absolute() and ".." not in name.parts}
    return set()


@contextmanager
def scratch_folder(output: Path) -> Iterator[Path]:
    """Yield a folder in which results are made ready; removed in the end, as is what a killed run left.

    It is made by who first needs it: where nothing is written, nothing is left.
    """
    missing = [path for path in (output, *output.parents) if not path.exists()]
    _remove_stale(output)
    scratch = output / f"{_SCRATCH}{secrets.token_hex(4)}"
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for path in missing:
            with suppress(OSError):  # in use by now
                path.rmdir()


def _remove_stale(output: Path) -> None:
    for path in output.glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE:
                shutil.rmtree(path, ignore_errors=True)
