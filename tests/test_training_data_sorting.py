"""Duplicates, people, balance and skin: what is said of faces before they become a dataset."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.cluster.hierarchy import fcluster, linkage

from morphkit.archive import load_default_model
from morphkit.errors import BadInputError
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.training.data.alignment import FaceFrame
from morphkit.training.data.balance import balanced_weights, histogram, pose_bins, tone_bins
from morphkit.training.data.duplicates import details, find_duplicates, fingerprint
from morphkit.training.data.grouping import cluster, people_by_folder, people_by_list
from morphkit.training.data.skin import face_attention, face_region, skin_region, skin_tone

SIZE = 224


def picture(rng: np.random.Generator) -> np.ndarray:
    """A picture with detail at all scales, as photos have."""
    layers = [np.kron(rng.normal(size=(n, n, 3)), np.ones((SIZE // n, SIZE // n, 1))) for n in (4, 14, 56)]
    return np.clip(128 + 30 * sum(layers), 0, 255).astype(np.uint8)


def as_jpeg(image: np.ndarray, quality: int, side: int = SIZE) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC).save(
        buffer, "JPEG", quality=quality
    )
    return np.asarray(Image.open(buffer).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def duplicates(pictures: list[np.ndarray], preference: list[float]) -> list[int]:
    prints = np.array([fingerprint(one) for one in pictures], dtype=np.uint64)
    return find_duplicates(
        prints, np.stack([details(one) for one in pictures]), np.array(preference)
    ).tolist()


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "compressed": lambda image: as_jpeg(image, 40),
    "scaled": lambda image: as_jpeg(image, 80, 120),
    "brighter": lambda image: as_jpeg(np.clip(image * 1.2, 0, 255).astype(np.uint8), 90),
    "grey": lambda image: np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_duplicate_and_the_preferred_stays(rng: np.random.Generator, change: str) -> None:
    one, other = picture(rng), picture(rng)
    copy = CHANGES[change](one)
    assert duplicates([one, other, copy], [1.0, 1.0, 1.0]) == [-1, -1, 0]
    assert duplicates([one, other, copy], [1.0, 1.0, 2.0]) == [2, -1, -1]


def test_an_expression_is_no_duplicate(rng: np.random.Generator) -> None:
    one = picture(rng)
    smile = one.copy()
    smile[130:170, 80:150] = picture(rng)[130:170, 80:150]
    assert duplicates([one, smile], [1.0, 1.0]) == [-1, -1]


def test_all_copies_go_and_none_is_measured_by_one_that_is_gone(rng: np.random.Generator) -> None:
    one = picture(rng)
    assert duplicates([one, one, one, picture(rng)], [1.0, 3.0, 2.0, 0.0]) == [1, -1, 1, -1]
    nothing = find_duplicates(np.zeros(0, np.uint64), np.zeros((0, 900), np.int8), np.zeros(0))
    assert nothing.shape == (0,)


def test_a_folder_is_a_person() -> None:
    sources = ("b 10/1.jpg", "b 2/1.jpg", "1.jpg", "b 10/2.jpg", "b 2/c/1.jpg")
    assert people_by_folder(sources).tolist() == [2, 0, -1, 2, 1]


def test_a_list_names_people(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("\ufeffperson,photo,note\nEva,in/2.jpg,x\nAda,1.jpg,\n,3.jpg,\n\nEva,4.jpg,\n", "utf-8")
    sources = ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg")
    photos = [tmp_path / "in" / source for source in sources]
    assert people_by_list(path, sources, photos).tolist() == [0, 1, -1, 1, -1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"photo\n1.jpg\n", "needs the columns photo and person"),
        (b"", "needs the columns photo and person"),
        (b"photo,person\n1.jpg,Ada\n1.jpg,Eva\n", "line 3: 1.jpg shows two people, Ada and Eva"),
        (b"photo,person\n9.jpg,Ada\n", "names none of the photos; give .* such as 1.jpg"),
        (b"photo,person\n\xff\xfe,Ada\n", "no CSV file in UTF-8"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=sentence):
        people_by_list(path, ("1.jpg",), [tmp_path / "1.jpg"])
    with pytest.raises(BadInputError, match="no file"):
        people_by_list(tmp_path / "none.csv", ("1.jpg",), [tmp_path / "1.jpg"])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.floats(0.05, 0.6), limit=st.floats(0.1, 1.5))
def test_clusters_are_those_of_average_linkage(seed: int, spread: float, limit: float) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 5))
    points = (centres[rng.integers(0, 6, 40)] + spread * rng.normal(size=(40, 5))).astype(np.float32)
    squares = ((points[:, None].astype(float) - points) ** 2).sum(axis=2)[np.triu_indices(40, 1)]
    expected = fcluster(linkage(squares, "average"), limit**2, "distance")
    found = cluster(points, limit)
    same = [labels[:, None] == labels for labels in (expected, found)]
    np.testing.assert_array_equal(*same)
    first = [int(np.flatnonzero(found == number)[0]) for number in range(found.max() + 1)]
    assert first == sorted(first)  # numbered by their first faces


def test_equal_faces_end_in_one_cluster() -> None:
    assert cluster(np.ones((7, 3), np.float32)).tolist() == [0] * 7
    assert cluster(np.eye(3, dtype=np.float32)).tolist() == [0, 1, 2]
    assert cluster(np.zeros((0, 3), np.float32)).tolist() == []


def test_bins_say_where_a_head_looks_and_how_light_skin_is() -> None:
    poses = np.radians([(0, 0, 90), (30, 0, 0), (-12, 45, 0), (0, -80, 0)])
    assert pose_bins(poses).tolist() == [[3, 2], [3, 4], [5, 1], [0, 2]]
    assert tone_bins(np.array([60.0, np.nan, -50.0, 30.0])).tolist() == [5, -1, 0, 3]
    assert histogram(np.array([1.0, np.nan, 2.0, 5.0, 0.0]), (1.0, 3.0)).tolist() == [1, 2, 1]


def test_every_bin_is_drawn_alike() -> None:
    yaws = np.radians([0.0] * 6 + [30.0] * 3 + [50.0])
    poses = np.stack([0 * yaws, yaws, 0 * yaws], axis=1)
    weights = balanced_weights(poses, None)
    np.testing.assert_allclose(weights, [1 / 18] * 6 + [1 / 9] * 3 + [1 / 3])
    tones = np.array([60.0] * 5 + [-40.0] * 5)
    np.testing.assert_allclose(balanced_weights(None, tones), 0.1)
    both = balanced_weights(poses, tones)  # four bins: 5, 1, 3 and 1 faces
    np.testing.assert_allclose(both, [1 / 20] * 5 + [1 / 4] + [1 / 12] * 3 + [1 / 4])


def test_no_face_is_drawn_more_than_it_may(rng: np.random.Generator) -> None:
    yaws = np.radians(np.r_[np.zeros(990), np.full(9, 30.0), 70.0])
    poses = np.stack([0 * yaws, yaws, 0 * yaws], axis=1)
    weights = balanced_weights(poses, None, most=10.0)
    np.testing.assert_allclose(weights.sum(), 1.0)
    np.testing.assert_allclose(weights[990:], 0.01)  # the bound, of a thousand
    np.testing.assert_allclose(weights[:990], 0.9 / 990)
    np.testing.assert_allclose(balanced_weights(poses, None, most=1.0), 1e-3)
    for most in (1.5, 3.0, 40.0):
        tones = np.where(rng.random(1000) < 0.3, np.nan, rng.normal(30, 30, 1000))
        some = balanced_weights(poses, tones, most=most)
        assert some.max() <= most / 1000 * (1 + 1e-9)
        np.testing.assert_allclose(some.sum(), 1.0)


def test_weights_need_something_to_balance() -> None:
    for poses, tones, most in ((None, None, 10.0), (None, np.zeros(0), 10.0), (None, np.zeros(3), 0.5)):
        with pytest.raises(ValueError, match="expected poses or tones"):
            balanced_weights(poses, tones, most=most)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """The mean face's landmarks in its crop."""
    return 112 + 1.02 * FaceFrame.of(load_default_model()).points68[:, :2] * (1, -1)


