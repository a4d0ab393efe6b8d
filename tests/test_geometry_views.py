"""Views: what is drawn where, and the way back from pixels to the surface."""

import numpy as np
import pytest

from morphkit.geometry.views import render_view, turn
from morphkit.mesh import Mesh


@pytest.fixture(scope="module")
def ball() -> Mesh:
    """A ball of radius 80 mm at (10, 20, 30), the redder the larger x, the greener the larger y."""
    rings = 24
    polar, around = np.meshgrid(np.linspace(0.02, np.pi - 0.02, rings), np.linspace(0, 2 * np.pi, 2 * rings))
    normals = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)], -1)
    index = np.arange(polar.size).reshape(polar.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]).astype(np.int32)
    normals = normals.reshape(-1, 3)
    colors = (0.5 + 0.5 * normals * [1, 1, 0]).astype(np.float32)
    return Mesh(normals * 80.0 + [10, 20, 30], faces, colors)


def test_the_camera_agrees_with_the_picture(ball):
    view = render_view(ball, turn(0.3, -0.2, 0.1), size=(150, 200))
    rows, columns = np.nonzero(view.face_index >= 0)
    corners = ball.vertices[ball.faces[view.face_index[rows, columns]]]
    points = np.einsum("nk,nkd->nd", view.barycentrics[rows, columns], corners)
    np.testing.assert_allclose(view.camera.project(points), np.stack([columns, rows], 1) + 0.5, atol=2e-3)
    depth = (points @ view.camera.R.T + view.camera.t)[:, 2]
    np.testing.assert_allclose(view.depth[rows, columns], depth, rtol=1e-5)
    assert np.isposinf(view.depth[view.face_index < 0]).all()


def test_back_projection_returns_to_its_pixel(ball, rng):
    view = render_view(ball, turn(-0.4, 0.2), size=200)
    pixels = 100 + rng.uniform(-60, 60, (500, 2))
    found = view.back_project(pixels)
    assert found.hit.all()
    np.testing.assert_allclose(view.camera.project(found.points), pixels, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.points - [10, 20, 30], axis=1), 80, atol=0.7)
    assert ((found.points - [10, 20, 30]) @ view.camera.R[2] < 0).all()  # the near side


def test_background_and_outside_are_no_hits(ball):
    found = render_view(ball, size=64).back_project(
        np.array([[1.0, 1.0], [-5.0, 30.0], [32.0, 99.0], [32.0, 32.0]])
    )
    np.testing.assert_array_equal(found.hit, [False, False, False, True])
    assert np.isnan(found.points[:3]).all()
    np.testing.assert_array_equal(found.face_indices[:3], -1)


def test_up_is_up_and_the_subjects_left_is_on_the_right(ball):
    image = render_view(ball, size=100, shading="colored").image.astype(int)
    assert image[50, 75, 0] > image[50, 25, 0] + 50
    assert image[25, 50, 1] > image[75, 50, 1] + 50


def test_the_whole_mesh_fits_and_fills_the_picture(ball):
    seen = render_view(ball, size=200, centre=np.array([10.0, 20, 30]), radius=80.0).face_index >= 0
    assert not seen[0].any()
    assert not seen[:, -1].any()
    assert 186 <= seen.any(axis=0).sum() <= 200


def test_yaw_turns_to_the_subjects_left():
    np.testing.assert_allclose(turn(np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-15)
    np.testing.assert_allclose(turn(pitch=np.pi / 2) @ [0, 0, 1], [0, -1, 0], atol=1e-15)


def test_supersampling_smooths_only_the_outline(ball):
    plain = render_view(ball, size=96)
    fine = render_view(ball, size=96, supersampling=2)
    np.testing.assert_array_equal(plain.face_index, fine.face_index)
    difference = np.abs(plain.image.astype(int) - fine.image).max(axis=2)
    assert (difference > 20).sum() > 40
    assert difference[30:66, 30:66].max() <= 3


def test_shading_is_as_asked(ball):
    colored = render_view(ball, size=64, shading="colored").image
    lit = render_view(ball, size=64, shading="lit").image
    shaded = render_view(Mesh(ball.vertices, ball.faces), size=64).image
    centre = colored[32, 32].astype(int)
    np.testing.assert_allclose(centre, [188, 188, 188], atol=3)  # linear 0.5, encoded
    assert (lit[32, 32] <= colored[32, 32]).all()
    assert np.ptp(shaded[shaded[..., 0] < 255].astype(int)[:, 0]) > 60
    np.testing.assert_array_equal(colored[0, 0], 255)


def test_unknown_colours_show_as_clay(ball):
    colors = ball.colors.copy()
    colors[:] = np.nan
    unknown = render_view(Mesh(ball.vertices, ball.faces, colors), size=32, shading="lit").image
    np.testing.assert_array_equal(unknown, render_view(ball, size=32).image)


def test_wrong_arguments_are_named(ball):
    with pytest.raises(ValueError, match="field_of_view must lie between"):
        render_view(ball, field_of_view=0.0)
    with pytest.raises(ValueError, match="vertices and faces"):
        render_view(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32)))
