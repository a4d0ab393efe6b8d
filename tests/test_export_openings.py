"""A model with open eyes: closed in pictures and textures by what the photo shows there, not in its files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitted_by_nobody import SIZE, fit_by_nobody, front_camera, symmetric_mean
from fitting_head import small_head

from morphkit.export.atlas import cylinder_uv
from morphkit.export.build_pictures import mean_head
from morphkit.export.openings import Openings
from morphkit.export.overlay import rasterize_upright
from morphkit.fitting.output import write_fit
from morphkit.geometry.topology import boundary_face_edges, edge_chains, face_edges
from morphkit.geometry.views import render_view, turn
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.io.images import read_image
from morphkit.io.meshes import read_mesh
from morphkit.mesh import Mesh

EYES = ((-31.0, 26.0), (31.0, 26.0))
BLUE = np.array([40, 80, 220])


@pytest.fixture(scope="module")
def head():
    """An egg without the triangles around two vertices, symmetric to the bit."""
    whole = small_head(4, 3, 2)
    mean = symmetric_mean(whole)
    far = [np.linalg.norm(mean[:, :2] - eye, axis=1) + 1000 * (mean[:, 2] < 0) for eye in EYES]
    first = int(far[0].argmin())
    pupils = [first, int(whole.mirror[first])]
    faces = whole.faces[~np.isin(whole.faces, pupils).any(axis=1)]
    identity = replace(whole.identity, mean=mean.astype(np.float32))
    return replace(whole, identity=identity, faces=faces, landmarks={})


@pytest.fixture(scope="module")
def openings(head):
    return Openings.of(head.identity.mean.astype(np.float64), head.faces)


def holes(faces):
    rim = face_edges(faces)[np.flatnonzero(boundary_face_edges(faces))]
    return 0 if len(rim) == 0 else int(edge_chains(rim).max()) + 1


def test_caps_follow_the_face_and_cover_its_openings(head, openings):
    assert holes(head.faces) == 2
    vertices = openings.extended(head.identity.mean.astype(np.float64))
    assert np.array_equal(vertices[: head.n_vertices], head.identity.mean)
    assert np.array_equal(openings.faces[: len(head.faces)], head.faces)
    caps = openings.faces[len(head.faces) :]
    assert caps.min() == head.n_vertices  # they share no vertex with the face
    assert caps.max() == len(vertices) - 1
    camera = front_camera()
    column, row = camera.project(np.array([[*EYES[0], 80.0]]))[0].astype(int)
    seen = rasterize_upright(camera, vertices, openings.faces).face_index[row, column]
    assert seen >= len(head.faces)
    assert np.array_equal(
        openings.extended(np.ones(head.n_vertices), 0.25), [1.0] * head.n_vertices + [0.25] * 14
    )


def test_the_other_side_of_a_cap_is_the_other_eyes(head, openings):
    mirror = openings.mirrored(head.mirror)
    vertices = openings.extended(head.identity.mean.astype(np.float64))
    caps = slice(head.n_vertices, None)
    assert np.array_equal(mirror[mirror[caps]], np.arange(len(vertices))[caps])
    paired = head.n_vertices + np.flatnonzero(mirror[caps] != np.arange(len(vertices))[caps])
    assert len(paired) >= 10  # the egg's triangles are not quite symmetric
    assert np.abs(vertices[mirror[paired]] - vertices[paired] * [-1, 1, 1]).max() < 0.5
    assert openings.mirrored(None) is None
    lonely = openings.mirrored(np.zeros(head.n_vertices, np.int32))  # a mirror that knows of no rim
    assert np.array_equal(lonely[caps], np.arange(len(vertices))[caps])


def test_a_cap_lies_within_its_rim_in_the_texture(head, openings):
    uv, _ = cylinder_uv(head.identity.mean.astype(np.float64), head.faces)
    mapped = openings.mapped(uv)
    assert np.array_equal(mapped[: len(uv)], uv)
    caps = mapped[len(uv) :]
    a, b = caps[:, 1] - caps[:, 0], caps[:, 2] - caps[:, 0]
    assert (np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 1e-5).all()
    assert len(np.unique(caps[:, 2], axis=0)) == 2
    torn = uv + 0.001 * np.arange(len(uv), dtype=np.float32)[:, None, None]
    a, b = (openings.mapped(torn)[len(uv) :, k] - openings.mapped(torn)[len(uv) :, 0] for k in (1, 2))
    assert np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).max() < 1e-8


def test_a_face_without_openings_stays_as_it_is():
    head = small_head(4, 3, 2)
    vertices = head.identity.mean.astype(np.float64)
    openings = Openings.of(vertices, head.faces)
    assert np.array_equal(openings.extended(vertices), vertices)
    assert np.array_equal(openings.faces, head.faces)
    assert np.array_equal(openings.mirrored(head.mirror), head.mirror)
    uv, _ = cylinder_uv(vertices, head.faces)
    assert np.array_equal(openings.mapped(uv), uv)


def test_a_mesh_is_closed_by_shades_of_what_is_around(head, openings):
    colors = np.full((head.n_vertices, 3), 0.5, np.float32)
    closed = openings.closed(Mesh(head.identity.mean.astype(np.float64), head.faces, colors))
    assert np.allclose(closed.colors[head.n_vertices :], 0.15)
    view = render_view(closed, size=200, shading="colored")
    assert (view.face_index >= len(head.faces)).sum() > 50


@pytest.fixture(scope="module")
def blue_eyed(head, openings):
    """A fit that nobody fitted: grey skin, and blue seen through both openings."""
    camera = front_camera()
    vertices = head.instance().astype(np.float64)
    skin = np.tile([0.3, 0.3, 0.3], (head.n_vertices, 1))
    seen = rasterize_upright(camera, openings.extended(vertices), openings.faces).face_index
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    photo[seen >= 0] = linear_to_srgb_uint8(np.array([0.3, 0.3, 0.3]))
    photo[seen >= len(head.faces)] = BLUE
    return fit_by_nobody(head, photo, skin)


def blue(picture):
    return int((np.abs(picture.astype(int) - BLUE).max(axis=2) < 40).sum())


def bluish(picture):
    return int((picture[..., 2].astype(int) > picture[..., 0] + 30).sum())


def dark(picture):
    return int((picture.max(axis=2) < 100).sum())  # of skin at 148


def close_pictures(folder):
    strip = read_image(folder / "side_by_side.png")
    return np.split(strip, 5, axis=1)


def test_turned_views_show_the_photos_eyes_and_files_have_none(blue_eyed, tmp_path):
    write_fit(blue_eyed, tmp_path, files=("overlay", "texture", "mesh"), texture_size=256)
    photo, close, clay, right, left = close_pictures(tmp_path)
    assert blue(photo) > 500
    assert blue(close) == pytest.approx(blue(photo), rel=0.1)  # over the photo, an opening shows the photo
    assert blue(clay) == pytest.approx(blue(photo), rel=0.1)
    assert min(bluish(right), bluish(left)) > 150
    assert blue(read_image(tmp_path / "texture.png")) > 30
    assert blue(read_image(tmp_path / "albedo.png")) > 30
    for name in ("mesh.obj", "mesh.ply"):
        mesh = read_mesh(tmp_path / name)
        assert len(mesh.faces) == len(blue_eyed.model.faces)
        assert len(mesh.vertices) == len(blue_eyed.vertices)


def test_without_a_texture_openings_are_dark(blue_eyed, tmp_path):
    write_fit(blue_eyed, tmp_path, files=["overlay"])
    *_, right, left = close_pictures(tmp_path)
    assert min(dark(right), dark(left)) > 150


def test_an_eye_that_the_photo_did_not_see_is_the_other_ones(blue_eyed, tmp_path):
    turned = np.diag([1.0, -1, -1]) @ turn(0.9)
    fit = replace(blue_eyed, camera=replace(blue_eyed.camera, R=turned))
    closed = Openings.of(fit.model.identity.mean.astype(np.float64), fit.model.faces)
    seen = rasterize_upright(fit.camera, closed.extended(fit.vertices), closed.faces).face_index
    photo = fit.photo.copy()
    photo[seen >= 0] = linear_to_srgb_uint8(np.array([0.3, 0.3, 0.3]))
    photo[seen >= len(fit.model.faces)] = BLUE
    write_fit(replace(fit, photo=photo), tmp_path, files=["texture", "overlay"], texture_size=256)
    texture = read_image(tmp_path / "texture.png")
    assert bluish(texture[:, :128]) > 10
    assert bluish(texture[:, 128:]) > 10


def test_a_models_own_pictures_are_closed(head):
    whole = small_head(4, 3, 2)
    eyes = [(picture.mean(axis=2) < 60).sum() for picture in map(mean_head, (head, whole))]
    assert eyes[0] > eyes[1] + 100
