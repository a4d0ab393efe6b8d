"""`morphkit evaluate`: a table, numbers, plots and a page; and plain words where something cannot be told."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from morphkit.archive import load_model, save_model
from morphkit.basis import align_shapes, fit_linear_model
from morphkit.basis.evaluation import evaluate_basis
from morphkit.basis.metrics import generalization, specificity
from morphkit.cli import main
from morphkit.commands.evaluation import evaluate
from morphkit.errors import BadInputError
from morphkit.io.meshes import write_mesh
from morphkit.linear import LinearModel
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel

SIDE = 12


def grid():
    u, w = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(1, -1, SIDE))
    places = np.stack([60 * u, 80 * w, 60 * (1 - 0.7 * u**2 - 0.3 * w**2)], axis=-1).reshape(-1, 3)
    i = (SIDE * np.arange(SIDE - 1)[:, None] + np.arange(SIDE - 1)).ravel()
    faces = [np.stack(corners, axis=1) for corners in ((i, i + SIDE, i + 1), (i + 1, i + SIDE, i + SIDE + 1))]
    return places, np.concatenate(faces).astype(np.int32)


def draw(n, seed):
    places, _ = grid()
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    waves = np.sin(places @ fixed.standard_normal((3, 4)) / 40)
    modes = waves[:, :, None] * fixed.standard_normal((4, 3)) * np.array([4.0, 3, 2, 1])[:, None]
    shapes = places + np.einsum("nk,vkd->nvd", rng.standard_normal((n, 4)), modes)
    return shapes + 0.2 * rng.standard_normal(shapes.shape)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a model, the meshes it was built from, and others."""
    folder = tmp_path_factory.mktemp("evaluate")
    _, faces = grid()
    training = draw(10, 1)
    for name, shapes in (("training", training), ("held", draw(6, 2))):
        for k, shape in enumerate(shapes):
            write_mesh(folder / name / f"person_{k}.ply", Mesh(shape, faces))
    (folder / "training" / "person_0.npz").touch()  # a work folder has more than meshes
    model = MorphableModel(
        faces,
        fit_linear_model(align_shapes(training).shapes.astype(np.float32)),
        masks={"face": np.arange(SIDE**2) >= 20, "none": np.zeros(SIDE**2, bool)},
    )
    save_model(folder / "model.h5", model)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)], env={"COLUMNS": "100"})


