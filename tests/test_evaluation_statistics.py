"""Landmark errors, calibration and verification: numbers by hand, and laws that draws must obey."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_head import POINTS68
from scipy.spatial.distance import pdist, squareform
from scipy.stats import norm

from morphkit.evaluation import (
    gaussian_calibration,
    identity_distances,
    landmark_errors,
    sample_calibration,
    verify_identities,
    within_covariance,
)

EYES = 88.0  # between the outer corners of POINTS68


def test_landmark_errors_by_hand():
    truth = np.stack([POINTS68, POINTS68]).astype(float)
    shifted = POINTS68 + np.array([3.0, 4.0])
    outline_off = POINTS68 + np.where(np.arange(68)[:, None] < 17, [0.0, 10.0], 0.0)
    inner = landmark_errors([shifted, outline_off], truth)
    np.testing.assert_allclose(inner.errors, [5 / EYES, 0])
    every = landmark_errors([shifted, outline_off], truth, subset="all")
    np.testing.assert_allclose(every.errors, [5 / EYES, 10 * 17 / 68 / EYES])
    assert every.mean == pytest.approx(7.5 / 2 / EYES)
    box = np.hypot(140, 46 + 70)  # from ear to ear, from brow to chin
    found = landmark_errors([shifted, None], truth, normalization="box")
    np.testing.assert_allclose(found.errors, [5 / box, np.inf])
    pupils = np.mean([x for x, _ in POINTS68[42:48]]) - np.mean([x for x, _ in POINTS68[36:42]])
    np.testing.assert_allclose(
        landmark_errors([shifted], truth[:1], normalization="pupils").errors, 5 / pupils
    )


def test_missing_landmarks_are_failures():
    truth = np.stack([POINTS68] * 4).astype(float)
    partly = POINTS68.astype(float).copy()
    partly[40] = np.nan
    close = POINTS68 + np.array([EYES * 0.02, 0])
    found = landmark_errors([close, None, partly, POINTS68 + np.array([EYES * 0.2, 0])], truth, threshold=0.1)
    assert found.missing == 2
    assert found.failure_rate == 0.75
    assert found.mean == pytest.approx(0.11)
    assert found.auc == pytest.approx(0.8 / 4)
    assert found.median == np.inf
    assert np.isnan(landmark_errors([None], truth[:1]).mean)
    off_the_outline = POINTS68.astype(float).copy()
    off_the_outline[3] = np.nan
    assert landmark_errors([off_the_outline], truth[:1]).errors == [0.0]
    assert landmark_errors([off_the_outline], truth[:1], subset="all").missing == 1


def test_unknown_true_points_do_not_count():
    truth = np.stack([POINTS68]).astype(float)
    truth[0, 20] = np.nan
    predicted = POINTS68 + np.where(np.arange(68)[:, None] == 20, [100.0, 0], [0, 1.0])
    np.testing.assert_allclose(landmark_errors([predicted], truth).errors, 1 / EYES)


def test_landmark_errors_refuse_what_has_no_meaning():
    truth = np.stack([POINTS68]).astype(float)
    with pytest.raises(ValueError, match="expected 1 faces, got 2"):
        landmark_errors([None, None], truth)
    with pytest.raises(ValueError, match="expected 1 faces"):
        landmark_errors([], truth[:0])
    with pytest.raises(ValueError, match="threshold"):
        landmark_errors([None], truth, threshold=0.0)
    with pytest.raises(ValueError, match=r"predicted: expected shape \(68, 2\), got \(51, 2\)"):
        landmark_errors([POINTS68[17:].astype(float)], truth)
    with pytest.raises(ValueError, match=r"truth: expected shape \(n, 68, 2\), got \(1, 51, 2\)"):
        landmark_errors([None], truth[:, 17:])
    truth[0, 36] = np.nan
    with pytest.raises(ValueError, match="face 0 has no size by 'outer_eyes'"):
        landmark_errors([None], truth)
    landmark_errors([None], truth, normalization="box")
    truth[:, 17:] = np.nan
    with pytest.raises(ValueError, match="known point"):
        landmark_errors([POINTS68.astype(float)], truth, normalization="box")


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_coverage_of_gaussian_draws(rng, scale):
    deviations = rng.uniform(0.2, 3.0, (40, 500))
    errors = deviations * rng.standard_normal(deviations.shape)
    found = gaussian_calibration(errors, scale * deviations)
    for level in (0.5, 0.9):
        expected = 1 - 2 * norm.sf(scale * norm.ppf(0.5 + level / 2))
        spread = np.sqrt(expected * (1 - expected) / errors.size)
        assert found.coverage(level) == pytest.approx(expected, abs=4 * spread)
    assert found.sharpness == pytest.approx(scale * deviations.mean())
    histogram = found.histogram(10)
    assert histogram.sum() == pytest.approx(1)
    if scale == 1.0:
        np.testing.assert_allclose(histogram, 0.1, atol=4 * np.sqrt(0.09 / errors.size))
        assert found.miscalibration < 0.01
    else:
        assert (histogram[0] > 0.1) == (scale < 1)  # too sure: a U; too unsure: a hump
        assert found.miscalibration > 0.1


def test_few_samples_cover_what_they_should(rng):
    draws = rng.standard_normal((9, 20_000))
    found = sample_calibration(draws, rng.standard_normal(20_000))
    for level in (0.13, 0.5, 0.9):
        assert found.coverage(level) == pytest.approx(level, abs=0.015)
    np.testing.assert_allclose(found.histogram(10), 0.1, atol=0.01)
    assert found.sharpness == pytest.approx(norm.std() * 0.9727, abs=0.01)  # of nine, the root is biased


def test_samples_and_gaussians_agree(rng):
    deviations = rng.uniform(0.5, 2.0, 300)
    truth = 1.3 * deviations * rng.standard_normal(300)
    samples = deviations * rng.standard_normal((4000, 300))
    by_samples, by_formula = sample_calibration(samples, truth), gaussian_calibration(truth, deviations)
    np.testing.assert_allclose(by_samples.low, by_formula.low, atol=0.04)
    for level in (0.5, 0.9):
        assert by_samples.coverage(level) == pytest.approx(by_formula.coverage(level), abs=0.03)
    assert by_samples.sharpness == pytest.approx(by_formula.sharpness, rel=0.02)


def test_calibration_by_hand():
    found = sample_calibration(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 2.0]]), np.array([2.5, 2.0]))
    np.testing.assert_allclose(found.low, [2 / 4, 1 / 4])
    np.testing.assert_allclose(found.high, [3 / 4, 4 / 4])  # two samples equal the truth: it is among them
    np.testing.assert_allclose(found.coverage(0.5), (1 + 2 / 3) / 2)
    np.testing.assert_allclose(found.histogram(4), [0, 1 / 6, 1 / 2 + 1 / 6, 1 / 6])
    assert found.coverage(1.0) == 1.0
    one = gaussian_calibration(np.array([0.6745, -0.6744]), np.ones(2))
    assert one.coverage(0.5) == 0.5
    assert one.coverage(0.0) == 0.0
    assert one.curve(np.array([0.0, 0.5, 1.0])).tolist() == [0, 0.5, 1]


def test_calibration_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match="deviations: expected positive"):
        gaussian_calibration(np.ones(3), np.array([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match=r"errors: .* finite"):
        gaussian_calibration(np.array([np.nan]), np.ones(1))
    with pytest.raises(ValueError, match="errors: expected at least one"):
        gaussian_calibration(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="2 or more"):
        sample_calibration(np.ones((1, 3)), np.ones(3))
    with pytest.raises(ValueError, match=r"samples: .* finite"):
        sample_calibration(np.full((2, 3), np.inf), np.ones(3))
    with pytest.raises(ValueError, match=r"level: expected 0\.\.1"):
        gaussian_calibration(np.ones(3), np.ones(3)).coverage(90.0)


def test_verification_by_hand():
    places = np.array([[0.0, 1], [1, 1], [5, 1], [2.5, 1]])  # two photos each of a and b
    found = verify_identities(places, ["a", "a", "b", "b"], metric="euclidean")
    # nearest others: 0 → 1 (own), 1 → 0 (own), 2 → 3 (own), 3 → 1 (not)
    assert found.rank1 == 0.75
    # same: 1 (a), 2.5 (b); different: 5, 2.5, 4, 1.5
    assert (found.same_pairs, found.different_pairs) == (2, 4)
    assert found.auc == pytest.approx((4 + 2 + 0.5) / 8)
    # a vector's own against others: 0: 1 < 5, 2.5; 1: 1 < 4, 1.5; 2: 2.5 < 5, 4; 3: 2.5 = 2.5, > 1.5
    assert found.closer == pytest.approx((2 + 2 + 2 + 0.5) / 8)


def test_verification_of_the_plain_and_the_hopeless(rng):
    people = np.repeat(np.arange(20), 4).tolist()
    faces = np.repeat(rng.standard_normal((20, 30)), 4, axis=0)
    for metric in ("cosine", "euclidean"):
        told = verify_identities(faces + 0.05 * rng.standard_normal(faces.shape), people, metric=metric)
        assert (told.rank1, told.closer, told.auc) == (1.0, 1.0, 1.0)
    noise = verify_identities(rng.standard_normal(faces.shape), people)
    assert noise.auc == pytest.approx(0.5, abs=0.15)
    assert noise.closer == pytest.approx(0.5, abs=0.15)
    assert noise.rank1 < 0.3


def test_mahalanobis_forgets_what_varies_within_a_person(rng):
    people = np.repeat(np.arange(40), 3).tolist()
    nuisance = np.array([8.0] * 3 + [0.1] * 7)
    faces = np.repeat(rng.standard_normal((40, 10)), 3, axis=0)
    vectors = faces + nuisance * rng.standard_normal(faces.shape)
    train, test = vectors[:60], vectors[60:]
    scatter = within_covariance(train, people[:60], shrinkage=0.0)
    np.testing.assert_allclose(np.sqrt(np.diag(scatter)), nuisance, rtol=0.35)
    plain = verify_identities(test, people[60:], metric="euclidean")
    told = verify_identities(test, people[60:], metric="mahalanobis", covariance=scatter)
    assert plain.rank1 < 0.5 < 0.95 < told.rank1
    shrunk = within_covariance(train, people[:60], shrinkage=1.0)
    np.testing.assert_allclose(shrunk, np.trace(scatter) / 10 * np.eye(10))
    assert verify_identities(
        test, people[60:], metric="mahalanobis", covariance=shrunk
    ).rank1 == pytest.approx(plain.rank1)


def test_distances_are_scipys(rng):
    vectors = rng.standard_normal((12, 5))
    root = rng.standard_normal((5, 5))
    covariance = root @ root.T + np.eye(5)
    for metric in ("cosine", "euclidean"):
        np.testing.assert_allclose(
            identity_distances(vectors, metric=metric), squareform(pdist(vectors, metric)), atol=1e-7
        )
    np.testing.assert_allclose(
        identity_distances(vectors, metric="mahalanobis", covariance=covariance),
        squareform(pdist(vectors, "mahalanobis", VI=np.linalg.inv(covariance))),
        atol=1e-7,
    )


def test_verification_refuses_what_has_no_meaning(rng):
    vectors = rng.standard_normal((4, 3))
    for people, word in (
        (["a"] * 4, "somebody else"),
        (list("abcd"), "two vectors"),
        (["a"] * 3, "3 finite rows"),
    ):
        with pytest.raises(ValueError, match=word):
            verify_identities(vectors, list(people))
    pairs = list("aabb")
    with pytest.raises(ValueError, match="finite"):
        verify_identities(np.full((4, 3), np.nan), pairs)
    with pytest.raises(ValueError, match="length zero"):
        verify_identities(np.zeros((4, 3)), pairs)
    for metric, covariance in (("mahalanobis", None), ("cosine", np.eye(3))):
        with pytest.raises(ValueError, match="covariance: expected with"):
            verify_identities(vectors, pairs, metric=metric, covariance=covariance)
    for covariance, word in ((np.zeros((3, 3)), "positive definite"), (np.eye(2), "expected shape")):
        with pytest.raises(ValueError, match=word):
            verify_identities(vectors, pairs, metric="mahalanobis", covariance=covariance)
    with pytest.raises(ValueError, match="two vectors"):
        within_covariance(vectors, list("abcd"))
    with pytest.raises(ValueError, match="shrinkage"):
        within_covariance(vectors, pairs, shrinkage=2.0)
