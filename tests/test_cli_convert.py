"""`morphkit convert`: what goes in comes out, what cannot is said, nothing is overwritten."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from morphkit.archive import holds_model, load_model, save_model
from morphkit.cli import main
from morphkit.commands import model_files
from morphkit.errors import OutputError
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

FACES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


@pytest.fixture
def skewed(rng):
    """A model whose columns are of unit length but not orthogonal."""
    basis = rng.standard_normal((12, 3))
    basis /= np.linalg.norm(basis, axis=0)
    mean = rng.standard_normal((4, 3)).astype(np.float32) * 50
    identity = LinearModel(mean, np.asfortranarray(basis, np.float32), np.array([3.0, 2.0, 1.0]))
    return MorphableModel(FACES, identity, masks={"face": np.ones(4, bool)}, provenance={"licence": "CC0"})


def run(*arguments):
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


@pytest.fixture
def file(skewed, tmp_path):
    path = tmp_path / "model.h5"
    save_model(path, skewed.orthonormalized())
    return path


def test_the_same_layout_loses_nothing(file, tmp_path):
    told = run(file, tmp_path / "copy.h5", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout) == {
        "model": str(file),
        "source_layout": "Basel/statismo HDF5",
        "output": str(tmp_path / "copy.h5"),
        "layout": "Basel/statismo HDF5",
        "notes": [],
    }
    assert (tmp_path / "copy.h5").read_bytes() == file.read_bytes()


def test_a_model_is_not_overwritten_by_itself(file):
    before = file.read_bytes()
    told = run(file, file)
    assert told.exit_code == 2
    assert f"The model {file} would overwrite {file}, which is read" in told.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("model.xyz",), "cannot write a model file called model.xyz; it writes basel"),
        (("copy.h5", "--to", "bfm"), "cannot write the layout 'bfm'; it writes basel"),
    ],
)
def test_a_layout_that_is_not_written_is_said(file, tmp_path, arguments, said):
    told = run(file, tmp_path / arguments[0], *arguments[1:])
    assert told.exit_code == 2
    assert said in told.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_info_tells_a_model_by_its_content(file, tmp_path):
    odd = tmp_path / "model.dat"
    file.rename(odd)
    told = CliRunner().invoke(main, ["info", str(odd), "--json"])
    values = json.loads(told.stdout)
    assert (values["kind"], values["layout"], values["vertices"]) == ("model", "basel", 4)
    np.testing.assert_allclose(
        values["groups"]["identity"]["standard_deviations"], load_model(odd).identity.standard_deviations
    )
    assert values["provenance"]["licence"] == "CC0"


def test_a_model_is_told_from_a_mesh_by_its_content(file, tmp_path):
    odd = tmp_path / "model.ply"
    file.rename(odd)
    assert holds_model(odd)
    (tmp_path / "mesh.ply").write_bytes(b"ply\nformat ascii 1.0\n")
    assert not holds_model(tmp_path / "mesh.ply")
    (tmp_path / "notes.txt").write_text("no mesh either")
    assert holds_model(tmp_path / "notes.txt")  # its reader says what is wrong with it


def test_what_a_layout_does_not_hold_is_said(skewed, tmp_path):
    noisy = replace(skewed, identity=replace(skewed.identity, noise_variance=0.3))
    points = LandmarkEmbedding(("0",), np.array([0], np.int32), np.full((1, 3), 1 / 3))
    save_model(tmp_path / "m.npz", replace(noisy, landmarks={"ibug68": points}))
    told = run(tmp_path / "m.npz", tmp_path / "m.bin", "--json")
    assert told.exit_code == 0, told.output
    turned, lost, moved = json.loads(told.stdout)["notes"]
    assert "coefficients mean something else now" in turned
    assert lost == "The layout has no place for: noise variance of identity, 1 mask, provenance."
    assert moved.startswith("The landmarks ibug68 are stored as nearest vertices, up to ")
    assert json.loads(run(tmp_path / "m.npz", tmp_path / "again.npz", "--json").stdout)["notes"] == []


def test_a_file_that_gives_back_another_face_is_not_passed_over(skewed, tmp_path, monkeypatch):
    def save_wrongly(path, model, **options):
        save_model(path, replace(model, identity=replace(model.identity, mean=10 * model.identity.mean)))

    monkeypatch.setattr(model_files, "save_model", save_wrongly)
    with pytest.raises(OutputError, match=r"m\.npz was written, but gives back another mean face"):
        model_files.write_model(tmp_path / "m.npz", skewed)


def test_a_missing_model_is_said_where_the_output_exists(file, tmp_path):
    told = run(tmp_path / "gone.h5", file)
    assert told.exit_code == 2
    assert "gone.h5 does not exist" in told.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_what_is_neither_file_nor_folder_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = CliRunner().invoke(main, ["info", str(pipe)])
    assert told.exit_code == 2
    assert "is neither a file nor a folder" in told.stderr
    assert CliRunner().invoke(main, ["info", "x" * 300]).exit_code == 2


def test_a_mesh_in_place_of_a_model_is_called_one(tmp_path):
    (tmp_path / "scan.ply").write_bytes(b"ply\nformat ascii 1.0\n")
    told = run(tmp_path / "scan.ply", tmp_path / "m.npz")
    assert told.exit_code == 2
    assert told.stderr.strip().endswith(
        "scan.ply is a mesh, or should be one; a model of faces is needed here."
    )
