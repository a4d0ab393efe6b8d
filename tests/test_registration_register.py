from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from registration_scene import (
    OTHER_PERSON,
    SMALL,
    TEMPLATE_PERSON,
    cap,
    make_scan,
    make_template,
    template_directions,
    true_landmarks,
    truth,
)
from scipy.spatial.transform import Rotation

from morphkit.errors import RegistrationError
from morphkit.geometry.sampling import interpolate
from morphkit.geometry.similarity import Similarity
from morphkit.geometry.topology import boundary_vertices
from morphkit.mesh import Landmarks, Mesh, Template
from morphkit.registration import (
    CoarseSettings,
    RegistrationResult,
    RegistrationSettings,
    SimilaritySettings,
    register,
)
from morphkit.registration.placement import place_by_landmarks

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
    assert _errors(result, TEMPLATE.mesh.vertices).max() < 1e-6
    assert result.verdict == "good"
    assert result.converged
    assert result.reasons == ()


def test_another_person_is_reached(other: RegistrationResult) -> None:
    errors = _errors(other, truth(OTHER_PERSON))
    before = np.linalg.norm(TEMPLATE.mesh.vertices - truth(OTHER_PERSON), axis=1)
    assert before.mean() > 2.5
    marked = template_directions()[0][:, 2] > 0.4
    assert errors[marked].mean() < 0.6
    assert errors.mean() < 1.1  # beyond the landmarks nothing tells how far the surface slides
    assert other.distances.mean() < 0.01
    assert other.valid.mean() > 0.99
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
    assert abs(error).max() < 1e-3
    np.testing.assert_allclose(result.distances * 1000, other.distances, atol=1e-3)
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
    assert errors[within].mean() < 0.65
    assert errors[beyond].mean() < 2.2


def test_landmarks_with_gross_errors_lose_their_say(other: RegistrationResult) -> None:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    points = landmarks.points.copy()
    points[::6] += [25.0, -20.0, 10.0]
    result = register(
        make_scan(OTHER_PERSON), TEMPLATE, landmarks=Landmarks(landmarks.names, points), settings=SMALL
    )
    errors, without = (_errors(r, truth(OTHER_PERSON)).mean() for r in (result, other))
    assert errors < 1.15 * without


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
    assert turned_back.magnitude() < 0.1
    assert result.distances.mean() < 0.01
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


def test_modes_pull_the_unseen_towards_what_they_know() -> None:
    expected = truth(OTHER_PERSON)
    landmarks = true_landmarks(TEMPLATE, expected)
    source = true_landmarks(TEMPLATE, TEMPLATE.mesh.vertices).points
    placed = place_by_landmarks(source, landmarks.points, SMALL.similarity)
    modes = (placed.inverse().apply(expected) - TEMPLATE.mesh.vertices)[:, :, None]
    scan = make_scan(OTHER_PERSON, back=0.2)
    unseen = expected[:, 2] < 0
    plain, informed = (
        _errors(register(scan, TEMPLATE, landmarks=landmarks, settings=SMALL, modes=known), expected)
        for known in (None, modes)
    )
    assert plain[unseen].mean() > 1.5
    assert informed[unseen].mean() < 0.1
    assert informed.mean() < 0.06


def test_a_thinned_template_gives_nearly_the_same() -> None:
    landmarks = true_landmarks(TEMPLATE, truth(OTHER_PERSON))
    whole, thinned = (
        register(
            make_scan(OTHER_PERSON),
            TEMPLATE,
            landmarks=landmarks,
            settings=replace(SMALL, coarse=CoarseSettings(control_faces=(count,), iterations=(12,))),
        )
        for count in (8000, 1000)
    )
    apart = np.linalg.norm(thinned.mesh.vertices - whole.mesh.vertices, axis=1)
    assert apart.mean() < 0.1
    assert apart.max() < 0.5
    errors, before = (_errors(r, truth(OTHER_PERSON)).mean() for r in (thinned, whole))
    assert errors < 1.02 * before
    assert thinned.distances.mean() < 0.01


def test_borders_cut_alike_hold_the_rim() -> None:
    directions, faces = cap(14, 0.1)
    template = Template(Mesh(TEMPLATE_PERSON.surface(directions), faces), {})
    others, scan_faces = cap(19, 0.1)
    scan = Mesh(OTHER_PERSON.surface(others), scan_faces)
    rim = OTHER_PERSON.surface(directions)[boundary_vertices(faces, len(directions))]
    across = []
    for borders in (False, True):
        settings = RegistrationSettings(
            coarse=CoarseSettings(borders=borders), similarity=SimilaritySettings(start_count=10)
        )
        result = register(scan, template, settings=settings)
        reached = result.mesh.vertices[boundary_vertices(faces, len(directions))]
        across.append(abs(reached[:, 2] - rim[:, 2]).mean())
    assert across[1] < 0.1 * across[0]


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
