"""Reading HDF5 files of many authors: scalars in any shape, strings of any kind, bounds on sizes."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from morphkit.errors import BadInputError

MAX_BYTES = 64 << 30  # more than any real model; a damaged header can claim anything


class Reader:
    """One open file; every error names it.

    Parameters
    ----------
    file : open for reading.
    source : its path, for messages.
    """

    def __init__(self, file: h5py.File, source: Path) -> None:
        self.file = file
        self.source = source

    def has(self, path: str) -> bool:
        """Whether a group or dataset is there."""
        return path in self.file

    def array(self, path: str) -> np.ndarray:
        """Return a numeric dataset whole; floats must be finite."""
        dataset = self._dataset(path)
        if dataset.dtype.kind not in "fiub":
            raise self.bad(f"{path} holds {dataset.dtype}, not numbers")
        if dataset.size * dataset.dtype.itemsize > MAX_BYTES:
            raise self.bad(f"{path} claims the shape {dataset.shape}, which no model has")
        values: np.ndarray = np.asarray(dataset[()])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self.bad(f"{path} holds NaN or infinite values")
        return values

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
        return as_text(self._dataset(path)[()])

    def texts(self, path: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(as_text(item) for item in np.atleast_1d(self._dataset(path)[()]))

    def bad(self, what: str) -> BadInputError:
        """Return an error about this file."""
        return BadInputError(f"{self.source}: {what}.")

    def _dataset(self, path: str) -> h5py.Dataset:
        item = self.file.get(path)
        if not isinstance(item, h5py.Dataset):
            seen = ", ".join(sorted(self.file)) or "nothing"
            raise self.bad(f"the dataset {path} is missing; at the root there is: {seen}")
        return item


def as_text(value: object) -> str:
    """Decode what h5py gives for strings, and cut at the first NUL."""
    if isinstance(value, np.ndarray):
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


def store_text(group: h5py.Group, name: str, text: str) -> None:
    """Write one string as UTF-8 of variable length, as scalismo does."""
    group.create_dataset(name, data=text, dtype=h5py.string_dtype(), track_times=False)
