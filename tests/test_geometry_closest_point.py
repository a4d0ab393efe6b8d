from __future__ import annotations

import numpy as np
import pytest

from morphkit.geometry.closest_point import ClosestPointQuery, closest_points
from morphkit.geometry.normals import face_normals
from morphkit.geometry.sampling import interpolate
from morphkit.mesh import Mesh


def _soup(rng: np.random.Generator, count: int) -> Mesh:
    centres = rng.uniform(-50, 50, (count, 1, 3))
    vertices = (centres + rng.normal(scale=4, size=(count, 3, 3))).reshape(-1, 3)
    return Mesh(vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3))


def _brute_force(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distances (points, faces): the least over each triangle's interior and its three edges."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    best = np.full((len(points), len(faces)), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        squared = (edge**2).sum(axis=1)
        along = np.einsum("pfd,fd->pf", points[:, None] - start, edge) / np.where(squared > 0, squared, 1)
        nearest = start + np.clip(along, 0, 1)[..., None] * edge
        best = np.minimum(best, np.linalg.norm(points[:, None] - nearest, axis=2))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    flat = length[:, 0] <= 1e-9 * np.linalg.norm(b - a, axis=1) * np.linalg.norm(c - a, axis=1)
    normal /= np.where(length > 0, length, 1)
    height = np.einsum("pfd,fd->pf", points[:, None] - a, normal)
    foot = points[:, None] - height[..., None] * normal
    inside = np.broadcast_to(~flat, height.shape).copy()
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= np.einsum("fd,pfd->pf", normal, np.cross(end - start, foot - start)) >= 0
    return np.minimum(best, np.where(inside, abs(height), np.inf))


def _assert_exact(query: ClosestPointQuery, points: np.ndarray, atol: float = 1e-9) -> None:
    """Compare with brute force, and the parts of the answer with each other."""
    mesh, result = query.mesh, query.query(points)
    expected = _brute_force(mesh.vertices, mesh.faces, points)
    np.testing.assert_allclose(result.distances, expected.min(axis=1), rtol=1e-12, atol=atol)
    found = expected[np.arange(len(points)), result.face_indices]
    np.testing.assert_allclose(found, expected.min(axis=1), rtol=1e-12, atol=atol)
    on_surface = interpolate(mesh.vertices, mesh.faces, result.face_indices, result.barycentrics)
    np.testing.assert_allclose(on_surface, result.points, rtol=1e-12, atol=atol)
    np.testing.assert_allclose(
        np.linalg.norm(result.points - points, axis=1), result.distances, rtol=1e-12, atol=atol
    )
    assert (result.barycentrics >= -1e-12).all()
    np.testing.assert_allclose(result.barycentrics.sum(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33, 255, 256, 257, 600])
def test_agrees_with_brute_force(rng: np.random.Generator, count: int) -> None:
    _assert_exact(ClosestPointQuery(_soup(rng, count)), rng.uniform(-70, 70, (200, 3)))


def test_a_large_surface_agrees_with_brute_force(rng: np.random.Generator) -> None:
    # 5,000 triangles make a tree of three levels; points lie near, off and far away from the bumpy sheet.
    x, y = np.meshgrid(np.linspace(-80, 80, 51), np.linspace(-80, 80, 51), indexing="ij")
    vertices = np.stack([x, y, 10 * np.sin(x / 9) * np.cos(y / 7)], axis=-1).reshape(-1, 3)
    i = (np.arange(50)[:, None] * 51 + np.arange(50)).ravel()
    faces = np.concatenate([np.stack([i, i + 51, i + 52], 1), np.stack([i, i + 52, i + 1], 1)])
    mesh = Mesh(vertices, faces.astype(np.int32))
    steps = np.repeat([0.0, 0.1, 3, 500], 20)[:, None] * rng.standard_normal((80, 3))
    _assert_exact(ClosestPointQuery(mesh), vertices[rng.integers(len(vertices), size=80)] + steps)


@pytest.mark.parametrize("shift", [0.0, 1e4, 1e7])
def test_coordinates_far_from_the_origin_keep_their_precision(rng: np.random.Generator, shift: float) -> None:
    mesh = _soup(rng, 100)
    moved = Mesh(mesh.vertices + shift, mesh.faces)
    _assert_exact(ClosestPointQuery(moved), rng.uniform(-70, 70, (50, 3)) + shift, atol=1e-9 + 1e-15 * shift)


def test_broken_triangles_are_exact_too(rng: np.random.Generator) -> None:
    # Points, segments with their corners in any order, needles of any width, whole triangles given twice.
    vertices = rng.uniform(-5, 5, (60, 3))
    share = rng.uniform(-0.5, 1.5, 30)[:, None]
    on_line = vertices[:30] + share * (vertices[30:] - vertices[:30])
    off_line = on_line + 10.0 ** rng.uniform(-15, -3, (30, 1)) * rng.standard_normal((30, 3))
    every = np.concatenate([vertices, on_line, off_line, vertices[:10]])
    a, b = np.arange(30), np.arange(30) + 30
    segments, needles = np.stack([a, b, a + 60], 1), np.stack([b, a + 90, a], 1)
    doubled, points = np.stack([a, b, b], 1), np.stack([a[:10], a[:10] + 120, a[:10]], 1)
    faces = np.concatenate([segments, needles[:, [1, 2, 0]], doubled[:, [2, 0, 1]], points, segments])
    _assert_exact(
        ClosestPointQuery(Mesh(every, faces.astype(np.int32))), rng.uniform(-9, 9, (300, 3)), atol=1e-6
    )


def test_hints_order_and_threads_change_nothing(rng: np.random.Generator) -> None:
    # A cube of two triangles a side, each given three times: most answers are ties.
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = np.array([t for a, b, c, d in sides for t in ([a, b, c], [a, c, d])] * 3, dtype=np.int32)
    soup = _soup(rng, 500)
    grid = rng.integers(-2, 4, (101, 3)) / 2
    for mesh, points in ((Mesh(corners, faces), grid), (soup, rng.uniform(-70, 70, (101, 3)))):
        query = ClosestPointQuery(mesh)
        normals = rng.standard_normal((101, 3))
        for options in ({}, {"normals": normals, "min_cosine": 0.3}):
            plain = query.query(points, **options)
            turned = dict(options, normals=normals[::-1]) if options else {}
            back = query.query(points[::-1], **turned)
            np.testing.assert_array_equal(back.face_indices[::-1], plain.face_indices)
            for more in (
                {"hints": rng.integers(-1, len(mesh.faces), 101)},
                {"hints": plain.face_indices},
                {"workers": 3},
            ):
                other = query.query(points, **options, **more)
                np.testing.assert_array_equal(other.distances, plain.distances)
                np.testing.assert_array_equal(other.face_indices, plain.face_indices)
                np.testing.assert_array_equal(other.barycentrics, plain.barycentrics)


def test_a_refitted_query_is_as_exact_as_a_new_one(rng: np.random.Generator) -> None:
    mesh, points = _soup(rng, 400), rng.uniform(-70, 70, (100, 3))
    query = ClosestPointQuery(mesh)
    before = query.query(points)
    moved = mesh.vertices[:, [1, 2, 0]] + rng.normal(scale=3, size=mesh.vertices.shape)
    refitted = query.refit(moved)
    _assert_exact(refitted, points)
    np.testing.assert_array_equal(refitted.mesh.vertices, moved)
    fresh = ClosestPointQuery(Mesh(moved, mesh.faces)).query(points)
    hinted = refitted.query(points, hints=before.face_indices)
    np.testing.assert_array_equal(hinted.distances, fresh.distances)
    np.testing.assert_array_equal(query.query(points).distances, before.distances)


@pytest.mark.parametrize("min_cosine", [-0.5, 0.0, 0.7])
def test_normals_choose_among_triangles_as_brute_force_does(
    rng: np.random.Generator, min_cosine: float
) -> None:
    mesh, points = _soup(rng, 300), rng.uniform(-70, 70, (150, 3))
    facing = rng.standard_normal((150, 3))
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    every = _brute_force(mesh.vertices, mesh.faces, points)
    every[facing @ face_normals(mesh.vertices, mesh.faces).T < min_cosine] = np.inf
    result = ClosestPointQuery(mesh).query(points, normals=facing, min_cosine=min_cosine)
    np.testing.assert_allclose(result.distances, every.min(axis=1), atol=1e-9)


def test_normals_exclude_the_other_side() -> None:
    low = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    mesh = Mesh(np.vstack([low, low + np.array([0, 0, 1])]), np.array([[0, 1, 2], [3, 5, 4]], dtype=np.int32))
    query, point, up = ClosestPointQuery(mesh), np.array([[2.0, 2, 0.9]]), np.array([[0.0, 0, 1]])
    assert query.query(point).face_indices[0] == 1
    facing = query.query(point, normals=up)
    assert facing.face_indices[0] == 0
    assert facing.distances[0] == pytest.approx(0.9)
    sideways = query.query(point, normals=np.array([[1.0, 0, 0]]), min_cosine=0.5)
    assert sideways.face_indices[0] == -1
    assert np.isinf(sideways.distances[0])


def test_boundary_is_the_border_of_the_mesh_not_its_inner_edges() -> None:
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    query = ClosestPointQuery(Mesh(square, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)))
    points = np.array([[0.5, 0.5, 1], [0.5, -1, 0], [2, 2, 0], [0.7, 0.2, 1]])
    np.testing.assert_array_equal(query.touches_boundary(query.query(points)), [False, True, True, False])


