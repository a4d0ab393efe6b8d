"""Crops: known cameras are found again, and a photo turned, scaled or moved gives the same crop."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morphkit.archive import load_default_model
from morphkit.errors import BadInputError
from morphkit.geometry.orthography import ScaledOrthography, fit_orthography
from morphkit.geometry.views import turn
from morphkit.io.color import linear_to_srgb_uint8, srgb_to_linear
from morphkit.rendering.camera import PerspectiveCamera
from morphkit.rendering.crops import ImageTransform, sample_image
from morphkit.training.data.alignment import FaceFrame, align, cut, five_points, head_angles, head_pose

FACING = np.diag([1.0, -1.0, -1.0])


@cache
def default_frame() -> FaceFrame:
    return FaceFrame.of(load_default_model())


@pytest.fixture
def frame() -> FaceFrame:
    return default_frame()


def seen(frame: FaceFrame, camera: ScaledOrthography) -> np.ndarray:
    return camera.project(frame.points68)


def moved(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return points @ affine[:, :2].T + affine[:, 2]


def similarity(zoom: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


angles = st.floats(-1.2, 1.2)


@settings(max_examples=60, deadline=None)
@given(
    yaw=angles, pitch=angles, roll=st.floats(-3.1, 3.1), scale=st.floats(0.05, 20.0), x=st.floats(-1e3, 1e4)
)
def test_a_known_orthographic_camera_is_found_again(
    yaw: float, pitch: float, roll: float, scale: float, x: float
) -> None:
    frame = default_frame()
    camera = ScaledOrthography(FACING @ turn(yaw, pitch, roll), scale, np.array([x, 300.0]))
    for points in (frame.five, frame.points68):
        found = fit_orthography(points, camera.project(points))
        np.testing.assert_allclose(found.rotation, camera.rotation, atol=1e-5)
        np.testing.assert_allclose(found.scale, scale, rtol=1e-6)
        np.testing.assert_allclose(found.shift, camera.shift, atol=1e-4 * scale, rtol=1e-9)
    np.testing.assert_allclose(head_pose(seen(frame, camera), frame), (pitch, yaw, roll), atol=1e-5)
    np.testing.assert_allclose(head_angles(camera.rotation), (pitch, yaw, roll), atol=1e-9)


def test_noise_is_averaged_by_least_squares(frame: FaceFrame, rng: np.random.Generator) -> None:
    camera = ScaledOrthography(FACING @ turn(0.5, -0.2, 0.1), 2.0, np.array([300.0, 200.0]))
    noisy = seen(frame, camera) + rng.normal(size=(68, 2))
    found = fit_orthography(frame.points68, noisy)
    error = ((found.project(frame.points68) - noisy) ** 2).sum()
    for _ in range(50):  # nothing near it is better
        step = 1e-3 * rng.normal(size=3)
        other = replace(found, rotation=turn(*step) @ found.rotation, shift=found.shift + rng.normal(size=2))
        assert ((other.project(frame.points68) - noisy) ** 2).sum() > error


def test_a_face_measures_102_pixels_a_decimetre_about_the_origin(frame: FaceFrame) -> None:
    camera = ScaledOrthography(FACING @ turn(0.4, 0.3, -0.7), 3.7, np.array([900.0, 400.0]))
    affine = align(seen(frame, camera), frame)
    upright = ScaledOrthography(FACING @ turn(0.4, 0.3, 0.0), 1.02, np.array([112.0, 112.0]))
    np.testing.assert_allclose(moved(seen(frame, camera), affine), seen(frame, upright), atol=1e-6)
    half = align(seen(frame, camera), frame, 112)
    np.testing.assert_allclose(half, affine / 2, atol=1e-9)


def test_the_mean_face_a_metre_away_is_where_the_crop_has_it(frame: FaceFrame) -> None:
    # the zero of every output layout: facing, 1 m before the origin, 1015 pixels
    K = np.array([[1015.0, 0.0, 112.0], [0.0, 1015.0, 112.0], [0.0, 0.0, 1.0]])
    tensors = [torch.from_numpy(array)[None] for array in (K, FACING, np.array([0.0, 0.0, 1000.0]))]
    camera = PerspectiveCamera(*tensors, width=224, height=224)
    pixels = camera.project(torch.from_numpy(frame.points68)[None])[0].numpy()
    affine = align(pixels, frame)
    # perspective enlarges the five points a little: they lie before the origin
    np.testing.assert_allclose(moved(five_points(pixels), affine), five_points(pixels), atol=3.0)
    assert np.linalg.norm(affine[:, :2]) / np.sqrt(2) == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("zoom", "angle", "shift"), [(1.0, 0.0, (0.5, 0.5)), (3.0, 0.0, (7, -2)), (0.8, 2.5, (500, 90))]
)
def test_a_photo_turned_scaled_or_moved_has_the_same_crop(
    frame: FaceFrame, zoom: float, angle: float, shift: tuple[float, float]
) -> None:
    camera = ScaledOrthography(FACING @ turn(0.3, 0.1, 0.2), 1.5, np.array([300.0, 200.0]))
    change = similarity(zoom, angle, shift)
    points = seen(frame, camera)
    one, other = align(points, frame), align(moved(points, change), frame)
    np.testing.assert_allclose(other[:, :2] @ change[:, :2], one[:, :2], atol=1e-7)
    np.testing.assert_allclose(other[:, :2] @ change[:, 2] + other[:, 2], one[:, 2], atol=1e-5)


def _photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A smooth picture: waves of some pixels' length."""
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [np.sin(x / a + y / b + c) for a, b, c in rng.uniform(8, 20, (3, 3))]
    return linear_to_srgb_uint8(0.4 + 0.3 * np.stack(waves, axis=-1))


