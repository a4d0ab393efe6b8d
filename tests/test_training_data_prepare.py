"""Preparing photos: what becomes of each, and that breaking off changes nothing of it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import morphkit
from morphkit.archive import load_default_model, save_model
from morphkit.errors import BadInputError, MissingDependencyError, NoFaceError, OutputError
from morphkit.morphable import MorphableModel
from morphkit.training.data import prepare as module
from morphkit.training.data import preparing
from morphkit.training.data.alignment import PIXELS_PER_MM, FaceFrame
from morphkit.training.data.dataset import Dataset
from morphkit.training.data.prepare import Prepared, PrepareSettings, prepare

ASTRONAUT = Path(morphkit.__file__).parent / "data" / "astronaut.jpg"
SMALL = PrepareSettings(size=64)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "prepared.csv").open(newline="", encoding="utf-8") as file:
        return {row["photo"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    """What detection makes of a face, its copy, its mirror image, a small one, and of photos without any."""
    photos, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("out")
    (photos / "ada").mkdir()
    (photos / "eva").mkdir()
    face = Image.open(ASTRONAUT)
    shutil.copy(ASTRONAUT, photos / "ada" / "1.jpg")
    face.resize((380, 380)).save(photos / "ada" / "2.jpg", quality=60)
    face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(30, resample=Image.Resampling.BICUBIC).save(
        photos / "eva" / "1.png"
    )
    face.resize((160, 160)).save(photos / "eva" / "small.png")
    Image.new("RGB", (64, 64), "grey").save(photos / "nothing.png")
    (photos / "broken.jpg").write_bytes(ASTRONAUT.read_bytes()[:3000])
    settings = PrepareSettings(people="folders", size=96)
    return out, prepare(photos, out, settings=settings, recursive=True, jobs=1)


def test_each_photo_s_fate_is_told(found: tuple[Path, Prepared]) -> None:
    out, result = found
    told = rows(out)
    assert {name: row["status"] for name, row in told.items()} == {
        "ada/1.jpg": "kept",
        "ada/2.jpg": "duplicate",
        "eva/1.png": "kept",
        "eva/small.png": "failed",
        "nothing.png": "failed",
        "broken.jpg": "failed",
    }
    assert told["ada/2.jpg"]["reason"] == "shows ada/1.jpg again"
    assert "less than 64" in told["eva/small.png"]["reason"]
    assert "no face of at least 64 pixels was found" in told["nothing.png"]["reason"]
    assert "broken.jpg is damaged" in told["broken.jpg"]["reason"]
    assert (result.photos, result.failed, result.duplicates, result.people) == (6, 3, 1, 2)
    assert float(told["ada/1.jpg"]["roll_degrees"]) == pytest.approx(
        30 - float(told["eva/1.png"]["roll_degrees"]), abs=3
    )


def test_the_dataset_holds_what_the_table_says(found: tuple[Path, Prepared]) -> None:
    out, result = found
    dataset = result.dataset
    assert (len(dataset), dataset.size, dataset.has_truth) == (2, 96, False)
    faces = dataset.read([0, 1])
    assert faces.sources == ("ada/1.jpg", "eva/1.png")
    assert faces.people.tolist() == [0, 1]
    assert faces.sizes.tolist() == [[512, 512]] * 2
    told = rows(out)
    for row, name in enumerate(faces.sources):
        assert np.degrees(faces.poses[row]) == pytest.approx(
            [float(told[name][f"{axis}_degrees"]) for axis in ("pitch", "yaw", "roll")], abs=0.1
        )
        assert faces.tones[row] == pytest.approx(float(told[name]["tone_degrees"]), abs=0.1)
    # the mirrored, turned photo gives the mirrored crop
    difference = np.abs(faces.images[0].astype(int) - faces.images[1][:, ::-1])[20:76, 20:76]
    assert difference.mean() < 12
    eyes = faces.landmarks[:, 36:48].mean(axis=1)
    mouth = faces.landmarks[:, 48:60].mean(axis=1)
    np.testing.assert_allclose((mouth - eyes)[:, 0], 0, atol=3)
    np.testing.assert_allclose((mouth - eyes)[:, 1], 67 * PIXELS_PER_MM * 96 / 224, rtol=0.15)


def test_what_a_person_looks_at_is_there(found: tuple[Path, Prepared]) -> None:
    out, result = found
    page = result.report.read_text(encoding="utf-8")
    for text in ("broken.jpg", "ada/2.jpg", "shows again", "Duplicates, left out", "data:image/jpeg"):
        assert text in page
    assert "http" not in page.replace("http-equiv", "")
    with Image.open(out / "contact_sheet_1.jpg") as sheet:
        assert sheet.size == (2 * 96, 96)
    assert sorted(path.name for path in out.iterdir()) == [
        *("contact_sheet_1.jpg", "dataset.json", "faces-00000.h5"),
        *("prepared.csv", "prepared.json", "report.html"),
    ]


def test_a_finished_dataset_is_not_made_again(found: tuple[Path, Prepared], tmp_path: Path) -> None:
    out, result = found
    again = shutil.copytree(out, tmp_path / "again")
    photos = _marked(tmp_path / "photos", 2)
    with pytest.raises(BadInputError, match=r"made otherwise \((model|size|settings).*choose another folder"):
        prepare(photos, again, jobs=1)
    assert len(Dataset.open(again)) == len(result.dataset)


@cache
def small_model() -> MorphableModel:
    """A model that is quickly read."""
    return load_default_model().truncate(1, 1, 1)


def _marked(folder: Path, count: int, seed: int = 0) -> Path:
    """Photos of noise with given landmarks, so that nothing has to be detected."""
    rng = np.random.default_rng(seed)
    points = FaceFrame.of(small_model()).points68[:, :2] * (1, -1)
    (folder / "marks").mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (120, 150, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        pixels = 60 + rng.uniform(0.4, 0.6) * points + rng.normal(size=(1, 2))
        (folder / "marks" / f"{number}.json").write_text(json.dumps(pixels.tolist()))
    return folder


def marked(folder: Path, out: Path, **how: object) -> Prepared:
    model = folder.parent / "model.h5"  # quickly read
    if not model.exists():
        save_model(model, small_model())
    how = {"settings": SMALL, "jobs": 1, "model": model, **how}
    return prepare(folder, out, landmarks=folder / "marks", **how)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PHOTOS_IN_PART", 2)
    monkeypatch.setattr(module, "_SHARD", 3)


def _with_a_bad_one(folder: Path) -> Path:
    _marked(folder, 7)
    (folder / "3.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def photos(tmp_path: Path, small_parts: None) -> Path:
    return _with_a_bad_one(tmp_path / "photos")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Photos that no test changes, and what an unbroken run makes of them."""
    folder, out = (
        _with_a_bad_one(tmp_path_factory.mktemp("unbroken") / "photos"),
        tmp_path_factory.mktemp("o"),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_PHOTOS_IN_PART", 2)
        patched.setattr(module, "_SHARD", 3)
        marked(folder, out)
    return folder, contents(out)


def test_given_landmarks_place_the_crop(photos: Path, tmp_path: Path) -> None:
    faces = marked(photos, tmp_path / "out").dataset.read(np.arange(6))
    for row, source in enumerate(faces.sources):
        given = np.array(json.loads((photos / "marks" / source).with_suffix(".json").read_text()))
        affine = faces.crops[row]
        np.testing.assert_allclose(given @ affine[:, :2].T + affine[:, 2], faces.landmarks[row], atol=1e-4)
    np.testing.assert_allclose(faces.poses, 0.0, atol=1e-4)  # the mean face, from the front


class _StopError(Exception):
    """The machine was switched off."""


@pytest.mark.parametrize(
    ("stage", "done", "error"),
    [
        ("Finding faces", 2, KeyboardInterrupt),
        ("Comparing faces", 1, _StopError),
        ("Writing faces", 5, _StopError),
    ],
)
def test_a_run_that_was_broken_off_ends_with_the_same_bytes(
    unbroken: tuple[Path, dict[str, bytes]],
    tmp_path: Path,
    small_parts: None,
    stage: str,
    done: int,
    error: type[BaseException],
) -> None:
    def stop(now: str, finished: int, total: int) -> None:
        if (now, finished) == (stage, done):
            raise error

    photos, whole = unbroken
    with pytest.raises(error):
        marked(photos, tmp_path / "cut", progress=stop)
    assert not (tmp_path / "cut" / "dataset.json").exists()
    seen: list[tuple[str, int, int]] = []
    marked(photos, tmp_path / "cut", progress=lambda *told: seen.append(told))
    assert seen[0] == ("Finding faces", done if stage == "Finding faces" else 7, 7)
    assert contents(tmp_path / "cut") == whole


def test_parts_cut_short_by_a_power_failure_are_made_again(
    unbroken: tuple[Path, dict[str, bytes]], tmp_path: Path, small_parts: None
) -> None:
    def stop(now: str, finished: int, total: int) -> None:
        if finished == 6:
            raise _StopError

    photos, whole = unbroken
    with pytest.raises(_StopError):
        marked(photos, tmp_path / "cut", progress=stop)
    parts = tmp_path / "cut" / "parts"
    (parts / "part-000000.json").write_text('{"faces": 2,')
    (parts / "part-000002.h5").unlink()
    marked(photos, tmp_path / "cut")
    assert contents(tmp_path / "cut") == whole


def test_several_processes_write_the_same_bytes(
    unbroken: tuple[Path, dict[str, bytes]], tmp_path: Path, small_parts: None
) -> None:
    photos, whole = unbroken
    marked(photos, tmp_path / "two", jobs=2)
    assert contents(tmp_path / "two") == whole


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"settings": replace(SMALL, attention="all")}, "settings.attention was 'own', is now 'all'"),
        ({"settings": replace(SMALL, size=96)}, "size was 64, is now 96"),
    ],
)
def test_a_run_goes_on_only_with_its_settings(
    photos: Path, tmp_path: Path, change: dict[str, object], what: str
) -> None:
    with pytest.raises(_StopError):
        marked(photos, tmp_path / "out", progress=_stop_at_once)
    with pytest.raises(BadInputError, match=what):
        marked(photos, tmp_path / "out", **change)
    (photos / "7.png").write_bytes((photos / "1.png").read_bytes())
    with pytest.raises(BadInputError, match=r"settings\.photos was 7, is now 8"):
        marked(photos, tmp_path / "out")


