"""The matrix of inner products of samples: float32 products, float64 sums, divisible over workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.basis.samples import Samples, column_blocks
from morphkit.geometry.parallel import run_all, split_range

RANK_TOLERANCE = 1e-10  # of the first variance: what is below is rounding
_PARTS = 8  # fixed, so that the sums do not depend on the number of workers
_TILE = 500  # rows and columns of the matrix that one thread makes: as fast as the whole for BLAS
_CHUNK = 1 << 11  # columns that one thread centres

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Leading eigenvectors of the weighted samples' inner products.

    Attributes
    ----------
    values : (k,) positive, descending.
    vectors : (n, k) orthonormal columns.
    total : the sum of all eigenvalues.
    notes : what differs from what was asked for.
    """

    values: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "n k"]
    total: float
    notes: tuple[str, ...] = ()


def exact_spectrum(
    samples: Samples,
    share: Float[np.ndarray, " n"],
    components: int | float | None,
    rank: int,
    centered: bool,
    mapper: Mapper = map,
) -> Spectrum:
    """Return the eigenvectors of the n × n matrix of inner products.

    Parameters
    ----------
    samples : n of them.
    share : (n,) their weights, summing to one.
    components : how many, a share of the sum of eigenvalues, or None for all.
    rank : the most that there can be.
    centered : about the weighted mean, or about zero.
    mapper : as `map`.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    gram = _summed(mapper(partial(gram_part, samples, centered), gram_parts(samples)), samples.shape[0])
    raw = float(np.trace(gram))
    weigh(gram, share, centered)
    total = float(np.trace(gram))
    if not np.isfinite(total):
        raise ValueError("data holds values that are not finite")
    count = min(components, rank) if isinstance(components, int) else rank
    if isinstance(components, float):
        values = scipy.linalg.eigh(gram, lower=True, eigvals_only=True, check_finite=False)[::-1]
        count = _explaining(values[:rank], components)
    if count == 0:
        return Spectrum(np.zeros(0), np.zeros((len(gram), 0)), total)
    # the transposed view is Fortran-ordered, so that LAPACK works in place
    values, vectors = scipy.linalg.eigh(
        gram.T,
        lower=False,
        subset_by_index=[len(gram) - count, len(gram) - 1],
        overwrite_a=True,
        check_finite=False,
    )
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int(np.sum(values > max(RANK_TOLERANCE * values[0], 1e-14 * raw / len(gram))))
    return Spectrum(values[:kept], vectors[:, :kept], total)


def _summed(parts: Iterable[np.ndarray], n: int) -> np.ndarray:
    gram = np.zeros((n, n))
    for part in parts:
        gram += part
        del part  # before the next one is made: each is as large as the matrix
    return gram


def _explaining(values: np.ndarray, wanted: float) -> int:
    """Return how many leading values make up a share of their sum."""
    positive = np.maximum(values, 0.0)
    if not positive.sum() > 0:
        return 0
    share = np.cumsum(positive) / positive.sum()
    return min(int(np.searchsorted(share, wanted * (1 - 1e-12))) + 1, len(values))


def gram_parts(samples: Samples) -> tuple[tuple[slice, ...], ...]:
    """Share the blocks of coordinates out to workers; the same for any number of them."""
    blocks = column_blocks(samples)
    bounds = np.linspace(0, len(blocks), min(_PARTS, len(blocks)) + 1).astype(int)
    return tuple(blocks[a:b] for a, b in pairwise(bounds))


def gram_part(samples: Samples, centered: bool, blocks: tuple[slice, ...]) -> Float[np.ndarray, "n n"]:
    """Return the sum over some blocks of coordinates of the samples' inner products, (n, n) float64.

    Products are formed in the samples' precision within a block and summed in float64 between blocks. The
    result depends on nothing but the arguments (threads share out tiles, BLAS itself gets one), so parts may
    be made anywhere; added in the order of `gram_parts` they give the same matrix to the byte.

    Parameters
    ----------
    samples : n of them. What was read from an HDF5 file travels to a worker as the file's path.
    centered : subtract each block's plain mean first, against cancellation; `weigh` makes it exact.
    blocks : slices of the coordinates, one of `gram_parts`.

    Returns
    -------
    The lower triangle is valid, the upper one is not.
    """
    gram = np.zeros((samples.shape[0],) * 2)
    with threadpool_limits(1, "blas"):
        for _, _, values in centered_blocks(samples, centered, blocks):
            run_all(_add_tile, [(gram, values, rows, columns) for rows, columns in _tiles(len(gram))])
    return gram


def _tiles(n: int) -> list[tuple[slice, slice]]:
    """Cut the lower triangle into squares."""
    ranges = [slice(a, b) for a, b in split_range(n, max(2, round(n / _TILE)))]
    return [(rows, columns) for i, rows in enumerate(ranges) for columns in ranges[: i + 1]]


def _add_tile(gram: np.ndarray, values: np.ndarray, rows: slice, columns: slice) -> None:
    gram[rows, columns] += values[rows] @ values[columns].T  # on the diagonal numpy makes this a syrk


def centered_blocks(
    samples: Samples, centered: bool, blocks: tuple[slice, ...]
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Yield each block, what was subtracted from it (w,), and the rest (n, w), valid until the next one."""
    n = samples.shape[0]
    share = np.full(n, 1.0 / max(n, 1), samples.dtype)
    widest = max((block.stop - block.start for block in blocks), default=0)
    buffer = np.empty(n * widest, samples.dtype)
    for block in blocks:
        width = block.stop - block.start
        room = buffer[: n * width].reshape(n, width)
        values = samples.columns(block, out=room)
        offset = np.zeros(width, samples.dtype)
        if not centered:
            yield block, offset, values
            continue
        run_all(_center, [(values, share, offset, room, chunk) for chunk in chunks(width)])
        yield block, offset, room


def chunks(width: int) -> list[slice]:
    """Cut the columns of a block for threads, in a way that does not depend on their number."""
    return [slice(start, min(start + _CHUNK, width)) for start in range(0, width, _CHUNK)]


def _center(
    values: np.ndarray, share: np.ndarray, offset: np.ndarray, rest: np.ndarray, chunk: slice
) -> None:
    with np.errstate(invalid="ignore", over="ignore"):  # the matrix' trace tells of what is not finite
        offset[chunk] = share @ values[:, chunk]
        np.subtract(values[:, chunk], offset[chunk], out=rest[:, chunk])


def weigh(gram: Float[np.ndarray, "n n"], share: Float[np.ndarray, " n"], centered: bool) -> None:
    """Turn inner products about some point into those about the weighted mean, times √share, in place.

    Gram matrices about two points differ by the same for a whole row and the same for a whole column.

    Parameters
    ----------
    gram : lower triangle valid; on return too.
    share : each sample's weight, summing to one.
    centered : whether the mean is to be subtracted at all.
    """
    n = len(gram)
    if centered:
        towards = np.empty(n)  # each sample's product with the mean
        for i in range(n):
            towards[i] = gram[i, : i + 1] @ share[: i + 1] + gram[i + 1 :, i] @ share[i + 1 :]
        middle = float(share @ towards)
        for i in range(n):
            gram[i, : i + 1] -= towards[i] + towards[: i + 1] - middle
    root = np.sqrt(share)
    for i in range(n):
        gram[i, : i + 1] *= root[i] * root[: i + 1]
