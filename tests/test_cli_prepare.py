"""`morphkit prepare` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from morphkit.archive import load_default_model, save_model
from morphkit.cli import main
from morphkit.training.data import prepare as module
from morphkit.training.data.alignment import FaceFrame
from morphkit.training.data.dataset import Dataset


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["prepare", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos of noise with given landmarks, and one that is none."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (tmp_path / "marks").mkdir()
    folder.mkdir()
    model = load_default_model().truncate(1, 1, 1)  # quickly read
    save_model(tmp_path / "model.h5", model)
    points = 60 + 0.5 * FaceFrame.of(model).points68[:, :2] * (1, -1)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (120, 150, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        (tmp_path / "marks" / f"{number}.json").write_text(json.dumps(points.tolist()))
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def options(photos: Path) -> list[object]:
    near = photos.parent
    return ["--landmarks", near / "marks", "--model", near / "model.h5", "--jobs", 1, "--size", 64]


def test_a_dataset_is_made_and_said(photos: Path, tmp_path: Path) -> None:
    result = run(photos, "-o", tmp_path / "data", *options(photos))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"3 faces from 4 photos: {tmp_path / 'data' / 'report.html'}\n"
    assert f"1 photos show no usable face: {tmp_path / 'data' / 'prepared.csv'} says why." in result.stderr
    again = run(photos, "-o", tmp_path / "data", *options(photos), "--json")
    assert json.loads(again.stdout) == {
        "dataset": str(tmp_path / "data"),
        "photos": 4,
        "faces": 3,
        "failed": 1,
        "duplicates": 0,
        "people": 0,
        "report": str(tmp_path / "data" / "report.html"),
    }
    assert again.stderr == ""


def test_ctrl_c_loses_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PHOTOS_IN_PART", 1)
    work, done = module.run_part, []

    def interrupted(task: object) -> object:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(work(task))
        return done[-1]

    monkeypatch.setattr(module, "run_part", interrupted)
    result = run(photos, "-o", tmp_path / "data", *options(photos))
    assert result.exit_code == 130
    assert "What was finished is kept; the same command goes on from there." in result.stderr
    assert "Interrupted." in result.stderr
    calls: list[object] = []
    monkeypatch.setattr(module, "run_part", lambda task: [calls.append(task), work(task)][1])
    assert run(photos, "-o", tmp_path / "data", *options(photos)).exit_code == 0
    assert len(calls) == 2
    assert len(Dataset.open(tmp_path / "data")) == 3


def test_refusals_are_one_sentence_with_the_remedy(photos: Path, tmp_path: Path) -> None:
    empty, out = tmp_path / "empty", tmp_path / "data"
    empty.mkdir()
    (tmp_path / "file").write_text("")
    assert run(photos, "-o", out, *options(photos)).exit_code == 0
    cases: list[tuple[list[object], int, str]] = [
        ([empty, "-o", tmp_path / "a"], 2, f"{empty} holds no photos"),
        ([photos, "-o", photos], 2, "would lie among the photos; choose another folder"),
        (
            [photos, "-o", out, *options(photos), "--attention", "all"],
            2,
            "settings.attention was 'own', is now",
        ),
        ([photos, "-o", tmp_path / "file" / "a", *options(photos)], 1, "is a file where a folder is needed"),
        ([photos, "-o", tmp_path / "b", "--people", tmp_path / "no.csv"], 2, "There is no file"),
        ([photos, "-o", tmp_path / "b", "--model", tmp_path / "no.h5"], 2, "no.h5"),
        ([photos / "bad.png", "-o", tmp_path / "c"], 2, "bad.png is not an image that can be read"),
    ]
    for arguments, code, sentence in cases:
        result = run(*arguments, "--jobs", 1)
        assert (result.exit_code, sentence in result.stderr) == (code, True), result.output
        assert len([line for line in result.stderr.splitlines() if line.startswith("Error:")]) == 1
