"""Principal components of data with gaps, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from morphkit.basis.pca import PCA, fit_pca, signs

_NOISE_FLOOR = 1e-5  # of the mean variance per coordinate; keeps the equations solvable when all is explained


@dataclass(frozen=True, eq=False)
class MissingPCA:
    """Principal components of data with gaps.

    Attributes
    ----------
    pca : the components; coordinates that no sample has are zero in mean and components.
    observed : (d,) whether any sample has the coordinate.
    iterations : EM rounds; 0 when nothing was missing.
    converged : whether the explained part stood still in the end.
    """

    pca: PCA
    observed: Bool[np.ndarray, "d"]
    iterations: int
    converged: bool


def fit_pca_with_missing(
    data: Float[np.ndarray, "n d"],
    components: int | None = None,
    *,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
) -> MissingPCA:
    """Fit probabilistic PCA to data in which NaN marks what is missing.

    Each round infers every sample's coefficients from the coordinates it has (with their uncertainty), then
    solves for each coordinate's mean and loadings from the samples that have it. Nothing is imputed, so a
    vertex that few scans saw gets the variance that those scans show, not one shrunk by made-up values.

    Parameters
    ----------
    data : (n, d), n >= 2; NaN where missing.
    components : how many; at most n - 1, which is also the default. With gaps, fewer are wiser.
    tolerance : stop when the loadings change by less than this share of their size in a round.
    max_iterations : rounds at most.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or a value is infinite.

    References
    ----------
    Tipping & Bishop 1999, section 3.3; Ilin & Raiko 2010, equations 14-20; Liu, Rubin & Wu 1998 (parameter
    expansion).
    """
    n, d = data.shape
    if np.isinf(data).any():
        raise ValueError("data holds infinite values; mark what is missing with NaN")
    if n < 2:
        raise ValueError(f"data has {n} samples; principal components need two or more")
    present = ~np.isnan(data)
    if present.all():
        return MissingPCA(fit_pca(data, components), np.ones(d, bool), 0, True)
    observed = present.any(axis=0)
    gaps = _sort_gaps(present[:, observed])
    values = np.where(present, data, 0)[:, observed].astype(np.float64)
    state, floor = _start(values, gaps, components)
    converged, iterations = False, 0
    while not converged and iterations < max_iterations:
        updated = _round(state, values, gaps, floor)
        change = float(np.linalg.norm(updated.loadings - state.loadings))
        converged = change <= tolerance * max(float(np.linalg.norm(state.loadings)), 1e-300)
        state, iterations = updated, iterations + 1
    return MissingPCA(_finish(state, observed, data.dtype, n, components), observed, iterations, converged)


@dataclass(frozen=True)
class _Gaps:
    """Coordinates sorted by which samples have them; those of one pattern share their equations.

    Attributes
    ----------
    patterns : (p, n) float64, one where the sample has the coordinates.
    order : (d,) the coordinates, pattern after pattern.
    bounds : (p + 1,) where each pattern's begin in `order`.
    known : (n, d) float64, one where known.
    """

    patterns: np.ndarray
    order: np.ndarray
    bounds: np.ndarray
    known: np.ndarray

    def chunks(self) -> Iterator[slice]:
        """Yield some patterns at a time, for bounded memory."""
        for start in range(0, len(self.patterns), 512):
            yield slice(start, min(start + 512, len(self.patterns)))

    def coordinates(self, pattern: int) -> np.ndarray:
        """Return the coordinates of a pattern."""
        return self.order[self.bounds[pattern] : self.bounds[pattern + 1]]


@dataclass(frozen=True)
class _State:
    """What EM changes: x = mean + loadings · z + noise, with z standard normal."""

    mean: np.ndarray  # (d,)
    loadings: np.ndarray  # (d, k)
    noise: float


def _sort_gaps(known: np.ndarray) -> _Gaps:
    packed, pattern_of = np.unique(np.packbits(known, axis=0), axis=1, return_inverse=True)
    patterns = np.unpackbits(packed, axis=0, count=len(known)).T.astype(np.float64)
    pattern_of = pattern_of.reshape(-1)
    order = np.argsort(pattern_of, kind="stable")
    bounds = np.searchsorted(pattern_of[order], np.arange(len(patterns) + 1))
    return _Gaps(patterns, order, bounds, known.astype(np.float64))


def _start(values: np.ndarray, gaps: _Gaps, components: int | None) -> tuple[_State, float]:
    """Begin from the components of the data, gaps filled by each coordinate's mean; also the noise floor."""
    n, d = values.shape
    mean = values.sum(axis=0) / gaps.known.sum(axis=0)
    filled = values + (1 - gaps.known) * mean
    first = fit_pca(filled, n - 1 if components is None else min(components, n - 1))
    floor = _NOISE_FLOOR * max(first.total_variance / d, 1e-300)
    noise = max(first.noise_variance, 10 * floor)
    loadings = first.components * np.sqrt(np.maximum(first.variances - noise, noise))
    return _State(mean, loadings, noise), floor


