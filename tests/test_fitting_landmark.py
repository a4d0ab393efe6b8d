from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitting_head import small_head

from morphkit.fitting.contour import landmark_observer
from morphkit.fitting.landmark import POSE, Face, FocalPrior, LandmarkEnergy, fit_landmarks
from morphkit.fitting.points import landmark_points, vertex_points
from morphkit.fitting.pose import Pose, rotation_matrix, scaled_orthographic
from morphkit.fitting.seen import SeenLandmarks, seen_ibug68
from morphkit.fitting.settings import LandmarkSettings
from morphkit.fitting.sparse import start_face

FACING = np.diag([1.0, -1.0, -1.0])
CENTRE = np.array([200.0, 150.0])


@pytest.fixture(scope="module")
def head():
    return small_head()


def pose_of(pitch=0.1, yaw=0.3, roll=-0.1, focal=560.0) -> Pose:
    return Pose(
        rotation_matrix(np.array([pitch, yaw, roll])) @ FACING, np.array([7.0, -12.0]), 1.1, focal, CENTRE
    )


def face_of(head, rng, pose) -> Face:
    return Face(
        pose, rng.normal(size=head.identity.n_components), rng.normal(size=head.expression.n_components)
    )


def seen_exactly(head, face, outline=False) -> SeenLandmarks:
    points = landmark_points(head, head.landmarks["ibug68"]).at(face.identity, face.expression)
    pixels = face.pose.project(points)
    if not outline:
        pixels[:17] = np.nan
    return seen_ibug68(pixels, 0.2, LandmarkSettings())


def degrees_between(a, b) -> float:
    return np.degrees(np.arccos(np.clip((np.trace(a @ b.T) - 1) / 2, -1, 1)))


def test_points_move_as_the_model_does(head, rng):
    face = face_of(head, rng, pose_of())
    vertices = head.instance(face.identity, face.expression)
    index = np.array([5, 700, 2000])
    assert np.allclose(
        vertex_points(head, index).at(face.identity, face.expression), vertices[index], atol=1e-4
    )
    marks = head.landmarks["ibug68"].landmarks(vertices.astype(np.float64), head.faces).points
    points = landmark_points(head, head.landmarks["ibug68"]).at(face.identity, face.expression)
    assert np.allclose(points, marks, atol=1e-4)


def test_pose_is_an_opencv_camera(rng):
    pose, points = pose_of(), rng.normal(size=(20, 3)) * 60
    camera = points @ pose.rotation.T + pose.translation
    homogeneous = camera @ pose.intrinsics.T
    assert np.allclose(pose.project(points), homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-9)


def test_pose_derivatives(rng):
    pose, points = pose_of(), rng.normal(size=(8, 3)) * 60
    by_point, by_step = pose.jacobian(points)
    for k in range(7):
        step = np.zeros(7)
        step[k] = 1e-6
        numeric = (pose.moved(step).project(points) - pose.moved(-step).project(points)) / 2e-6
        assert np.allclose(by_step[:, :, k], numeric, rtol=1e-6, atol=1e-5)
    for k in range(3):
        step = np.zeros(3)
        step[k] = 1e-5
        numeric = (pose.project(points + step) - pose.project(points - step)) / 2e-5
        assert np.allclose(by_point[:, :, k], numeric, rtol=1e-6, atol=1e-7)


def test_a_scaled_orthographic_camera_is_recovered(rng):
    points = rng.normal(size=(30, 3)) * [60, 70, 40]
    truth = replace(pose_of(), focal=1e12)
    pose = scaled_orthographic(points, truth.project(points), np.ones(30), focal=1e12, centre=CENTRE)
    assert degrees_between(pose.rotation, truth.rotation) < 0.1
    assert np.allclose(pose.offset, truth.offset, atol=0.1)
    assert pose.scale == pytest.approx(truth.scale, rel=4e-3)


