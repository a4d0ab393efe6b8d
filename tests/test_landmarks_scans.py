from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.archive import load_default_model
from morphkit.errors import NoFaceError
from morphkit.geometry.closest_point import closest_points
from morphkit.geometry.normals import face_normals
from morphkit.geometry.similarity import Similarity
from morphkit.landmarks import (
    IBUG68_GROUPS,
    ScanLandmarks,
    ScanLandmarkSettings,
    canonical_face,
    detect_scan_landmarks,
    embed_landmarks,
    to_ibug68,
)
from morphkit.landmarks.sighting import canonical_points, fit_pose
from morphkit.landmarks.uncertainty import point_covariances
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.morphable import MorphableModel

_INNER = slice(17, 68)


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_default_model()


@pytest.fixture(scope="module")
def head(model: MorphableModel) -> Mesh:
    return model.mesh()


@pytest.fixture(scope="module")
def found(head: Mesh) -> ScanLandmarks:
    return detect_scan_landmarks(head)


@pytest.fixture(scope="module")
def embedded(head: Mesh) -> dict[str, LandmarkEmbedding]:
    return embed_landmarks(head)


def test_the_default_head(model: MorphableModel, head: Mesh, found: ScanLandmarks) -> None:
    assert found.presence > 0.99
    assert found.score > 0.6
    assert found.views == 10  # five portraits, as clay and in colour
    assert found.ibug68.names == tuple(map(str, range(68)))
    assert found.mediapipe478.names == tuple(f"mp{index}" for index in range(478))
    truth = model.landmarks["ibug68"].landmarks(head.vertices, head.faces).points
    errors = np.linalg.norm(found.ibug68.points - truth, axis=1)
    assert np.median(errors[_INNER]) < 5  # the 2D network's own conventions included
    assert errors[list(IBUG68_GROUPS["eyes"])].mean() < 4
    assert errors[list(IBUG68_GROUPS["mouth"])].mean() < 4
    assert np.degrees(Rotation.from_matrix(found.rotation).magnitude()) < 10


def test_points_lie_on_the_surface_and_the_jaw_is_the_least_certain(head: Mesh, found: ScanLandmarks) -> None:
    distances = closest_points(head, found.mediapipe478.points).distances
    assert np.median(distances) < 0.3
    deviations = found.ibug68.standard_deviations
    assert deviations is not None
    assert (deviations > 1).all()
    jaw, rest = deviations[:17], deviations[_INNER]
    assert jaw.min() > np.median(rest)


def test_errors_are_small_across_the_surface_and_larger_along_it(head: Mesh, found: ScanLandmarks) -> None:
    covariances, names = found.mediapipe478.covariances, found.mediapipe478.names
    assert covariances is not None
    assert found.mediapipe478.standard_deviations is not None
    np.testing.assert_allclose(covariances, covariances.transpose(0, 2, 1), atol=1e-12)
    variances = np.linalg.eigvalsh(covariances)
    assert variances.min() > 0
    assert np.median(np.sqrt(variances[:, 2] / variances[:, 0])) > 2.5
    closest = closest_points(head, found.mediapipe478.points)
    normals = face_normals(head.vertices, head.faces)[closest.face_indices]
    across = np.sqrt(np.einsum("ni,nij,nj->n", normals, covariances, normals))
    cheek, eye = names.index("mp50"), names.index("mp133")
    assert across[cheek] < 0.7 * found.mediapipe478.standard_deviations[cheek]
    assert found.mediapipe478.standard_deviations[eye] < 2 < found.mediapipe478.standard_deviations[234]


def test_errors_mirror_and_turn_with_the_head() -> None:
    pose = Similarity(0.001, Rotation.from_euler("xyz", (1, 2, 3)).as_matrix(), np.zeros(3))
    seen = np.ones(478, bool)
    upright = point_covariances(np.zeros(478), seen, Similarity.identity())
    np.testing.assert_allclose(
        point_covariances(np.zeros(478), seen, pose),
        1e-6 * pose.rotation @ upright @ pose.rotation.T,
        atol=1e-12,
    )
    left, right = 263, 33  # outer corners of the eyes
    mirrored = upright[right] * np.outer((-1, 1, 1), (-1, 1, 1))
    np.testing.assert_allclose(upright[left], mirrored, rtol=1e-4, atol=1e-6)


def test_views_that_disagree_and_points_not_seen_are_less_certain() -> None:
    seen = np.ones(478, bool)
    seen[5] = False
    usual = point_covariances(np.zeros(478), seen, Similarity.identity())
    torn = point_covariances(np.full(478, 10.0), seen, Similarity.identity())
    assert (np.trace(torn - usual, axis1=1, axis2=2)[seen] > 50).all()
    np.testing.assert_array_equal(usual[5], torn[5])
    assert np.trace(usual[5]) > 100


