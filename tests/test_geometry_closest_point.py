from __future__ import annotations

import numpy as np
import pytest

from morphkit.geometry.closest_point import ClosestPointQuery, closest_points
from morphkit.geometry.sampling import interpolate
from morphkit.mesh import Mesh


def _soup(rng: np.random.Generator, count: int) -> Mesh:
    centres = rng.uniform(-50, 50, (count, 1, 3))
    vertices = (centres + rng.normal(scale=4, size=(count, 3, 3))).reshape(-1, 3)
    return Mesh(vertices, np.arange(3 * count, dtype=np.int32).reshape(-1, 3))


def _brute_force(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """Distance by minimising over each triangle's interior, edges and corners separately."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    best = np.full(len(points), np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        along = np.einsum("pfd,fd->pf", points[:, None] - start, edge) / (edge**2).sum(axis=1)
        nearest = start + np.clip(along, 0, 1)[..., None] * edge
        best = np.minimum(best, np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    height = np.einsum("pfd,fd->pf", points[:, None] - a, normal)
    foot = points[:, None] - height[..., None] * normal
    inside = np.ones(height.shape, dtype=bool)
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= np.einsum("fd,pfd->pf", normal, np.cross(end - start, foot - start)) >= 0
    return np.minimum(best, np.where(inside, abs(height), np.inf).min(axis=1))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 300])
def test_agrees_with_brute_force(rng: np.random.Generator, count: int) -> None:
    mesh, points = _soup(rng, count), rng.uniform(-70, 70, (200, 3))
    result = closest_points(mesh, points)
    np.testing.assert_allclose(result.distances, _brute_force(mesh, points), atol=1e-9)
    on_surface = interpolate(mesh.vertices, mesh.faces, result.face_indices, result.barycentrics)
    np.testing.assert_allclose(on_surface, result.points, atol=1e-9)
    assert (result.barycentrics >= -1e-12).all()
    np.testing.assert_allclose(result.barycentrics.sum(axis=1), 1, atol=1e-12)


def test_hints_and_threads_change_nothing(rng: np.random.Generator) -> None:
    query, points = ClosestPointQuery(_soup(rng, 200)), rng.uniform(-70, 70, (101, 3))
    plain = query.query(points)
    hints = rng.integers(-1, 200, 101)
    for other in (query.query(points, hints=hints), query.query(points, workers=3)):
        np.testing.assert_array_equal(other.distances, plain.distances)


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
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]], dtype=np.int32))
    with pytest.raises(ValueError, match="finite"):
        closest_points(mesh, np.array([[np.nan, 0, 0]]))