def _reference(photo: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    transform = ImageTransform(torch.from_numpy(affine)[None], photo.shape[1::-1], (size, size))
    light = torch.from_numpy(srgb_to_linear(photo)).double()[None]
    return linear_to_srgb_uint8(sample_image(light, transform, padding="border")[0].numpy())


@pytest.mark.parametrize("zoom", [2.5, 1.0, 0.6, 0.3, 0.13])
@pytest.mark.parametrize("angle", [0.0, 0.4, 3.0])
def test_pixels_are_those_of_the_renderer_s_sampler(
    rng: np.random.Generator, zoom: float, angle: float
) -> None:
    photo = _photo(rng, 300, 400)
    linear = similarity(zoom, angle, (0, 0))[:, :2]
    affine = np.column_stack([linear, 24 - linear @ (210.0, 140.0)])
    crop, expected = cut(photo, affine, 48), _reference(photo, affine, 48)
    assert np.abs(crop.astype(int) - expected).max() <= (1 if zoom > 0.5 else 4)
    assert np.abs(crop.astype(int) - expected).mean() < 0.6


def test_a_crop_of_the_photo_itself_is_the_photo(rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cut(photo, np.eye(2, 3), 64), photo)
    shifted = np.array([[1.0, 0.0, -5.0], [0.0, 1.0, -3.0]])
    np.testing.assert_array_equal(cut(photo, shifted, 16), photo[3:19, 5:21])
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 64.0]])  # x' = y, y' = 64 - x
    np.testing.assert_array_equal(cut(photo, quarter, 64), np.rot90(photo))


@pytest.mark.parametrize("shrink", [2, 4, 8, 20])
def test_nothing_between_the_samples_is_overlooked(rng: np.random.Generator, shrink: int) -> None:
    photo = np.zeros((shrink * 32, shrink * 32, 3), dtype=np.uint8)
    photo[::2, ::2] = photo[1::2, 1::2] = 255  # half the light, whatever the codes' mean
    crop = cut(photo, np.eye(2, 3) / shrink, 32)
    assert np.abs(crop[1:-1, 1:-1].astype(int) - 188).max() <= 1


def test_the_border_is_carried_on(rng: np.random.Generator) -> None:
    photo = _photo(rng, 40, 50)
    for zoom in (1.0, 0.2):
        far = similarity(zoom, 0.0, (-1000.0 * zoom, 10.0))
        crop = cut(photo, far, 20)
        assert (crop == crop[:, :1]).all()  # right of the photo: rows of its last column
        assert crop.min() > 0
    np.testing.assert_array_equal(cut(photo, np.eye(2, 3), 60)[40:, :50], np.tile(photo[-1:], (20, 1, 1)))


@pytest.mark.parametrize("affine", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.ones((2, 3))])
def test_a_map_that_flattens_is_a_broken_contract(affine: np.ndarray) -> None:
    with pytest.raises(ValueError, match="can be inverted"):
        cut(np.zeros((4, 4, 3), dtype=np.uint8), affine, 4)


def test_points_that_are_no_face_are_broken_contracts(frame: FaceFrame) -> None:
    points = frame.points68[:, :2].copy()
    with pytest.raises(ValueError, match="lie in one place"):
        align(np.full((68, 2), 50.0), frame)
    points[:17] = np.nan  # the jaw does not count
    align(points, frame)
    points[54] = np.nan
    with pytest.raises(ValueError, match="must be known"):
        align(points, frame)
    with pytest.raises(ValueError, match="at least 4"):
        head_pose(np.full((68, 2), np.nan), frame)
    with pytest.raises(ValueError, match="finite"):
        fit_orthography(np.full((5, 3), np.inf), points[:5])
    with pytest.raises(ValueError, match="lie in one place"):
        fit_orthography(np.ones((5, 3)), frame.points68[:5, :2])


def test_a_model_without_landmarks_is_refused(frame: FaceFrame) -> None:
    model = load_default_model()
    with pytest.raises(BadInputError, match="no iBUG landmarks; add them with `morphkit complete`"):
        FaceFrame.of(replace(model, landmarks={}))
    without_masks = FaceFrame.of(replace(model, masks={}))
    np.testing.assert_allclose(without_masks.origin, model.instance().mean(axis=0))
    distances = [np.ptp(f.points68, axis=0) for f in (frame, without_masks)]
    np.testing.assert_allclose(*distances)
