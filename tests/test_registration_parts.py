from __future__ import annotations

import numpy as np
import pytest
from registration_scene import TEMPLATE_PERSON, make_template, template_directions
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from morphkit.errors import RegistrationError
from morphkit.geometry.similarity import Similarity
from morphkit.registration.placement import place_by_landmarks
from morphkit.registration.prior import DeformationPrior, farthest_points, gaussian_process_prior
from morphkit.registration.ridge import Observations, posterior_mean
from morphkit.registration.settings import SimilaritySettings
from morphkit.registration.verdict import Diagnosis, judge

POINTS = TEMPLATE_PERSON.surface(template_directions()[0])[::20]
SCALES = ((60.0, 4.0), (20.0, 1.5))


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = cdist(a, b, "sqeuclidean")
    return sum(s**2 * np.exp(-squared / (2 * w**2)) for w, s in SCALES)


def _prior(symmetry: float, rank: int = 10**6) -> DeformationPrior:
    return gaussian_process_prior(POINTS, scales=SCALES, symmetry=symmetry, rank=rank, node_count=10**6)


def test_at_full_rank_the_basis_reproduces_the_kernel() -> None:
    prior = _prior(0.7)
    middle = POINTS[:, 0].min() + POINTS[:, 0].max()
    mirrored = POINTS * [-1, 1, 1] + [middle, 0, 0]
    direct, reflected = _kernel(POINTS, POINTS), _kernel(POINTS, mirrored)
    np.testing.assert_allclose(prior.even @ prior.even.T, direct + 0.7 * reflected, atol=1e-4)
    np.testing.assert_allclose(prior.odd @ prior.odd.T, direct - 0.7 * reflected, atol=1e-4)


def test_full_symmetry_allows_only_symmetric_deformations(rng: np.random.Generator) -> None:
    half = POINTS[POINTS[:, 0] > 1]
    points = np.vstack([half, half * [-1, 1, 1]])
    prior = gaussian_process_prior(points, scales=SCALES, symmetry=1.0, rank=40, node_count=10**6)
    coefficients = rng.normal(size=(3, prior.rank))
    right, left = np.split(prior.displace(coefficients), 2)
    np.testing.assert_allclose(left, right * [-1, 1, 1], atol=1e-6)


def test_interpolation_at_corners_is_the_prior_there() -> None:
    prior, faces = _prior(0.5, rank=20), np.array([[3, 5, 7], [1, 2, 4]])
    there = prior.interpolated(faces, np.array([[0.0, 1, 0], [1, 0, 0]]))
    np.testing.assert_allclose(there.odd, prior.at(np.array([5, 1])).odd)
    np.testing.assert_allclose(there.even, prior.at(np.array([5, 1])).even)


def test_the_posterior_is_gaussian_process_regression(rng: np.random.Generator) -> None:
    prior, seen = _prior(0.5), np.arange(0, len(POINTS), 3)
    displacements, variance = rng.normal(size=(len(seen), 3)), 0.4
    precision = np.full(len(seen), 1 / variance)
    evidence = Observations(prior.at(seen), displacements, np.zeros((len(seen), 3)), precision, precision)
    found = prior.displace(posterior_mean([evidence], prior.rank))
    for axis, basis in enumerate((prior.odd, prior.even, prior.even)):
        covariance = basis @ basis.T
        gram = covariance[np.ix_(seen, seen)] + variance * np.eye(len(seen))
        expected = covariance[:, seen] @ np.linalg.solve(gram, displacements[:, axis])
        np.testing.assert_allclose(found[:, axis], expected, atol=1e-6)


def test_evidence_along_a_normal_leaves_the_tangent_free() -> None:
    prior, seen = _prior(0.5), np.array([4])
    normal = np.array([[0.0, 0.6, 0.8]])
    evidence = Observations(prior.at(seen), np.array([[5.0, 5, 5]]), normal, np.array([1e8]), np.zeros(1))
    moved = prior.displace(posterior_mean([evidence], prior.rank))[4]
    assert moved @ normal[0] == pytest.approx(7.0, abs=1e-4)
    np.testing.assert_allclose(np.cross(moved, normal[0]), 0, atol=1e-4)


def test_farthest_points_spread_and_start_at_the_middle() -> None:
    line = np.column_stack([np.arange(11.0), np.zeros(11), np.zeros(11)])
    assert farthest_points(line, 3).tolist() == [5, 0, 10]
    assert sorted(farthest_points(line, 99)) == list(range(11))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_placement_survives_wrong_landmarks(rng: np.random.Generator, share: float) -> None:
    template = make_template()
    source = template.landmarks["ibug68"].landmarks(template.mesh.vertices, template.mesh.faces).points
    expected = Similarity(0.01, Rotation.from_rotvec([2.0, 1, -1]).as_matrix(), np.array([3.0, 5, -2]))
    target = expected.apply(source)
    wrong = rng.random(len(source)) < share
    target[wrong] += rng.normal(scale=1.0, size=(wrong.sum(), 3))
    found = place_by_landmarks(source, target, SimilaritySettings())
    tolerance = 1e-9 if share == 0 else 0.005
    np.testing.assert_allclose(found.apply(source), expected.apply(source), atol=tolerance)


def test_two_landmarks_are_too_few() -> None:
    with pytest.raises(RegistrationError, match="at least 3"):
        place_by_landmarks(np.eye(3)[:2], np.eye(3)[:2], SimilaritySettings())


def test_verdicts_follow_the_figures() -> None:
    fine = Diagnosis(covered=0.9, distance=0.1, landmark_error=1.0, flipped=0.0, strain=1.0, resizing=0.1)
    assert judge(fine) == ("good", ())
    verdict, reasons = judge(
        Diagnosis(covered=0.4, distance=0.1, landmark_error=None, flipped=0.0, strain=1.0, resizing=0.1)
    )
    assert verdict == "doubtful"
    assert reasons == ("only 40% of the template found the scan",)
    verdict, reasons = judge(
        Diagnosis(covered=0.2, distance=3.0, landmark_error=20.0, flipped=0.1, strain=3.0, resizing=None)
    )
    assert verdict == "failed"
    assert len(reasons) == 5
