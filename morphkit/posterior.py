"""The model of what is still possible once some of a shape is known."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from morphkit import gaussian
from morphkit.linear import LinearModel


def posterior(
    model: LinearModel,
    vertex_indices: Int[np.ndarray, " m"],
    points: Float[np.ndarray, "m 3"],
    deviations: float | Float[np.ndarray, " m"] | None = None,
    *,
    covariances: Float[np.ndarray, "m 3 3"] | None = None,
) -> LinearModel:
    """Condition a model on known vertices: a few points, or a whole part of the surface.

    The result is a model like any other, its components turned and narrowed: sample it, project on it,
    condition it again. What the model calls noise stays noise: an observation is believed to be off by its
    own deviation and by the model's, and no observation lessens `noise_variance`.

    Parameters
    ----------
    model : the prior; a marginal serves as well, and keeps its coefficients' meaning in the same way.
    vertex_indices : (m,) observed vertices; one that is observed twice counts twice.
    points : (m, 3) where they are, in the model's frame.
    deviations : the observations' standard deviation along each axis (mm for shapes), one for all or one
        each. Infinite ones say nothing; zero means exact (a millionth of the model's own deviation).
    covariances : (m, 3, 3), instead of `deviations`, where a point is known better in one direction than in
        another.

    Returns
    -------
    As many components, orthonormal if the prior's are, with coefficients of their own.

    Raises
    ------
    ValueError
        If an index is out of range, values are not finite, or a covariance is not symmetric and
        non-negative; or unless exactly one of `deviations` and `covariances` is given.

    References
    ----------
    Albrecht, Lüthi, Gerig & Vetter 2013, Posterior shape models, section 3; the noise as in Tipping & Bishop
    1999.
    """
    spread = checked_covariances(points, deviations, covariances)
    return posterior_at(model, vertex_indices[:, None], np.ones((len(points), 1)), points, spread)


def posterior_at(
    model: LinearModel,
    corners: Int[np.ndarray, "m c"],
    weights: Float[np.ndarray, "m c"],
    points: Float[np.ndarray, "m 3"],
    covariances: Float[np.ndarray, "m 3 3"],
) -> LinearModel:
    """Condition a model on surface points, each the weighted sum of some vertices; see `posterior`.

    Parameters
    ----------
    model : the prior.
    corners : (m, c) vertex indices, such as the corners of the triangles that landmarks lie in.
    weights : (m, c) barycentric weights.
    points : (m, 3) where the points were observed, in the model's frame.
    covariances : (m, 3, 3), positive semi-definite; infinite ones say nothing.
    """
    _check(corners, points, len(model.mean))
    told = np.isfinite(covariances).all(axis=(1, 2))
    if not told.any() or not model.n_components:
        return model
    observed = _observations(model, corners[told], weights[told], points[told], covariances[told])
    found = gaussian.condition(model.basis, model.signal_deviations, observed)
    return LinearModel(
        (model.mean + model.displace(found.shift)).astype(model.mean.dtype),
        np.asfortranarray(model.basis @ found.rotation.astype(model.basis.dtype)),
        np.sqrt(found.variances + model.contained_noise),
        model.noise_variance,
    )


def log_evidence(
    model: LinearModel,
    vertex_indices: Int[np.ndarray, " m"],
    points: Float[np.ndarray, "m 3"],
    deviations: float | Float[np.ndarray, " m"] | None = None,
    *,
    covariances: Float[np.ndarray, "m 3 3"] | None = None,
) -> float:
    """Return the log density of observations under a model, whatever the coefficients (marginal likelihood).

    It tells which of several models, or which deviation, explains the same points best. Parameters are those
    of `posterior`; infinite deviations are not observations, and count nothing.
    """
    spread = checked_covariances(points, deviations, covariances)
    corners, weights = vertex_indices[:, None], np.ones((len(points), 1))
    _check(corners, points, len(model.mean))
    told = np.isfinite(spread).all(axis=(1, 2))
    if not told.any():
        return 0.0
    observed = _observations(model, corners[told], weights[told], points[told], spread[told])
    return gaussian.log_evidence(model.basis, model.signal_deviations, observed)


def checked_covariances(
    points: Float[np.ndarray, "m 3"],
    deviations: float | Float[np.ndarray, " m"] | None,
    covariances: Float[np.ndarray, "m 3 3"] | None = None,
) -> Float[np.ndarray, "m 3 3"]:
    """Return a covariance for each observation, from either description; ValueError says what is wrong."""
    if (deviations is None) == (covariances is None):
        raise ValueError("expected either deviations or covariances of the observations")
    if covariances is None:
        spread = np.broadcast_to(np.asarray(deviations, np.float64), (len(points),))
        if not (spread >= 0).all():
            raise ValueError("deviations: expected non-negative numbers")
        isotropic = np.zeros((len(points), 3, 3))
        isotropic[:, range(3), range(3)] = spread[:, None] ** 2
        return isotropic
    finite = covariances[np.isfinite(covariances).all(axis=(1, 2))]
    tolerance = 1e-9 * np.abs(finite).max(initial=0.0)
    if np.isnan(covariances).any() or np.abs(finite - finite.transpose(0, 2, 1)).max(initial=0) > tolerance:
        raise ValueError("covariances: expected symmetric matrices")
    if len(finite) and np.linalg.eigvalsh(finite).min() < -tolerance:
        raise ValueError("covariances: expected no negative variance in any direction")
    return covariances


def _check(corners: np.ndarray, points: np.ndarray, n_vertices: int) -> None:
    if corners.size and not 0 <= corners.min() <= corners.max() < n_vertices:
        raise ValueError(f"observed vertices go beyond the model's {n_vertices}")
    if len(corners) != len(points):
        raise ValueError(f"{len(corners)} vertices were observed, but at {len(points)} points")
    if not np.isfinite(points).all():
        raise ValueError("points: expected finite coordinates")


def _observations(
    model: LinearModel, corners: np.ndarray, weights: np.ndarray, points: np.ndarray, covariances: np.ndarray
) -> gaussian.Observations:
    """Hold the points against the mean, the model's noise added to their own."""
    expected = np.einsum("mc,mcd->md", weights, model.mean[corners].astype(np.float64))
    exact = max(1e-12 * float(np.mean(model.vertex_deviations() ** 2)), 1e-24)  # what "exact" means
    # the noise of a point between vertices is the weighted mean of theirs
    noise = model.noise_variance * np.sum(weights**2, axis=1) + exact
    spread = covariances + noise[:, None, None] * np.eye(3)
    return gaussian.Observations(corners, weights, points - expected, spread)