def test_degenerate_triangles_are_survived() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 3, 3]], dtype=np.int32))
    result = closest_points(mesh, np.array([[1.5, 1, 0], [5, 5, 6.0]]))
    np.testing.assert_allclose(result.distances, [1, 1], atol=1e-12)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="at least one triangle"):
        ClosestPointQuery(Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int32)))
    with pytest.raises(ValueError, match="expected faces on 3 vertices"):
        ClosestPointQuery(Mesh(np.eye(3), np.array([[0, 1, 3]], dtype=np.int32)))
    query = ClosestPointQuery(Mesh(np.eye(3), np.array([[0, 1, 2]], dtype=np.int32)))
    point = np.zeros((1, 3))
    with pytest.raises(ValueError, match="points: expected finite"):
        query.query(np.array([[np.nan, 0, 0]]))
    with pytest.raises(ValueError, match="hints: expected triangles below 1, found 1"):
        query.query(point, hints=np.array([1]))
    with pytest.raises(ValueError, match=r"vertices: expected \(3, 3\), found \(2, 3\)"):
        query.refit(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="vertices: expected finite"):
        query.refit(np.full((3, 3), np.inf))


def test_no_points_have_no_answers() -> None:
    result = closest_points(Mesh(np.eye(3), np.array([[0, 1, 2]], dtype=np.int32)), np.zeros((0, 3)))
    assert result.points.shape == result.barycentrics.shape == (0, 3)
