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
    converged : whether what the components explain stood still in the end.
    """

    pca: PCA
    observed: Bool[np.ndarray, "d"]
    iterations: int
    converged: bool


def fit_pca_with_missing(
    data: Float[np.ndarray, "n d"],
    components: int | None = None,
    *,
    tolerance: float = 1e-3,
    max_iterations: int = 50,
) -> MissingPCA:
    """Fit probabilistic PCA to data in which NaN marks what is missing.

    Each round infers every sample's coefficients from the coordinates it has (with their uncertainty), then
    solves for each coordinate's mean and loadings from the samples that have it. Nothing is imputed, so a
    vertex that few scans saw gets the variance that those scans show, not one shrunk by made-up values.

    Parameters
    ----------
    data : (n, d), n >= 2; NaN where missing.
    components : how many; at most n - 1, which is also the default.
    tolerance : stop when what the components explain changes by less than this share of itself in a round.
    max_iterations : rounds at most.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or a value is infinite.

    References
    ----------
    Tipping & Bishop 1999, section 3.3; Ilin & Raiko 2010, equations 14-20 and section 4 (the prior, found to
    matter: without it, twenty faces with gaps are overfitted by any number of components); Liu, Rubin & Wu
    1998 (parameter expansion).
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
    converged, iterations, before = False, 0, np.zeros_like(values)
    while not converged and iterations < max_iterations:
        state, explained = _round(state, values, gaps, floor)
        change = float(np.linalg.norm(explained - before))
        converged = change <= tolerance * max(float(np.linalg.norm(explained)), 1e-300)
        before, iterations = explained, iterations + 1
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


def _round(state: _State, values: np.ndarray, gaps: _Gaps, floor: float) -> tuple[_State, np.ndarray]:
    """Return the state after one expectation and one maximisation, and what it explains of the samples."""
    latent, covariance = _expect(state, values, gaps)
    mean, loadings = _maximise(state, values, gaps, latent, covariance)
    explained = latent @ loadings.T
    residual = values - gaps.known * (mean + explained)
    uncertainty = np.einsum("nij,nij->", covariance, _products(loadings, gaps))
    noise = (float(np.sum(residual**2)) + float(uncertainty)) / float(gaps.known.sum())
    # Parameter expansion: what the coefficients turned out to be goes into the loadings, so that they are
    # standard normal again. Plain EM would take ever longer to do so the smaller the noise is.
    center = latent.mean(axis=0)
    deviation = latent - center
    spread = np.linalg.cholesky((deviation.T @ deviation + covariance.sum(axis=0)) / len(latent))
    expanded = _State(mean + loadings @ center, _principal(loadings @ spread), max(noise, floor))
    return expanded, explained


def _expect(state: _State, values: np.ndarray, gaps: _Gaps) -> tuple[np.ndarray, np.ndarray]:
    """Return the posterior means (n, k) and covariances (n, k, k) of the samples' coefficients."""
    identity = np.eye(state.loadings.shape[1])
    inverse = np.linalg.inv(_products(state.loadings, gaps) + state.noise * identity)
    moments = (values - gaps.known * state.mean) @ state.loadings
    return np.einsum("nij,nj->ni", inverse, moments), state.noise * inverse


def _products(loadings: np.ndarray, gaps: _Gaps) -> np.ndarray:
    """Return Σ w wᵀ over the coordinates that each sample has, (n, k, k)."""
    known = (loadings[row > 0] for row in gaps.known)
    return np.stack([rows.T @ rows for rows in known])


def _principal(loadings: np.ndarray) -> np.ndarray:
    """Turn the loadings to principal axes, the strongest first, which the coefficients do not notice."""
    vectors = np.linalg.eigh(loadings.T @ loadings)[1]
    turned: np.ndarray = loadings @ vectors[:, ::-1]
    return turned


def _maximise(
    state: _State, values: np.ndarray, gaps: _Gaps, latent: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Solve for every coordinate's mean and loadings together, one system for each pattern of gaps."""
    n, k = latent.shape
    extended = np.concatenate([latent, np.ones((n, 1))], axis=1)
    moment = extended[:, :, None] * extended[:, None, :]
    moment[:, :k, :k] += covariance
    # a prior on the loadings, as wide as each component's are, decides what too few samples leave open
    widths = np.maximum(np.mean(state.loadings**2, axis=0), 1e-300)
    ridge = np.diag(np.r_[state.noise / widths, 0.0])
    right = extended.T @ values  # (k + 1, d)
    solved = np.empty_like(right)
    for chunk in gaps.chunks():
        inverse = np.linalg.inv(np.tensordot(gaps.patterns[chunk], moment, axes=1) + ridge)
        for pattern in range(chunk.start, chunk.stop):
            columns = gaps.coordinates(pattern)
            solved[:, columns] = inverse[pattern - chunk.start] @ right[:, columns]
    return solved[k], solved[:k].T.copy()


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
    return PCA(mean, basis, variances, noise, total, n, float(n), float(n), notes)
