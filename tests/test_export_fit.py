from __future__ import annotations

import base64
import io

import jinja2
import numpy as np
import pytest
from PIL import Image

from morphkit.export.camera import PhotoCamera
from morphkit.export.fit_pictures import crop, face_window, side_by_side
from morphkit.export.html import image_uri, render_report
from morphkit.export.overlay import composite, draw_face
from morphkit.export.uncertainty import attention_overlay

# A square of 40 mm, one metre before a camera that looks straight at it, facing the camera.
CORNERS = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
SQUARE = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
CAMERA = PhotoCamera(
    np.array([[1000.0, 0, 60], [0, 1000, 40], [0, 0, 1]]),
    np.diag([1.0, -1, -1]),
    np.array([0.0, 10, 1000]),
    120,
    100,
)


def test_camera_projects_and_crops_alike(rng):
    points = rng.normal(size=(10, 3)) * 20
    window = CAMERA.cropped(30.0, 20.0, 200, 150, 2.5)
    assert np.allclose(window.project(points), 2.5 * (CAMERA.project(points) - [30, 20]))
    clip = CAMERA.to_clip(points)
    ndc = clip[:, :3] / clip[:, 3:]
    pixels = np.stack([(ndc[:, 0] + 1) * 60, (1 - ndc[:, 1]) * 50], axis=1)
    assert np.allclose(pixels, CAMERA.project(points))
    assert np.abs(ndc[:, 2]).max() <= 1


def test_overlay_lies_where_the_camera_says():
    photo = np.full((100, 120, 3), 50, np.uint8)
    colors = np.tile([0.0, 1.0, 0.0], (4, 1))
    overlay = composite(photo, draw_face(CAMERA, CORNERS, SQUARE, colors))
    green = (overlay == [0, 255, 0]).all(axis=2)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 69, 40, 79)
    assert (overlay[~green] == 50).all()
    half = composite(photo, draw_face(CAMERA, CORNERS, SQUARE, colors, np.full(4, 0.5)))
    assert int(half[50, 60, 1]) == pytest.approx(
        189, abs=2
    )  # half in linear light: sRGB 188, and a little of 50
    assert (photo == 50).all()


def test_pictures_are_the_same_in_bands(rng, monkeypatch):
    """Of two rows, of one, and whole."""
    photo = rng.integers(0, 256, (100, 120, 3), dtype=np.uint8)
    layer = draw_face(CAMERA, CORNERS, SQUARE, rng.uniform(size=(4, 3)), rng.uniform(size=4))
    attention, region = rng.uniform(size=(2, 100, 120)).astype(np.float32)
    over, seen = composite(photo, layer), attention_overlay(photo, attention, region)
    for pixels in (240, 1):
        monkeypatch.setattr("morphkit.export.overlay._BAND", pixels)
        assert np.array_equal(composite(photo, layer), over)
        assert np.array_equal(attention_overlay(photo, attention, region), seen)


def test_a_face_half_out_of_the_photo_is_drawn_as_far_as_it_goes():
    camera = PhotoCamera(CAMERA.K, CAMERA.R, CAMERA.t - np.array([60, 0, 0]), 120, 100)
    photo = np.zeros((100, 120, 3), np.uint8)
    overlay = composite(photo, draw_face(camera, CORNERS, SQUARE, np.ones((4, 3))))
    assert (overlay[30:70, :20] == 255).all()
    assert not overlay[:, 21:].any()


def test_crops_reach_beyond_the_photo():
    image = np.zeros((60, 60, 3), np.uint8)
    assert crop(image, (-30, -30, 30, 30), 64)[2, 2].min() > 200
    assert crop(image, (-30, -30, 30, 30), 64)[60, 60].max() == 0
    left, top, right, bottom = face_window(CAMERA, CORNERS)
    assert left < 40
    assert top < 30
    assert right - left == bottom - top > 40
    assert side_by_side([image] * 5, columns=3).shape == (120, 180, 3)


def test_pictures_in_a_page_decode_to_what_they_were(rng):
    image = rng.integers(0, 255, (40, 60, 3)).astype(np.uint8)
    kind, data = image_uri(image, kind="png").split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image)
    small = image_uri(np.zeros((100, 3000, 3), np.uint8), max_side=300)
    assert Image.open(io.BytesIO(base64.b64decode(small.split(",")[1]))).size == (300, 10)
    with pytest.raises(ValueError, match="jpeg cannot hold 4 channels"):
        image_uri(np.zeros((4, 4, 4), np.uint8))


def test_a_report_escapes_and_insists(tmp_path):
    lists = {key: [] for key in ("tiles", "facts", "files", "textures", "bars", "units")}
    texts = dict.fromkeys(("overlay", "photo", "close", "shape", "scale"), "data:,")
    texts["origin"] = ["one < two"]
    face = {
        "label": "a face",
        "still": "data:,",
        "skins": ["bare"],
        "sliders": [],
        "random": False,
        "data": {},
    }
    rest = dict.fromkeys(("landmarks", "uncertainty", "attention", "predicted_by")) | {"notes": ["a < b"]}
    render_report("fit.html.jinja", tmp_path / "r.html", name="<script>", face=face, **lists, **texts, **rest)
    page = (tmp_path / "r.html").read_text()
    assert "&lt;script&gt;" in page
    assert "a &lt; b" in page
    assert "one &lt; two" in page
    with pytest.raises(jinja2.UndefinedError):
        render_report("fit.html.jinja", tmp_path / "bad.html", name="x")
    assert not (tmp_path / "bad.html").exists()
