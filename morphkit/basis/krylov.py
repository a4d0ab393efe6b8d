"""Leading eigenvectors of samples' inner products without their matrix: a block Krylov space."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.basis.gram import RANK_TOLERANCE, Spectrum, centered_blocks, chunks
from morphkit.basis.samples import Samples, column_blocks
from morphkit.geometry.parallel import run_all

_OVERSAMPLING = 10
_SETTLED = 1e-4  # relative change of the last wanted value in a pass
_PASSES = 8


def krylov_spectrum(
    samples: Samples, share: Float[np.ndarray, " n"], count: int, centered: bool, seed: int = 0
) -> Spectrum:
    """Return approximate leading eigenvectors, by passes over the data until the last one stands still.

    Every pass multiplies the newest block of vectors with the matrix G of inner products (unformed), and the
    best vectors are taken from the span of all blocks so far. One pass, as randomized decompositions make
    by default, leaves the last eigenvalues of faces a tenth too low; keeping the earlier blocks makes three
    or four passes enough.

    Parameters
    ----------
    samples : n of them.
    share : (n,) their weights, summing to one.
    count : how many vectors, at least one less than n.
    centered : about the weighted mean, or about zero.
    seed : of the random start.

    Raises
    ------
    ValueError
        If a value is not finite.

    References
    ----------
    Musco & Musco 2015, algorithm 2.
    """
    n = samples.shape[0]
    width = min(count + _OVERSAMPLING, n)
    newest = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, width)))[0]
    space, image = np.zeros((n, 0)), np.zeros((n, 0))
    values, vectors, total, change = np.zeros(count), np.zeros((n, count)), 0.0, np.inf
    for _ in range(_PASSES if count else 0):
        with threadpool_limits(1, "blas"):
            product, total = _multiply(samples, share, newest, centered)
        if not np.isfinite(total):
            raise ValueError("data holds values that are not finite")
        space, image = np.hstack([space, newest]), np.hstack([image, product])
        before, (values, vectors) = values, _best(space, image, count)
        floor = RANK_TOLERANCE * max(float(values[0]), 1e-300)
        change = float(np.max(np.abs(values - before) / np.maximum(values, floor)))
        newest = _outside(product, space)
        if change <= _SETTLED or not newest.shape[1]:
            break
    kept = int(np.sum(values > RANK_TOLERANCE * float(values.max(initial=0.0))))
    settled = not count or change <= _SETTLED or not newest.shape[1]
    notes = () if settled else (f"The last variances may be {change:.1%} too low.",)
    return Spectrum(values[:kept], vectors[:, :kept], total, notes)


def _multiply(
    samples: Samples, share: np.ndarray, vectors: np.ndarray, centered: bool
) -> tuple[np.ndarray, float]:
    """Return G · vectors, (n, l) float64, and the trace of G, in one pass over the data."""
    root = np.sqrt(share)[:, None]
    left = root * vectors
    if centered:
        left -= share[:, None] * left.sum(axis=0)
    narrow, weight = left.astype(samples.dtype), share.astype(samples.dtype)
    product, total = np.zeros_like(vectors), 0.0
    for _, _, rest in centered_blocks(samples, centered, column_blocks(samples)):
        parts = [(rest[:, chunk], narrow) for chunk in chunks(rest.shape[1])]
        for part in run_all(_there_and_back, parts):
            product += part
        total += float(share @ np.einsum("nw,nw->n", rest, rest))
        if centered:
            total -= float(np.sum((weight @ rest).astype(np.float64) ** 2))
    if centered:
        product -= share @ product
    return root * product, total


def _there_and_back(rest: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    product: np.ndarray = rest @ (rest.T @ vectors)
    return product


def _best(space: np.ndarray, image: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the Ritz values and vectors of an orthonormal basis and what G makes of it."""
    inner = space.T @ image
    values, axes = np.linalg.eigh((inner + inner.T) / 2)
    return values[::-1][:count], space @ axes[:, ::-1][:, :count]


def _outside(vectors: np.ndarray, space: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what the vectors have outside the space; maybe of fewer columns."""
    length = float(np.linalg.norm(vectors))
    for _ in range(2):  # once leaves rounding
        vectors = vectors - space @ (space.T @ vectors)
    basis, triangle, _ = scipy.linalg.qr(vectors, mode="economic", pivoting=True)
    room = max(len(space) - space.shape[1], 0)
    kept = min(int(np.sum(np.abs(np.diag(triangle)) > 1e-12 * max(length, 1e-300))), room)
    outside = basis[:, :kept]
    return np.linalg.qr(outside - space @ (space.T @ outside))[0]
