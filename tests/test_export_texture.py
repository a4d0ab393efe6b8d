"""Textures unwrapped from photos: what was painted on comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitting_head import small_head
from scipy import ndimage

from morphkit.export.atlas import cylinder_uv, texel_atlas, usable_uv, vertex_sites
from morphkit.export.camera import PhotoCamera
from morphkit.export.overlay import composite, draw_face, rasterize_upright
from morphkit.export.padding import padded
from morphkit.export.painting import Layer, SmoothField, matched_gains
from morphkit.export.sighting import PhotoView
from morphkit.export.texture import AUTOMATIC, Evidence, FacePainter
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.sampling import sample_texture
from morphkit.geometry.views import turn
from morphkit.io.color import linear_to_srgb_uint8, srgb_to_linear

SIZE = 480
TEXELS = 256


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def shape(head):
    """The mean made symmetric to the bit, so that mirrored vertices are mirrored places."""
    mean = head.identity.mean.astype(np.float64)
    return 0.5 * (mean + mean[head.mirror] * [-1, 1, 1])


def camera(yaw=0.0, size=SIZE):
    rotation = np.diag([1.0, -1.0, -1.0]) @ turn(yaw)
    K = np.array([[2.6 * size, 0, size / 2], [0, 2.6 * size, size / 2], [0, 0, 1]])
    return PhotoCamera(K, rotation, np.array([0.0, 0, 700]), size, size)


def painted(uv, size=TEXELS):
    """Return a smooth random texture, linear, symmetric about u = 1/2."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:size, :size] / size
    waves = [
        np.cos(2 * np.pi * (a * (columns - 0.5) + b * rows) + c) for a, b, c in rng.uniform(-5, 5, (8, 3))
    ]
    waves = [wave + wave[:, ::-1] for wave in waves]
    return np.stack([0.35 + 0.04 * sum(waves[i : i + 4]) for i in (0, 2, 4)], axis=2).clip(0.1, 0.7)


def photographed(vertices, faces, uv, texture, view, light=None):
    """Return a photo of a textured face, its colours times `light` at the vertices."""
    seen = rasterize_upright(view, vertices, faces)
    drawn = seen.face_index >= 0
    found, weights = seen.face_index[drawn], seen.barycentrics[drawn]
    at = np.einsum("nk,nkd->nd", weights, uv[found])
    colors = srgb_to_linear(texture)[
        np.clip((1 - at[:, 1]) * len(texture), 0, len(texture) - 1).astype(int),
        np.clip(at[:, 0] * len(texture), 0, len(texture) - 1).astype(int),
    ]
    if light is not None:
        colors = colors * np.einsum("nk,nkd->nd", weights, light[faces[found]])
    picture = np.full((view.height, view.width, 3), 0.2)
    picture[drawn] = colors
    return linear_to_srgb_uint8(picture)


def evidence(head, photo, view, vertices, base=None, shading=None):
    everywhere = np.ones(len(vertices))
    flat = np.full((len(vertices), 3), 0.35) if base is None else base
    return Evidence(PhotoView(photo, view, vertices, head.faces), flat, everywhere, shading)


@pytest.fixture(scope="module")
def scene(head, shape):
    """A painted head: its texture coordinates, its texture, and where the frontal camera sees it."""
    uv, _ = cylinder_uv(shape, head.faces)
    return uv, linear_to_srgb_uint8(painted(uv, 1024))


def errors(result, texture, seen):
    """Return the absolute errors, sRGB codes, of a texture at the texels that were seen."""
    size = len(result)
    rows, columns = np.nonzero(seen)
    uv = np.stack([(columns + 0.5) / size, 1 - (rows + 0.5) / size], axis=1)
    truth = linear_to_srgb_uint8(sample_texture(texture, uv)).astype(int)
    return np.abs(result[rows, columns] - truth).max(axis=1)


def test_a_painted_head_gives_its_texture_back_where_it_was_seen(head, shape, scene):
    uv, texture = scene
    view = camera(0.3)
    photo = photographed(shape, head.faces, uv, texture, view)
    found = FacePainter(shape, head.faces, [evidence(head, photo, view, shape)]).texture(uv, TEXELS)
    seen = found.visibility == 255
    assert seen.mean() > 0.05
    assert np.median(errors(found.texture, texture, seen)) <= 1
    assert np.percentile(errors(found.texture, texture, seen), 99) <= 5
    assert found.note is None
    assert found.albedo is None


