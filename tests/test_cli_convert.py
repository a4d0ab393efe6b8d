"""`morphkit convert`: what goes in comes out, what cannot is said, nothing is overwritten."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from morphkit.archive import holds_model, load_model, save_model
from morphkit.cli import main
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
    assert f"{file} would overwrite the model that is read" in told.stderr
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
