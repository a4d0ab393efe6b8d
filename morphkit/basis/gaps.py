"""Samples with gaps, read by blocks of coordinates together with what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from morphkit.basis.samples import Samples, column_blocks


@dataclass(frozen=True, eq=False)
class Gappy:
    """Samples of which some coordinates are missing: NaN, or not `valid`.

    Attributes
    ----------
    samples : n of them, d coordinates.
    valid : (n, d), or (n, v) for triples of coordinates: an array or data set; all but NaN when None.
    """

    samples: Samples
    valid: Any = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self.samples.shape

    def blocks(self) -> tuple[slice, ...]:
        """Return blocks of coordinates; whole vertices where there is a mask of those."""
        return column_blocks(self.samples, 3)

    def read(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return a block's values, zero where missing, and what is known, (n, w) boolean."""
        values = self.samples.columns(block)
        known = ~np.isnan(values)
        if self.valid is not None:
            known &= self._mask(block)
        return np.where(known, values, 0), known

    def _mask(self, block: slice) -> np.ndarray:
        if self.valid.shape == self.shape:
            return np.asarray(self.valid[:, block])
        vertices = np.asarray(self.valid[:, block.start // 3 : block.stop // 3])
        return np.repeat(vertices, 3, axis=1)


@dataclass(frozen=True, eq=False)
class Filled(Samples):
    """Samples whose gaps have the mean of what is known; to start from."""

    gappy: Gappy
    mean: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(n, d)."""
        return self.gappy.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """The samples'."""
        return self.gappy.samples.dtype

    def columns(self, block: slice, out: np.ndarray | None = None) -> np.ndarray:  # noqa: ARG002
        """Return a copy."""
        values, known = self.gappy.read(block)
        return np.where(known, values, self.mean[block].astype(values.dtype))

    def granule(self) -> int:
        """Return that of the samples, whole vertices."""
        return self.gappy.blocks()[0].stop


@dataclass(frozen=True, eq=False)
class Patterns:
    """Coordinates sorted by which samples have them; those of one pattern share their equations.

    Attributes
    ----------
    packed : (ceil(n / 8), p) uint8, a bit for each sample that has the coordinates.
    of : (d,) each coordinate's pattern.
    counts : (d,) how many samples have it.
    n : samples.
    """

    packed: np.ndarray
    of: np.ndarray
    counts: np.ndarray
    n: int

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool((self.counts == self.n).all())

    def groups(self, block: slice, most: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield some patterns of a block, (p, n) float64, and each one's coordinates within the block."""
        order = np.argsort(self.of[block], kind="stable")
        numbers, first = np.unique(self.of[block][order], return_index=True)
        columns = np.split(order, first[1:])
        for start in range(0, len(numbers), most):
            chosen = self.packed[:, numbers[start : start + most]]
            yield (
                np.unpackbits(chosen, axis=0, count=self.n).T.astype(np.float64),
                columns[start : start + most],
            )


def find_patterns(gappy: Gappy) -> Patterns:
    """Read all samples once and sort their coordinates.

    Raises
    ------
    ValueError
        If a value is infinite.
    """
    n, d = gappy.shape
    packed = np.empty((-(-n // 8), d), np.uint8)
    counts = np.empty(d, np.int64)
    for block in gappy.blocks():
        values, known = gappy.read(block)
        if np.isinf(values).any():
            raise ValueError("data holds infinite values; mark what is missing with NaN")
        packed[:, block], counts[block] = np.packbits(known, axis=0), known.sum(axis=0)
    unique, of = np.unique(packed, axis=1, return_inverse=True)
    return Patterns(unique, of.reshape(-1), counts, n)
