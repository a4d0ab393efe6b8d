"""Where samples come from: an array, an HDF5 file, or rows made of others; read some columns at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from morphkit.basis.plain_files import plain_offset, read_plain
from morphkit.errors import BadInputError

_BLOCK_BYTES = 1 << 27  # one block of columns of all samples
_WIDEST = (
    1 << 13
)  # columns a block: float32 sums over so many stay exact to 1e-7, and few samples stay in cache


class Samples(ABC):
    """A matrix of n samples by d coordinates that is read by blocks of columns.

    Attributes
    ----------
    shape : (n, d).
    dtype : float32 or float64, of what `columns` returns.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @abstractmethod
    def columns(self, block: slice, out: Float[np.ndarray, "n w"] | None = None) -> Float[np.ndarray, "n w"]:
        """Return the coordinates of a block for all samples: a view, or in `out`, or new."""

    def granule(self) -> int:
        """Return how many coordinates are best read together; blocks are multiples of it."""
        return 1


def as_samples(data: np.ndarray | h5py.Dataset | Samples) -> Samples:
    """Return (n, d) or (n, v, 3) data, in memory or in an HDF5 file, as samples; nothing is copied."""
    if isinstance(data, Samples):
        return data
    return ArraySamples(data) if isinstance(data, np.ndarray) else StoredSamples.of(data)


def column_blocks(samples: Samples, multiple: int = 1) -> tuple[slice, ...]:
    """Cut the coordinates into blocks, in a way that depends on the data alone: so do sums over them.

    Parameters
    ----------
    samples : whose coordinates.
    multiple : what a block's width is to be a multiple of, beside the samples' granule.
    """
    n, d = samples.shape
    width = min(_WIDEST, max(_BLOCK_BYTES // (max(n, 1) * samples.dtype.itemsize), 1))
    granule = math.lcm(samples.granule(), multiple)
    if granule > 4 * width:  # a chunk of whole rows, say: bounded memory comes first
        granule = multiple
    width = max(width // granule, 1) * granule
    return tuple(slice(start, min(start + width, d)) for start in range(0, d, width))


def working_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the precision to compute in: float64 stays, all else is float32."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


class ArraySamples(Samples):
    """Samples in memory, (n, d) or (n, v, 3)."""

    def __init__(self, values: Float[np.ndarray, " n *d"]) -> None:
        self.values = values.reshape(len(values), -1)
        self.shape = (len(values), self.values.shape[1])
        self.dtype = working_dtype(values.dtype)

    def columns(
        self,
        block: slice,
        out: Float[np.ndarray, "n w"] | None = None,  # noqa: ARG002
    ) -> Float[np.ndarray, "n w"]:
        """Return a view where the precision allows."""
        return self.values[:, block].astype(self.dtype, copy=False)


@dataclass(eq=False)
class StoredSamples(Samples):
    """Samples in an HDF5 data set, (n, d) or (n, v, 3): contiguous, or in tiles of columns.

    It travels to other processes as the file's path and where in it the numbers lie. Whole rows as compressed
    chunks are slow: every block unpacks all of them.

    Attributes
    ----------
    path : the file.
    name : the data set's.
    offset : where in the file its numbers lie plainly; None where HDF5 has to take part in reading.
    """

    path: Path
    name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None
    _dataset: Any = field(repr=False)

    @classmethod
    def of(cls, dataset: h5py.Dataset) -> StoredSamples:
        """Return the samples of an open data set."""
        if dataset.ndim < 2 or dataset.dtype.kind != "f":
            raise ValueError(
                f"{dataset.name} has shape {dataset.shape} and type {dataset.dtype}; "
                "expected (n, d) or (n, v, 3) floats"
            )
        shape = (dataset.shape[0], int(np.prod(dataset.shape[1:])))
        dtype = working_dtype(dataset.dtype)
        path = Path(dataset.file.filename)
        return cls(path, dataset.name, shape, dtype, plain_offset(dataset, dtype), _dataset=dataset)

    def columns(self, block: slice, out: Float[np.ndarray, "n w"] | None = None) -> Float[np.ndarray, "n w"]:
        """Read a block; whole vertices are read even where it ends within one."""
        out = np.empty((self.shape[0], block.stop - block.start), self.dtype) if out is None else out
        try:
            if self.offset is not None:
                return read_plain(self.path, self.offset, self.shape[1], block.start, out)
            if self._dataset is not None:
                return self._read(self._dataset, block, out)
            with h5py.File(self.path, "r") as file:
                return self._read(file[self.name], block, out)
        except (OSError, KeyError) as error:
            raise BadInputError(f"{self.path} cannot be read: {error}.") from error

    def granule(self) -> int:
        """Return the coordinates of one chunk, or of one vertex."""
        rest = self._inner(self._dataset)
        chunks = self._dataset.chunks
        return rest if chunks is None else int(chunks[1]) * rest

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_dataset": None}

    @staticmethod
    def _inner(dataset: Any) -> int:
        return int(np.prod(dataset.shape[2:]))

    def _read(self, dataset: Any, block: slice, out: np.ndarray) -> np.ndarray:
        inner = self._inner(dataset)
        first, last = block.start // inner, -(-block.stop // inner)
        whole = (last - first) * inner == out.shape[1] and out.flags.c_contiguous
        shape = (len(dataset), last - first, *dataset.shape[2:])
        buffer = out.reshape(shape) if whole else np.empty(shape, self.dtype)
        dataset.read_direct(buffer, np.s_[:, first:last])
        flat = buffer.reshape(len(dataset), -1)
        return flat[:, block.start - first * inner : block.stop - first * inner]


@dataclass(eq=False)
class Rows(Samples):
    """Some samples of others, by number."""

    samples: Samples
    index: np.ndarray

    def __post_init__(self) -> None:
        self.shape = (len(self.index), self.samples.shape[1])
        self.dtype = self.samples.dtype

    def columns(self, block: slice, out: Float[np.ndarray, "m w"] | None = None) -> Float[np.ndarray, "m w"]:
        """Return a copy of the chosen rows."""
        return np.take(self.samples.columns(block), self.index, axis=0, out=out)

    def granule(self) -> int:
        """Return that of the others."""
        return self.samples.granule()


@dataclass(eq=False)
class Stacked(Samples):
    """Samples one below the other, of the same coordinates."""

    parts: tuple[Samples, ...]

    def __post_init__(self) -> None:
        self.shape = (sum(part.shape[0] for part in self.parts), self.parts[0].shape[1])
        self.dtype = np.result_type(*(part.dtype for part in self.parts))

    def columns(self, block: slice, out: Float[np.ndarray, "n w"] | None = None) -> Float[np.ndarray, "n w"]:
        """Return a copy."""
        out = np.empty((self.shape[0], block.stop - block.start), self.dtype) if out is None else out
        return np.concatenate([part.columns(block) for part in self.parts], out=out)

    def granule(self) -> int:
        """Return the largest of the parts."""
        return max(part.granule() for part in self.parts)