def _stop_at_once(*_: object) -> None:
    raise _StopError


def test_changed_photos_are_noticed(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(_StopError):
        marked(photos, tmp_path / "out", progress=_stop_at_once)
    Image.new("RGB", (99, 99)).save(photos / "1.png")
    with pytest.raises(BadInputError, match=r"settings\.photos_digest"):
        marked(photos, tmp_path / "out")


def test_a_full_disk_ends_the_run_and_what_is_there_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = preparing.write_shard, []

    def fill(path: Path, faces: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OutputError(f"Could not write {path}: the disk is full.", lasting=True)
        write(path, faces)

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "write_shard", fill)
        with pytest.raises(OutputError, match="the disk is full"):
            marked(photos, tmp_path / "out")
    assert len(list((tmp_path / "out" / "parts").glob("*.json"))) == 1
    marked(photos, tmp_path / "out")


def test_a_process_that_dies_costs_its_photos_only(photos: Path, tmp_path: Path) -> None:
    plan = preparing.PreparePlan(None, 64, "own", False, 64, False)
    (task,) = preparing.parts_of(tuple(module.find_photos([photos], tmp_path)), plan, tmp_path / "parts", 16)
    assert preparing.lose_part(task) == 7
    record = preparing.read_part(task)
    assert record is not None
    assert (record.faces, len(record.failures)) == (0, 7)
    assert "ended from outside" in record.failures[0].reason


@pytest.mark.parametrize("name", ["none", "one", "three"])
def test_photos_without_a_face_end_in_a_sentence(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    count = {"none": 0, "one": 1, "three": 3}[name]
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(b"")
    expected: dict[str, tuple[type[Exception], str]] = {
        "none": (BadInputError, "holds no photos"),
        "one": (NoFaceError, "0.jpg is not an image"),
        "three": (NoFaceError, r"No photo shows a usable face; .*prepared.csv says why"),
    }
    error, sentence = expected[name]
    with pytest.raises(error, match=sentence):
        prepare(folder, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_duplicates_are_kept_where_that_is_wanted(photos: Path, tmp_path: Path) -> None:
    for suffix in ("png", "json"):
        source = photos / ("marks" if suffix == "json" else "") / f"1.{suffix}"
        shutil.copy(source, source.with_stem("9"))
    without = marked(photos, tmp_path / "without")
    kept = marked(photos, tmp_path / "kept", settings=replace(SMALL, keep_duplicates=True))
    assert (len(without.dataset), without.duplicates) == (6, 1)
    assert (len(kept.dataset), kept.duplicates) == (7, 1)
    assert rows(tmp_path / "kept")["9.png"]["status"] == "kept"
    assert "kept as you asked" in kept.report.read_text(encoding="utf-8")


def test_people_come_from_a_list_or_a_network_that_must_be_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "people.csv"
    listed.write_text("photo,person\n0.png,Ada\n5.png,Ada\n6.png,Eva\n")
    result = marked(photos, tmp_path / "listed", settings=replace(SMALL, people=str(listed)))
    assert (result.people, result.dataset.people.tolist()) == (2, [0, -1, -1, -1, 0, 1])
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    with pytest.raises(MissingDependencyError, match=r"Telling people apart needs .*perceptual"):
        marked(photos, tmp_path / "clustered", settings=replace(SMALL, people="cluster"))


def test_faces_alike_to_the_network_are_one_person(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = [np.asarray(Image.open(photos / name))[0, 0] for name in ("1.png", "5.png")]

    def embed(image: np.ndarray, points: np.ndarray) -> np.ndarray:
        return np.array([any((image[0, 0] == color).all() for color in alike), 0.0], dtype=np.float32)

    monkeypatch.setattr(module, "load_face_network", lambda: None)
    monkeypatch.setattr(preparing, "_embedding", embed)
    result = marked(photos, tmp_path / "out", settings=replace(SMALL, people="cluster"))
    faces = result.dataset.read(np.arange(6))
    assert faces.embeddings is not None
    assert faces.people.tolist() == [0, 1, 0, 0, 1, 0]
    assert faces.sources == ("0.png", "1.png", "2.png", "4.png", "5.png", "6.png")


def test_settings_are_checked() -> None:
    wrong: list[Callable[[], object]] = [
        lambda: PrepareSettings(size=8),
        lambda: PrepareSettings(smallest=0),
        lambda: PrepareSettings(attention="hair"),
    ]
    for make in wrong:
        with pytest.raises((ValueError, TypeError)):
            make()
