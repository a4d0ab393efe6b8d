"""Faces by chance: of the model, of what a fit leaves open, and of people with given points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.linear import LinearModel
from morphkit.viewer.state import FaceCoefficients


@dataclass(frozen=True, eq=False)
class Pins:
    """Vertices that are held somewhere.

    Attributes
    ----------
    indices : (m,) the vertices.
    points : (m, 3) where they are held, millimetres, in the model's frame.
    deviation : millimetres by which they may give, along each axis; positive.
    """

    indices: Int[np.ndarray, " m"]
    points: Float[np.ndarray, "m 3"]
    deviation: float


def random_group(group: LinearModel, rng: np.random.Generator, limit: float) -> Float[np.ndarray, " k"]:
    """Draw coefficients of people: standard normal, cut off at `limit` standard deviations."""
    drawn: np.ndarray = rng.standard_normal(group.n_components).clip(-limit, limit)
    return drawn


def sampled(
    start: FaceCoefficients, factor: Float[np.ndarray, "k n"], rng: np.random.Generator
) -> FaceCoefficients:
    """Draw a face about another: identity and expression as the factor of their covariance says."""
    moved = factor @ rng.standard_normal(factor.shape[1])
    identity, expression, _ = np.split(
        moved, [len(start.identity), len(start.identity) + len(start.expression)]
    )
    return FaceCoefficients(
        start.identity + _as_long(identity, start.identity),
        start.expression + _as_long(expression, start.expression),
        start.albedo,
    )


def pinned(
    group: LinearModel,
    pins: Pins,
    offset: Float[np.ndarray, "v 3"] | None = None,
    rng: np.random.Generator | None = None,
) -> Float[np.ndarray, " k"]:
    """Return the coefficients of the most probable person whose vertices are where pins hold them.

    Only the pinned rows of the basis are looked at, so this is quick enough to follow a pin that is dragged;
    it is the mean of `morphkit.posterior.posterior` in the model's own coefficients.

    Parameters
    ----------
    group : the identity.
    pins : at least none.
    offset : (v, 3) what an expression adds to each vertex.
    rng : draw one of these people instead, at random.
    """
    rows = (3 * pins.indices[:, None] + np.arange(3)).ravel()
    moves = group.basis[rows].astype(np.float64) * group.signal_deviations
    held = pins.points if offset is None else pins.points - offset[pins.indices]
    residual = (held - group.mean[pins.indices]).ravel()
    variance = pins.deviation**2 + group.noise_variance
    precision = np.eye(group.n_components) + moves.T @ moves / variance
    root = np.linalg.cholesky(precision)
    latent = np.linalg.solve(root.T, np.linalg.solve(root, moves.T @ residual / variance))
    if rng is not None:
        latent = latent + np.linalg.solve(root.T, rng.standard_normal(len(latent)))
    # the model's deviations contain its noise, the latent ones do not
    return latent * group.signal_deviations / np.maximum(group.standard_deviations, 1e-300)


def _as_long(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Return values with zeros for what a posterior does not speak of."""
    return np.append(values, np.zeros(len(like) - len(values)))
