"""A fit that starts from another estimate: how far it is believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from predicting import shot, small_head

from morphkit.fitting import FitSettings, fit_image
from morphkit.fitting.contour import landmark_observer
from morphkit.fitting.initial import InitialFace
from morphkit.fitting.landmark import POSE, FocalPrior, LandmarkEnergy
from morphkit.fitting.seen import seen_ibug68
from morphkit.fitting.settings import LandmarkSettings, PhotometricSettings

SPARSE = FitSettings(photometric=None)
QUICK = FitSettings(photometric=PhotometricSettings(sizes=(48,)))


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def taken(head):
    return shot(head)


@pytest.fixture(scope="module")
def someone():
    return np.random.default_rng(3).normal(size=12)


def fitted(head, taken, settings=SPARSE, init=None):
    return fit_image(taken[0], head, landmarks=taken[1], settings=settings, init=init)


@pytest.mark.parametrize("settings", [SPARSE, QUICK], ids=["landmarks", "colours"])
def test_who_is_certain_is_believed(head, taken, someone, settings):
    sure = InitialFace(someone, np.full(12, 1e-4), name="weights.pt")
    result = fitted(head, taken, settings, sure)
    assert np.abs(result.identity - someone).max() < 2e-3
    assert np.abs(fitted(head, taken, settings).identity - someone).max() > 0.5
    assert result.posterior.shape_covariance[0, 0] < 1e-5
    assert result.notes[-1].endswith("weights.pt predicted, and was drawn to its identity.")


@pytest.mark.parametrize("settings", [SPARSE, QUICK], ids=["landmarks", "colours"])
def test_who_knows_nothing_changes_nothing(head, taken, someone, settings):
    """It moves where the fit starts, and so where within the tolerance it ends, but not what it minimises."""
    plain, other = (
        fitted(head, taken, settings),
        fitted(head, taken, settings, InitialFace(0.3 * someone, np.full(12, 1e3))),
    )
    assert np.abs(other.identity - plain.identity).max() < 0.06
    assert np.abs(other.vertices - plain.vertices).mean() < 0.1
    assert np.allclose(
        np.diag(other.posterior.shape_covariance), np.diag(plain.posterior.shape_covariance), rtol=0.1
    )


def test_a_start_at_the_plain_ones_start_is_the_plain_fit_bit_for_bit(head, taken):
    plain = fitted(head, taken)
    for init in (InitialFace(np.zeros(12)), InitialFace(np.zeros(3), np.full(3, 5.0), np.zeros(2))):
        other = fitted(head, taken, init=init)
        assert np.array_equal(other.identity, plain.identity)
        assert np.array_equal(other.camera.R, plain.camera.R)


def test_the_truth_helps_the_colours_as_far_as_it_is_sure(head, taken):
    truth = taken[2].face.identity
    errors = [
        np.linalg.norm(fitted(head, taken, QUICK, InitialFace(truth, np.full(12, s))).identity - truth)
        for s in (2.0, 0.7, 0.3, 0.1)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_landmarks_say_nothing_of_an_identity_that_has_counted_them(head, taken, someone):
    deviations = np.r_[np.full(6, 0.5), np.full(6, 2.0)]
    result, plain = fitted(head, taken, init=InitialFace(someone, deviations)), fitted(head, taken)
    assert np.array_equal(result.identity[:6], someone[:6])
    assert np.abs(result.identity[6:] - someone[6:]).min() > 1e-3
    found = np.sqrt(np.diag(result.posterior.shape_covariance))
    assert np.allclose(found[:6], FitSettings().inflation * 0.5)
    assert (found[6:] < FitSettings().inflation).all()
    assert result.landmark_error < 0.1
    assert np.abs(result.expression - plain.expression).max() > 1e-3


def test_an_estimate_replaces_the_prior_where_it_is_surer():
    """By hand: N(0.6, 0.5²) stands for N(0, 1); of one that is 2 off, N(0, 1) stays."""
    init = InitialFace(np.array([0.6, 0.9, 0.1]), np.array([0.5, 2.0, 1.0]))
    mean, precision = init.identity_prior(1.0)
    assert np.array_equal(mean, [0.6, 0.0, 0.0])
    assert np.array_equal(precision, [4.0, 1.0, 1.0])
    mean, precision = init.identity_prior(9.0)  # someone who holds identity tighter than any estimate
    assert not mean.any()
    assert np.array_equal(precision, [9.0] * 3)
    start = InitialFace(np.array([0.6]))
    assert [x.tolist() for x in start.identity_prior(2.0)] == [[0.0], [2.0]]


def test_the_energys_slope_is_its_derivative(head, taken, someone):
    init = InitialFace(someone, np.linspace(0.1, 1.5, 12)).for_model(head)
    seen = seen_ibug68(taken[1], 2.0, LandmarkSettings())
    face = replace(taken[2].face, identity=0.5 * someone)
    observed = landmark_observer(head, seen)(face)
    energy = LandmarkEnergy(observed, FocalPrior(300.0, 0.3), LandmarkSettings(huber=1e9), initial=init)
    _, slope = energy.normal_equations(face)
    h = 1e-5
    for k in range(12):
        step = np.zeros(POSE + 16)
        step[POSE + k] = h
        numeric = (energy.energy(face.moved(step)) - energy.energy(face.moved(-step))) / (4 * h)
        assert slope[POSE + k] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_more_coefficients_than_the_model_has_and_other_nonsense_are_refused(head, taken):
    with pytest.raises(ValueError, match="at most 12 and 4 coefficients, got 13 and 0"):
        fitted(head, taken, init=InitialFace(np.zeros(13)))
    with pytest.raises(ValueError, match="at most 12 and 4 coefficients, got 1 and 5"):
        fitted(head, taken, init=InitialFace(np.zeros(1), None, np.zeros(5)))
    with pytest.raises(ValueError, match="0 or more"):
        InitialFace(np.zeros(3), np.full(3, np.nan))
    with pytest.raises(ValueError, match="finite"):
        InitialFace(np.array([np.inf]))
    with pytest.raises(ValueError, match="finite"):
        InitialFace(np.zeros(1), None, np.array([np.nan]))
