"""`morphkit render-dataset` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from morphkit import load_default_model, save_model
from morphkit.cli import main
from morphkit.training.data.dataset import Dataset

QUICK = ["--size", "48", "--jobs", "1"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["render-dataset", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_options_reach_the_faces_and_json_tells_what_was_made(tmp_path: Path):
    out = tmp_path / "data"
    options = ("-n", 3, "-o", out, "--people", 2, "--expressions", 0, "--max-yaw", 5, "--seed", 6, "--json")
    code, shown, _ = run(*options, "--photos", "--landmarks", "true", *QUICK)
    assert code == 0
    told = json.loads(shown)
    assert told == {
        "dataset": str(out),
        "faces": 3,
        "rendered": 3,
        "contact_sheet": str(out / "contact_sheet.jpg"),
        "photos": str(out / "photos"),
    }
    dataset = Dataset.open(out)
    faces = dataset.read([0, 1, 2])
    assert faces.size == 48
    assert faces.people.tolist() == [0, 1, 0]
    assert not faces.truth.expression.any()
    assert np.abs(faces.poses[:, 1]).max() <= np.radians(5) + 1e-6
    assert dataset.settings["seed"] == 6
    assert dataset.settings["landmarks"] == "true"
    assert len(list((out / "photos").glob("photo_*.jpg"))) == 3
    assert (out / "contact_sheet.jpg").stat().st_size > 1000


def test_a_second_run_adds_what_is_missing(tmp_path: Path):
    assert run("-n", 2, "-o", tmp_path, *QUICK)[0] == 0
    code, shown, _ = run("-n", 3, "-o", tmp_path, *QUICK)
    assert code == 0
    assert "3 faces" in shown


def test_a_model_without_colours_is_one_sentence(tmp_path: Path):
    from dataclasses import replace

    save_model(tmp_path / "grey.h5", replace(load_default_model(), albedo=None))
    code, _, told = run(tmp_path / "grey.h5", "-n", 2, "-o", tmp_path / "data", *QUICK)
    assert code == 2
    assert told.count("\n") == 1
    assert "no colours (no albedo group)" in told
    assert not (tmp_path / "data").exists()
