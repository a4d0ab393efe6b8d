"""Shape in closed form: exact where the points are, the prior where they say nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitting_head import small_head

from morphkit.fitting.linear import fit_pose_and_shape_linear, fit_shape_linear
from morphkit.fitting.points import PointModel, landmark_points
from morphkit.fitting.pose import Pose, rotation_matrix

CENTRE = np.array([128.0, 120.0])


@pytest.fixture(scope="module")
def points() -> PointModel:
    head = small_head()
    return landmark_points(head, head.landmarks["ibug68"])


@pytest.fixture
def pose() -> Pose:
    rotation = rotation_matrix(np.array([0.1, 0.4, -0.05])) @ np.diag([1.0, -1.0, -1.0])
    return Pose(rotation, np.array([12.0, -7.0]), 0.9, 300.0, CENTRE)


@pytest.fixture
def truth(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=12), rng.normal(size=4)


def test_exact_points_of_a_near_camera_give_the_coefficients(points, pose, truth):
    """Perspective and all: 300 pixels of focal length are 33 cm."""
    pixels = pose.project(points.at(*truth))
    found = fit_shape_linear(points, pixels, np.full(68, 1e-5), pose)
    assert np.allclose(found.identity, truth[0], atol=1e-5)
    assert np.allclose(found.expression, truth[1], atol=1e-5)


def test_points_that_say_nothing_leave_the_mean(points, pose, truth):
    found = fit_shape_linear(points, pose.project(points.at(*truth)), np.full(68, 1e6), pose)
    assert np.abs(found.identity).max() < 1e-6
    assert np.allclose(found.precision, np.eye(16), atol=1e-6)


def test_the_posterior_of_an_orthographic_camera_is_the_gaussian_one(points, pose, rng):
    """Mean and covariance by conditioning the joint Gaussian (Bishop 2006, eq. 2.81)."""
    far = replace(pose, focal=1e9)
    pixels = far.project(points.mean) + rng.normal(size=(68, 2))
    deviations = rng.uniform(0.5, 3.0, size=68)
    found = fit_shape_linear(points, pixels, deviations, far, identity_weight=2.0)
    basis = np.concatenate([points.identity, points.expression], axis=2)
    rows = (far.scale * far.rotation[:2] @ basis).reshape(136, 16)
    prior = np.diag(np.repeat([0.5, 1.0], [12, 4]))
    noise = np.diag(np.repeat((far.scale * deviations) ** 2, 2))
    gain = prior @ rows.T @ np.linalg.inv(rows @ prior @ rows.T + noise)
    expected = gain @ (pixels - far.project(points.mean)).ravel()
    assert np.allclose(np.concatenate([found.identity, found.expression]), expected, atol=1e-5)
    assert np.allclose(np.linalg.inv(found.precision), prior - gain @ rows @ prior, atol=1e-6)


def test_unknown_points_are_left_out(points, pose, truth):
    pixels = pose.project(points.at(*truth))
    pixels[10:20] = np.nan
    kept = np.r_[0:10, 20:68]
    holes = fit_shape_linear(points, pixels, np.ones(68), pose)
    fewer = fit_shape_linear(points.take(kept), pixels[kept], np.ones(58), pose)
    assert np.array_equal(holes.identity, fewer.identity)


def test_pose_and_shape_in_turns(points, pose, truth):
    """Each turn explains the points better; pixels."""
    far = replace(pose, focal=1e6)
    pixels = far.project(points.at(*truth))
    errors = []
    for rounds in (1, 3, 10):
        found, shape = fit_pose_and_shape_linear(
            points, pixels, np.full(68, 0.3), focal=1e6, centre=CENTRE, rounds=rounds
        )
        drawn = found.project(points.at(shape.identity, shape.expression))
        errors.append(np.linalg.norm(drawn - pixels, axis=1).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.45


def test_a_model_without_expressions(points, pose, truth):
    plain = replace(points, expression=np.zeros((68, 3, 0)))
    found = fit_shape_linear(plain, pose.project(plain.at(truth[0], np.zeros(0))), np.full(68, 1e-5), pose)
    assert np.allclose(found.identity, truth[0], atol=1e-5)
    assert found.expression.shape == (0,)


def test_what_does_not_fit_together_is_refused(points, pose, truth):
    pixels = pose.project(points.at(*truth))
    with pytest.raises(ValueError, match="got 67, 68 and 68"):
        fit_shape_linear(points.take(np.arange(67)), pixels, np.ones(68), pose)
    with pytest.raises(ValueError, match="deviations: expected positive millimetres, got 0"):
        fit_shape_linear(points, pixels, np.zeros(68), pose)
    with pytest.raises(ValueError, match="rounds: expected at least 1, got 0"):
        fit_pose_and_shape_linear(points, pixels, np.ones(68), focal=1e3, centre=CENTRE, rounds=0)
    few = np.where(np.arange(68)[:, None] < 5, pixels, np.nan)
    with pytest.raises(ValueError, match="at least 6 points, got 5"):
        fit_pose_and_shape_linear(points, few, np.ones(68), focal=1e3, centre=CENTRE)
