"""Principal components of few samples with many coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from morphkit.basis.gram import RANK_TOLERANCE, Mapper, Spectrum, centered_blocks, chunks, exact_spectrum
from morphkit.basis.krylov import krylov_spectrum
from morphkit.basis.samples import Samples, as_samples, column_blocks
from morphkit.geometry.parallel import run_all

METHODS = ("exact", "randomized")
_ROWS = 1 << 13


@dataclass(frozen=True, eq=False)
class PCA:
    """Principal components.

    Attributes
    ----------
    mean : (d,) float64.
    components : (d, k) in the data's precision, orthonormal columns, Fortran-ordered.
    variances : (k,) float64, descending; unbiased (divided by n - 1 where the weights are equal).
    noise_variance : per coordinate, outside the components: Σ_{i>k} λ_i / (d − k).
    total_variance : Σ λ over all components.
    n_samples : n.
    weight_sum, weight_squares : of the samples' weights and of their squares; n where they are equal.
    notes : what differs from what was asked for.
    """

    mean: Float[np.ndarray, " d"]
    components: Float[np.ndarray, "d k"]
    variances: Float[np.ndarray, " k"]
    noise_variance: float
    total_variance: float
    n_samples: int
    weight_sum: float
    weight_squares: float
    notes: tuple[str, ...] = ()

    @property
    def unbias(self) -> float:
        """What mean squares were multiplied with to be unbiased: n / (n − 1) for equal weights."""
        return unbias(self.weight_sum, self.weight_squares)


def fit_pca(
    data: Float[np.ndarray, "n d"] | Float[np.ndarray, "n v 3"] | h5py.Dataset | Samples,
    components: int | float | None = None,
    *,
    weights: Float[np.ndarray, " n"] | None = None,
    method: str = "exact",
    centered: bool = True,
    mapper: Mapper = map,
) -> PCA:
    """Return the leading principal components.

    Parameters
    ----------
    data : (n, d) or (n, v, 3), finite, n >= 2; an array, or an open HDF5 data set (contiguous or in tiles),
        which is read twice, a block of columns at a time. Float32 data are multiplied in float32 and summed
        in float64; nothing of the data's size is allocated but the components.
    components : how many, or (a float in 0..1) the share of the variance to keep; all when None. Never
        more than the data's rank, which is at most n - 1; a note says so where it matters.
    weights : (n,) non-negative weight of each sample, uniform when None. Only their ratios matter here.
    method : "exact" through the n × n matrix of inner products: n² d operations, 8 n² bytes. "randomized"
        by a block Krylov space, for ten thousand samples and more: n d k operations a pass over the data,
        as many passes as the *last* wanted variance needs to stand still.
    centered : subtract the mean; without, variances are mean squares about zero (offsets from a neutral).
    mapper : as `map`, for the parts of the exact matrix; joblib's or a cluster's gives the same to the byte
        if its workers have one BLAS thread each.

    Raises
    ------
    ValueError
        If there are fewer than two samples (one, about zero), or values that are not finite, or `components`
        is out of range.
    BadInputError
        If the HDF5 file cannot be read.

    Notes
    -----
    The variances and axes come from a Rayleigh-Ritz step on the data's projection, not from the matrix
    itself: a relative rounding of ε there costs ε in every component, where the matrix' own small
    eigenvalues would lose ε λ₁/λ. The noise variance averages over the d − k directions that are left out,
    as maximum likelihood has it, not over the n − 1 − k of them that the samples happen to span. Signs do
    not depend on the order of samples: each component has a positive product with one fixed pseudo-random
    vector. The products of blocks are shared out to threads with the same result for any number of them
    (NUMBA_NUM_THREADS); the n × n eigenproblem has the threads of BLAS, so limit those to one for results
    that are the same to the byte on any number of cores.

    References
    ----------
    Sirovich 1987 (the method of snapshots); Musco & Musco 2015, algorithm 2 (block Krylov); Tipping & Bishop
    1999, equation 8 (the noise).
    """
    samples = as_samples(data)
    n, d = samples.shape
    fewest = 2 if centered else 1
    if n < fewest:
        raise ValueError(
            f"data has {n} samples; principal components need {('one', 'two')[fewest - 1]} or more"
        )
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    _check_components(components, method)
    share = shares(weights, n, fewest)
    rank = min(n - 1 if centered else n, d)
    if method == "exact":
        spectrum = exact_spectrum(samples, share, components, rank, centered, mapper)
    else:
        count = rank if components is None else min(int(components), rank)
        spectrum = krylov_spectrum(samples, share, count, centered)
    with threadpool_limits(1, "blas"):  # our own threads share out blocks: no spinning
        mean, basis, values = _project(samples, share, spectrum, centered)
    weight_sum, weight_squares = weight_sums(weights, n)
    correction = unbias(weight_sum, weight_squares) if centered else 1.0
    kept = len(values)
    rest = max(spectrum.total - float(values.sum()), 0.0)
    return PCA(
        mean=mean,
        components=basis,
        variances=values * correction,
        noise_variance=rest * correction / (d - kept) if d > kept else 0.0,
        total_variance=spectrum.total * correction,
        n_samples=n,
        weight_sum=weight_sum,
        weight_squares=weight_squares,
        notes=(*spectrum.notes, *short_note(components, kept, n)),
    )


def shares(weights: np.ndarray | None, n: int, fewest: int = 2) -> np.ndarray:
    """Return the weights, checked, summing to one."""
    if weights is None:
        return np.full(n, 1.0 / n)
    if weights.shape != (n,) or not (weights >= 0).all() or np.count_nonzero(weights) < fewest:
        raise ValueError(f"weights: expected {n} non-negative numbers, {fewest} or more of them positive")
    return weights.astype(np.float64) / weights.sum()


def unbias(weight_sum: float, weight_squares: float) -> float:
    """Return what makes a weighted mean square about the weighted mean unbiased: n / (n - 1) if equal."""
    return 1.0 / (1.0 - weight_squares / weight_sum**2)


def short_note(components: int | float | None, kept: int, n: int) -> tuple[str, ...]:
    """Return a sentence if fewer components were found than asked for."""
    if components is None or isinstance(components, float) or components <= kept:
        return ()
    return (f"{kept} components instead of {components}: {n} samples span no more.",)


def weight_sums(weights: np.ndarray | None, n: int) -> tuple[float, float]:
    """Return the sum of the weights (one each when None) and of their squares."""
    if weights is None:
        return float(n), float(n)
    exact = weights.astype(np.float64)
    return float(exact.sum()), float(exact @ exact)


def _check_components(components: int | float | None, method: str) -> None:
    if isinstance(components, float):
        if not 0 < components <= 1:
            raise ValueError(f"components as a share of the variance must be in 0..1, not {components}")
        if method == "randomized":
            raise ValueError("components as a share of the variance needs all variances: method 'exact'")
    elif components is not None and components < 0:
        raise ValueError(f"components must not be negative, not {components}")


def _project(
    samples: Samples, share: np.ndarray, spectrum: Spectrum, centered: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the components (d, k) and their mean squares, from approximate vectors of samples.

    The data's projections C are formed, nearly orthonormal; the covariance within their span follows from
    C Cᵀ, and one small rotation makes components exact and orthonormal (Rayleigh-Ritz).
    """
    values, vectors = spectrum.values, spectrum.vectors
    weights = ((np.sqrt(share)[:, None] * vectors) / np.sqrt(values)).T.astype(samples.dtype, order="C")
    d, k = samples.shape[1], len(values)
    basis, mean = np.empty((k, d), samples.dtype), np.zeros(d)
    products, along = np.zeros((k, k)), np.zeros(k)
    probe, narrow_share = _probe(d).astype(samples.dtype), share.astype(samples.dtype)
    blocks = column_blocks(samples)
    for block, offset, rest in centered_blocks(samples, centered, blocks):
        parts = [(weights, rest[:, chunk], basis[:, block][:, chunk]) for chunk in chunks(rest.shape[1])]
        for product in run_all(_project_chunk, parts):
            products += product
        along += basis[:, block] @ probe[block]
        if centered:
            mean[block] = offset + (narrow_share @ rest).astype(np.float64)
    turn, values = _ritz(products, values, along)
    narrow = turn.astype(samples.dtype)
    run_all(_turn, [(narrow, basis, block) for block in blocks])
    return mean, basis[: len(turn)].T, values


