from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from registration_scene import (
    OTHER_PERSON,
    SMALL,
    TEMPLATE_PERSON,
    make_scan,
    make_template,
    true_landmarks,
    truth,
)
from scipy.spatial.transform import Rotation

from morphkit.errors import RegistrationError
from morphkit.geometry.sampling import interpolate
from morphkit.geometry.similarity import Similarity
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration import RegistrationResult, register

TEMPLATE = make_template()
MOVE = Similarity(1.0, Rotation.from_rotvec([0.2, -0.4, 0.1]).as_matrix(), np.array([40.0, -80, 30]))


def _errors(result: RegistrationResult, expected: np.ndarray) -> np.ndarray:
    return np.linalg.norm(result.mesh.vertices - expected, axis=1)


def _moved(mesh: Mesh, similarity: Similarity) -> Mesh:
    return replace(mesh, vertices=similarity.apply(mesh.vertices))


@pytest.fixture(scope="module")
def other() -> RegistrationResult:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    return register(make_scan(OTHER_PERSON), TEMPLATE, landmarks=landmarks, settings=SMALL)


def test_the_template_registers_to_itself() -> None:
    landmarks = true_landmarks(TEMPLATE, TEMPLATE.mesh.vertices)
    result = register(TEMPLATE.mesh, TEMPLATE, landmarks=landmarks, settings=SMALL)
    assert _errors(result, TEMPLATE.mesh.vertices).max() < 1e-3
    assert result.verdict == "good"
    assert result.converged
    assert result.reasons == ()


def test_another_person_is_reached(other: RegistrationResult) -> None:
    errors = _errors(other, truth(OTHER_PERSON))
    before = np.linalg.norm(TEMPLATE.mesh.vertices - truth(OTHER_PERSON), axis=1)
    assert before.mean() > 2.5
    assert errors.mean() < 0.5
    assert other.distances[other.valid].mean() < 0.1
    assert other.valid.mean() > 0.95
    assert other.verdict == "good"


def test_correspondences_lie_where_the_distances_say(other: RegistrationResult) -> None:
    scan, found = make_scan(OTHER_PERSON), other.correspondence
    points = interpolate(scan.vertices, scan.faces, found.face_indices, found.barycentrics)
    np.testing.assert_allclose(
        np.linalg.norm(points - other.mesh.vertices, axis=1), other.distances, atol=1e-9
    )


def test_the_result_moves_with_the_scan_in_pose_and_units(other: RegistrationResult) -> None:
    metres = Similarity(0.001, MOVE.rotation, MOVE.translation)
    landmarks = true_landmarks(TEMPLATE, metres.apply(truth(OTHER_PERSON)))
    result = register(_moved(make_scan(OTHER_PERSON), metres), TEMPLATE, landmarks=landmarks, settings=SMALL)
    error = metres.inverse().apply(result.mesh.vertices) - other.mesh.vertices
    assert abs(error).max() < 0.05
    np.testing.assert_allclose(result.distances * 1000, other.distances, atol=0.05)
    assert result.similarity.scale == pytest.approx(0.001 * other.similarity.scale, rel=1e-4)


def test_the_same_input_gives_the_same_bits(other: RegistrationResult) -> None:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    again = register(make_scan(OTHER_PERSON), TEMPLATE, landmarks=landmarks, settings=SMALL)
    np.testing.assert_array_equal(again.mesh.vertices, other.mesh.vertices)


def test_beyond_the_scan_nothing_is_valid_and_the_shape_carries_on() -> None:
    expected = truth(OTHER_PERSON)
    directions = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    landmarks = true_landmarks(TEMPLATE, expected)
    result = register(make_scan(OTHER_PERSON, back=0.2), TEMPLATE, landmarks=landmarks, settings=SMALL)
    beyond, within = directions[:, 2] < 0.12, directions[:, 2] > 0.28
    assert not result.valid[beyond].any()
    assert result.valid[within].mean() > 0.98
    errors = _errors(result, expected)
    assert errors[within].mean() < 0.6
    assert errors[beyond].mean() < 3.0


def test_landmarks_with_gross_errors_lose_their_say() -> None:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    points = landmarks.points.copy()
    points[::6] += [25.0, -20.0, 10.0]
    result = register(
        make_scan(OTHER_PERSON), TEMPLATE, landmarks=Landmarks(landmarks.names, points), settings=SMALL
    )
    assert _errors(result, truth(OTHER_PERSON)).mean() < 0.8


