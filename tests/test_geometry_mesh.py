from __future__ import annotations

import numpy as np
import pytest
import trimesh

from morphkit.geometry.laplacian import cotangent_laplacian, uniform_laplacian, vertex_areas
from morphkit.geometry.normals import face_areas, face_normals, vertex_normals
from morphkit.geometry.sampling import farthest_points, sample_surface, sample_texture, surface_colors
from morphkit.geometry.topology import (
    boundary_edges,
    boundary_face_edges,
    boundary_vertices,
    connected_components,
    dilate,
    edge_chains,
    unique_edges,
    vertex_adjacency,
)
from morphkit.mesh import Mesh


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=10.0)
    return Mesh(np.array(ball.vertices), np.array(ball.faces, dtype=np.int32))


@pytest.fixture
def grid() -> Mesh:
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0))
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    faces = np.vstack([np.c_[corner, corner + 1, corner + 6], np.c_[corner, corner + 6, corner + 5]])
    return Mesh(np.c_[x.ravel(), y.ravel(), np.zeros(25)], faces.astype(np.int32))


def test_normals_of_a_sphere_point_outward(sphere: Mesh) -> None:
    radial = sphere.vertices / np.linalg.norm(sphere.vertices, axis=1, keepdims=True)
    assert (np.einsum("vd,vd->v", vertex_normals(sphere.vertices, sphere.faces), radial) > 0.999).all()
    np.testing.assert_allclose(np.linalg.norm(face_normals(sphere.vertices, sphere.faces), axis=1), 1)
    reference = trimesh.Trimesh(sphere.vertices, sphere.faces, process=False)
    assert face_areas(sphere.vertices, sphere.faces).sum() == pytest.approx(reference.area)
    assert vertex_areas(sphere.vertices, sphere.faces).sum() == pytest.approx(reference.area)


def test_degenerate_triangles_have_zero_normals() -> None:
    vertices, faces = np.zeros((3, 3)), np.array([[0, 1, 2]], dtype=np.int32)
    np.testing.assert_array_equal(face_normals(vertices, faces), np.zeros((1, 3)))
    np.testing.assert_array_equal(vertex_normals(vertices, faces), np.zeros((3, 3)))


def test_a_closed_surface_obeys_euler_and_has_no_boundary(sphere: Mesh) -> None:
    edges = unique_edges(sphere.faces)
    assert len(sphere.vertices) - len(edges) + len(sphere.faces) == 2
    assert len(boundary_edges(sphere.faces)) == 0
    np.testing.assert_array_equal(edges, np.unique(np.sort(edges, axis=1), axis=0))


def test_boundary_of_a_grid_is_its_rim(grid: Mesh) -> None:
    rim = (grid.vertices[:, :2] % 4 == 0).any(axis=1)
    np.testing.assert_array_equal(boundary_vertices(grid.faces, 25), rim)
    assert len(boundary_edges(grid.faces)) == 16
    assert boundary_face_edges(grid.faces).sum() == 16


def test_every_border_is_a_chain_of_its_own(grid: Mesh) -> None:
    edges = np.array([[7, 3], [3, 9], [1, 4], [9, 7], [20, 4], [50, 51]])
    np.testing.assert_array_equal(np.unique(edge_chains(edges), return_index=True)[1], [2, 0, 5])
    np.testing.assert_array_equal(edge_chains(edges) == edge_chains(edges)[0], [1, 1, 0, 1, 0, 0])
    pierced = np.delete(grid.faces, [5, 5 + 16], axis=0)  # a square in the middle
    rim = boundary_edges(pierced)
    chains = edge_chains(rim)
    outside = (np.abs(grid.vertices[rim, :2] - 2) == 2).any(axis=(1, 2))
    assert set(chains) == {0, 1}
    assert len(set(chains[outside])) == len(set(chains[~outside])) == 1
    assert (outside.sum(), (~outside).sum()) == (16, 4)


def test_flags_lie_opposite_their_corner() -> None:
    faces = np.array([[0, 1, 2], [2, 1, 3]], dtype=np.int32)
    np.testing.assert_array_equal(boundary_face_edges(faces), [[False, True, True], [True, True, False]])