def test_the_face_is_within_its_points_and_the_skin_without_its_parts(points: np.ndarray) -> None:
    face, skin = face_region(points, SIZE), skin_region(points, SIZE)
    inner = points[[30, 33, 39, 42, 51, 57]].astype(int)
    assert face[inner[:, 1], inner[:, 0]].all()
    brow = points[17:27].mean(axis=0).astype(int)
    assert face[brow[1] - 15, brow[0]]  # the forehead
    assert not face[:5].any()
    assert not face[-5:].any()
    assert not (skin & ~face).any()
    for part in (slice(36, 42), slice(42, 48), slice(48, 60)):
        x, y = points[part].mean(axis=0).astype(int)
        assert face[y, x]
        assert not skin[y, x]
    without_jaw = points.copy()
    without_jaw[:17] = np.nan
    assert 0 < face_region(without_jaw, SIZE).sum() < face.sum()
    assert abs(face_region(points / 2, 112).sum() / face.sum() - 0.25) < 0.01


@pytest.mark.parametrize(
    "linear", [(0.60, 0.40, 0.28), (0.3, 0.15, 0.08), (0.10, 0.05, 0.025), (0.2, 0.2, 0.2), (0.1, 0.1, 0.1)]
)
def test_tones_are_individual_typology_angles(points: np.ndarray, linear: tuple[float, float, float]) -> None:
    image = np.tile(linear_to_srgb_uint8(np.array(linear)), (SIZE, SIZE, 1))
    skin, full = skin_region(points, SIZE), np.full((SIZE, SIZE), 255, np.uint8)
    found = skin_tone(image, skin, full)
    assert found == pytest.approx(_tone_by_hand(image[0, 0]), abs=0.05)
    half = full.copy()
    half[:, :112] = 0
    image[:, :112] = (0, 0, 255)  # what does not count does not show
    assert skin_tone(image, skin, half) == pytest.approx(found, abs=1e-6)
    assert np.isnan(skin_tone(image, skin, np.zeros_like(full)))


