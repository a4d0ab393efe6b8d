"""Shards: some hundred faces in one HDF5 file, each picture a chunk of its own, so that any row is cheap.

What a file claims is checked before anything is read, and memory is bounded by what is asked for: links and
storage outside the file, filters other than deflate, and unwritten or huge chunks are refused.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path
from morphkit.training.data._shard_columns import (
    COLUMNS,
    FACES,
    MARK,
    MAX_FACES,
    MAX_SIDE,
    NAMES,
    TRUTH,
    Column,
    bad,
    checked_columns,
    checked_names,
)
from morphkit.training.data.faces import Faces, Truth

__all__ = ["MAX_FACES", "MAX_SIDE", "Shard", "read_shard", "write_shard"]

_CACHE = 1 << 16  # bytes: a picture is read once, there is nothing to keep


def write_shard(path: str | os.PathLike[str], faces: Faces) -> None:
    """Write faces into one file, atomically; the same faces give the same bytes.

    Raises
    ------
    ValueError
        When there are no faces, or more than a shard may hold.
    OutputError
        When the place cannot be written to.
    """
    if not 0 < len(faces) <= MAX_FACES:
        raise ValueError(f"faces: a shard holds 1 to {MAX_FACES}, got {len(faces)}")
    if any("\0" in source for source in faces.sources):
        raise ValueError("faces: a source's path holds a NUL character")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("format", data=np.frombuffer(MARK, dtype=np.uint8), track_times=False)
        file.create_dataset(NAMES, data=_encoded(faces.sources), track_times=False)
        for name, column in COLUMNS.items():
            values = _column_of(faces, name)
            if values is not None:
                _store(file, name, column, values)


def read_shard(path: str | os.PathLike[str], rows: Int[np.ndarray, " m"] | None = None) -> Faces:
    """Read faces from one file.

    Parameters
    ----------
    path : of the shard.
    rows : which, in this order, may be repeated; None reads all.

    Raises
    ------
    BadInputError
        When the file is missing, damaged, or anything but a shard.
    ValueError
        When a row is out of range.
    """
    with Shard(path) as shard:
        return shard.read(np.arange(len(shard)) if rows is None else rows)


class Shard:
    """An open shard, checked; close it, or use it as a context.

    Raises
    ------
    BadInputError
        When the file is missing, damaged, or anything but a shard.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _opened(self.path)
        try:
            self._columns = checked_columns(self._file, self.path)
            self.sources = checked_names(self._file, self.path, len(self))
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # how h5py reports damage
            self._file.close()
            raise bad(self.path, "is damaged") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._columns["images"].shape[0])

    @property
    def size(self) -> int:
        """The side of the crops, pixels."""
        return int(self._columns["images"].shape[1])

    @property
    def has_truth(self) -> bool:
        """Whether these are rendered photos with what is known of them."""
        return "truth/identity" in self._columns

    @property
    def widths(self) -> dict[str, tuple[int, ...]]:
        """The shape of a row of each column that the shard has."""
        return {name: tuple(dataset.shape[1:]) for name, dataset in self._columns.items()}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def column(self, name: str) -> np.ndarray:
        """Return a column of small rows whole, such as "people".

        Raises
        ------
        KeyError
            When the shard has none of that name.
        BadInputError
            When the file is damaged.
        """
        return self._values(name, np.arange(len(self)))

    def read(self, rows: Int[np.ndarray, " m"]) -> Faces:
        """Return some faces, in the order given; rows may be repeated.

        Raises
        ------
        ValueError
            When a row is out of range.
        BadInputError
            When the file is damaged.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ValueError(f"rows: expected 0..{len(self) - 1}, got {rows.min()}..{rows.max()}")
        columns = {name: self._values(name, rows) for name in self._columns}
        truth = Truth(*(columns[f"truth/{name}"] for name in TRUTH)) if self.has_truth else None
        own = {name: values for name, values in columns.items() if name in FACES}
        return Faces(**own, sources=tuple(self.sources[row] for row in rows), truth=truth)

    def _values(self, name: str, rows: np.ndarray) -> np.ndarray:
        dataset, column = self._columns[name], COLUMNS[name]
        try:
            values = _pictures(dataset, rows) if column.is_picture else _rows(dataset, rows)
        except (OSError, RuntimeError, zlib.error) as error:
            raise bad(self.path, "is damaged") from error
        if values.dtype.kind == "f" and not (~np.isinf(values) if column.nan else np.isfinite(values)).all():
            raise bad(self.path, f"holds NaN or infinite {name}")
        return values


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE)
    except FileNotFoundError as error:
        raise BadInputError(f"There is no file {path}; check the path.") from error
    except OSError as error:
        raise bad(path, "is damaged or no shard of faces") from error


def _pictures(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Return rows that are chunks.

    They are inflated here, since HDF5 would go on for as long as a chunk has more to give, and keeps its lock
    meanwhile.
    """
    out = np.empty((len(rows), *dataset.shape[1:]), dtype=np.uint8)
    for place, row in enumerate(rows):
        out[place] = np.frombuffer(_inflated(dataset, int(row), out[place].size), np.uint8).reshape(
            out.shape[1:]
        )
    return out


def _inflated(dataset: h5py.Dataset, row: int, size: int) -> bytes:
    at = (row, *(0,) * (dataset.ndim - 1))
    longest = size + size // 512 + 64  # of what cannot be compressed
    if not 0 < dataset.id.get_chunk_info_by_coord(at).size <= longest:
        raise OSError(f"chunk {row} is longer than what it holds")
    skipped_filters, data = dataset.id.read_direct_chunk(at)
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(data, size + 1)
    if skipped_filters or not inflater.eof or len(inflated) != size:
        raise OSError(f"chunk {row} does not hold {size} bytes")
    return inflated


def _rows(dataset: h5py.Dataset, rows: np.ndarray) -> np.ndarray:
    """Return rows by one read of what lies between the first and the last."""
    if not len(rows):
        return np.empty((0, *dataset.shape[1:]), dtype=dataset.dtype)
    first, last = int(rows.min()), int(rows.max())
    values: np.ndarray = dataset[first : last + 1][rows - first]
    return values


def _store(file: h5py.File, name: str, column: Column, values: np.ndarray) -> None:
    plain = np.ascontiguousarray(values, dtype=column.dtype)
    how: dict[str, Any] = {}
    if column.is_picture:
        how = {"chunks": (1, *plain.shape[1:]), "compression": "gzip", "compression_opts": 1}
    file.create_dataset(name, data=plain, track_times=False, **how)


def _column_of(faces: Faces, name: str) -> np.ndarray | None:
    if not name.startswith("truth/"):
        values: np.ndarray | None = getattr(faces, name)
        return values
    return None if faces.truth is None else getattr(faces.truth, name.removeprefix("truth/"))


def _encoded(sources: tuple[str, ...]) -> np.ndarray:
    text = "".join(f"{source}\0" for source in sources).encode("utf-8", "surrogateescape")
    return np.frombuffer(text, dtype=np.uint8)
