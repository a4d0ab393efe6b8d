"""Principal components of few samples with many coordinates, exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_BLOCK = 1 << 13  # coordinates at a time: float64 copies of some megabytes for a thousand samples
_RANK_TOLERANCE = 1e-10  # of the first variance: where float64 inner products end


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components.

    Attributes
    ----------
    mean : (d,) float64.
    components : (d, k) in the data's precision, orthonormal columns, Fortran-ordered.
    variances : (k,) float64, descending; unbiased (divided by n - 1).
    noise_variance : per coordinate, outside the components: Σ_{i>k} λ_i / (d − k).
    total_variance : Σ λ over all components.
    n_samples : n.
    notes : what differs from what was asked for.
    """

    mean: Float[np.ndarray, "d"]
    components: Float[np.ndarray, "d k"]
    variances: Float[np.ndarray, "k"]
    noise_variance: float
    total_variance: float
    n_samples: int
    notes: tuple[str, ...] = ()


def fit_pca(
    data: Float[np.ndarray, "n d"],
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, "n"] | None = None,
) -> PCA:
    """Return the leading principal components, through the n × n matrix of inner products.

    Parameters
    ----------
    data : (n, d) finite, n >= 2. float32 is enough: sums are formed in float64, block by block, and no
        float64 copy of the whole is made.
    components : how many, or (a float in 0..1) the share of the variance to keep; all when None. Never
        more than the data's rank, which is at most n - 1; a note says so where it matters.
    weights : (n,) non-negative weight of each sample, uniform when None.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or values that are not finite, or `components` is out of range.

    Notes
    -----
    The noise variance averages over the d − k directions that are left out, as maximum likelihood has it,
    not over the n − 1 − k of them that the samples happen to span. Signs do not depend on the order of
    samples or on the number of threads: each component has a positive product with one fixed pseudo-random
    vector. An incremental or randomized solver is left out here.

    References
    ----------
    Sirovich 1987 (the method of snapshots); Tipping & Bishop 1999, equation 8 (the noise).
    """
    n, d = data.shape
    if n < 2:
        raise ValueError(f"data has {n} samples; principal components need two or more")
    share = _shares(weights, n)
    mean = _mean(data, share)
    gram = _gram(data, mean, share)
    total = float(np.trace(gram))
    if not np.isfinite(total):
        raise ValueError("data holds values that are not finite")
    # unbiased for uniform weights: n / (n - 1) of the mean square
    unbias = 1.0 / (1.0 - float(share @ share))
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int(np.sum(values > _RANK_TOLERANCE * max(values[0], 0.0)))
    rank = min(rank, n - 1, d)
    kept, notes = _choose(components, values[:rank], rank, n)
    scale = np.sqrt(share)[:, None] * vectors[:, :kept] / np.sqrt(values[:kept])
    basis = _project(data, mean, scale)
    basis *= signs(basis)
    rest = max(total - float(values[:kept].sum()), 0.0)
    return PCA(
        mean=mean,
        components=basis,
        variances=values[:kept] * unbias,
        noise_variance=rest * unbias / (d - kept) if d > kept else 0.0,
        total_variance=total * unbias,
        n_samples=n,
        notes=notes,
    )


def _shares(weights: np.ndarray | None, n: int) -> np.ndarray:
    if weights is None:
        return np.full(n, 1.0 / n)
    if weights.shape != (n,) or not (weights >= 0).all() or np.count_nonzero(weights) < 2:
        raise ValueError(f"weights: expected {n} non-negative numbers, two or more of them positive")
    return weights.astype(np.float64) / weights.sum()


def _mean(data: np.ndarray, share: np.ndarray) -> np.ndarray:
    mean = np.empty(data.shape[1])
    for start in range(0, data.shape[1], _BLOCK):
        mean[start : start + _BLOCK] = share @ data[:, start : start + _BLOCK].astype(np.float64)
    return mean


def _gram(data: np.ndarray, mean: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return the (n, n) matrix of inner products of the centred, weighted samples."""
    gram = np.zeros((len(data), len(data)))
    root = np.sqrt(share)[:, None]
    for start in range(0, data.shape[1], _BLOCK):
        block = (data[:, start : start + _BLOCK].astype(np.float64) - mean[start : start + _BLOCK]) * root
        gram += block @ block.T  # numpy makes this a syrk
    return gram


def _project(data: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return centredᵀ · scale, (d, k), Fortran-ordered, in the data's precision."""
    basis = np.empty((data.shape[1], scale.shape[1]), data.dtype, order="F")
    for start in range(0, data.shape[1], _BLOCK):
        block = data[:, start : start + _BLOCK].astype(np.float64) - mean[start : start + _BLOCK]
        basis[start : start + _BLOCK] = block.T @ scale
    return basis


def _choose(
    components: int | float | None, values: np.ndarray, rank: int, n: int
) -> tuple[int, tuple[str, ...]]:
    """Return how many components to keep."""
    if components is None:
        return rank, ()
    if isinstance(components, float):
        if not 0 < components <= 1:
            raise ValueError(f"components as a share of the variance must be in 0..1, not {components}")
        if not rank:
            return 0, ()
        share = np.cumsum(values) / values.sum()
        return min(int(np.searchsorted(share, components * (1 - 1e-12))) + 1, rank), ()
    if components < 0:
        raise ValueError(f"components must not be negative, not {components}")
    if components <= rank:
        return components, ()
    return rank, (f"{rank} components instead of {components}: {n} samples span no more.",)


def signs(basis: np.ndarray) -> np.ndarray:
    """Return ±1 for each column, positive along a fixed pseudo-random vector.

    The usual rule, the largest entry positive, is a coin toss for faces: left-right antisymmetric components
    have two entries of nearly the same size and opposite sign.
    """
    probe = _probe(len(basis))
    products = np.zeros(basis.shape[1])
    for start in range(0, len(basis), _BLOCK):
        products += probe[start : start + _BLOCK] @ basis[start : start + _BLOCK].astype(np.float64)
    return np.where(products < 0, -1.0, 1.0).astype(basis.dtype)


def _probe(length: int) -> np.ndarray:
    """Return numbers in -1..1 from an integer hash of their index, the same on every machine for ever."""
    x = np.arange(length, dtype=np.uint64)
    for _ in range(2):
        x = ((x >> np.uint64(16)) ^ x) * np.uint64(0x45D9F3B) & np.uint64(0xFFFFFFFF)
    x = (x >> np.uint64(16)) ^ x
    return x.astype(np.float64) / 2.0**31 - 1.0