def test_half_a_face_is_less_certain_and_what_is_missing_the_farther_the_less() -> None:
    points = canonical_points()
    half = points[:, 0] < 5
    whole = point_covariances(np.zeros(478), np.ones(478, bool), Similarity.identity())
    partly = point_covariances(np.zeros(478), half, Similarity.identity())
    np.testing.assert_allclose(partly[half], (0.85 / half.mean()) ** 2 * whole[half])
    deviations = np.sqrt(np.trace(partly, axis1=1, axis2=2) / 3)
    assert deviations[points[:, 0] > 60].min() > 30
    assert deviations[~half].min() >= 8


def test_holes_for_eyes_are_closed_and_hold_no_points(head: Mesh, found: ScanLandmarks) -> None:
    irises = found.mediapipe478.points[[468, 473]]
    distances = np.linalg.norm(head.vertices[:, None] - irises, axis=2).min(axis=1)
    kept = (distances > 7)[head.faces].all(axis=1)
    hollow = Mesh(head.vertices, head.faces[kept], head.colors)
    again = detect_scan_landmarks(hollow)
    assert not again.seen[[468, 473]].any()
    corners = [33, 133, 362, 263, 1, 13]
    offsets = np.linalg.norm(again.mediapipe478.points - found.mediapipe478.points, axis=1)
    assert offsets[corners].max() < 2.5
    assert "mp468" not in embed_landmarks(hollow)["mediapipe478"].names


def test_rigid_motion_units_and_winding_carry_the_landmarks_along(head: Mesh, found: ScanLandmarks) -> None:
    lying = Rotation.from_euler("xyz", (100, 20, -140), degrees=True).as_matrix()
    metres = 0.001
    moved = replace(head, vertices=metres * head.vertices @ lying.T + (1.0, -2.0, 0.5))
    again = detect_scan_landmarks(moved)
    back = (again.ibug68.points - (1.0, -2.0, 0.5)) @ lying / metres
    errors = np.linalg.norm(back - found.ibug68.points, axis=1)
    assert errors[_INNER].mean() < 0.5
    turned = Rotation.from_matrix(again.rotation.T @ lying @ found.rotation).magnitude()
    assert np.degrees(turned) < 1
    assert again.pose.scale == pytest.approx(metres * found.pose.scale, rel=0.01)


def test_the_template_carries_the_same_bias(
    model: MorphableModel, head: Mesh, embedded: dict[str, LandmarkEmbedding], rng: np.random.Generator
) -> None:
    other = Mesh(model.instance(identity=rng.normal(size=20)), head.faces, head.colors)
    detected = detect_scan_landmarks(other)
    for name, landmarks, limit in (
        ("ibug68", detected.ibug68, 2.0),
        ("mediapipe478", detected.mediapipe478, 2.5),
    ):
        expected = embedded[name].landmarks(other.vertices, other.faces).points
        common = landmarks.select(embedded[name].names)
        errors = np.linalg.norm(common.points - expected, axis=1)
        assert np.median(errors) < limit, name


def test_the_embedding_is_where_the_points_were_found(
    head: Mesh, found: ScanLandmarks, embedded: dict[str, LandmarkEmbedding]
) -> None:
    tied = embedded["mediapipe478"]
    np.testing.assert_allclose(tied.barycentrics.sum(axis=1), 1)
    assert tied.barycentrics.min() >= -1e-12
    assert embedded["ibug68"].names == found.ibug68.names
    assert tied.names == tuple(f"mp{index}" for index in np.flatnonzero(found.seen))
    assert len(tied.names) > 460
    detected = found.mediapipe478.select(tied.names).points
    offsets = tied.landmarks(head.vertices, head.faces).points - detected
    np.testing.assert_allclose(
        np.linalg.norm(offsets, axis=1), closest_points(head, detected).distances, atol=1e-9
    )


def test_the_canonical_face_is_found_where_it_is() -> None:
    mesh = canonical_face()
    found = detect_scan_landmarks(mesh, ScanLandmarkSettings(angles=((0.0, 0.0),)))
    errors = np.linalg.norm(found.ibug68.points - to_ibug68(mesh.vertices), axis=1)
    assert np.median(errors[_INNER]) < 5


def test_no_face_is_said_in_one_sentence() -> None:
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64) * 200
    strips = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = np.array([face for a, b, c, d in strips for face in ((a, b, c), (a, c, d))], np.int32)
    with pytest.raises(NoFaceError, match=r"^No face was found on the mesh from any side; .*\.$"):
        detect_scan_landmarks(Mesh(cube, faces))


def test_a_pose_is_recovered_despite_outliers_and_gaps(rng: np.random.Generator) -> None:
    rotation = Rotation.random(random_state=rng).as_matrix()
    points = 1.1 * canonical_points() @ rotation.T + (5, 6, 7)
    points[rng.choice(478, 60, replace=False)] += rng.normal(0, 60, (60, 3))
    points[rng.choice(478, 100, replace=False)] = np.nan
    pose, residual = fit_pose(points)
    np.testing.assert_allclose(pose.rotation, rotation, atol=0.01)
    assert pose.scale == pytest.approx(1.1, rel=0.01)
    assert residual < 2


def test_a_hollow_face_is_refused() -> None:
    _, residual = fit_pose(canonical_points() * (1, 1, -1))
    assert residual == np.inf
