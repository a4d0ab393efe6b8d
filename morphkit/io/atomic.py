"""Files appear whole or not at all: write beside the target, then rename."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from morphkit.errors import OutputError
from morphkit.io.json_text import json_text

_REMEDIES = {
    errno.ENOENT: "no folder can be made there; choose another one",
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "no file so large is allowed there; choose another folder",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EISDIR: "a folder has that name; choose another file name",
    errno.ENOTDIR: "{file} is a file where a folder is needed; choose another folder",
    errno.EEXIST: "{file} is a file where a folder is needed; choose another folder",
}

_LASTING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class _TriedError(Exception):
    """The file could have been written."""


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` on success and is removed on any failure.

    The temporary name keeps the suffix, since many writers choose the format by it. Missing parent folders
    are made. An interrupted writer (Ctrl-C included) leaves the previous file untouched.

    Raises
    ------
    OutputError
        When the folder cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}.{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except OSError as error:
        if target.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise explained_error(error, target, temporary) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def ensure_writable(path: str | os.PathLike[str]) -> None:
    """Raise what writing `path` would raise; leaves nothing but its folder.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to, or the disk is full.
    """
    with suppress(_TriedError), atomic_path(path) as temporary:
        temporary.write_bytes(b"morphkit")
        raise _TriedError


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write `value` as indented UTF-8 JSON, atomically; see `morphkit.io.json_text.json_text`."""
    text = json_text(value, indent=1) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    # Without this a power cut soon after the rename can leave an empty file under the final name.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explained_error(error: OSError, target: Path, temporary: Path) -> Exception:
    """Return the error to raise: an `OutputError` if `error` is about writing here, else `error` itself.

    Parameters
    ----------
    error : what the system said.
    target : what was to be written.
    temporary : the file or folder that was being written in its place.
    """
    number = error.errno
    if number is None and f"errno = {errno.ENOSPC}" in str(error):  # how HDF5 reports a full disk
        number = errno.ENOSPC
    named = None if error.filename is None else Path(error.filename)
    ours = named is None or named in target.parents or any(map(named.is_relative_to, (target, temporary)))
    if number not in _REMEDIES or not ours:
        return error
    remedy = _REMEDIES[number].format(file=_in_the_way(target))
    return OutputError(f"Could not write {target}: {remedy}.", lasting=number in _LASTING)


def _in_the_way(target: Path) -> Path:
    """Return the first file on the way to a target; the target itself if there is none."""
    way = (*reversed(target.parents), target)
    return next((place for place in way if place.exists() and not place.is_dir()), target)