def test_the_unseen_side_is_the_seen_one_mirrored(head, shape, scene):
    uv, texture = scene
    view = camera(0.6)
    photo = photographed(shape, head.faces, uv, texture, view)
    painter = FacePainter(shape, head.faces, [evidence(head, photo, view, shape)], head.mirror)
    found = painter.texture(uv, TEXELS)
    mirrored = (found.visibility == 0) & (found.visibility[:, ::-1] == 255)
    inner = mirrored & np.roll(mirrored, 12, axis=1) & np.roll(mirrored, -12, axis=1)
    assert inner.sum() > 500
    plain = FacePainter(shape, head.faces, [evidence(head, photo, view, shape)]).texture(uv, TEXELS)
    assert np.median(errors(found.texture, texture, inner)) < 0.35 * np.median(
        errors(plain.texture, texture, inner)
    )
    assert np.median(errors(found.texture, texture, inner)) <= 6


def test_light_is_divided_out(head, shape, scene):
    uv, texture = scene
    view = camera()
    normals = vertex_normals(shape, head.faces)
    shading = (0.55 + 0.4 * normals @ [0.5, 0.3, 0.8])[:, None] * [1.0, 0.95, 0.85]
    photo = photographed(shape, head.faces, uv, texture, view, shading)
    albedo = np.full((len(shape), 3), 0.35)
    proof = evidence(head, photo, view, shape, albedo * shading, shading)
    found = FacePainter(shape, head.faces, [proof], None, albedo).texture(uv, TEXELS)
    seen = found.visibility == 255
    assert np.median(errors(found.albedo, texture, seen)) <= 1
    assert np.percentile(errors(found.albedo, texture, seen), 98) <= 6
    assert np.median(errors(found.texture, texture, seen)) > 10


def test_a_light_that_cannot_be_is_scaled(head, shape, scene):
    uv, texture = scene
    view = camera()
    photo = photographed(shape, head.faces, uv, texture, view)
    albedo = np.full((len(shape), 3), 0.35)
    dim = np.full((len(shape), 3), 0.02)  # fifty times too little
    proof = evidence(head, photo, view, shape, albedo, dim)
    found = FacePainter(shape, head.faces, [proof], None, albedo).texture(uv, TEXELS)
    seen = found.visibility == 255
    linear = srgb_to_linear(found.albedo[seen])
    assert np.median(linear) == pytest.approx(1.4 * 0.35, rel=0.1)


def test_a_mirrored_lamp_is_no_albedo(head, shape, scene):
    uv, texture = scene
    view = camera()
    skin = np.full_like(srgb_to_linear(texture), 1.0) * [0.4, 0.25, 0.18]
    photo = photographed(shape, head.faces, uv, linear_to_srgb_uint8(skin), view)
    bright = photo.copy()
    middle = (slice(150, 190), slice(220, 260))
    bright[middle] = 255
    albedo, light = np.tile([0.4, 0.25, 0.18], (len(shape), 1)), np.ones((len(shape), 3))
    proof = evidence(head, bright, view, shape, albedo, light)
    found = FacePainter(shape, head.faces, [proof], head.mirror, albedo).texture(uv, TEXELS)
    texel = linear_to_srgb_uint8(np.array([0.4, 0.25, 0.18])).astype(int)
    wrong = [np.abs(picture.astype(int) - texel).max(axis=2) for picture in (found.albedo, found.texture)]
    assert (wrong[1] > 80).sum() > 80
    assert (wrong[0] > 12).sum() < 30  # its blurred edge
    assert wrong[0].max() <= 45


def test_several_photos_agree_in_exposure_and_cover_both_sides(head, shape, scene):
    uv, texture = scene
    views = [camera(0.7), camera(-0.7)]
    photos = [photographed(shape, head.faces, uv, texture, view) for view in views]
    dimmed = linear_to_srgb_uint8(0.5 * srgb_to_linear(photos[1]))
    proofs = [
        evidence(head, photo, view, shape) for photo, view in zip([photos[0], dimmed], views, strict=True)
    ]
    found = FacePainter(shape, head.faces, proofs).texture(uv, TEXELS)
    seen = found.visibility == 255
    assert np.median(errors(found.texture, texture, seen)) <= 2
    assert np.percentile(errors(found.texture, texture, seen), 95) <= 8
    alone = FacePainter(shape, head.faces, proofs[:1]).texture(uv, TEXELS)
    assert seen.sum() > 1.5 * (alone.visibility == 255).sum()


