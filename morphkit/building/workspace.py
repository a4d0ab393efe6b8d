"""The folder that a build keeps its registered scans in, so that what was done is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MARKER = ".remove-when-done"


def work_folder(output: Path, work_dir: str | Path | None) -> Path:
    """Return the folder: the one asked for, or ``<stem>-work`` beside the model."""
    return output.with_name(f"{output.stem}-work") if work_dir is None else Path(work_dir)


@contextmanager
def workspace(folder: Path, *, keep: bool) -> Iterator[None]:
    """Make the folder; it goes in the end unless it is to be kept or the work is cut short.

    A folder that was there before, and is not left from a run that was cut short, always stays.
    """
    marker = folder / _MARKER
    if keep:
        folder.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
    elif not folder.exists():
        folder.mkdir(parents=True)
        marker.touch()
    try:
        yield
    except BaseException:
        if marker.exists() and not holds_results(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if marker.exists():
        shutil.rmtree(folder, ignore_errors=True)


def holds_results(folder: Path) -> bool:
    """Return whether any registered scan lies in a folder."""
    return any(not path.name.startswith(".") for path in folder.glob("*.npz"))  # hidden: a killed writer's
