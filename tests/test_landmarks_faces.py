from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morphkit.io.images import read_image
from morphkit.landmarks import faces, framing
from morphkit.landmarks.detector import detect_boxes
from morphkit.landmarks.faces import DetectedFace, FaceSettings, detect_faces
from morphkit.landmarks.framing import confirm_thoroughly, landmarks_near, mirrored_order
from morphkit.landmarks.ibug import MEDIAPIPE_TO_IBUG68, to_ibug68
from morphkit.landmarks.pyramid import Pyramid, Square

_PHOTO = Path(str(files("morphkit") / "data" / "astronaut.jpg"))
_QUICK = FaceSettings(smallest=0.1)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return read_image(_PHOTO)


@pytest.fixture(scope="module")
def face(photo: np.ndarray) -> DetectedFace:
    (found,) = detect_faces(photo, _QUICK)
    return found


def _distance(face: DetectedFace, points: np.ndarray) -> float:
    """Mean distance of the 478 points from `points`, over the outer-eye distance."""
    eyes = np.linalg.norm(points[263] - points[33])
    return float(np.linalg.norm(face.points478[:, :2] - points, axis=1).mean() / eyes)


def test_the_astronaut(face: DetectedFace) -> None:
    assert face.presence > 0.999
    assert face.score > 0.9
    # Read off the photo by eye, pixels: outer eye corners, nose tip, mouth corners, chin.
    expected = {36: (192, 101), 45: (260, 103), 30: (224, 127), 48: (203, 140), 54: (245, 142), 8: (221, 179)}
    for index, point in expected.items():
        assert np.linalg.norm(face.points68[index] - point) < 5, index
    np.testing.assert_allclose(
        face.box, np.r_[face.points478[:, :2].min(axis=0), face.points478[:, :2].max(axis=0)]
    )
    assert face.points478[4, 2] < face.points478[[33, 263, 234, 454], 2].min()  # the nose is nearest


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_exif_orientation_gives_the_same_landmarks(
    tmp_path: Path, photo: np.ndarray, face: DetectedFace, orientation: int
) -> None:
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the orientation whose turning inverts this one's
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # orientation -> PIL transpose code
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(photo).transpose(Image.Transpose(turns[undo[orientation]]))
    stored.save(tmp_path / "turned.png", exif=exif)
    (found,) = detect_faces(read_image(tmp_path / "turned.png"), _QUICK)
    assert _distance(found, face.points478[:, :2]) < 1e-9


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_photos(photo: np.ndarray, face: DetectedFace, quarters: int) -> None:
    (found,) = detect_faces(np.ascontiguousarray(np.rot90(photo, quarters)), _QUICK)
    points = face.points478[:, :2]
    for _ in range(quarters):  # anticlockwise: (x, y) -> (y, width - x)
        points = np.stack([points[:, 1], photo.shape[1] - points[:, 0]], axis=1)
    assert _distance(found, points) < 0.01


def test_scaling_the_photo_scales_the_landmarks(photo: np.ndarray, face: DetectedFace) -> None:
    for size in (256, 1100):
        scaled = np.asarray(Image.fromarray(photo).resize((size, size), Image.Resampling.LANCZOS))
        (found,) = detect_faces(scaled, _QUICK)
        assert _distance(found, face.points478[:, :2] * (size / 512)) < 0.02


def test_greyscale(photo: np.ndarray, face: DetectedFace) -> None:
    grey = np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))
    (found,) = detect_faces(grey, _QUICK)
    assert _distance(found, face.points478[:, :2]) < 0.02


def test_a_small_face_in_a_large_photo(photo: np.ndarray) -> None:
    large = np.full((1500, 2000, 3), 90, np.uint8)
    large[900:1012, 1400:1512] = np.asarray(
        Image.fromarray(photo).resize((112, 112), Image.Resampling.LANCZOS)
    )
    (found,) = detect_faces(large)
    assert 18 < found.size < 30
    np.testing.assert_allclose((found.box[:2] + found.box[2:]) / 2, (1449, 927), atol=3)


def test_two_faces_come_largest_first(photo: np.ndarray, face: DetectedFace) -> None:
    both = np.zeros((512, 900, 3), np.uint8)
    both[:300, :300] = np.asarray(Image.fromarray(photo).resize((300, 300), Image.Resampling.LANCZOS))
    both[:, 388:] = photo
    large, small = detect_faces(both)
    assert _distance(large, face.points478[:, :2] + (388, 0)) < 0.02
    assert _distance(small, face.points478[:, :2] * (300 / 512)) < 0.03


def test_no_face(rng: np.random.Generator) -> None:
    blank = np.full((300, 400, 3), 128, np.uint8)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    clouds = np.asarray(Image.fromarray(coarse).resize((400, 300), Image.Resampling.BICUBIC))
    assert detect_faces(blank) == ()
    assert detect_faces(clouds) == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 2), (7, 5)])
