"""Lips and lids are as far apart as a photo shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitting_head import POINTS68, small_head

from morphkit.fitting.contour import landmark_observer
from morphkit.fitting.landmark import POSE, Face, FocalPrior, LandmarkEnergy, LandmarkFit, fit_landmarks
from morphkit.fitting.points import landmark_points
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.seen import seen_ibug68, seen_mediapipe478
from morphkit.fitting.settings import LandmarkSettings
from morphkit.fitting.spans import seen_spans
from morphkit.fitting.sparse import start_face
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel

SETTINGS = LandmarkSettings()
WITHOUT = replace(SETTINGS, lip_gap_deviation=np.inf, lid_gap_deviation=np.inf, mouth_width_deviation=np.inf)
CENTRE = np.array([200.0, 150.0])
FRONT = np.diag([1.0, -1.0, -1.0])
POSE_SEEN = Pose(
    rotation_matrix(np.array([0.1, 0.3, -0.2])) @ FRONT,
    np.array([7.0, -12.0]),
    1.1,
    560.0,
    CENTRE,
)
VAGUE = 15.0  # millimetres that each place is trusted to


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    """A head whose one expression parts the lips: some 5 mm per standard deviation."""
    plain = small_head()
    vertices = plain.identity.mean
    moves = np.zeros((*vertices.shape, 1))
    moves[:, 1, 0] = 5.0 * np.tanh(vertices[:, 1] - POINTS68[60, 1])
    moves *= np.exp(-((vertices[:, :2] - POINTS68[62]) ** 2).sum(axis=1) / (2 * 20.0**2))[:, None, None]
    moves *= (vertices[:, 2] > 0)[:, None, None]
    basis = np.asfortranarray(moves.reshape(-1, 1).astype(np.float32))
    return replace(plain, expression=LinearModel(np.zeros_like(vertices), basis, np.ones(1)))


def points_of(head: MorphableModel, face: Face) -> np.ndarray:
    points = landmark_points(head, head.landmarks["ibug68"]).at(face.identity, face.expression)
    return face.pose.project(points)


def lips_apart(points: np.ndarray) -> float:
    """Return the lips' gap, in millimetres on the face."""
    return float(np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()) / POSE_SEEN.scale


def face_with(strength: float) -> Face:
    return Face(POSE_SEEN, np.zeros(12), np.array([strength]))


def fitted(head: MorphableModel, points: np.ndarray, settings: LandmarkSettings) -> LandmarkFit:
    observer = landmark_observer(head, seen_ibug68(points, VAGUE, settings))
    prior = FocalPrior(560.0, 0.05)
    return fit_landmarks(start_face(observer, head, CENTRE, prior), observer, prior, settings)


def test_energy_falls_along_its_gradient_and_curves_as_said(head, rng):
    truth = face_with(1.0)
    points = points_of(head, truth) + rng.normal(size=(68, 2))
    face = truth.moved(0.02 * rng.normal(size=POSE + 13))
    observed = landmark_observer(head, seen_ibug68(points, VAGUE, SETTINGS))(face)
    energy = LandmarkEnergy(observed, FocalPrior(500.0, 0.2), replace(SETTINGS, huber=1e9))
    bare = replace(energy, seen=replace(observed, spans=None))
    assert energy.energy(face) > bare.energy(face)
    hessian, gradient = energy.normal_equations(face)
    steps = 1e-5 * np.eye(POSE + 13)
    numeric = [energy.energy(face.moved(step)) - energy.energy(face.moved(-step)) for step in steps]
    assert gradient == pytest.approx(np.array(numeric) / 4e-5, rel=1e-5, abs=1e-4)
    # Without errors the energy's curvature is Gauss and Newton's.
    exact = landmark_observer(head, seen_ibug68(points_of(head, truth), VAGUE, SETTINGS))(truth)
    energy = replace(energy, seen=exact, focal_prior=FocalPrior(truth.pose.focal, 0.2))
    hessian, _ = energy.normal_equations(truth)
    steps = 1e-4 * np.eye(POSE + 13)
    slopes = [
        (energy.normal_equations(truth.moved(step))[1] - energy.normal_equations(truth.moved(-step))[1])
        / 2e-4
        for step in steps
    ]
    assert np.array(slopes)[POSE:, POSE:] == pytest.approx(hessian[POSE:, POSE:], rel=1e-3, abs=0.05)


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_lips_part_as_far_as_seen(head, strength):
    points, closed = points_of(head, face_with(strength)), points_of(head, face_with(0.0))
    opened = lips_apart(points) - lips_apart(closed)
    with_spans, without = (
        lips_apart(points_of(head, fitted(head, points, settings).face)) - lips_apart(closed)
        for settings in (SETTINGS, WITHOUT)
    )
    assert with_spans == pytest.approx(opened, rel=0.15)
    assert without < 0.6 * opened


