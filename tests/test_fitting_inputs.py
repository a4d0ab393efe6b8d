"""What callers may give a fit in Python, and how little it costs to ask for its names."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from fitting_head import small_head
from PIL import Image

import morphkit.fitting
import morphkit.losses
from morphkit.export.camera import PhotoCamera
from morphkit.fitting import FitSettings, fit_image, fit_images
from morphkit.io.images import read_image, rgb_pixels, write_image

SPARSE = FitSettings(photometric=None)
HEAVY = ["torch", "numba", "scipy", "trimesh", "matplotlib", "h5py", "PIL"]


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def marks(head):
    """The mean head's 68 points before a camera."""
    K = np.array([[360.0, 0, 128], [0, 360, 128], [0, 0, 1]])
    camera = PhotoCamera(K, np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0, 420]), 256, 256)
    vertices = head.instance().astype(np.float64)
    return camera.project(head.landmarks["ibug68"].landmarks(vertices, head.faces).points)


@pytest.fixture
def grey(rng):
    return rng.integers(0, 256, (256, 256), dtype=np.uint8)


def test_grey_and_transparent_pixels_are_those_of_their_files(tmp_path, grey, rng):
    shades = [grey, grey[..., None], np.dstack([grey, grey[::-1]]), rng.integers(0, 256, (9, 7, 4), np.uint8)]
    for image in shades:
        Image.fromarray(image.squeeze()).save(tmp_path / "image.png")
        np.testing.assert_array_equal(rgb_pixels(image), read_image(tmp_path / "image.png"))
    color = rng.integers(0, 256, (9, 7, 3), np.uint8)
    assert rgb_pixels(color) is color
    write_image(tmp_path / "color.png", color)
    np.testing.assert_array_equal(read_image(tmp_path / "color.png"), color)


def test_a_grey_photo_and_a_list_of_points_fit_like_their_arrays(head, marks, grey):
    expected = fit_image(np.dstack([grey] * 3), head, landmarks=marks, settings=SPARSE)
    listed = [None if i < 17 else tuple(point) for i, point in enumerate(marks.tolist())]
    unknown = np.where(np.arange(68)[:, None] < 17, np.nan, marks)
    for image, landmarks in ((grey, marks), (grey[..., None], marks.tolist())):
        found = fit_image(image, head, landmarks=landmarks, settings=SPARSE)
        assert np.array_equal(found.vertices, expected.vertices)
        assert np.array_equal(found.photo, expected.photo)
    one, two = (fit_image(grey, head, landmarks=given, settings=SPARSE) for given in (listed, unknown))
    assert np.array_equal(one.vertices, two.vertices)
    whole = fit_image(grey, head, landmarks=np.rint(marks).astype(int), settings=SPARSE)
    assert whole.landmark_error < 0.02


def test_several_photos_may_be_grey_or_transparent(head, marks, grey):
    white = np.full((256, 256, 4), 255, np.uint8)
    given = [marks, marks.tolist()]
    result = fit_images([grey, white], head, landmarks=given, settings=SPARSE)
    assert [photo.photo.shape for photo in result.photos] == [(256, 256, 3)] * 2


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            np.zeros((4, 5, 3)),
            r"image: expected .*got float64 of shape \(4, 5, 3\); for 0..1, give np",
        ),
        (np.zeros((4, 5, 3), np.uint16), r"got uint16 of shape \(4, 5, 3\)$"),
        (np.zeros((3, 4, 5), np.uint8), r"got uint8 of shape \(3, 4, 5\)"),
        (np.zeros((1, 3, 4, 5), np.uint8), r"got uint8 of shape \(1, 3, 4, 5\)"),
        (np.zeros((0, 5, 3), np.uint8), r"got uint8 of shape \(0, 5, 3\)"),
        (np.zeros(5, np.uint8), r"got uint8 of shape \(5,\)"),
    ],
)
def test_other_pixels_are_refused_by_name(head, marks, image, said):
    with pytest.raises(ValueError, match=said):
        fit_image(image, head, landmarks=marks)
    with pytest.raises(ValueError, match=said):
        fit_images([np.zeros((4, 5, 3), np.uint8), image], head)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (np.zeros((68, 3)), r"landmarks: must be \(68, 2\), got \(68, 3\)"),
        ([[1.0, 2.0]] * 5, r"landmarks: must be \(68, 2\), got \(5, 2\)"),
        ([[1.0, 2.0]] * 67 + [[1.0]], "landmarks: expected 68 pairs"),
        ([["a", "b"]] * 68, "landmarks: expected 68 pairs"),
        (np.array(3.0), "landmarks: expected 68 pairs"),
    ],
)
def test_other_points_are_refused_by_name(head, grey, points, said):
    with pytest.raises(ValueError, match=said):
        fit_image(grey, head, landmarks=points)


@pytest.mark.parametrize("room", ["fitting", "losses"])
def test_asking_for_settings_loads_nothing_heavy(room):
    name = {"fitting": "FitSettings", "losses": "EnergyWeights"}[room]
    code = f"import sys\nfrom morphkit.{room} import {name}\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_lazy_rooms_resolves():
    for room in (morphkit.fitting, morphkit.losses):
        assert all(getattr(room, name) is not None for name in room.__all__)
