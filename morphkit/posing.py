"""Coefficients of a shape in any pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit import gaussian
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity
from morphkit.linear import LinearModel


@dataclass(frozen=True, eq=False)
class PosedCoefficients:
    """A shape in a model's terms, and the way into the model's frame.

    Attributes
    ----------
    coefficients : (k,) float64, in standard deviations.
    similarity : from the shape's frame to the model's.
    iterations : rounds made.
    converged : whether the pose stood still in the end.
    """

    coefficients: Float[np.ndarray, " k"]
    similarity: Similarity
    iterations: int
    converged: bool


def pose_and_project(
    model: LinearModel,
    vertices: Float[np.ndarray, "v 3"],
    *,
    noise_variance: float = 0.0,
    scale: bool = False,
    weights: Float[np.ndarray, " v"] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 200,
) -> PosedCoefficients:
    """Return the coefficients and the pose whose instance is nearest to a shape in any frame.

    The pose is found for the coefficients and the coefficients for the pose, in turn; each step lessens
    Σ weight · |similarity(vertex) − instance|² + noise_variance · |coefficients|².

    Parameters
    ----------
    model : the statistics of shapes.
    vertices : (v, 3) in any frame.
    noise_variance : as for `LinearModel.project`, in the model's frame.
    scale : whether the shape may have another unit or size; then some `noise_variance` is wise, because a
        model of heads of all sizes explains size as well.
    weights : (v,) non-negative, zero where a vertex is not known; uniform when None.
    tolerance : the pose stands still when no vertex moves by more than this share of the shape's size.
    max_iterations : rounds at most.

    Raises
    ------
    ValueError
        If the weights are negative or none is positive.
    """
    share = np.ones(len(vertices)) if weights is None else weights.astype(np.float64)
    if not (share >= 0).all() or not share.any():
        raise ValueError("weights: expected non-negative numbers, not all of them zero")
    known = share > 0
    shape, rows = vertices[known], np.repeat(known, 3)
    basis, row_weights = model.basis[rows] if not known.all() else model.basis, np.repeat(share[known], 3)
    gram = gaussian.cross_gram(basis, basis, row_weights)
    mean = model.mean[known].astype(np.float64)
    limit = tolerance * float(np.ptp(mean, axis=0).max(initial=0.0))
    instance, posed = mean, np.full_like(mean, np.inf)
    coefficients, similarity = np.zeros(model.n_components), Similarity.identity()
    converged, iterations = False, 0
    while not converged and iterations < max_iterations:
        similarity = fit_similarity(shape, instance, share[known], scale=scale)
        before, posed = posed, similarity.apply(shape)
        seen = gaussian.moments(basis, (posed - mean) * share[known, None])
        coefficients = gaussian.solve_coefficients(gram, seen, model.standard_deviations, noise_variance)
        moved = basis @ (model.standard_deviations * coefficients).astype(basis.dtype)
        instance = mean + moved.astype(np.float64).reshape(-1, 3)
        converged, iterations = bool(np.abs(posed - before).max() <= limit), iterations + 1
    return PosedCoefficients(coefficients, similarity, iterations, converged)