def test_uncertain_landmarks_weigh_less(rng: np.random.Generator) -> None:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    noisy = replace(landmarks, points=landmarks.points + rng.normal(scale=3.0, size=landmarks.points.shape))
    errors = [
        _errors(
            register(
                make_scan(OTHER_PERSON),
                TEMPLATE,
                landmarks=replace(noisy, standard_deviations=np.full(len(noisy.names), deviation)),
                settings=SMALL,
            ),
            truth(OTHER_PERSON),
        ).mean()
        for deviation in (0.3, 3.0)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_without_landmarks_a_turned_scan_is_found() -> None:
    scan = _moved(make_scan(OTHER_PERSON), MOVE)
    result = register(scan, TEMPLATE, settings=SMALL)
    turned_back = Rotation.from_matrix(result.similarity.rotation @ MOVE.rotation.T)
    assert turned_back.magnitude() < 0.2
    assert result.distances[result.valid].mean() < 0.1
    assert result.verdict == "good"


def test_what_is_no_head_is_not_called_good() -> None:
    slab = trimesh.creation.box(extents=[300, 20, 300]).subdivide_to_size(10)
    settings = replace(SMALL, similarity=replace(SMALL.similarity, start_count=10))
    scan = Mesh(np.array(slab.vertices), np.array(slab.faces, dtype=np.int32))
    result = register(scan, TEMPLATE, settings=settings)
    assert result.verdict != "good"
    assert result.reasons


def test_an_eyeball_stays_a_ball_and_moves_with_the_face() -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=12.0)
    centre = np.array([28.0, 22.0, 62.0])
    count = len(TEMPLATE.mesh.vertices)
    mesh = Mesh(
        np.vstack([TEMPLATE.mesh.vertices, np.array(ball.vertices) + centre]),
        np.vstack([TEMPLATE.mesh.faces, np.array(ball.faces) + count]).astype(np.int32),
    )
    template = Template(mesh, TEMPLATE.landmarks)
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    result = register(make_scan(OTHER_PERSON), template, landmarks=landmarks, settings=SMALL)
    eye = result.mesh.vertices[count:]
    radius = np.linalg.norm(eye - eye.mean(axis=0), axis=1)
    assert np.ptp(radius) < 1e-6
    assert 11 < radius.mean() < 13.5
    assert 0.5 < np.linalg.norm(eye.mean(axis=0) - centre) < 8
    assert not result.valid[count:].any()


def test_a_model_prior_pulls_the_unseen_towards_it() -> None:
    expected = truth(OTHER_PERSON)
    landmarks = true_landmarks(TEMPLATE, expected)
    scan = make_scan(OTHER_PERSON, back=0.2)
    unseen = expected[:, 2] < 0
    plain, informed = (
        _errors(register(scan, TEMPLATE, landmarks=landmarks, settings=SMALL, project=project), expected)
        for project in (None, lambda _vertices: expected)
    )
    assert informed[unseen].mean() < 0.75 * plain[unseen].mean()


def test_inputs_are_left_alone_and_progress_is_told() -> None:
    scan = make_scan(TEMPLATE_PERSON)
    landmarks = true_landmarks(TEMPLATE, TEMPLATE.mesh.vertices)
    before = [a.copy() for a in (scan.vertices, scan.faces, TEMPLATE.mesh.vertices, landmarks.points)]
    told: list[tuple[str, float]] = []
    register(scan, TEMPLATE, landmarks=landmarks, settings=SMALL, progress=lambda *args: told.append(args))
    after = (scan.vertices, scan.faces, TEMPLATE.mesh.vertices, landmarks.points)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("done", 1.0)


def test_bad_input_is_named() -> None:
    scan = make_scan(TEMPLATE_PERSON)
    with pytest.raises(RegistrationError, match="fewer than 3"):
        register(scan, TEMPLATE, landmarks=Landmarks(("a", "b"), np.zeros((2, 3))), settings=SMALL)
    with pytest.raises(RegistrationError, match="clean it"):
        register(replace(scan, vertices=scan.vertices * np.nan), TEMPLATE, settings=SMALL)
