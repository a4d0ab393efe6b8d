"""Algebra of linear Gaussian models on plain arrays: float64 sums over float32 bases, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_ROWS = 1 << 14  # of a basis at a time: float64 accumulation without a float64 copy


@dataclass(frozen=True, eq=False)
class Observations:
    """Points that are weighted sums of vertices, and what is known of where they lie.

    Attributes
    ----------
    corners : (m, c) vertex indices.
    weights : (m, c) how much of each; one column of ones for vertices themselves.
    residuals : (m, 3) observed minus expected.
    covariances : (m, 3, 3) of the observations, positive definite.
    """

    corners: np.ndarray
    weights: np.ndarray
    residuals: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True, eq=False)
class Conditional:
    """A Gaussian over k latent values after observations.

    Attributes
    ----------
    shift : (k,) the new mean, in units of the old loadings' columns (basis coordinates).
    rotation : (k, k) orthogonal; column j is the new axis j in the old axes.
    variances : (k,) along the new axes, descending.
    """

    shift: np.ndarray
    rotation: np.ndarray
    variances: np.ndarray


def moments(basis: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return basisᵀ residual, in float64; summed in blocks so that float32 loses nothing over 10^5 terms."""
    flat = residual.reshape(-1)
    total = np.zeros(basis.shape[1])
    for block in row_blocks(len(flat)):
        total += flat[block].astype(np.float64) @ basis[block].astype(np.float64)
    return total


def cross_gram(a: np.ndarray, b: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return aᵀ diag(weights) b in float64, summed in blocks; the weights are one per row."""
    total = np.zeros((a.shape[1], b.shape[1]))
    for block in row_blocks(len(a)):
        left = a[block].astype(np.float64)
        right = left if b is a else b[block].astype(np.float64)
        total += (left.T if weights is None else (left * weights[block, None]).T) @ right
    return total


def row_blocks(count: int) -> Iterator[slice]:
    """Yield slices that cover ``range(count)``, some at a time."""
    for start in range(0, count, _ROWS):
        yield slice(start, min(start + _ROWS, count))


def solve_coefficients(
    gram: np.ndarray, seen: np.ndarray, deviations: np.ndarray, noise_variance: float
) -> np.ndarray:
    """Return the least-norm c of min |r − B σ c|² + noise_variance |c|²; gram is BᵀB, seen is Bᵀr."""
    normal = deviations[:, None] * gram * deviations + noise_variance * np.eye(len(deviations))
    solution: np.ndarray = np.linalg.lstsq(normal, deviations * seen, rcond=None)[0]
    return solution


def condition(basis: np.ndarray, deviations: np.ndarray, observed: Observations) -> Conditional:
    """Condition x = basis · (deviations ⊙ z), z standard normal, on observations of x.

    Works on the square root of the normal equations (a running QR), so that a nearly exact observation
    beside a vague one loses no digits.

    Parameters
    ----------
    basis : (3v, k) rows xyz interleaved.
    deviations : (k,) non-negative.
    observed : at least one observation.
    """
    k = len(deviations)
    root = _evidence_root(basis, deviations, observed)
    # A = U S Vᵀ: the latent covariance is V (1 + S²)⁻¹ Vᵀ, its mean V S (1 + S²)⁻¹ Uᵀ r
    left, strengths, right = np.linalg.svd(root[:k, :k])
    latent = right.T @ (strengths / (1 + strengths**2) * (left.T @ root[:k, k]))
    spread = deviations[:, None] * right.T / np.sqrt(1 + strengths**2)
    rotation, roots, _ = np.linalg.svd(spread)
    largest = np.take_along_axis(rotation, np.abs(rotation).argmax(axis=0)[None], axis=0)
    return Conditional(deviations * latent, rotation * np.where(largest < 0, -1.0, 1.0), roots**2)


def log_evidence(basis: np.ndarray, deviations: np.ndarray, observed: Observations) -> float:
    """Return the log density of observations of x = basis · (deviations ⊙ z) with z standard normal."""
    k = len(deviations)
    root = _evidence_root(basis, deviations, observed)
    # with A = Q R: |C| = |N| |1 + RᵀR|, rᵀ C⁻¹ r = ρ² + qᵀ (1 + R Rᵀ)⁻¹ q
    left, strengths, _ = np.linalg.svd(root[:k, :k])
    within = np.sum((left.T @ root[:k, k]) ** 2 / (1 + strengths**2))
    noise = float(np.sum(np.linalg.slogdet(observed.covariances)[1]))
    determinant = noise + float(np.sum(np.log1p(strengths**2)))
    count = observed.residuals.size
    return -0.5 * (count * float(np.log(2 * np.pi)) + determinant + float(within + root[k, k] ** 2))


def _evidence_root(basis: np.ndarray, deviations: np.ndarray, observed: Observations) -> np.ndarray:
    """Return the triangle R, (k + 1, k + 1), with RᵀR = [A r]ᵀ[A r] for the whitened rows and residuals."""
    k = len(deviations)
    root = np.zeros((k + 1, k + 1))
    step = max(1, _ROWS // 12)
    for start in range(0, len(observed.corners), step):
        part = slice(start, start + step)
        rows = np.concatenate(
            [observed_rows(basis, observed, part) * deviations, observed.residuals[part, :, None]], axis=2
        )
        whitened = np.linalg.solve(np.linalg.cholesky(observed.covariances[part]), rows)
        root = np.asarray(np.linalg.qr(np.concatenate([root, whitened.reshape(-1, k + 1)]), mode="r"))
    return root


def observed_rows(basis: np.ndarray, observed: Observations, part: slice) -> np.ndarray:
    """Return the basis at some of the observed points, (m, 3, k) float64."""
    corners, weights = observed.corners[part], observed.weights[part]
    total = np.zeros((len(corners), 3, basis.shape[1]))
    for corner, weight in zip(corners.T, weights.T, strict=True):
        total += weight[:, None, None] * basis[3 * corner[:, None] + np.arange(3)].astype(np.float64)
    return total
