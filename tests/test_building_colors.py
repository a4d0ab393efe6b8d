"""Colours carried from scans to registered meshes: right, or missing."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from building_scans import SCANNER

from morphkit.archive import load_default_model
from morphkit.building import register_scan
from morphkit.building.colors import ColorSettings, in_sight, transfer_colors
from morphkit.building.synthetic import scan_head
from morphkit.io.landmarks import write_landmarks
from morphkit.io.meshes import write_mesh
from morphkit.mesh import Mesh


def ball(subdivisions, radius=50.0):
    sphere = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(sphere.vertices, np.float64), np.asarray(sphere.faces, np.int32))


def painted(mesh):
    """Colours that are a linear function of the place, so that interpolation is exact."""
    return replace(mesh, colors=(0.5 + mesh.vertices / 200).astype(np.float32))


REGISTERED = ball(3)
SCAN = painted(ball(4))


def test_colors_are_those_of_the_place():
    colors = transfer_colors(SCAN, REGISTERED)
    np.testing.assert_allclose(colors, 0.5 + REGISTERED.vertices / 200, atol=2e-3)
    assert colors.dtype == np.float32


def test_the_settings_decide_what_is_near():
    larger = painted(ball(4, 51.5))
    assert np.isfinite(transfer_colors(larger, REGISTERED)).all()
    assert np.isnan(transfer_colors(larger, REGISTERED, ColorSettings(max_distance=1.0))).all()


def test_holes_and_invalid_vertices_get_nothing():
    lost = (SCAN.vertices[:, 2] > 30)[SCAN.faces].any(axis=1)
    valid = REGISTERED.vertices[:, 1] < 10
    known = np.isfinite(transfer_colors(replace(SCAN, faces=SCAN.faces[~lost]), REGISTERED, valid=valid)).all(
        axis=1
    )
    assert not known[~valid].any()
    assert not known[REGISTERED.vertices[:, 2] > 30].any()
    assert known[valid & (REGISTERED.vertices[:, 2] < 25)].all()


def test_what_hair_covers_is_not_known():
    tuft = ball(4, 51.0)
    covering = (tuft.vertices[:, 2] > 40)[tuft.faces].all(axis=1)
    inside_out = tuft.faces[covering][:, ::-1] + len(SCAN.vertices)
    both = Mesh(
        np.vstack([SCAN.vertices, tuft.vertices]),
        np.vstack([SCAN.faces, inside_out]).astype(np.int32),
        np.vstack([SCAN.colors, np.zeros_like(SCAN.colors)]),
    )
    known = np.isfinite(transfer_colors(both, REGISTERED)).all(axis=1)
    assert not known[REGISTERED.vertices[:, 2] > 42].any()
    assert known[REGISTERED.vertices[:, 2] < 36].all()


def test_missing_colors_stay_missing():
    colors = SCAN.colors.copy()
    colors[SCAN.vertices[:, 0] > 20] = np.nan
    known = np.isfinite(transfer_colors(replace(SCAN, colors=colors), REGISTERED)).all(axis=1)
    assert not known[REGISTERED.vertices[:, 0] > 21].any()
    assert known[REGISTERED.vertices[:, 0] < 15].all()


def test_a_large_texture_is_read_only_where_it_is_needed():
    side = 4096
    texture = np.zeros((side, side, 3), np.uint8)
    texture[: side // 2] = 255  # the upper half, v > 0.5
    uv = (0.5 + SCAN.vertices[:, :2] / 110)[SCAN.faces].astype(np.float32)
    scan = replace(SCAN, uv=uv, texture=texture)
    transfer_colors(scan, REGISTERED)  # compiles
    tracemalloc.start()
    colors = transfer_colors(scan, REGISTERED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < texture.nbytes / 4
    np.testing.assert_array_equal(colors[REGISTERED.vertices[:, 1] > 1], 1)
    np.testing.assert_array_equal(colors[REGISTERED.vertices[:, 1] < -1], 0)


def test_a_scan_without_colors_is_refused():
    with pytest.raises(ValueError, match="neither"):
        transfer_colors(ball(2), REGISTERED)


def test_eyes_take_the_scans_colours_though_they_do_not_follow_it(tmp_path):
    head, rng = load_default_model(), np.random.default_rng(0)
    person = replace(head.mesh(rng.standard_normal(8)), uv=None)
    scan = scan_head(person, person.vertices[head.masks["face"]].mean(axis=0), rng, SCANNER)
    write_mesh(tmp_path / "a.ply", scan.mesh)
    points = head.landmarks["ibug68"].landmarks(scan.pose.apply(person.vertices), head.faces)
    write_landmarks(tmp_path / "a.landmarks.json", points)
    registered = register_scan(tmp_path / "a.ply", head.template())
    eyes = head.masks["eyes"]
    assert not registered.valid[eyes].any()
    given = eyes & np.isfinite(registered.mesh.colors).all(axis=1)
    assert 0.2 * eyes.sum() < given.sum() < 0.35 * eyes.sum()  # the lids hide the others
    off = np.abs(registered.mesh.colors[given] - person.colors[given]).max(axis=1)
    assert np.median(off) < 0.03
    assert np.mean(off > 0.15) < 0.25  # at the lids' edges, which triangles of this scan straddle


def test_what_lids_cover_is_not_in_sight():
    front = np.array([[-10, -10, 0], [10, -10, 0], [10, 10, 0], [-10, 10, 0]], np.float64)
    square = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    lid = front * [1.5, 0.4, 1.0] + [0.0, 8.0, 3.0]  # before the upper corners
    mesh = Mesh(np.vstack([front, lid]), np.vstack([square, square + 4]))
    eye = np.arange(8) < 4
    assert in_sight(mesh, eye, np.eye(3))[:4].tolist() == [True, True, False, False]
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    posed = replace(mesh, vertices=mesh.vertices @ turned.T)
    assert in_sight(posed, eye, turned)[:4].tolist() == [True, True, False, False]
    assert not in_sight(mesh, np.zeros(8, bool), np.eye(3)).any()


@pytest.mark.parametrize("subdivisions", [2, 5])
def test_half_of_a_ball_is_in_sight_however_fine_it_is(subdivisions):
    eye = ball(subdivisions, radius=12.0)
    seen = in_sight(eye, np.ones(len(eye.vertices), bool), np.eye(3))
    depth = eye.vertices[:, 2] / 12.0
    assert seen[depth > 0.3].all()
    assert not seen[depth < -0.7].any()
