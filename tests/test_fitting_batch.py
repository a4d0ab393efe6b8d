"""Many photos: found, fitted side by side, survived, resumed, summed up."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fitting_batch import quick
from fitting_head import small_head
from PIL import Image

from morphkit.archive import load_model, save_model
from morphkit.errors import BadInputError, OutputError
from morphkit.fitting import FitSettings, GradientSettings, fit_batch, fit_folder
from morphkit.fitting.batch import FitPlan, PhotoFile, find_photos, head_angles
from morphkit.fitting.batch.run import _model_file
from morphkit.fitting.batch.task import ModelFile, Task, load_once, run
from morphkit.geometry.views import turn

FAST = FitSettings(photometric=None)
needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by a signal")


def fill(folder: Path, *names: str) -> Path:
    """Write small grey pictures, each of its own brightness, and return their folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (hash_of(name),) * 3).save(path)
    return folder


def hash_of(name: str) -> int:
    return 40 + sum(map(ord, name)) % 200


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.h5"
    save_model(path, small_head())
    return path


@pytest.fixture
def batch(tmp_path, model):
    """A function that runs the stand-in on a folder's photos and returns the outcomes by name."""

    def run(folder: Path, output: Path | None = None, **options):
        out = output or tmp_path / "out"
        options = {"model": model, "jobs": 1, "fit": quick, **options}
        photos = find_photos([folder], out, recursive=True)
        return {outcome.name: outcome for outcome in fit_batch(photos, out, **options)}

    return run


def statuses(outcomes) -> dict[str, str]:
    return {name: outcome.status for name, outcome in outcomes.items()}


def names(photos: tuple[PhotoFile, ...]) -> list[str]:
    return [photo.name for photo in photos]


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Which photos


def test_a_folder_is_mirrored_in_natural_order(tmp_path):
    photos = fill(
        tmp_path / "in", "10.jpg", "2.png", "ada/1.JPEG", "ada/b/1.png", "a.jpg", "a.png", "zoe/1.jpg"
    )
    fill(photos, ".hidden.jpg", ".cache/1.jpg", "out/2/overlay.png")
    (photos / "notes.txt").write_text("no photo")
    found = find_photos([photos], photos / "out", recursive=True)
    assert names(found) == ["2", "10", "a.jpg", "a.png", "ada/1", "ada/b/1", "zoe/1"]
    assert names(find_photos([photos], tmp_path / "x")) == ["2", "10", "a.jpg", "a.png"]


def test_patterns_are_mirrored_below_their_fixed_part(tmp_path):
    photos = fill(tmp_path / "in", "ada/1.jpg", "ada/2.jpg", "zoe/1.png", "zoe/1.txt.jpg")
    (photos / "ada" / "1.json").write_text("[]")
    found = find_photos([photos / "*" / "1*"], tmp_path / "out")
    assert names(found) == ["ada/1", "zoe/1", "zoe/1.txt"]
    assert names(find_photos([photos / "ada" / "*.jpg"], tmp_path / "out")) == ["1", "2"]
    odd = fill(tmp_path / "in", "odd[1].jpg") / "odd[1].jpg"  # a file of that name is no pattern
    assert names(find_photos([odd], tmp_path / "out")) == ["odd[1]"]


def test_refusals_name_what_to_do(tmp_path):
    photos = fill(tmp_path / "in", "ada/1.jpg", "zoe/1.jpg")
    refused = {
        "holds no photos; its folders do: add --recursive": [photos],
        r"holds no photos \(\.jpg": [(tmp_path / "empty")],
        "No photo matches": [photos / "*.gif"],
        "would be written to one place": [photos / "ada", photos / "zoe"],
    }
    (tmp_path / "empty").mkdir()
    for reason, inputs in refused.items():
        with pytest.raises(BadInputError, match=reason):
            find_photos(inputs, tmp_path / "out")
    with pytest.raises(BadInputError, match="would lie among the photos"):
        find_photos([photos], photos, recursive=True)


def test_landmarks_lie_in_a_folder_of_the_same_structure(tmp_path):
    photos = fill(tmp_path / "in", "ada/1.jpg", "ada/2.jpg", "3.jpg")
    marks = tmp_path / "marks"
    (marks / "ada").mkdir(parents=True)
    for name in ("ada/1.pts", "ada/2.landmarks.json"):
        (marks / name).write_text("")
    found = find_photos([photos], tmp_path / "out", recursive=True, landmarks=marks)
    assert [photo.landmarks for photo in found] == [
        marks / name for name in ("3.json", "ada/1.pts", "ada/2.landmarks.json")
    ]
    with pytest.raises(BadInputError, match="belongs to one photo, and there are 3"):
        find_photos([photos], tmp_path / "out", recursive=True, landmarks=marks / "ada" / "1.pts")


