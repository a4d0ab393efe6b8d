"""How probable coefficients and shapes are under a linear model."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit import gaussian
from morphkit.linear import LinearModel


def log_probability(coefficients: Float[np.ndarray, " c"]) -> float:
    """Return the log density of coefficients, which are standard normal; components beyond c are left open.

    How many standard deviations they are from the mean is their norm.
    """
    return -0.5 * float(coefficients @ coefficients + len(coefficients) * np.log(2 * np.pi))


def mahalanobis(model: LinearModel, values: Float[np.ndarray, "v 3"]) -> float:
    """Return how many standard deviations a shape is from the mean, what the basis cannot say included.

    The root of rᵀ C⁻¹ r, with C the covariance of probabilistic PCA. For shapes of the model's own kind, its
    square is χ² distributed with 3v degrees of freedom. `project` with ``noise_variance=None`` tells which
    coefficients such a shape has.

    Raises
    ------
    ValueError
        If the model has no noise variance: what lies outside of its basis is then impossible.
    """
    return float(np.sqrt(_squared_distance(model, values)[0]))


def log_likelihood(model: LinearModel, values: Float[np.ndarray, "v 3"]) -> float:
    """Return the log density of a shape under probabilistic PCA (Tipping & Bishop 1999, section 3.2).

    Raises
    ------
    ValueError
        If the model has no noise variance; see `mahalanobis`.
    """
    squared, log_determinant = _squared_distance(model, values)
    return -0.5 * (model.mean.size * float(np.log(2 * np.pi)) + log_determinant + squared)


def _squared_distance(model: LinearModel, values: np.ndarray) -> tuple[float, float]:
    """Return rᵀ C⁻¹ r and log |C|, through the k × k matrix σ² I + Wᵀ W (Woodbury)."""
    noise = model.noise_variance
    if not noise > 0:
        raise ValueError("the model has no noise variance, so a shape outside of its span has no density")
    residual = values - model.mean.astype(np.float64)
    signal = model.signal_deviations
    inner = signal[:, None] * model.gram * signal + noise * np.eye(model.n_components)
    seen = signal * gaussian.moments(model.basis, residual)
    squared = (float(np.sum(residual**2)) - float(seen @ np.linalg.solve(inner, seen))) / noise
    outside = (model.mean.size - model.n_components) * float(np.log(noise))
    return max(squared, 0.0), outside + float(np.linalg.slogdet(inner)[1])
