"""Laws of the posterior: what the prior allows, what alignment takes away, and what samples show."""

from dataclasses import replace

import numpy as np
import pytest
from fitting_head import small_head

from morphkit.fitting import FitSettings
from morphkit.fitting.landmark import POSE
from morphkit.fitting.uncertainty import face_posterior, shape_factor, vertex_deviations
from morphkit.fitting.window import Window
from morphkit.geometry.normals import vertex_normals


@pytest.fixture(scope="module")
def head():
    return small_head(4, 3, 2)


@pytest.fixture
def posterior(rng):
    root = rng.normal(size=(60, POSE + 7))
    prior = np.diag(np.r_[np.full(POSE, 1e-3), np.ones(7)])
    return face_posterior(root.T @ root + prior, 4, 3, 1.0)


def test_a_photo_that_says_nothing_leaves_the_prior():
    told = face_posterior(np.diag(np.r_[np.full(POSE, 1e-6), np.ones(7)]), 4, 3, 1.0)
    assert np.allclose(told.shape_covariance, np.eye(7))


def test_evidence_on_shape_and_pose_together_is_the_inverse_of_the_whole(rng):
    root = rng.normal(size=(40, POSE + 7))
    precision = root.T @ root * np.outer(*[np.geomspace(1e-3, 1e3, POSE + 7)] * 2)
    told = face_posterior(precision, 4, 3, 2.0)
    assert np.allclose(told.covariance @ precision, 4.0 * np.eye(POSE + 7), atol=1e-6)
    held = np.linalg.inv(precision[POSE:, POSE:])  # with the pose known, the shape is known better
    assert (np.linalg.eigvalsh(told.shape_covariance - 4.0 * held) > -1e-9).all()


def test_no_motion_of_the_whole_face_is_left(head, posterior):
    vertices = head.instance()
    factor = shape_factor(head, vertices, posterior)[head.masks["face"]]
    centred = vertices[head.masks["face"]] - vertices.mean(axis=0)
    assert np.allclose(factor.sum(axis=0), 0.0, atol=1e-8)
    assert np.allclose(np.einsum("vd,vdk->k", centred, factor), 0.0, atol=1e-6)  # scale
    turning = np.cross(centred[:, None], factor.transpose(0, 2, 1)).sum(axis=0)
    assert np.allclose(turning, 0.0, atol=1e-6)


def test_deviations_are_those_of_samples_along_the_normal(head, posterior, rng):
    vertices = head.instance()
    factor = shape_factor(head, vertices, posterior)
    drawn = np.einsum("vdk,nk->nvd", factor, rng.standard_normal((4000, factor.shape[2])))
    along = np.einsum("nvd,vd->nv", drawn, vertex_normals(vertices, head.faces))
    told = vertex_deviations(head, vertices, posterior, 0.0)
    assert np.allclose(along.std(axis=0), told, rtol=0.06, atol=1e-6)
    more = vertex_deviations(head, vertices, posterior, 0.7)
    assert np.allclose(more**2, told**2 + 0.49)


def test_a_window_is_spread_over_its_place_in_the_photo():
    window = Window(np.zeros((40, 40, 3), np.float32), np.ones((40, 40), bool), 10.0, -5.0, 2.0)
    values = np.zeros((40, 40), np.float32)
    values[:, 20:] = 0.5
    spread = window.spread(values, 50, 60)
    assert spread.shape == (50, 60)
    assert (spread[:15, 10:19] == 0).all()
    assert (spread[:14, 21:29] == 0.5).all()
    assert (spread[16:] == 1).all()
    assert (spread[:, 31:] == 1).all()
    assert (spread[:, :10] == 1).all()


def test_wild_expressions_are_held_to_what_photos_show(head):
    wild = replace(
        head,
        expression=replace(head.expression, standard_deviations=30 * head.expression.standard_deviations),
    )
    spread = float(np.sqrt((wild.expression.vertex_deviations()[head.masks["face"]] ** 2).mean()))
    settings = FitSettings()
    settings = replace(settings, landmark=replace(settings.landmark, expression_spread=spread / 3))
    told = settings.for_model(wild)
    assert told.landmark.expression_weight == pytest.approx(9.0 * settings.landmark.expression_weight)
    assert told.for_model(wild) == told
    tame = replace(settings, landmark=replace(settings.landmark, expression_spread=2 * spread))
    assert tame.for_model(wild).landmark.expression_weight == settings.landmark.expression_weight
