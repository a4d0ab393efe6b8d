"""What albedo and light cannot explain of a photo's colours: a Gaussian process on the surface.

A model's albedo knows the freckles, brows, shine and shadows of nobody in particular. What it leaves is alike
in neighbouring pixels, and left and right: such a difference says next to nothing about the shape, one that
the two sides do not share says a lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float

from morphkit.fitting import _unexplained_kernels as kernels
from morphkit.fitting.settings import UnexplainedSettings

_NEAR, _FAR = (1.0, 6.0), (10.0, 18.0)  # millimetres; pairs that tell the fine and the coarse variance
_PAIRS_OF = 1000  # pixels whose pairs are looked at
_LEAST_WEIGHT = 1e-3

# Brightness, and two differences of colours.
_OPPONENT = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
_OPPONENT /= np.linalg.norm(_OPPONENT, axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Whitening:
    """Makes colour residuals of n pixels independent, of unit deviation.

    Attributes
    ----------
    root : (n, n) upper triangular, rootᵀ root the covariance of the pixels' brightness.
    colors : (3, 3) onto brightness and colour, each over its deviation relative to brightness.
    """

    root: Float[np.ndarray, "n n"]
    colors: Float[np.ndarray, "3 3"]

    def __call__(self, values: Float[np.ndarray, "n 3 k"]) -> Float[np.ndarray, "m k"]:
        """Return residuals, or their derivatives, whitened; m = 3 n."""
        turned = self.colors.astype(np.float32) @ values.astype(np.float32, copy=False)
        flat = turned.reshape(len(self.root), -1)
        white = scipy.linalg.solve_triangular(
            self.root, flat, trans="T", overwrite_b=True, check_finite=False
        )
        rows: np.ndarray = white.reshape(-1, values.shape[2])
        return rows


def whiten(
    points: Float[np.ndarray, "n 3"],
    scales: Float[np.ndarray, " n"],
    residuals: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"],
    settings: UnexplainedSettings,
) -> Whitening:
    """Return the whitening of residuals of colour, their variances estimated from the residuals themselves.

    Parameters
    ----------
    points : on the model's mean surface, head frame, millimetres.
    scales : colour that the pixels would show of a face without features, in units of the residuals; what is
        unexplained is a share of it.
    residuals : drawn minus photographed colour.
    weights : 0..1 of the pixels; one of weight w is worth as much as one with noise of its own.
    settings : lengths, deviations and symmetry.
    """
    shares = residuals @ _OPPONENT[0] / scales
    fine, coarse = _variances(points, shares, weights, settings)
    noise = settings.noise_deviation**2
    covariance = np.empty((len(points), len(points)), dtype=np.float32)
    kernels.surface_covariance(
        points.astype(np.float32),
        scales.astype(np.float32),
        np.array([fine, coarse], np.float32),
        np.array([settings.fine_length, settings.coarse_length], np.float32),
        np.float32(settings.symmetry),
        covariance,
    )
    doubt = (fine + coarse + noise) * (1.0 / np.maximum(weights, _LEAST_WEIGHT) - 1.0)
    covariance[np.diag_indices(len(points))] += (scales**2 * (noise + doubt)).astype(np.float32)
    # The lower triangle by rows is the upper one by columns, as LAPACK wants it.
    root = scipy.linalg.cholesky(covariance.T, lower=False, overwrite_a=True, check_finite=False)
    relative = np.array([1.0, settings.chroma, settings.chroma])
    return Whitening(root, _OPPONENT / relative[:, None])


def _variances(
    points: Float[np.ndarray, "n 3"],
    shares: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
    settings: UnexplainedSettings,
) -> tuple[float, float]:
    """Return the fine and the coarse variance, from products of residuals at two ranges of distances.

    Not below the settings' own: a fit bends to what it cannot explain, so that its residuals say too little.
    """
    most = settings.most_deviation**2
    chosen = np.linspace(0, len(points) - 1, min(len(points), _PAIRS_OF)).astype(int)
    points, shares, weights = points[chosen], shares[chosen], weights[chosen]
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    products = shares[:, None] * shares

    def mean(low: float, high: float) -> tuple[float, float]:
        pairs = (distances > low) & (distances < high)
        trust = pairs * weights[:, None] * weights
        total = float(trust.sum())
        if total == 0.0:
            return 0.0, 0.5 * (low + high)
        return float((trust * products).sum()) / total, float((trust * distances).sum()) / total

    far, far_distance = mean(*_FAR)
    far *= float(np.exp(far_distance / settings.coarse_length))
    coarse = float(np.clip(far, settings.coarse_deviation**2, most))
    near, near_distance = mean(*_NEAR)
    near -= coarse * float(np.exp(-near_distance / settings.coarse_length))
    near *= float(np.exp(near_distance / settings.fine_length))
    return float(np.clip(near, settings.fine_deviation**2, most)), coarse