def test_too_few_points_for_a_pose(rng):
    with pytest.raises(ValueError, match="at least 6 points, got 5"):
        scaled_orthographic(np.ones((5, 3)), np.ones((5, 2)), np.ones(5), focal=1.0, centre=CENTRE)


def test_energy_gradient(head, rng):
    face = face_of(head, rng, pose_of())
    seen = landmark_observer(head, seen_exactly(head, face))(face)
    start = face.moved(0.02 * rng.normal(size=POSE + 16))
    energy = LandmarkEnergy(seen, FocalPrior(500.0, 0.2), replace(LandmarkSettings(), huber=1e9))
    _, gradient = energy.normal_equations(start)
    for k in range(POSE + 16):
        step = np.zeros(POSE + 16)
        step[k] = 1e-5
        numeric = (energy.energy(start.moved(step)) - energy.energy(start.moved(-step))) / 2e-5
        assert gradient[k] == pytest.approx(numeric / 2, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.5])
def test_exact_landmarks_give_the_pose_and_the_face(head, rng, yaw):
    face = face_of(head, rng, pose_of(yaw=yaw))
    settings = replace(
        LandmarkSettings(), identity_weight=1e-6, expression_weight=1e-6, rounds=8, tolerance=1e-9
    )
    prior = FocalPrior(face.pose.focal, 0.002)
    observer = landmark_observer(head, seen_exactly(head, face))
    fit = fit_landmarks(start_face(observer, head, CENTRE, prior), observer, prior, settings)
    assert degrees_between(fit.face.pose.rotation, face.pose.rotation) < 0.1
    projected = fit.face.pose.project(observer.points.at(fit.face.identity, fit.face.expression))
    assert np.abs(projected - observer.seen.pixels).max() < 0.02
    assert fit.converged
    assert all(b <= a for a, b in zip(fit.energies[-3:], fit.energies[-2:], strict=False))


def test_priors_hold_the_mean_face_where_the_photo_says_little(head, rng):
    face = Face(pose_of(), np.zeros(12), np.zeros(4))
    seen = seen_exactly(head, face)
    pixels = seen.pixels + rng.normal(size=seen.pixels.shape)
    noisy = replace(seen, pixels=pixels, deviations=seen.deviations * 10)
    observer, prior = landmark_observer(head, noisy), FocalPrior(560.0, 0.1)
    fit = fit_landmarks(start_face(observer, head, CENTRE, prior), observer, prior, LandmarkSettings())
    assert np.abs(fit.face.identity).max() < 1.5


def test_one_wild_landmark_hardly_matters(head, rng):
    face = face_of(head, rng, pose_of())
    seen, prior = seen_exactly(head, face), FocalPrior(560.0, 0.01)
    pixels = seen.pixels.copy()
    pixels[20] += [60.0, -40.0]
    poses = []
    for given in (seen, replace(seen, pixels=pixels)):
        observer = landmark_observer(head, given)
        fit = fit_landmarks(start_face(observer, head, CENTRE, prior), observer, prior, LandmarkSettings())
        poses.append(fit.face.pose.rotation)
    assert degrees_between(*poses) < 1.5


def test_outline_points_slide_to_the_silhouette(head, rng):
    face = face_of(head, rng, pose_of(yaw=0.45))
    observer = landmark_observer(head, seen_exactly(head, face, outline=True))
    outline = observer.seen.on_outline
    pixels = np.where(outline[:, None], slid_pixels(observer(face), face), observer.seen.pixels)
    again = replace(observer, seen=replace(observer.seen, pixels=pixels))(face)
    errors = np.einsum("nij,nj->ni", again.whitening, slid_pixels(again, face) - pixels)
    assert (
        np.abs(errors).max() < 1e-6
    )  # points on the outline fit, though their places on the skin lie elsewhere
    ranks = np.linalg.matrix_rank(again.whitening[outline], tol=1e-9)
    assert (ranks == 1).sum() >= 5  # and may move along it


def slid_pixels(observations, face):
    return face.pose.project(observations.points.at(face.identity, face.expression))
