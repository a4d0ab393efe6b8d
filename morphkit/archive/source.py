"""A file or folder that may hold a model, and the first looks at it that tell its layout."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import h5py

from morphkit.errors import BadInputError, MorphkitError

_START = 4096
_CONTAINERS = {b"\x89HDF\r\n\x1a\n": "an HDF5 file", b"PK\x03\x04": "a zip archive"}

_DAMAGE = (
    OSError,
    EOFError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading damaged data raises, in the libraries that do it."""


class ModelSource:
    """What lies at a path, looked at only as far as is needed to tell what it is.

    Parameters
    ----------
    path : a file or a folder.

    Raises
    ------
    BadInputError
        If nothing is there, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if not self.path.exists():
                raise BadInputError(f"{self.path} does not exist.")
            if not (self.path.is_file() or self.path.is_dir()):
                raise BadInputError(f"{self.path} is neither a file nor a folder.")
            self.size = self.path.stat().st_size
            self.start = b"" if self.is_folder else self._first_bytes()
        except OSError as error:
            raise BadInputError(f"{self.path} cannot be read: {error.strerror}.") from error

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    @cached_property
    def hdf5_names(self) -> frozenset[str]:
        """What lies at the root of an HDF5 file; empty for all others and for those that cannot be opened."""
        with suppress(OSError, ValueError, RuntimeError, LookupError):
            if not self.is_folder and h5py.is_hdf5(self.path):
                with h5py.File(self.path, "r") as file:
                    return frozenset(map(str, file))  # damaged names come as bytes
        return frozenset()

    @cached_property
    def zip_names(self) -> frozenset[str]:
        """The members of a zip archive, such as an ``.npz`` file; empty for all others."""
        with suppress(OSError, ValueError, RuntimeError, zipfile.BadZipFile):  # also versions not known
            if self.start[:2] == b"PK":
                with zipfile.ZipFile(self.path) as archive:
                    return frozenset(archive.namelist())
        return frozenset()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what reading damaged data raises, in the libraries that do it, into a sentence."""
        try:
            yield
        except MorphkitError:
            raise
        except _DAMAGE as error:
            raise BadInputError(
                f"{self.path} is damaged or truncated ({_one_line(error)}). Copy or download it again."
            ) from error

    def bad(self, what: str) -> BadInputError:
        """Return an error about this file."""
        return BadInputError(f"{self.path}: {what}.")

    @property
    def spoilt(self) -> str | None:
        """A clause on a file that can be no model whatever its layout, or None."""
        if not (self.is_folder or self.start):
            return "empty"
        for signature, kind in _CONTAINERS.items():
            if self.start.startswith(signature) and not (self.hdf5_names or self.zip_names):
                return f"{kind} that cannot be opened, damaged or truncated; copy or download it again"
        return None

    def seen(self) -> str:
        """Return a clause that says what lies there, for messages about files that are no model."""
        if self.is_folder:
            names = sorted(item.name for item in self.path.iterdir())
            return f"a folder with {_listed(names)}"
        if self.hdf5_names:
            return f"an HDF5 file with {_listed(sorted(self.hdf5_names))} at its root"
        if self.zip_names:
            return f"a zip archive with {_listed(sorted(self.zip_names))}"
        if self.start.startswith(b"MATLAB 5.0"):
            return "a MATLAB file that has not the variables of any of them, or is damaged"
        return f"a file that begins with {self.start[:8]!r}"

    def _first_bytes(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(_START)


def _listed(names: list[str]) -> str:
    if not names:
        return "nothing in it"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if error.args else ""
    return " ".join(text.split())[:160] or type(error).__name__
