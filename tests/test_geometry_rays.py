"""Short rays: against brute force, and what stands in the way."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.geometry.rays import ShortRayQuery
from morphkit.mesh import Mesh


def square(height, up=True):
    """A unit square at a height, seen from above or from below."""
    vertices = np.array([[0, 0, height], [1, 0, height], [1, 1, height], [0, 1, height]], np.float64)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return vertices, faces if up else faces[:, ::-1]


def sheets(*squares):
    vertices = np.concatenate([square[0] for square in squares])
    faces = np.concatenate([square[1] + 4 * index for index, square in enumerate(squares)])
    return Mesh(vertices, faces.astype(np.int32))


UP = np.array([[0.0, 0.0, 1.0]])
PLACE = np.array([50.0, -20.0, 7.0])


def cast(mesh, height, reach=1.0):
    return ShortRayQuery(mesh, reach).cast(np.array([[0.3, 0.6, height]]), UP).face_indices[0]


@pytest.mark.parametrize("height", [-0.9, 0.0, 0.9])
def test_a_sheet_is_met_from_both_sides_within_reach(height):
    assert cast(sheets(square(0.0)), height) == 1
    assert cast(sheets(square(0.0)), height + 2) == -1


def test_what_faces_the_other_way_is_no_answer():
    assert cast(sheets(square(0.0, up=False)), 0.1) == -1


def test_the_nearer_of_two_is_taken():
    mesh = sheets(square(0.0), square(0.5))
    assert cast(mesh, 0.1) == 1
    assert cast(mesh, 0.4) == 3


def test_a_sheet_outside_or_between_hides_the_answer_one_behind_it_does_not():
    assert cast(sheets(square(0.0), square(0.5, up=False)), 0.1) == -1  # outside
    assert cast(sheets(square(0.0), square(0.5, up=False)), 0.9) == -1  # between
    assert cast(sheets(square(0.0), square(-0.5, up=False)), 0.1) == 1  # behind: the wall's other side
    assert cast(sheets(square(0.0), square(3.0, up=False)), 0.1) == 1  # out of reach


def test_the_meeting_point_lies_on_the_ray(rng):
    mesh = sheets(square(0.25))
    points = np.column_stack([rng.random((50, 2)), np.zeros(50)])
    normals = np.tile([0.1, -0.05, 1.0], (50, 1)) / np.linalg.norm([0.1, -0.05, 1.0])
    hits = ShortRayQuery(mesh, 1.0).cast(points, normals)
    met = np.einsum("nk,nkd->nd", hits.barycentrics, mesh.vertices[mesh.faces[hits.face_indices]])
    offset = (met - points)[hits.hit]
    along = (offset * normals[hits.hit]).sum(axis=1)
    np.testing.assert_allclose(offset, along[:, None] * normals[hits.hit], atol=1e-12)
    np.testing.assert_allclose(hits.barycentrics.sum(axis=1), 1)
    assert hits.hit.sum() > 30


def brute_force(mesh, points, normals, reach, min_cosine):
    """The same rules by linear algebra, one pair at a time."""
    answers = []
    for p, n in zip(points, normals, strict=True):
        met = []
        for index, (a, b, c) in enumerate(mesh.vertices[mesh.faces]):
            u, v, t = np.linalg.solve(np.column_stack([b - a, c - a, -n]), p - a)
            if min(u, v) >= 0 and u + v <= 1 and abs(t) <= reach:
                across = np.cross(b - a, c - a)
                met.append((t, float(across @ n) / np.linalg.norm(across), index))
        same = [m for m in met if m[1] >= min_cosine]
        best = min(same, key=lambda m: abs(m[0]), default=None)
        other = [t for t, cosine, _ in met if cosine < 0]
        hidden = any(t >= 0 or (best is not None and t > best[0]) for t in other)
        answers.append(-1 if best is None or hidden else best[2])
    return np.array(answers)


def test_triangles_in_disorder_as_by_brute_force(rng):
    centres = rng.uniform(-3, 3, (300, 1, 3)) + PLACE
    vertices = (centres + rng.normal(0, 0.6, (300, 3, 3))).reshape(-1, 3)
    mesh = Mesh(vertices, np.arange(900, dtype=np.int32).reshape(-1, 3))
    points = rng.uniform(-4, 4, (400, 3)) + PLACE
    normals = rng.normal(size=(400, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for reach in (0.2, 1.0):
        found = ShortRayQuery(mesh, reach).cast(points, normals, min_cosine=0.3)
        expected = brute_force(mesh, points, normals, reach, 0.3)
        np.testing.assert_array_equal(found.face_indices, expected)
        assert 0 < found.hit.sum() < 400


def test_motion_changes_nothing(rng):
    mesh = sheets(square(0.0), square(0.3), square(0.8, up=False))
    points, turn = rng.uniform(0, 1, (40, 3)), Rotation.random(random_state=rng).as_matrix()
    before = ShortRayQuery(mesh, 0.4).cast(points, np.tile(UP, (40, 1)))
    moved = Mesh(mesh.vertices @ turn.T + 5, mesh.faces)
    after = ShortRayQuery(moved, 0.4).cast(points @ turn.T + 5, np.tile(UP, (40, 1)) @ turn.T)
    np.testing.assert_array_equal(after.face_indices, before.face_indices)


def test_a_normal_of_no_length_has_no_answer():
    hits = ShortRayQuery(sheets(square(0.0)), 1.0).cast(np.full((1, 3), 0.5), np.zeros((1, 3)))
    assert not hits.hit.any()


def test_what_cannot_be_cast_is_said():
    mesh = sheets(square(0.0))
    with pytest.raises(ValueError, match="at least one triangle"):
        ShortRayQuery(Mesh(mesh.vertices, np.zeros((0, 3), np.int32)), 1.0)
    with pytest.raises(ValueError, match="reach must be positive"):
        ShortRayQuery(mesh, 0.0)
    with pytest.raises(ValueError, match="finite vertices"):
        ShortRayQuery(Mesh(mesh.vertices * np.nan, mesh.faces), 1.0)
    with pytest.raises(ValueError, match="finite numbers"):
        ShortRayQuery(mesh, 1.0).cast(np.full((1, 3), np.inf), UP)