def test_adjacency_is_symmetric_and_components_are_found(grid: Mesh) -> None:
    adjacency = vertex_adjacency(grid.faces, 25)
    assert abs(adjacency - adjacency.T).sum() == 0
    two = np.vstack([grid.faces, grid.faces + 25])
    labels = connected_components(two, 51)
    assert len(set(labels[:25])) == len(set(labels[25:50])) == 1
    assert len(set(labels)) == 3
    np.testing.assert_array_equal(
        dilate(np.arange(25) == 12, grid.faces).nonzero()[0], [6, 7, 11, 12, 13, 17, 18]
    )


def test_laplacians_are_semidefinite_with_constants_in_the_kernel(
    sphere: Mesh, rng: np.random.Generator
) -> None:
    for matrix in (
        uniform_laplacian(sphere.faces, len(sphere.vertices)),
        cotangent_laplacian(sphere.vertices, sphere.faces),
    ):
        np.testing.assert_allclose(matrix @ np.ones(len(sphere.vertices)), 0, atol=1e-10)
        assert abs(matrix - matrix.T).max() < 1e-12
        x = rng.normal(size=len(sphere.vertices))
        assert x @ (matrix @ x) > 0


def test_cotangent_laplacian_annihilates_linear_functions_and_measures_area(grid: Mesh, sphere: Mesh) -> None:
    inner = ~boundary_vertices(grid.faces, 25)
    np.testing.assert_allclose(
        (cotangent_laplacian(grid.vertices, grid.faces) @ grid.vertices)[inner], 0, atol=1e-12
    )
    # the Dirichlet energy of the identity map is twice the area, exactly
    energy = np.trace(
        sphere.vertices.T @ (cotangent_laplacian(sphere.vertices, sphere.faces) @ sphere.vertices)
    )
    assert energy == pytest.approx(2 * face_areas(sphere.vertices, sphere.faces).sum(), rel=1e-12)


def test_samples_are_spread_by_area_and_repeatable(sphere: Mesh) -> None:
    stretched = Mesh(sphere.vertices * [1, 1, 3], sphere.faces)
    samples = sample_surface(stretched, 20000, seed=3)
    share = np.bincount(samples.face_indices, minlength=len(sphere.faces)) / 20000
    areas = face_areas(stretched.vertices, stretched.faces)
    assert abs(share - areas / areas.sum()).max() < 2 / 20000
    np.testing.assert_array_equal(samples.points, sample_surface(stretched, 20000, seed=3).points)
    assert not np.array_equal(samples.points, sample_surface(stretched, 20000, seed=4).points)
    with pytest.raises(ValueError, match="positive area"):
        sample_surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], dtype=np.int32)), 5)


def test_vertex_colors_interpolate(grid: Mesh) -> None:
    colors = np.c_[grid.vertices[:, :2] / 4, np.zeros(25)].astype(np.float32)
    mesh = Mesh(grid.vertices, grid.faces, colors=colors)
    samples = sample_surface(grid, 50)
    found = surface_colors(mesh, samples.face_indices, samples.barycentrics)
    np.testing.assert_allclose(found[:, :2], samples.points[:, :2] / 4, atol=1e-6)
    missing = surface_colors(mesh, np.array([-1], dtype=np.int32), np.array([[1.0, 0, 0]]))
    assert np.isnan(missing).all()
    with pytest.raises(ValueError, match="neither"):
        surface_colors(grid, samples.face_indices, samples.barycentrics)


def test_texture_is_decoded_and_its_first_row_is_the_top() -> None:
    texture = np.zeros((2, 2, 3), dtype=np.uint8)
    texture[0, 1] = 188
    at = np.array([[0.75, 0.75], [0.25, 0.75], [0.75, 0.25], [0.5, 0.75]])
    value = ((188 / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(sample_texture(texture, at)[:, 0], [value, 0, 0, value / 2], atol=1e-6)
    mesh = Mesh(
        np.eye(3),
        np.array([[0, 1, 2]], dtype=np.int32),
        uv=np.full((1, 3, 2), 0.75, dtype=np.float32),
        texture=texture,
    )
    colors = surface_colors(mesh, np.array([0], dtype=np.int32), np.array([[0.2, 0.3, 0.5]]))
    np.testing.assert_allclose(colors[0], value, atol=1e-6)


def test_farthest_points_spread_and_start_at_the_middle() -> None:
    line = np.column_stack([np.arange(11.0), np.zeros(11), np.zeros(11)])
    assert farthest_points(line, 3).tolist() == [5, 0, 10]
    assert sorted(farthest_points(line, 99)) == list(range(11))
