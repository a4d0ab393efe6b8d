"""A model with a mouth's inside: pictures and textures show the photo's teeth, meshes stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitted_by_nobody import SIZE, fit_by_nobody, front_camera, symmetric_mean
from fitting_head import small_head

from morphkit.archive.files import load_default_model
from morphkit.export.atlas import cylinder_uv
from morphkit.export.openings import Openings, mouth_inside
from morphkit.export.overlay import rasterize_upright
from morphkit.export.sighting import PhotoView
from morphkit.export.texture import FacePainter
from morphkit.fitting.evidence import evidence, model_openings
from morphkit.fitting.output import write_fit
from morphkit.geometry.topology import dilate
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.io.images import read_image
from morphkit.io.meshes import read_mesh

SKIN = 0.3
TEETH = 240  # which on skin would be a mirrored lamp


@pytest.fixture(scope="module")
def head():
    """An egg with a pit of 40 mm for a mouth, symmetric to the bit."""
    whole = small_head(4, 3, 2)
    mean = symmetric_mean(whole)
    within = ((mean[:, :2] - [0, -42]) ** 2 / [22.0**2, 13.0**2]).sum(axis=1) + 1000 * (mean[:, 2] < 0) < 1
    lips = dilate(within, whole.faces, 2) & ~within
    mean[within, 2] -= 40.0
    identity = replace(whole.identity, mean=mean.astype(np.float32))
    masks = {**whole.masks, "lips": lips, "within": within}
    return replace(whole, identity=identity, masks=masks, landmarks={})


@pytest.fixture(scope="module")
def toothed(head):
    """A fit that nobody fitted: grey skin, and white seen between the lips."""
    openings, vertices = model_openings(head), head.instance().astype(np.float64)
    seen = rasterize_upright(front_camera(), openings.extended(vertices), openings.faces).face_index
    photo = np.zeros((SIZE, SIZE, 3), np.uint8)
    photo[seen >= 0] = linear_to_srgb_uint8(np.full(3, SKIN))
    photo[seen >= len(head.faces)] = TEETH
    skin = np.full((head.n_vertices, 3), SKIN)
    skin[head.masks["within"]] = [0.1, 0.01, 0.01]
    return fit_by_nobody(head, photo, skin)


def white(picture):
    return int((picture.min(axis=2) > 190).sum())  # of skin at 148


def test_the_inside_is_what_lies_beyond_the_lips(head):
    inside = mouth_inside(head.faces, head.masks["lips"])
    assert np.array_equal(inside, head.masks["within"][head.faces].any(axis=1))
    opened = head.faces[~head.masks["within"][head.faces].all(axis=1)]  # a hole, which is closed as one
    assert not mouth_inside(opened, head.masks["lips"]).any()
    half = head.masks["lips"] & (head.identity.mean[:, 0] > 0)  # lips that do not enclose anything
    assert not mouth_inside(head.faces, half).any()
    assert not mouth_inside(head.faces, np.ones(head.n_vertices, bool)).any()


def test_the_default_heads_mouth_is_closed_and_nothing_else():
    model = load_default_model()
    openings = model_openings(model)
    within = model.identity.mean[np.unique(model.faces[~openings.outside])]
    lips = model.identity.mean[model.masks["lips"]].mean(axis=0)
    assert len(within) > 400
    assert (np.linalg.norm(within - lips, axis=1) < 110).all()
    assert len(openings.capped.vertices) == model.n_vertices + 1
    assert (within[:, 2] < lips[2] + 5).all()


def test_a_cap_hides_the_inside_and_leaves_the_faces_triangles(head):
    vertices = head.identity.mean.astype(np.float64)
    openings = model_openings(head)
    assert len(openings.faces) > len(head.faces)
    assert np.array_equal(openings.faces[: len(head.faces)], head.faces)
    assert np.array_equal(Openings.of(vertices, head.faces).faces, head.faces)  # lips unknown
    inside = np.flatnonzero(~openings.outside)
    for yaw in (0.0, 0.5, -0.5):
        bare = rasterize_upright(front_camera(yaw), vertices, head.faces).face_index
        closed = rasterize_upright(front_camera(yaw), openings.extended(vertices), openings.faces).face_index
        assert np.isin(bare, inside).sum() > 400
        assert np.isin(closed, inside).sum() < 5


def test_a_cap_lies_over_the_inside_in_the_texture(head):
    openings = model_openings(head)
    order = openings.order
    assert np.array_equal(np.sort(order), np.arange(len(openings.faces)))
    inside = np.flatnonzero(~openings.outside)
    assert np.array_equal(order[-len(inside) :], inside)
    caps = np.arange(len(head.faces), len(openings.faces))
    assert np.array_equal(order[-len(inside) - len(caps) : -len(inside)], caps)
    made_of = openings.mapped(cylinder_uv(head.identity.mean.astype(np.float64), head.faces)[0])
    a, b = (made_of[caps, k] - made_of[caps, 0] for k in (1, 2))
    assert (np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 1e-5).all()


@pytest.mark.parametrize("own_uv", [True, False])
def test_turned_views_and_textures_show_the_photos_teeth(toothed, own_uv, tmp_path):
    fit = toothed
    if own_uv:
        uv = cylinder_uv(fit.vertices, fit.model.faces)[0]
        fit = replace(fit, model=replace(fit.model, uv=uv))
    write_fit(fit, tmp_path, files=("overlay", "texture", "mesh"), texture_size=256)
    photo, *_, right, left = np.split(read_image(tmp_path / "side_by_side.png"), 5, axis=1)
    assert min(white(right), white(left)) > 0.3 * white(photo) > 300
    assert white(read_image(tmp_path / "texture.png")) > 50
    assert white(read_image(tmp_path / "albedo.png")) > 50
    mesh = read_mesh(tmp_path / "mesh.obj")
    assert len(mesh.faces) == len(fit.model.faces)
    assert len(mesh.vertices) == len(fit.vertices)


def test_a_mouth_of_which_only_the_lips_are_known_stays_dark(toothed):
    openings = model_openings(toothed.model)
    seen = evidence(toothed, openings)
    middle = openings.rims.stop
    confidence = seen.confidence.copy()
    confidence[openings.rims], confidence[middle:] = 0.1, 0.0
    uv = cylinder_uv(toothed.vertices, toothed.model.faces)[0]

    def at_the_middle(confidence):
        photos = [replace(seen, confidence=confidence)]
        mirror = openings.mirrored(toothed.model.mirror)
        vertices = openings.extended(toothed.vertices)
        painter = FacePainter(vertices, openings.faces, photos, mirror, openings=openings)
        made = painter.texture(uv, 256)
        u, v = made.closed_uv[openings.faces == middle][0] * 256
        return made.texture[int(256 - v), int(u)]

    assert (at_the_middle(seen.confidence) > 200).all()
    dark = linear_to_srgb_uint8(np.full(3, 0.3 * SKIN))
    assert np.allclose(at_the_middle(confidence), dark, atol=12)


def lip(low, high, away):
    """Return a strip of 40 mm across from y = low to y = high, receding from the camera by `away` per mm."""
    x, y = np.meshgrid(np.linspace(-20, 20, 11), np.linspace(low, high, 41))
    points = np.stack([x, y, -away * np.abs(y - low)], axis=2).reshape(-1, 3)
    corner = (np.arange(40)[:, None] * 11 + np.arange(10)).ravel()
    a, b, c, d = corner, corner + 1, corner + 11, corner + 12
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([c, b, d], axis=1)])
    return points, faces if high > low else faces[:, ::-1]


def lips_apart(gap, capped):
    """Return two receding lips, a wall far behind, and maybe a cap between: vertices, faces, outlining."""
    wall = np.array([[-40.0, -40, -120], [40, -40, -120], [-40, 40, -120], [40, 40, -120]])
    parts = [lip(gap / 2, 30, 1.6), lip(-gap / 2, -30, 1.6), (wall, np.array([[0, 1, 2], [2, 1, 3]]))]
    if capped:
        x, y = np.meshgrid(np.linspace(-20, 20, 11), [-gap / 2, 0.0, gap / 2])
        cap = np.stack([x, y, np.full_like(x, -1.0)], axis=2).reshape(-1, 3)
        corner = (np.arange(2)[:, None] * 11 + np.arange(10)).ravel()
        a, b, c, d = corner, corner + 1, corner + 11, corner + 12
        parts.append((cap, np.concatenate([np.stack([a, b, c], axis=1), np.stack([c, b, d], axis=1)])))
    start = np.cumsum([0, *(len(points) for points, _ in parts)])
    faces = [f + s for (_, f), s in zip(parts, start[:-1], strict=True)]
    vertices = np.concatenate([points for points, _ in parts])
    return vertices, np.concatenate(faces).astype(np.int32), np.concatenate(faces[:3]).astype(np.int32)


def edge_and_cap_trust(gap, capped=False):
    vertices, faces, outlining = lips_apart(gap, capped)
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    trust = PhotoView(grey, front_camera(), vertices, faces, outlining=outlining).at_vertices.trust
    across = np.abs(vertices[:, 0]) < 15
    edge = across & (np.abs(np.abs(vertices[:, 1]) - gap / 2) < 1.5) & (vertices[:, 2] > -3)
    edge[902:] = False
    cap = np.flatnonzero(across & (vertices[:, 1] == 0.0))
    return trust[edge], trust[cap]


def test_lips_are_mistaken_for_teeth_at_wide_gaps_not_at_narrow_ones():
    assert (edge_and_cap_trust(8.0)[0] == 0.0).all()
    assert (edge_and_cap_trust(1.5)[0] > 0.5).all()


def test_a_cap_is_seen_and_the_lips_around_it_are_at_an_outline_still():
    edge, cap = edge_and_cap_trust(8.0, capped=True)
    assert (edge == 0.0).all()
    assert (cap > 0.9).all()