def test_a_face_at_rest_stays_at_rest(head, rng):
    points = points_of(head, face_with(0.0))
    points[:17] = np.nan  # the outline's points slide to where the face turns away
    face = fitted(head, points, SETTINGS).face
    assert np.abs(face.expression).max() < 0.05
    assert np.abs(face.identity).max() < 0.05
    noisy = points.copy()
    noisy[17:] += 1.5 * POSE_SEEN.scale * rng.normal(size=2)  # all features go wrong together
    moved = fitted(head, noisy, SETTINGS).face
    assert lips_apart(points_of(head, moved)) == pytest.approx(lips_apart(points), abs=0.3)


def test_spans_of_one_gap_count_as_one(head):
    spans = seen_spans(points_of(head, face_with(1.0)), SETTINGS)
    precision = spans.deviations**-2
    assert precision[:3].sum() == pytest.approx(SETTINGS.lip_gap_deviation**-2)
    assert precision[3:5].sum() == pytest.approx(SETTINGS.lid_gap_deviation**-2)
    assert precision[5:7].sum() == pytest.approx(SETTINGS.lid_gap_deviation**-2)
    assert precision[7:].sum() == pytest.approx(SETTINGS.mouth_width_deviation**-2)
    assert spans.wide.tolist() == [False] * 7 + [True]


def test_what_is_not_seen_is_left_out(head):
    points = points_of(head, face_with(1.0))
    points[1::2] = np.nan
    seen = seen_spans(points, SETTINGS)
    assert seen.first == ("62", "38", "44", "48")
    assert seen.second == ("66", "40", "46", "54")
    points[:] = np.nan
    assert seen_spans(points, SETTINGS).pixels.shape == (0, 2)


def test_spans_of_a_detectors_points_are_those_of_the_68(rng):
    points = rng.uniform(0, 300, size=(478, 2))
    seen = seen_mediapipe478(points, SETTINGS)
    assert seen.spans is not None
    assert seen.spans.pixels[1] == pytest.approx(points[13] - points[14])


def test_infinite_deviations_leave_spans_out(head):
    face = face_with(2.0)
    observed = landmark_observer(head, seen_ibug68(points_of(head, face_with(0.0)), VAGUE, WITHOUT))(face)
    energy = LandmarkEnergy(observed, FocalPrior(500.0, 0.2), SETTINGS)
    bare = replace(energy, seen=replace(observed, spans=None))
    assert energy.energy(face) == bare.energy(face)


def test_models_do_without(head):
    seen = seen_ibug68(points_of(head, face_with(1.0)), VAGUE, SETTINGS)
    face = Face(POSE_SEEN, np.zeros(12), np.zeros(0))
    assert landmark_observer(replace(head, expression=None), seen)(face).spans is None
    embedding = head.landmarks["ibug68"]
    known = [i for i, name in enumerate(embedding.names) if name not in ("61", "40", "54")]
    fewer = replace(
        embedding,
        names=tuple(embedding.names[i] for i in known),
        face_indices=embedding.face_indices[known],
        barycentrics=embedding.barycentrics[known],
    )
    spans = landmark_observer(replace(head, landmarks={"ibug68": fewer}), seen)(face_with(0.0)).spans
    assert spans is not None
    assert len(spans.pixels) == len(spans.first.mean) == 8 - 3


def test_spans_of_a_face_turned_away_count_less(head):
    observer = landmark_observer(head, seen_ibug68(points_of(head, face_with(1.0)), VAGUE, SETTINGS))

    def sureness(yaw: float) -> np.ndarray:
        turned = replace(POSE_SEEN, rotation=rotation_matrix(np.array([0.0, yaw, 0.0])) @ FRONT)
        spans = observer(replace(face_with(0.0), pose=turned)).spans
        assert spans is not None
        return np.linalg.norm(spans.whitening, axis=(1, 2))

    assert sureness(1.0) == pytest.approx(np.cos(1.0) * sureness(0.0))
    assert sureness(2.0) == pytest.approx(np.zeros(8))
