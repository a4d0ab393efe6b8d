"""A folder of files that appears whole: filled elsewhere, then moved to its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from morphkit.io.atomic import explained_error


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
    for path in sorted(scratch.iterdir(), key=lambda path: (path.name == last, path.name)):
        os.replace(path, target / path.name)