def test_tiny_pictures(shape: tuple[int, int]) -> None:
    assert detect_faces(np.zeros((*shape, 3), np.uint8)) == ()


def test_the_input_is_left_alone(photo: np.ndarray) -> None:
    before = photo.copy()
    detect_faces(photo, _QUICK)
    np.testing.assert_array_equal(photo, before)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], photo: np.ndarray) -> None:
    from morphkit.landmarks.network import load_network

    load_network.cache_clear()
    detect_faces(photo, _QUICK)
    assert capfd.readouterr() == ("", "")


def test_ibug_mapping_is_convex_and_mirror_symmetric() -> None:
    from morphkit.landmarks.canonical import canonical_face

    vertices = canonical_face().vertices
    points = to_ibug68(vertices)
    assert points.shape == (68, 3)
    assert all(0.5 <= weight <= 1 for _, _, weight in MEDIAPIPE_TO_IBUG68)
    mirror = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
    mirror += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48]
    mirror += [59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    assert np.linalg.norm(points[mirror] * (-1, 1, 1) - points, axis=1).max() < 1.5


def test_a_square_crop_samples_where_it_says() -> None:
    ramp = np.zeros((64, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(64)[None], np.arange(64)[:, None]
    square = Square((30.0, 34.0), 16.0, np.deg2rad(30))
    crop = Pyramid(ramp).crop(square, 16, replicate=True) * 255
    centers = (np.arange(16) + 0.5) / 16
    grid = np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)
    expected = square.to_photo(grid) - 0.5  # a pixel's value is its index, at its centre
    np.testing.assert_allclose(crop.reshape(-1, 3)[:, :2], expected, atol=1e-3)


def test_a_crop_beyond_the_border() -> None:
    white = np.full((10, 10, 3), 255, np.uint8)
    square = Square((5.0, 5.0), 20.0)
    assert Pyramid(white).crop(square, 20, replicate=True).min() == 1
    black = Pyramid(white).crop(square, 20, replicate=False)
    assert black.sum() == 10 * 10 * 3


def _face_of(points: np.ndarray) -> DetectedFace:
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return DetectedFace(box, 0.6, 1.0, points)


def test_mirrored_photo_mirrored_landmarks(photo: np.ndarray, face: DetectedFace) -> None:
    (found,) = detect_faces(np.ascontiguousarray(photo[:, ::-1]), _QUICK)
    mirrored = found.points478[mirrored_order()] * (-1, 1, 1) + (photo.shape[1], 0, 0)
    assert _distance(face, mirrored[:, :2]) < 0.02


def test_a_look_at_the_mirror_image_tells_the_photo(photo: np.ndarray, face: DetectedFace) -> None:
    pyramid = Pyramid(photo)
    points, presence = landmarks_near(pyramid, face.points478[:, :2], mirrored=True)
    assert presence > 0.99
    assert _distance(face, points[:, :2]) < 0.02
    (detection,) = detect_boxes(pyramid, smallest=0.2, mirrored=True)
    (plain,) = detect_boxes(pyramid, smallest=0.2)
    assert np.abs(detection.keypoints - plain.keypoints).max() < 0.1 * plain.size
    assert confirm_thoroughly(pyramid, face.points478[:, :2]) > 0.8


def test_the_mirrored_order_is_its_own_inverse() -> None:
    order = mirrored_order()
    np.testing.assert_array_equal(order[order], np.arange(478))
    assert order[33] == 263
    assert order[468] == 473


@pytest.mark.parametrize("angle", [np.pi, np.pi / 2, 0.7])
def test_points_that_lie_wrong_are_placed_anew(photo: np.ndarray, face: DetectedFace, angle: float) -> None:
    """As when a mouth is taken for an eye: the network is content, the mirror image is not."""
    middle = face.points478[:, :2].mean(axis=0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    wrong = np.column_stack([(face.points478[:, :2] - middle) @ turn + middle, face.points478[:, 2]])
    found = faces._looked_at_again(Pyramid(photo), _face_of(wrong), FaceSettings())
    assert found is not None
    assert _distance(face, found.points478[:, :2]) < 0.02


def test_what_the_mirror_image_does_not_show_is_no_face(
    photo: np.ndarray, face: DetectedFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "_doubt", lambda *_: 0.2)
    assert faces._looked_at_again(Pyramid(photo), face, FaceSettings(any_angle=False)) is None


def test_a_face_that_the_landmark_network_doubts(
    photo: np.ndarray, face: DetectedFace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A profile: the points are right and the detector is sure, but the presence stays low."""
    run = framing._run

    def doubting(*arguments: Any, **options: Any) -> tuple[np.ndarray, float]:
        return run(*arguments, **options)[0], 0.01

    monkeypatch.setattr(framing, "_run", doubting)
    (found,) = detect_faces(photo, FaceSettings(smallest=0.15, any_angle=False))
    assert found.presence == 0.01
    assert found.score > 0.8
    assert _distance(face, found.points478[:, :2]) < 0.02
