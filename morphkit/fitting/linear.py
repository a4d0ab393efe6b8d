"""Shape from landmarks in closed form: the camera's equation is linear in the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from morphkit.fitting.points import PointModel
from morphkit.fitting.pose import Pose, scaled_orthographic


@dataclass(frozen=True, eq=False)
class LinearShape:
    """Result of `fit_shape_linear`: a Gaussian over the coefficients.

    Attributes
    ----------
    identity, expression : the posterior mean, standard deviations.
    precision : (k, k) the inverse of the posterior's covariance, over (identity, expression).
    """

    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    precision: Float[np.ndarray, "k k"]


def fit_shape_linear(
    points: PointModel,
    pixels: Float[np.ndarray, "n 2"],
    deviations: Float[np.ndarray, " n"],
    pose: Pose,
    *,
    identity_weight: float = 1.0,
    expression_weight: float = 1.0,
) -> LinearShape:
    """Return the most probable identity and expression for points seen by a known camera.

    A point X seen at pixel p obeys ``(p − centre) · (1 + scale · Y_z / focal) = scale · Y_xy + offset`` with
    Y = rotation · X: linear in X, and so in the coefficients, for a perspective camera as for an orthographic
    one. Each row is divided by the mean face's depth, so that what is squared is nearly the distance in
    pixels. Least squares with a Gaussian prior then has one solution (Aldrian & Smith 2013, section 3.1, who
    take an affine camera).

    Parameters
    ----------
    points : the model's n points.
    pixels : where they were seen; rows of NaN are left out.
    deviations : of each point, millimetres on the face.
    pose : the camera.
    identity_weight, expression_weight : of the squared coefficients; 1 is the model's own prior.

    Raises
    ------
    ValueError
        When the points, pixels and deviations are not as many, or a deviation is not positive.
    """
    _check(points, pixels, deviations)
    known = np.isfinite(pixels).all(axis=1)
    if not known.all():
        points, pixels, deviations = points.take(np.flatnonzero(known)), pixels[known], deviations[known]
    i, e = points.identity.shape[2], points.expression.shape[2]
    rows, misses = _equations(points, pixels, deviations, pose)
    prior = np.repeat([identity_weight, expression_weight], [i, e])
    precision = rows.T @ rows
    precision.flat[:: i + e + 1] += prior
    found = cho_solve(cho_factor(precision, check_finite=False), rows.T @ misses, check_finite=False)
    return LinearShape(found[:i], found[i:], precision)


def fit_pose_and_shape_linear(
    points: PointModel,
    pixels: Float[np.ndarray, "n 2"],
    deviations: Float[np.ndarray, " n"],
    *,
    focal: float,
    centre: Float[np.ndarray, "2"],
    rounds: int = 2,
) -> tuple[Pose, LinearShape]:
    """Return pose and shape, each in closed form for the other, in turns from the mean face.

    Parameters
    ----------
    points, pixels, deviations : as for `fit_shape_linear`.
    focal : focal length, pixels.
    centre : principal point, pixels.
    rounds : of turns.

    Raises
    ------
    ValueError
        With fewer than `morphkit.fitting.pose.MIN_POINTS` known points, or without rounds.
    """
    if rounds < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds}")
    _check(points, pixels, deviations)
    known = np.flatnonzero(np.isfinite(pixels).all(axis=1))
    points, pixels, deviations = points.take(known), pixels[known], deviations[known]
    places = points.mean
    for _ in range(rounds):
        pose = scaled_orthographic(places, pixels, 1.0 / deviations**2, focal=focal, centre=centre)
        shape = fit_shape_linear(points, pixels, deviations, pose)
        places = points.at(shape.identity, shape.expression)
    return pose, shape


def _equations(
    points: PointModel, pixels: Float[np.ndarray, "n 2"], deviations: Float[np.ndarray, " n"], pose: Pose
) -> tuple[Float[np.ndarray, "m k"], Float[np.ndarray, " m"]]:
    """Return A and b, in standard deviations, of A · coefficients = b."""
    from_centre = pixels - pose.centre
    tilt = from_centre[:, :, None] * (pose.rotation[2] / pose.focal)
    by_point = pose.scale * (pose.rotation[:2] - tilt)
    depth = 1.0 + pose.scale / pose.focal * (points.mean @ pose.rotation[2])
    weight = 1.0 / (deviations * pose.scale * depth)
    by_point *= weight[:, None, None]
    basis = np.concatenate([points.identity, points.expression], axis=2)
    misses = weight[:, None] * (from_centre - pose.offset) - np.einsum("nij,nj->ni", by_point, points.mean)
    return (by_point @ basis).reshape(2 * len(pixels), -1), misses.ravel()


def _check(points: PointModel, pixels: Float[np.ndarray, "n 2"], deviations: Float[np.ndarray, " n"]) -> None:
    if not len(points.mean) == len(pixels) == len(deviations):
        raise ValueError(
            f"points, pixels and deviations: expected as many of each, got {len(points.mean)}, {len(pixels)} "
            f"and {len(deviations)}"
        )
    if not (deviations > 0).all():
        raise ValueError(f"deviations: expected positive millimetres, got {deviations.min()}")