def test_gains_are_found_where_photos_overlap(rng):
    ratio = rng.uniform(0.5, 1.5, (200, 3)).astype(np.float32)
    ones = np.ones(200, np.float32)
    first, second = ones.copy(), ones.copy()
    first[150:], second[:50] = 0, 0
    gain = np.array([0.5, 0.8, 1.25])
    layers = [Layer(ratio, first, ones), Layer((ratio / gain).astype(np.float32), second, ones)]
    assert np.allclose(matched_gains(layers), [np.ones(3), gain], rtol=1e-5)


def test_what_attention_rejects_is_filled_in(head, shape, scene):
    uv, texture = scene
    view = camera()
    photo = photographed(shape, head.faces, uv, texture, view)
    hand = photo.copy()
    hand[260:330, 150:260] = [20, 60, 200]
    attention = np.ones(photo.shape[:2])
    attention[250:340, 140:270] = 0
    blind = replace(
        evidence(head, hand, view, shape), view=PhotoView(hand, view, shape, head.faces, attention=attention)
    )
    kept = FacePainter(shape, head.faces, [evidence(head, hand, view, shape)], head.mirror).texture(
        uv, TEXELS
    )
    cleaned = FacePainter(shape, head.faces, [blind], head.mirror).texture(uv, TEXELS)

    def blue(picture):
        return (picture[..., 2].astype(int) > picture[..., 0].astype(int) + 60).sum()

    assert blue(kept.texture) > 400
    assert blue(cleaned.texture) == 0
    everywhere = PhotoView(hand, view, shape, head.faces, attention=attention, attended=np.zeros(len(shape)))
    assert np.array_equal(
        everywhere.at_vertices.trust, PhotoView(hand, view, shape, head.faces).at_vertices.trust
    )


def test_visibility_knows_hidden_turned_and_outside():
    corners = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
    square = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    vertices = np.vstack([corners, corners * 0.5 - [0, 0, 20]])
    faces = np.vstack([square, square + 4])
    K = np.array([[1000.0, 0, 60], [0, 1000, 40], [0, 0, 1]])
    view = PhotoCamera(K, np.diag([1.0, -1, -1]), np.array([0.0, 10, 1000]), 120, 100)
    photo = np.full((100, 120, 3), 188, np.uint8)
    seen = PhotoView(photo, view, vertices, faces).at_vertices
    assert np.allclose(seen.trust, [1, 1, 1, 1, 0, 0, 0, 0])
    assert np.allclose(seen.colors[:4], 0.503, atol=2e-3)
    assert not PhotoView(photo, view, corners, square[:, ::-1].copy()).at_vertices.trust.any()
    moved = replace(view, t=view.t + np.array([60.0, 0, 0]))
    assert PhotoView(photo, moved, corners, square).at_vertices.trust.tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError, match="photo: expected 100 x 120 pixels"):
        PhotoView(photo[:50], view, corners, square)


def test_a_photo_finer_than_texels_is_averaged(head, shape, scene):
    uv, _ = scene
    view = camera(size=2000)
    photo = np.full((2000, 2000, 3), 0, np.uint8)
    photo[::2] = 255  # a comb that no texel can show
    atlas = texel_atlas(shape, head.faces, uv, 64)
    seen = PhotoView(photo, view, shape, head.faces).sight(atlas.sites)
    assert np.allclose(seen.colors[seen.trust > 0.9], 0.5, atol=1e-3)
    assert np.allclose(seen.saturated[seen.trust > 0.9], 0.5, atol=1e-3)


def test_atlas_sites_lie_on_the_surface(head, shape, scene):
    uv, _ = scene
    atlas = texel_atlas(shape, head.faces, uv, TEXELS)
    places = atlas.sites.of(shape)
    rows, columns = np.divmod(atlas.texels, TEXELS)
    back = atlas.picture(places)[rows, columns]
    assert np.array_equal(back, places)
    turned = np.arctan2(places[:, 0], places[:, 2])
    column = np.array([np.median(columns[np.abs(turned - angle) < 0.05]) for angle in (-1.0, 0.0, 1.0)])
    assert column[1] == pytest.approx(TEXELS / 2, abs=2)
    assert column[2] - column[1] == pytest.approx(column[1] - column[0], abs=3)
    sites = vertex_sites(shape, head.faces)
    assert np.allclose(sites.of(shape), shape, atol=1e-4)


