"""Holes closed for pictures: which, and with which colours."""

import numpy as np
import pytest
import trimesh

from morphkit.geometry.normals import face_normals
from morphkit.geometry.sampling import surface_colors
from morphkit.geometry.topology import boundary_edges
from morphkit.landmarks.capping import cap_holes
from morphkit.mesh import Mesh


@pytest.fixture(scope="module")
def pierced() -> Mesh:
    """A ball of radius 50 with a hole about 25 wide on top and one about 80 wide below."""
    sphere = trimesh.creation.icosphere(4, 50.0)
    z = np.asarray(sphere.vertices)[:, 2][sphere.faces]
    faces = np.asarray(sphere.faces, np.int32)[((z < 48) & (z > -30)).all(axis=1)]
    vertices = np.asarray(sphere.vertices, np.float64)
    colors = (0.5 + vertices / 200).astype(np.float32)
    uv = (0.5 + vertices[:, :2] / 120)[faces].astype(np.float32)
    return Mesh(vertices, faces, colors, uv, np.full((8, 8, 3), 200, np.uint8))


def test_a_narrow_hole_is_closed_a_wide_one_stays(pierced: Mesh) -> None:
    for widest, open_below in ((60.0, True), (200.0, False)):
        capped = cap_holes(pierced, widest)
        rim = capped.vertices[boundary_edges(capped.faces)]
        assert (len(rim) > 0) == open_below
        assert (rim[..., 2] < 0).all()
    assert len(cap_holes(pierced, 5.0).faces) == len(pierced.faces)


def test_the_mesh_itself_comes_first_and_unchanged(pierced: Mesh) -> None:
    capped = cap_holes(pierced, 60.0)
    np.testing.assert_array_equal(capped.vertices[: len(pierced.vertices)], pierced.vertices)
    np.testing.assert_array_equal(capped.faces[: len(pierced.faces)], pierced.faces)
    caps = face_normals(capped.vertices, capped.faces)[len(pierced.faces) :]
    assert (caps[:, 2] > 0.9).all()  # they face outwards


def test_colors_run_inwards_from_the_rim(pierced: Mesh) -> None:
    assert pierced.uv is not None
    capped = cap_holes(pierced, 60.0)
    assert capped.colors is not None
    assert capped.uv is not None
    middle = int(capped.faces[-1].max())
    np.testing.assert_allclose(capped.colors[middle], 0.5 + capped.vertices[middle] / 200, atol=1e-3)
    own, caps = capped.uv[: len(pierced.uv)], capped.uv[len(pierced.uv) :]
    np.testing.assert_array_equal(own, pierced.uv)
    np.testing.assert_allclose(caps.mean(axis=(0, 1)), 0.5, atol=0.01)
    index = np.arange(len(pierced.faces), len(capped.faces))
    assert np.isfinite(surface_colors(capped, index, np.full((len(index), 3), 1 / 3))).all()


def test_unknown_colors_do_not_spread_over_a_cap(pierced: Mesh) -> None:
    assert pierced.colors is not None
    colors = pierced.colors.copy()
    colors[(pierced.vertices[:, 2] > 40) & (pierced.vertices[:, 0] > 0)] = np.nan
    capped = cap_holes(Mesh(pierced.vertices, pierced.faces, colors), 60.0)
    assert capped.colors is not None
    assert np.isfinite(capped.colors[int(capped.faces[-1].max())]).all()


def test_a_closed_mesh_stays_as_it_is() -> None:
    sphere = trimesh.creation.icosphere(1)
    mesh = Mesh(np.asarray(sphere.vertices, np.float64), np.asarray(sphere.faces, np.int32))
    assert cap_holes(mesh, 10.0) is mesh