def test_all_of_it(place, tmp_path):
    told = run(
        place / "model.h5", "--held-out", place / "held", "--training", place / "training",
        "-o", tmp_path / "out", "--samples", "20",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "held-out" in told.stdout
    assert "±" in told.stdout
    assert "…" not in told.stdout
    assert told.stdout.splitlines()[-1].startswith("Open ")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    plots = {"compactness.png", "generalization.png", "leave-out.png", "specificity.png"}
    assert names == {"evaluation.html", "evaluation.json", *plots}
    for plot in plots:
        with Image.open(tmp_path / "out" / plot) as picture:
            assert picture.size[0] > 800
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("<svg") == 4
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    held = numbers["generalization_held_out"]
    assert held["points"]["modes"] == [0, 1, 2, 3, 5, 7, 9]
    assert len(held["values"]) == held["count"] == 6
    assert held["surface"]["mean"][-1] < held["points"]["mean"][-1]
    assert numbers["compactness"]["modes_for"]["0.9"] <= 4
    assert numbers["specific_to"] == "training"
    assert numbers["facts"]["measured on"] == "face (124 vertices)"


def test_a_model_alone_tells_compactness_and_says_so(place):
    told = run(place / "model.h5")
    assert told.exit_code == 0
    assert "compactness only" in told.stdout
    result = evaluate(place / "model.h5")
    assert result.evaluation.generalization is result.evaluation.specificity is None
    assert result.files == ()


def test_what_is_told_without_one_of_the_folders(place):
    fresh = evaluate(place / "model.h5", held_out=place / "held", samples=5)
    assert fresh.evaluation.specific_to == "held-out"
    assert fresh.evaluation.leave_out is None
    assert any("against the held-out" in note for note in fresh.notes)
    own = evaluate(place / "model.h5", training=place / "training", samples=5, mask="all")
    assert own.evaluation.generalization is None
    assert own.evaluation.leave_out.count == 10
    assert any("left out" in note for note in own.notes)


@pytest.mark.parametrize(
    ("provenance", "read"),
    [
        ({}, "bootstrap-2"),
        ({"settings": {"bootstrap": {"rounds": 3}}}, "bootstrap-2"),  # it ended early
        ({"settings": {"bootstrap": {"rounds": 1}}}, "bootstrap-1"),  # an earlier build had more
        ({"settings": {"bootstrap": {"rounds": 0}}}, ""),
    ],
)
def test_of_a_work_folder_the_models_last_round_is_read(place, tmp_path, provenance, read):
    work = tmp_path / "work"
    for folder in (work, work / "bootstrap-1", work / "bootstrap-2"):
        shutil.copytree(place / "training", folder)
    save_model(tmp_path / "m.h5", replace(load_model(place / "model.h5"), provenance=provenance))
    result = evaluate(tmp_path / "m.h5", training=work, samples=2)
    assert dict(result.facts)["training shapes"] == f"10 in {work / read}"


def test_training_shapes_that_the_model_left_out_are_not_measured(place, tmp_path):
    left_out = [{"name": name, "file": f"{name}.ply"} for name in ("person_3", "person_7", "failed")]
    save_model(tmp_path / "m.h5", replace(load_model(place / "model.h5"), provenance={"left_out": left_out}))
    result = evaluate(tmp_path / "m.h5", training=place / "training", held_out=place / "held", samples=2)
    assert result.evaluation.leave_out.count == 8
    assert result.evaluation.generalization.count == 6  # what is held out may be called as it likes
    assert dict(result.facts)["training shapes"] == f"8 in {place / 'training'}"
    (note,) = [note for note in result.notes if "left them out" in note]
    assert "person_3, person_7 (2 in all)" in note
    assert "failed" not in note
    for name in ("person_3", "person_7"):
        (tmp_path / "only").mkdir(exist_ok=True)
        shutil.copy(place / "training" / f"{name}.ply", tmp_path / "only")
    with pytest.raises(BadInputError, match="only meshes of scans that the model left out"):
        evaluate(tmp_path / "m.h5", training=tmp_path / "only")


def test_the_numbers_are_those_of_the_metrics(rng):
    _, faces = grid()
    model = fit_linear_model(align_shapes(draw(12, 3)).shapes.astype(np.float32))
    held, seen = draw(5, 4), np.arange(SIDE**2) > 30
    stages = []
    found = evaluate_basis(
        model, faces, held_out=held, mask=seen, samples=10, seed=3, progress=lambda *told: stages.append(told)
    )
    direct = generalization(model, held, faces, mask=seen, seed=3)
    np.testing.assert_array_equal(found.generalization.values, direct.values)
    direct = specificity(model, held, faces, mask=seen, samples=10, seed=3)
    np.testing.assert_array_equal(found.specificity.values, direct.values)
    assert stages == [(name, done, 1) for name in ("Generalization", "Specificity") for done in (0, 1)]
    assert found.modes_for(1.0) == 11
    noisy = LinearModel(model.mean, model.basis, model.standard_deviations, 10.0)
    assert evaluate_basis(noisy, faces).modes_for(0.98) is None


def test_a_mean_without_modes_is_measured_too(place, tmp_path):
    places, faces = grid()
    mean = LinearModel(places.astype(np.float32), np.zeros((3 * SIDE**2, 0), np.float32), np.zeros(0))
    save_model(tmp_path / "mean.h5", MorphableModel(faces, mean))
    result = evaluate(tmp_path / "mean.h5", held_out=place / "held", output=tmp_path / "out", samples=2)
    assert result.evaluation.generalization.points.modes == (0,)
    assert result.evaluation.modes_for(0.9) is None
    assert any("no modes" in note for note in result.notes)
    assert (tmp_path / "out" / "evaluation.html").exists()


def test_where_nothing_can_be_resampled_there_is_no_interval(place, tmp_path):
    places, faces = grid()
    mean = LinearModel(places.astype(np.float32), np.zeros((3 * SIDE**2, 0), np.float32), np.zeros(0))
    save_model(tmp_path / "mean.h5", MorphableModel(faces, mean))
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(place / "held" / "person_0.ply", one)
    for folder, intervals in ((place / "held", 2), (one, 0)):  # of generalization; specificity has none
        told = run(tmp_path / "mean.h5", "--held-out", folder, "-o", tmp_path / "out", "--samples", 3)
        assert told.exit_code == 0, told.output
        (row,) = [line for line in told.stdout.splitlines() if line.split()[:1] == ["0"]]
        assert row.count("±") == intervals
        assert "±.00" not in row
        numbers = json.loads((tmp_path / "out" / "evaluation.json").read_text())
        assert numbers["specificity"]["points"]["low"] == numbers["specificity"]["points"]["high"] == [None]
        page = (tmp_path / "out" / "evaluation.html").read_text()
        assert len(re.findall(r"\d\.\d\d \[\d", page)) == intervals
        assert "[nan" not in page
    assert "Of a single held-out shape" in " ".join(told.stdout.split())


def test_a_scan_that_stands_out_is_named(place, tmp_path):
    _, faces = grid()
    for k, shape in enumerate(draw(14, 5)):
        write_mesh(tmp_path / "set" / f"p{k}.ply", Mesh(2 * shape if k == 3 else shape, faces))
    result = evaluate(place / "model.h5", training=tmp_path / "set", output=tmp_path / "out", samples=3)
    assert [name for name, _ in result.outliers] == ["p3"]
    assert "p3" in (tmp_path / "out" / "evaluation.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--held-out", "nowhere"), "There is no folder"),
        (("--held-out", "empty"), "holds no meshes"),
        (("--training", "other"), "has 3 vertices, the model 144"),
        (("--training", "turned"), "other triangles"),
        (("--mask", "nose"), "it has face, and all"),
        (("--mask", "none"), "no region 'none'"),
    ],
)
def test_bad_input_is_one_sentence(place, tmp_path, arguments, said):
    places, faces = grid()
    (tmp_path / "empty").mkdir()
    write_mesh(tmp_path / "other" / "a.ply", Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32)))
    write_mesh(tmp_path / "turned" / "a.ply", Mesh(places, faces[::-1]))
    option, value = arguments
    told = run(place / "model.h5", option, value if option == "--mask" else tmp_path / value)
    assert told.exit_code == BadInputError.exit_code
    assert said in told.stderr
    assert len([line for line in told.stderr.splitlines() if line.startswith("Error")]) == 1
