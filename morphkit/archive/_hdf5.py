"""Reading HDF5 files of many authors: scalars in any shape, strings of any kind, bounds on sizes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from morphkit.archive._numbers import ensure_finite
from morphkit.errors import BadInputError

MAX_RATIO = 128
"""How many times the size of the whole file a compressed dataset may unpack to."""
DEFLATE_RATIO = 1100
"""How many times its own size at most, as zeros do: an expression group's mean."""
_SMALL = 1 << 16  # bytes that any dataset may claim: flags and single numbers compress without bounds
_MOST_TEXTS = 20_000
_BLOCK = 1 << 24  # bytes of a matrix to read at a time


class Reader:
    """One open file; every error names it.

    What a dataset claims to hold is held against what lies in the file before anything is allocated, and
    data of other files (external links and the like) are refused.

    Parameters
    ----------
    file : open for reading.
    source : its path, for messages.
    """

    def __init__(self, file: h5py.File, source: Path) -> None:
        self.file = file
        self.source = source
        self._size = source.stat().st_size

    def has(self, path: str) -> bool:
        """Whether a group or dataset is there."""
        return path in self.file

    def array(self, path: str) -> np.ndarray:
        """Return a numeric dataset whole; floats must be finite."""
        values: np.ndarray = np.asarray(self._numeric(path)[()])
        ensure_finite(values, path, self.bad)
        return values

    def matrix(self, path: str, *, transposed: bool = False) -> np.ndarray:
        """Return a 2D dataset as float32 with contiguous columns, read in blocks: no second copy of it.

        Parameters
        ----------
        path : of the dataset.
        transposed : whether the file has its rows as columns, as MATLAB has them.
        """
        dataset = self._numeric(path)
        if dataset.ndim != 2:
            raise self.bad(f"{path} has the shape {dataset.shape}, not rows and columns")
        rows, columns = dataset.shape
        on_file = np.empty((rows, columns), np.float32, order="C" if transposed else "F")
        for block in _row_blocks(dataset):
            values = dataset[block]
            ensure_finite(values, path, self.bad)
            on_file[block] = values
        return on_file.T if transposed else on_file

    def shape(self, path: str) -> tuple[int, ...]:
        """Return a numeric dataset's shape."""
        return tuple(self._numeric(path).shape)

    def number(self, path: str, default: float) -> float:
        """Return a number stored as a scalar or as an array of one."""
        if not self.has(path):
            return default
        values = self.array(path).reshape(-1)
        if len(values) != 1:
            raise self.bad(f"{path} holds {len(values)} values, not one")
        return float(values[0])

    def text(self, path: str) -> str:
        """Return a string: variable length, fixed length with NULs, or bytes."""
        dataset = self._dataset(path)
        return as_text(dataset[(0,) * dataset.ndim] if _is_loose(dataset) and dataset.size else dataset[()])

    def texts(self, path: str) -> tuple[str, ...]:
        """Return a list of strings."""
        dataset = self._dataset(path)
        if _is_loose(dataset):
            return self._loose_texts(dataset, path)
        return tuple(as_text(item) for item in np.atleast_1d(dataset[()]))

    def _loose_texts(self, dataset: h5py.Dataset, path: str) -> tuple[str, ...]:
        """Return strings that lie elsewhere in the file, one by one: many may claim the same bytes."""
        if dataset.size > _MOST_TEXTS:
            raise self.bad(f"{path} claims {dataset.size} strings, more than the {_MOST_TEXTS} that are read")
        found, room = [], max(self._size, _SMALL)
        for place in np.ndindex(dataset.shape):
            text = as_text(dataset[place])
            found.append(text)
            room -= len(text)
            if room < 0:
                raise self.bad(f"{path} claims more text than the whole file has room for: it is damaged")
        return tuple(found)

    def bad(self, what: str) -> BadInputError:
        """Return an error about this file."""
        return BadInputError(f"{self.source}: {what}.")

    def _numeric(self, path: str) -> h5py.Dataset:
        dataset = self._dataset(path)
        if dataset.dtype.kind not in "fiub":
            raise self.bad(f"{path} holds {dataset.dtype}, not numbers")
        return dataset

    def _dataset(self, path: str) -> h5py.Dataset:
        item = self.file.get(path)
        if not isinstance(item, h5py.Dataset):
            seen = ", ".join(sorted(map(str, self.file))) or "nothing"
            raise self.bad(f"the dataset {path} is missing; at the root there is: {seen}")
        if item.file.filename != self.file.filename or item.is_virtual or item.external:
            raise self.bad(f"{path} lies in another file, which is not read")
        if item.shape is None:
            raise self.bad(f"{path} holds nothing")
        self._check_size(item, path)
        return item

    def _check_size(self, dataset: h5py.Dataset, path: str) -> None:
        claimed = dataset.size * max(dataset.dtype.itemsize, 1)
        there = min(dataset.id.get_storage_size(), self._size)
        packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
        most = min(there * DEFLATE_RATIO, self._size * MAX_RATIO) if packed else there
        if claimed > max(most, _SMALL):
            raise self.bad(
                f"{path} claims the shape {dataset.shape}, {claimed} bytes, but only {there} bytes are there"
            )


def _is_loose(dataset: h5py.Dataset) -> bool:
    """Whether its items are references to what lies elsewhere in the file, such as strings of any length."""
    return bool(dataset.dtype.kind == "O")


def as_text(value: object) -> str:
    """Decode what h5py gives for strings, and cut at the first NUL."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu" and value.size > 1:  # the codes of the characters
            value = bytes(value.astype(np.uint8).reshape(-1))
        else:
            value = value.reshape(-1)[0] if value.size else b""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.split("\0", 1)[0]


def store(group: h5py.Group, name: str, values: np.ndarray, chunks: tuple[int, ...] | None = None) -> None:
    """Write an array, compressed where that is worth it; no time stamps."""
    if values.size < 64:
        group.create_dataset(name, data=values, track_times=False)
        return
    group.create_dataset(
        name,
        data=values,
        chunks=True if chunks is None else chunks,
        compression="gzip",
        compression_opts=6,
        shuffle=True,
        track_times=False,
    )


def store_label(group: h5py.Group, name: str, text: str) -> None:
    """Write an attribute of fixed length, as statismo and scalismo do: old readers know no other."""
    group.attrs[name] = np.bytes_(text.encode("ascii"))


def store_text(group: h5py.Group, name: str, text: str) -> None:
    """Write one string as UTF-8 of variable length, as scalismo does."""
    group.create_dataset(name, data=text, dtype=h5py.string_dtype(), track_times=False)


def _row_blocks(dataset: h5py.Dataset) -> Iterator[slice]:
    """Split the rows of a matrix; into whole chunks where it has any, so that none is unpacked twice."""
    rows, columns = dataset.shape
    step = max(_BLOCK // max(columns * dataset.dtype.itemsize, 1), 1)
    if dataset.chunks is not None:
        step = max(step // dataset.chunks[0], 1) * dataset.chunks[0]
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
