from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from transfer_heads import exact_map, shuffled

from morphkit.archive import load_default_model, load_model, save_model
from morphkit.cli import main
from morphkit.io.images import read_image
from morphkit.io.meshes import write_mesh
from morphkit.morphable import MorphableModel


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return load_default_model().truncate(4, 5, 3)


@pytest.fixture
def files(tmp_path: Path, head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """source.h5, and target.ply, which is the mean shuffled; the order of its vertices."""
    template, surface_map, order = shuffled(head, np.random.default_rng(3))
    save_model(tmp_path / "source.h5", head)
    write_mesh(tmp_path / "target.ply", template.mesh)
    monkeypatch.setattr("morphkit.commands.transfer.correspond", lambda *_: surface_map)
    return order


def _run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["transfer", str(folder / "source.h5"), str(folder / "target.ply"), *arguments]
    )


def test_a_npz_keeps_the_coefficients(tmp_path: Path, head: MorphableModel, files: np.ndarray) -> None:
    done = _run(tmp_path, "-o", str(tmp_path / "out.npz"), "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["matched"] == said["vertices"] == head.n_vertices
    assert said["carried"] == ["model"]
    assert said["notes"] == []
    found = load_model(tmp_path / "out.npz")
    identity, expression = np.array([1.0, -2.0, 0.5, 1.0]), np.array([0.5, 0.0, 1.0, -1.0, 2.0])
    expected = head.instance(identity, expression)[files]
    assert np.abs(found.instance(identity, expression) - expected).max() < 1e-3
    sheet = read_image(tmp_path / "out-transfer.png")
    assert sheet.shape == (600, 1800, 3)
    tiles = sheet.reshape(2, 300, 6, 300, 3).astype(float).swapaxes(1, 2)
    assert (np.abs(tiles[0, :5] - tiles[1, :5]).mean(axis=(1, 2, 3)) < 1.0).all()  # the same heads, twice
    assert (tiles.std(axis=(2, 3, 4)) > 10.0).all()


def test_a_h5_holds_the_same_people_in_other_coefficients(
    tmp_path: Path, head: MorphableModel, files: np.ndarray
) -> None:
    done = _run(tmp_path, "-o", str(tmp_path / "out.h5"), "--no-picture")
    assert done.exit_code == 0, done.output
    assert "Carried model: 12,212 of 12,212 vertices have a counterpart, 0.00 mm away" in done.stdout
    assert not (tmp_path / "out-transfer.png").exists()
    found = load_model(tmp_path / "out.h5")
    face = head.instance(np.array([1.0, -2.0, 0.5, 1.0]))[files]
    back = found.project(face).identity
    assert np.abs(found.instance(back) - face).max() < 2e-3


def test_parts_go_to_the_target(tmp_path: Path, head: MorphableModel, files: np.ndarray) -> None:
    parts = ("landmarks", "masks", "uv", "expressions", "mirror")
    options = [word for part in parts for word in ("--carry", part)]
    done = _run(tmp_path, "-o", str(tmp_path / "out.h5"), "--no-picture", *options)
    assert done.exit_code == 0, done.output
    found = load_model(tmp_path / "out.h5")
    assert found.identity.n_components == 0
    assert np.abs(found.instance() - head.instance()[files]).max() < 1e-2
    assert np.array_equal(found.masks["face"], head.masks["face"][files])
    assert found.expression_units.names == head.expression_units.names
    assert np.abs(found.uv - head.uv).max() < 1e-6
    assert {name: len(points.names) for name, points in found.landmarks.items()} == {
        "ibug68": 68,
        "mediapipe478": 478,
    }
    assert found.provenance["completed"][-1]["added"] == list(parts)
    assert found.provenance["completed"][-1]["licence"] == "CC0-1.0"


def test_what_lies_beyond_the_source_is_said(
    tmp_path: Path, head: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = head.marginal(np.flatnonzero(head.instance()[:, 2] > 40.0))
    template, surface_map = exact_map(front, head)
    save_model(tmp_path / "source.h5", front.orthonormalized())
    write_mesh(tmp_path / "target.ply", template.mesh)
    monkeypatch.setattr("morphkit.commands.transfer.correspond", lambda *_: surface_map)
    done = _run(tmp_path, "-o", str(tmp_path / "out.h5"), "--no-picture")
    assert done.exit_code == 0, done.output
    missing = int((~surface_map.valid).sum())
    assert f"{missing:,} of 12,212 vertices have no counterpart on the source" in done.stderr
    assert np.array_equal(load_model(tmp_path / "out.h5").masks["carried"], surface_map.valid)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "source.h5"], "would overwrite"),
        (["-o", "out.xyz"], "morphkit cannot write a model file called out.xyz"),
        (["-o", "out.h5", "--carry", "model", "--carry", "uv"], "model carries everything"),
        (["-o", "."], "is a folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, files: np.ndarray, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "source.h5").read_bytes()
    done = _run(tmp_path, *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "source.h5").read_bytes() == before


def test_what_the_source_lacks_is_named(tmp_path: Path, head: MorphableModel, files: np.ndarray) -> None:
    save_model(tmp_path / "source.h5", replace(head, uv=None, mirror=None))
    done = _run(tmp_path, "-o", str(tmp_path / "out.h5"), "--carry", "uv", "--carry", "mirror")
    assert done.exit_code == 2
    assert "source.h5 has no uv and no mirror to carry" in done.stderr
    assert not (tmp_path / "out.h5").exists()


def test_a_completed_model_of_oblique_modes_fits_into_a_h5(tmp_path: Path, head: MorphableModel) -> None:
    mix = np.linalg.qr(np.ones((4, 4)) + np.eye(4))[0] @ np.diag([1.0, 1.0, 1.0, 0.5]) + 0.2
    basis = np.asfortranarray(head.identity.basis @ mix.astype(np.float32))
    oblique = replace(head, identity=replace(head.identity, basis=basis))
    assert not oblique.identity.is_orthonormal
    save_model(tmp_path / "oblique.npz", oblique)
    done = CliRunner().invoke(
        main, ["complete", str(tmp_path / "oblique.npz"), "-o", str(tmp_path / "whole.h5"), "--json"]
    )
    assert done.exit_code == 0, done.output
    (note,) = json.loads(done.stdout)["notes"]
    assert "orthonormal bases, so coefficients mean something else now" in note
    found = load_model(tmp_path / "whole.h5")
    assert found.identity.is_orthonormal
    face = oblique.instance(np.array([1.0, -1.0, 2.0, 0.5]))
    assert np.abs(found.instance(found.project(face).identity) - face).max() < 2e-3