def _round(state: _State, values: np.ndarray, gaps: _Gaps, floor: float) -> _State:
    """Return the state after one expectation and one maximisation."""
    latent, covariance = _expect(state, values, gaps)
    mean, loadings = _maximise(state, values, gaps, latent, covariance)
    noise = _noise(loadings, values - gaps.known * mean, gaps, latent, covariance)
    # Parameter expansion: what the coefficients turned out to be goes into the loadings, so that they are
    # standard normal again. Plain EM would take ever longer to do so the smaller the noise is.
    center = latent.mean(axis=0)
    deviation = latent - center
    spread = np.linalg.cholesky((deviation.T @ deviation + covariance.sum(axis=0)) / len(latent))
    return _State(mean + loadings @ center, loadings @ spread, max(noise, floor))


def _expect(state: _State, values: np.ndarray, gaps: _Gaps) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means (n, k) and covariances (n, k, k) of the samples' coefficients."""
    n, k = len(values), state.loadings.shape[1]
    precision = np.tile(state.noise * np.eye(k), (n, 1, 1))
    for chunk in gaps.chunks():
        products = []
        for pattern in range(chunk.start, chunk.stop):
            rows = state.loadings[gaps.coordinates(pattern)]
            products.append(rows.T @ rows)
        precision += np.tensordot(gaps.patterns[chunk].T, np.stack(products), axes=1)
    covariance = state.noise * np.linalg.inv(precision)
    moments = (values - gaps.known * state.mean) @ state.loadings
    return np.einsum("nij,nj->ni", covariance, moments) / state.noise, covariance


def _maximise(
    state: _State, values: np.ndarray, gaps: _Gaps, latent: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve for every coordinate's mean and loadings together, one system for each pattern of gaps."""
    n, k = latent.shape
    extended = np.concatenate([latent, np.ones((n, 1))], axis=1)
    moment = extended[:, :, None] * extended[:, None, :]
    moment[:, :k, :k] += covariance
    # a prior on the loadings, as wide as they are, decides what too few samples leave open
    ridge = np.zeros((k + 1, k + 1))
    ridge[range(k), range(k)] = state.noise / max(float(np.mean(state.loadings**2)), 1e-300)
    right = extended.T @ values  # (k + 1, d)
    solved = np.empty_like(right)
    for chunk in gaps.chunks():
        inverse = np.linalg.inv(np.tensordot(gaps.patterns[chunk], moment, axes=1) + ridge)
        for pattern in range(chunk.start, chunk.stop):
            columns = gaps.coordinates(pattern)
            solved[:, columns] = inverse[pattern - chunk.start] @ right[:, columns]
    return solved[k], solved[:k].T.copy()


def _noise(
    loadings: np.ndarray, centered: np.ndarray, gaps: _Gaps, latent: np.ndarray, covariance: np.ndarray
) -> float:
    """Return the mean square of what the coefficients leave, their uncertainty included."""
    total = float(np.sum(((centered - latent @ loadings.T) * gaps.known) ** 2))
    for chunk in gaps.chunks():
        spread = np.tensordot(gaps.patterns[chunk], covariance, axes=1)
        for pattern in range(chunk.start, chunk.stop):
            rows = loadings[gaps.coordinates(pattern)]
            total += float(np.sum((rows @ spread[pattern - chunk.start]) * rows))
    return total / float(gaps.known.sum())


def _finish(state: _State, observed: np.ndarray, dtype: np.dtype[Any], n: int, components: int | None) -> PCA:
    """Turn the loadings into orthonormal components, descending, over all coordinates."""
    left, singular, _ = np.linalg.svd(state.loadings, full_matrices=False)
    keep = singular > 1e-6 * max(float(singular[0]), 1e-300)
    unbias = n / (n - 1)
    # maximum likelihood: W = U (Λ − σ²)^½, Tipping & Bishop's equation 7
    variances = (singular[keep] ** 2 + state.noise) * unbias
    mean, basis = np.zeros(len(observed)), np.zeros((len(observed), len(variances)), dtype, order="F")
    mean[observed], basis[observed] = state.mean, left[:, keep]
    basis *= signs(basis)
    k, noise = basis.shape[1], state.noise * unbias
    short = components is not None and components > k
    notes = (f"{k} components instead of {components}: {n} samples span no more.",) if short else ()
    total = float(variances.sum()) + noise * max(int(observed.sum()) - k, 0)
    return PCA(mean, basis, variances, noise, total, n, notes)