def _project_chunk(weights: np.ndarray, rest: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Write the projections of some columns and return their inner products."""
    np.matmul(weights, rest, out=out)
    product: np.ndarray = out @ out.T
    return product


def _turn(turn: np.ndarray, basis: np.ndarray, block: slice) -> None:
    basis[: len(turn), block] = turn @ basis[:, block]


def _ritz(products: np.ndarray, values: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the map from projections to components, signs included, and the components' mean squares."""
    root = np.sqrt(values)
    refined, axes = np.linalg.eigh(root[:, None] * products * root)
    refined, axes = refined[::-1], axes[:, ::-1]
    kept = int(np.sum(refined > RANK_TOLERANCE * float(refined.max(initial=0.0))))
    turn = (axes[:, :kept] / np.sqrt(refined[:kept])).T * root
    return turn * np.where(turn @ along < 0, -1.0, 1.0)[:, None], refined[:kept]


def signs(basis: np.ndarray) -> np.ndarray:
    """Return ±1 for each column, positive along a fixed pseudo-random vector.

    The usual rule, the largest entry positive, is a coin toss for faces: left-right antisymmetric components
    have two entries of nearly the same size and opposite sign.
    """
    probe = _probe(len(basis))
    products = np.zeros(basis.shape[1])
    for start in range(0, len(basis), _ROWS):
        products += probe[start : start + _ROWS] @ basis[start : start + _ROWS].astype(np.float64)
    return np.where(products < 0, -1.0, 1.0).astype(basis.dtype)


def _probe(length: int) -> np.ndarray:
    """Return numbers in -1..1 from an integer hash of their index, the same on every machine for ever."""
    x = np.arange(length, dtype=np.uint64)
    for _ in range(2):
        x = ((x >> np.uint64(16)) ^ x) * np.uint64(0x45D9F3B) & np.uint64(0xFFFFFFFF)
    x = (x >> np.uint64(16)) ^ x
    return x.astype(np.float64) / 2.0**31 - 1.0
