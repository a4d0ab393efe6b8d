"""MATLAB's .mat files, whichever of the two kinds: level 5 (``-v6``, ``-v7``), or HDF5 (``-v7.3``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader
from morphkit.archive._numbers import ensure_finite
from morphkit.archive.layouts._mat5 import HEADER, Mat5File
from morphkit.archive.source import ModelSource
from morphkit.errors import BadInputError

_START = b"MATLAB 5.0 MAT-file"


@runtime_checkable
class _Backend(Protocol):
    def has(self, path: str) -> bool: ...
    def shape(self, path: str) -> tuple[int, ...]: ...
    def array(self, path: str) -> np.ndarray: ...
    def matrix(self, path: str) -> np.ndarray: ...


class MatReader:
    """An open .mat file: arrays by name, in MATLAB's shapes; a struct's fields as ``struct/field``.

    Parameters
    ----------
    backend : what knows the kind of file.
    source : the file, for messages.
    """

    def __init__(self, backend: _Backend, source: ModelSource) -> None:
        self._backend = backend
        self._source = source

    def has(self, path: str) -> bool:
        """Whether an array or struct is there."""
        return self._backend.has(path)

    def vector(self, path: str) -> np.ndarray:
        """Return an array as a vector of float64, finite."""
        values = self._backend.array(path)
        ensure_finite(values, path, self.bad)
        vector: np.ndarray = values.reshape(-1, order="F").astype(np.float64)
        return vector

    def table(self, path: str) -> np.ndarray:
        """Return an array of two axes as it is."""
        values = self._backend.array(path)
        if values.ndim != 2:
            raise self.bad(f"{path} has the shape {values.shape}, not rows and columns")
        ensure_finite(values, path, self.bad)
        return values

    def columns(self, path: str, rows: int) -> np.ndarray:
        """Return a matrix of so many rows as float32, the caller's own, columns contiguous, finite."""
        shape = self._backend.shape(path)
        if len(shape) != 2 or shape[0] != rows:
            raise self.bad(f"{path} has the shape {shape}; a mean of {rows} values needs ({rows}, k)")
        return self._backend.matrix(path)

    def bad(self, what: str) -> BadInputError:
        """Return an error about this file."""
        return self._source.bad(what)


class _Level5:
    """Arrays of a level 5 file."""

    def __init__(self, source: ModelSource) -> None:
        self._file = Mat5File(source)
        self._bad = source.bad
        self.has, self.shape, self.array = self._file.has, self._file.shape, self._file.array

    def matrix(self, path: str) -> np.ndarray:
        values = self._file.array(path)
        ensure_finite(values, path, self._bad)
        columns = np.asfortranarray(values, dtype=np.float32)
        if not columns.flags.writeable or not columns.flags.aligned:
            columns = columns.copy(order="F")
        return columns


class _Hdf5:
    """Arrays of an HDF5 file, where rows and columns are swapped."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.has = reader.has

    def shape(self, path: str) -> tuple[int, ...]:
        return self._reader.shape(path)[::-1]

    def array(self, path: str) -> np.ndarray:
        return self._reader.array(path).T

    def matrix(self, path: str) -> np.ndarray:
        return self._reader.matrix(path, transposed=True)


def is_level5(source: ModelSource) -> bool:
    """Whether a file begins with the header of level 5."""
    return source.start.startswith(_START) and len(source.start) >= HEADER


def names(source: ModelSource) -> frozenset[str]:
    """Return the variables of a .mat file of either kind, up to where it is damaged; none for all others."""
    if not is_level5(source):
        return source.hdf5_names
    try:
        return Mat5File(source, lenient=True).names
    except (OSError, BadInputError):
        return frozenset()


@contextmanager
def opened(source: ModelSource) -> Iterator[MatReader]:
    """Open a .mat file of either kind.

    Raises
    ------
    BadInputError
        If it is cut off or damaged so that the variables cannot be found.
    """
    if is_level5(source):
        yield MatReader(_Level5(source), source)
        return
    with h5py.File(source.path, "r") as file:
        yield MatReader(_Hdf5(Reader(file, source.path)), source)