def test_automatic_coordinates_stay_in_the_picture_and_split_at_the_back(head, shape):
    uv, depth = cylinder_uv(shape, head.faces)
    assert usable_uv(uv)
    assert not usable_uv(None)
    assert not usable_uv(uv + 0.5)
    assert np.ptp(uv[..., 0], axis=1).max() < 0.12  # no triangle spans the seam
    middle = 0.5 * (shape.min(axis=0) + shape.max(axis=0))
    assert np.allclose(depth, -np.hypot(*(shape - middle)[:, [0, 2]].T))
    photo = np.full((SIZE, SIZE, 3), 128, np.uint8)
    painter = FacePainter(shape, head.faces, [evidence(head, photo, camera(), shape)])
    assert painter.texture(None, 64).note == AUTOMATIC
    with pytest.raises(ValueError, match="at least one photo"):
        FacePainter(shape, head.faces, [])


def test_padding_bleeds_nothing_into_mip_maps(rng):
    picture = rng.random((64, 64, 2)).astype(np.float32)
    known = np.zeros((64, 64), bool)
    known[9:30, 12:27], known[40:60, 33:55] = True, True
    full = padded(picture, known)
    assert np.array_equal(full[known], picture[known])
    for block in (2, 4, 8):
        blocks = (64 // block, block, 64 // block, block)
        share = known.reshape(blocks).mean(axis=(1, 3))
        means = (picture * known[..., None]).reshape(*blocks, 2).mean(axis=(1, 3))
        mip = full.reshape(*blocks, 2).mean(axis=(1, 3))
        whole = share == 1
        assert np.allclose(mip[whole], means[whole], atol=1e-5)
        low, high = picture[known].min(), picture[known].max()
        assert low - 1e-5 <= mip.min() <= mip.max() <= high + 1e-5
    odd = padded(picture[:50, :50], known[:50, :50])
    assert odd.shape == (50, 50, 2)
    assert np.array_equal(padded(picture, np.zeros_like(known)), picture)


def test_padding_shows_no_blocks():
    """Far from two grey squares, neighbouring pixels differ by little of what the squares differ by."""
    picture, known = np.zeros((256, 256, 1), np.float32), np.zeros((256, 256), bool)
    known[60:100, 30:90], known[150:200, 160:230] = True, True
    picture[150:200, 160:230] = 1.0
    full = padded(picture, known)[..., 0]
    far = ndimage.distance_transform_edt(~known) > 6
    assert np.abs(np.diff(full, axis=0))[far[1:] & far[:-1]].max() < 0.06
    assert np.abs(np.diff(full, axis=1))[far[:, 1:] & far[:, :-1]].max() < 0.06
    assert full.min() >= 0
    assert full.max() <= 1


def test_smooth_fields_follow_and_forget(head, shape):
    smooth = SmoothField(shape, head.faces)
    values, everywhere = np.full((len(shape), 1), 0.7), np.full(len(shape), 100.0)
    assert np.allclose(smooth.solve(values, everywhere), 0.7, atol=1e-3)
    front = (shape[:, 2] > 40).astype(float)
    carried = smooth.solve(values, front)[:, 0]
    assert carried[front > 0].min() > 0.5
    back = shape[:, 2].argmin()
    assert 0 < carried[back] < 0.35
    assert not smooth.solve(values, np.zeros(len(shape))).any()


def test_no_seam_at_the_border_of_what_was_seen(head, shape):
    """A grey head in reddish light: the texture's steps between neighbouring vertices stay small."""
    view = camera(0.5)
    photo = linear_to_srgb_uint8(np.ones((SIZE, SIZE, 3)) * [0.5, 0.3, 0.25])
    proof = evidence(head, photo, view, shape)
    colors = FacePainter(shape, head.faces, [proof], head.mirror).vertex_colors
    jump = np.abs(colors[head.faces[:, 0]] - colors[head.faces[:, 1]]).max(axis=1)
    assert jump.max() < 0.03
    overlay = composite(photo, draw_face(view, shape, head.faces, colors))
    assert np.abs(overlay.astype(int) - photo).mean() < 3