# What becomes of them


def test_a_bad_photo_is_a_row_and_not_an_end(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg", "noface.jpg", "bug.png", "z/b.jpg")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    bomb = photos / "huge.png"
    Image.new("L", (100_000, 1100)).save(bomb)
    outcomes = batch(photos)
    assert {name for name, outcome in outcomes.items() if outcome.status == "fitted"} == {"a", "z/b"}
    assert {name: outcome.exit_code for name, outcome in outcomes.items() if not outcome.usable} == {
        "broken": 2, "bug": 1, "huge": 2, "noface": 2
    }  # fmt: skip
    assert "larger than 100 megapixels" in outcomes["huge"].error
    assert "internal error, ZeroDivisionError: of our own" in outcomes["bug"].error
    assert "in quick" in outcomes["bug"].trace
    out = tmp_path / "out"
    assert (out / "z" / "b" / "params.json").is_file()
    pictures = {"a.jpg", "bug.jpg", "noface.jpg", "z"}  # what can be seen of a failure is shown
    assert {path.name for path in (out / "index_files").iterdir()} == pictures
    others = {"a", "z", "index_files", "index.html", "summary.csv", "summary.json"}
    assert {path.name for path in out.iterdir()} == others  # nothing half done


def test_the_summary_has_a_row_a_photo_in_their_order(tmp_path, batch):
    photos = fill(tmp_path / "in", "b.jpg", "noface.jpg", "a10.jpg", "a9.jpg")
    batch(photos)
    out = tmp_path / "out"
    table, summary = rows(out), json.loads((out / "summary.json").read_text())
    assert [row["name"] for row in table] == ["a9", "a10", "b", "noface"] == names_of(summary)
    assert summary["counts"] == {"fitted": 3, "reused": 0, "failed": 1, "pending": 0}
    first, failed = table[0], table[3]
    assert float(first["landmark_error"]) == pytest.approx(hash_of("a9.jpg") / 1000, rel=0.05)
    assert (first["yaw_degrees"], first["pitch_degrees"], first["notes"]) == ("10", "", "A note.")
    assert (failed["status"], failed["landmark_error"], failed["folder"]) == ("failed", "", "")
    assert "no face was found" in failed["error"]
    assert summary["photos"][0]["pitch_degrees"] is None
    page = (out / "index.html").read_text()
    shown = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [card[0] for card in shown] == names_of(summary)
    for card in shown:
        assert (out / card[3]).is_file()
    assert "://" not in page


def names_of(summary) -> list[str]:
    return [row["name"] for row in summary["photos"]]


@needs_kill
def test_a_killed_worker_costs_only_its_photo(tmp_path, batch):
    outcomes = batch(fill(tmp_path / "in", "a.jpg", "dies.jpg"), jobs=2)
    assert statuses(outcomes) == {"a": "fitted", "dies": "failed"}
    assert "ended from outside" in outcomes["dies"].error
    assert not list((tmp_path / "out").glob(".fitting-*"))


@pytest.mark.parametrize("reuse", [True, False])
def test_what_a_worker_finished_before_it_died_is_this_runs(tmp_path, model, reuse):
    photo = find_photos([fill(tmp_path / "in", "a.jpg")], tmp_path / "out")[0]
    plan = FitPlan(ModelFile(model, "hash", model), FAST, "numba", (), "code")
    first, second = (
        Task(photo, plan, tmp_path / "out", tmp_path / name / "0", reuse, False, quick) for name in "12"
    )
    done, written = run(first), (tmp_path / "out" / "a" / "params.json").stat()
    again = run(first)
    assert done.status == again.status == "fitted"
    assert again.figures.landmark_error == done.figures.landmark_error
    assert (tmp_path / "out" / "a" / "params.json").stat() == written  # fitted once
    assert run(second).status == ("reused" if reuse else "fitted")


def test_a_full_disk_ends_the_batch_with_one_sentence(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg", "full.jpg", "z.jpg")
    with pytest.raises(
        OutputError, match=r"^Could not write .*full: the disk is full; free some space"
    ) as told:
        batch(photos)
    assert told.value.lasting
    assert [row["status"] for row in rows(tmp_path / "out")] == ["fitted", "pending", "pending"]
    assert not list((tmp_path / "out").glob(".fitting-*"))


# Going on


def test_a_second_run_fits_nothing(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg", "z/b.jpg", "noface.jpg")
    first = batch(photos)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("params.json")}
    second = batch(photos)
    assert statuses(second) == {"a": "reused", "noface": "failed", "z/b": "reused"}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    for name in ("a", "z/b"):
        for key, value in first[name].row().items():
            assert key == "status" or same(second[name].row()[key], value), key
    assert statuses(batch(photos, resume=False))["a"] == "fitted"


def same(one: object, other: object) -> bool:
    numbers = isinstance(one, float) and isinstance(other, float)
    return math.isclose(one, other, abs_tol=1e-3) or one != one if numbers else one == other


def test_whatever_a_fit_depends_on_makes_it_anew(tmp_path, batch, model):
    photos = fill(tmp_path / "in", "a.jpg", "b.jpg")
    assert statuses(batch(photos, settings=FAST)) == {"a": "fitted", "b": "fitted"}
    assert statuses(batch(photos, settings=FAST)) == {"a": "reused", "b": "reused"}
    heavier = replace(FAST, landmark=replace(FAST.landmark, identity_weight=2.0))
    assert statuses(batch(photos, settings=heavier)) == {"a": "fitted", "b": "fitted"}
    assert statuses(batch(photos, settings=heavier, rasterizer="torch"))["a"] == "fitted"
    assert statuses(batch(photos, settings=heavier, rasterizer="torch", files=["mesh"]))["a"] == "fitted"
    save_model(model, small_head(identity=9))
    assert statuses(batch(photos, settings=heavier, rasterizer="torch"))["a"] == "fitted"
    Image.new("RGB", (20, 16), (250, 0, 0)).save(photos / "a.jpg")
    assert statuses(batch(photos, settings=heavier, rasterizer="torch")) == {"a": "fitted", "b": "reused"}
    (tmp_path / "out" / "b" / "params.json").unlink()
    assert statuses(batch(photos, settings=heavier, rasterizer="torch")) == {"a": "reused", "b": "fitted"}


def test_a_face_network_counts_by_its_content_not_by_its_name(tmp_path, batch):
    photos, own = fill(tmp_path / "in", "a.jpg"), tmp_path / "own.pt"
    settings = FitSettings(gradient=GradientSettings(network=own))
    own.write_bytes(b"one")
    assert statuses(batch(photos, settings=settings)) == {"a": "fitted"}
    assert statuses(batch(photos, settings=settings)) == {"a": "reused"}
    moved = own.rename(tmp_path / "moved.pt")
    elsewhere = FitSettings(gradient=GradientSettings(network=moved))
    assert statuses(batch(photos, settings=elsewhere)) == {"a": "reused"}
    moved.write_bytes(b"two")
    assert statuses(batch(photos, settings=elsewhere)) == {"a": "fitted"}
    moved.unlink()
    with pytest.raises(BadInputError, match=r"There is no file .*moved\.pt"):
        batch(photos, settings=elsewhere)
    unheard = FitSettings(gradient=GradientSettings(network=moved).without_perceptual())
    assert statuses(batch(photos, settings=unheard)) == {"a": "fitted"}


def test_a_model_in_memory_counts_by_its_content(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg")
    assert statuses(batch(photos, model=small_head())) == {"a": "fitted"}
    assert statuses(batch(photos, model=small_head())) == {"a": "reused"}
    assert statuses(batch(photos, model=small_head(identity=9))) == {"a": "fitted"}


def test_a_persons_own_files_stay_and_an_older_result_does_not(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg")
    batch(photos)
    folder = tmp_path / "out" / "a"
    (folder / "remarks.txt").write_text("mine")
    assert statuses(batch(photos, resume=False)) == {"a": "fitted"}
    assert {path.name for path in folder.iterdir()} == {
        "outcome.json", "params.json", "remarks.txt", "side_by_side.png"
    }  # fmt: skip
    (photos / "a.jpg").write_text("no image any more")
    assert statuses(batch(photos)) == {"a": "failed"}
    assert [path.name for path in folder.iterdir()] == ["remarks.txt"]


def test_an_interruption_loses_what_is_in_flight_only(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg", "interrupted.jpg", "z.jpg")
    with pytest.raises(KeyboardInterrupt):
        batch(photos)
    out = tmp_path / "out"
    assert [row["status"] for row in rows(out)] == ["fitted", "pending", "pending"]
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"a", "index_files"}
    (photos / "interrupted.jpg").rename(photos / "m.jpg")
    assert statuses(batch(photos)) == {"a": "reused", "m": "fitted", "z": "fitted"}


def test_closing_the_generator_ends_the_batch(tmp_path, model):
    photos = fill(tmp_path / "in", "a.jpg", "b.jpg", "c.jpg")
    out = tmp_path / "out"
    outcomes = fit_batch(find_photos([photos], out), out, model=model, jobs=1, fit=quick)
    assert next(outcomes).name == "a"
    outcomes.close()
    assert [row["status"] for row in rows(out)] == ["fitted", "pending", "pending"]
    assert not list(out.glob(".fitting-*"))


def test_what_a_killed_run_left_is_removed_after_an_hour(tmp_path, batch):
    photos = fill(tmp_path / "in", "a.jpg")
    fresh, stale = (tmp_path / "out" / name for name in (".fitting-1", ".fitting-2"))
    fill(fresh, "0/mesh.png")
    fill(stale, "0/mesh.png")
    os.utime(stale, (0, 0))
    batch(photos)
    assert fresh.exists()
    assert not stale.exists()


def test_a_basis_that_is_not_orthonormal_reaches_the_workers(tmp_path, batch, model):
    head = load_model(model)
    part = head.marginal(np.arange(head.n_vertices // 2))
    assert not part.identity.is_orthonormal
    photos = fill(tmp_path / "in", "a.jpg")
    assert statuses(batch(photos, model=part)) == {"a": "fitted"}
    assert statuses(batch(photos, model=part)) == {"a": "reused"}
    assert statuses(batch(photos, model=head)) == {"a": "fitted"}


def test_a_model_that_cannot_be_used_is_named_at_once(tmp_path):
    photos = find_photos([fill(tmp_path / "in", "a.jpg")], tmp_path / "out")
    (tmp_path / "bad.h5").write_text("no model")
    with pytest.raises(BadInputError, match="begins with b'no model'"):
        fit_batch(photos, tmp_path / "out", model=tmp_path / "bad.h5")
    with pytest.raises(ValueError, match=r"files: expected some of mesh, .*, got movie"):
        fit_batch(photos, tmp_path / "out", files=["movie"])


def test_results_name_the_file_of_their_model_where_it_lasts(tmp_path, model):
    of_file = load_model(model)
    nameless = of_file.read_from(None)
    for given, named in ((model, model), (of_file, model), (nameless, None), (None, None)):
        assert load_once(_model_file(given, tmp_path)).source == named


# The real fit


def test_two_photos_from_the_pixels_to_the_files(tmp_path):
    from importlib import resources

    photos = tmp_path / "in"
    (photos / "sub").mkdir(parents=True)
    with Image.open(resources.files("morphkit") / "data" / "astronaut.jpg") as image:
        image.save(photos / "sub" / "one.png")
        image.resize([side // 2 for side in image.size]).save(photos / "two.jpg")
    options = {"recursive": True, "settings": FAST, "files": ("params", "overlay")}
    found = {o.name: o for o in fit_folder(photos, tmp_path / "out", jobs=1, **options)}
    assert statuses(found) == {"sub/one": "fitted", "two": "fitted"}
    one, two = found["sub/one"].figures, found["two"].figures
    assert one.landmark_error < 0.05
    assert one.yaw == pytest.approx(two.yaw, abs=3)
    assert one.focal_length == pytest.approx(2 * two.focal_length, rel=0.1)
    values = json.loads((tmp_path / "out" / "two" / "params.json").read_text())
    assert values["landmark_error"] == pytest.approx(two.landmark_error)
    files = {"landmarks3d.json", "outcome.json", "overlay.png", "params.json", "side_by_side.png"}
    assert {path.name for path in (tmp_path / "out" / "sub" / "one").iterdir()} == files
    with Image.open(tmp_path / "out" / "index_files" / "sub" / "one.jpg") as image:
        assert image.size == (800, 160)
    again = list(fit_folder(photos, tmp_path / "out", jobs=1, **options))
    assert [outcome.status for outcome in again] == ["reused", "reused"]
    assert again[0].figures == one


def test_angles_are_those_that_turned_the_head(rng):
    for yaw, pitch, roll in rng.uniform([-170, -80, -170], [170, 80, 170], (20, 3)):
        rotation = np.diag([1.0, -1.0, -1.0]) @ turn(*np.radians([yaw, pitch, roll]))
        assert head_angles(rotation) == pytest.approx((yaw, pitch, roll))