def _tone_by_hand(code: np.ndarray) -> float:
    """By the standards' formulas, one colour."""
    light = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 255 / 12.92 for c in code]
    y = (0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]) / 1.0
    z = (0.0193 * light[0] + 0.1192 * light[1] + 0.9505 * light[2]) / 1.0890
    f = [t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (y, z)]
    lightness, b = 116 * f[0] - 16, max(200 * (f[0] - f[1]), 1e-3)
    return float(np.degrees(np.arctan((lightness - 50) / b)))


@pytest.mark.parametrize("tone", [(0.65, 0.45, 0.35), (0.06, 0.03, 0.02)])
def test_what_has_another_colour_than_the_face_counts_less(
    rng: np.random.Generator, points: np.ndarray, tone: tuple[float, float, float]
) -> None:
    shade = rng.uniform(0.7, 1.3, (SIZE, SIZE, 1)) * np.array(tone) * rng.uniform(0.95, 1.05, (SIZE, SIZE, 3))
    image = linear_to_srgb_uint8(shade)
    image[150:190, 70:150] = (30, 60, 200)  # a blue scarf over the mouth
    weights = face_attention(image, face_region(points, SIZE), "own")
    assert weights[155:185, 75:145].max() < 30
    assert np.median(weights[60:140, 80:140]) > 200
    assert (face_attention(image, face_region(points, SIZE), "all") == 255).all()


def test_the_papers_attention_is_one_where_skin_is_likely(points: np.ndarray) -> None:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, :112] = (224, 172, 140)
    image[:, 112:] = (20, 200, 60)
    weights = face_attention(image, face_region(points, SIZE), "skin")
    assert (weights[:, :112] == 255).all()
    assert (weights[:, 112:] < 64).all()
