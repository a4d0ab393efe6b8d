"""`morphkit predict` and `morphkit fit --init` through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from predicting import small_head, write_shots, write_weights

from morphkit.archive import load_model
from morphkit.cli import main
from morphkit.commands.fit import fit
from morphkit.commands.predict import predict
from morphkit.io.images import write_image
from morphkit.io.meshes import read_mesh
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.weights import load_network, network_digest, save_network
from morphkit.training.predict import Predictor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos 0 and 1 with their points, and the model."""
    folder = tmp_path_factory.mktemp("predict")
    write_shots(folder / "in", small_head(), 2)
    return folder


@pytest.fixture(scope="module")
def head(folder):
    return load_model(folder / "head.h5")


@pytest.fixture(scope="module")
def place(folder, head):
    """The folder, with the weights, and C-Net's."""
    weights = write_weights(folder / "weights.pt", head)
    network, meta = load_network(weights)
    torch.manual_seed(2)
    c_net = CNet(12, network.backbone.shallow_channels, network.deep_channels)
    torch.nn.init.normal_(c_net.last.weight, std=0.2)
    names = ("preset", "size", "model_digest", "config", "identity_deviation")
    own = {"r_net_digest": network_digest(network)}
    save_network(folder / "c.pt", c_net, {name: meta[name] for name in names} | own)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def how(place: Path) -> list[object]:
    return ["--weights", place / "weights.pt", "--model", place / "head.h5"]


def test_a_photo_becomes_the_files_of_a_fit(place, head, tmp_path):
    marks = place / "in" / "0.pts"
    result = run("predict", place / "in" / "0.png", "-o", tmp_path, *how(place), "--landmarks", marks)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{place / 'in' / '0.png'}: {tmp_path / '0' / 'report.html'}\n"
    folder = tmp_path / "0"
    assert {path.name for path in folder.iterdir()} == {
        *("mesh.obj", "mesh.mtl", "mesh.ply", "neutral.ply", "face.glb", "texture.png"),
        *("texture_visibility.png", "albedo.png", "camera.json", "blender_camera.py", "params.json"),
        *("landmarks3d.json", "overlay.png", "side_by_side.png", "report.html", "outcome.json"),
    }
    seen = Predictor.load(place / "weights.pt", head)(place / "in" / "0.png", marks)
    params = json.loads((folder / "params.json").read_text())
    assert np.allclose(params["identity"], seen.identity, atol=1e-5)
    assert np.allclose(params["sh_coefficients"], seen.light, atol=1e-5)
    assert params["predicted_by"] == "weights.pt"
    assert params["notes"][0].startswith("A network's prediction (weights.pt)")
    camera = json.loads((folder / "camera.json").read_text())
    assert np.allclose(camera["R"], seen.camera.R, atol=1e-6)
    neutral = read_mesh(folder / "neutral.ply").vertices
    assert np.allclose(neutral, head.instance(seen.identity), atol=1e-2)
    page = (folder / "report.html").read_text()
    assert "predicted in one pass by weights.pt, and not fitted" in page
    assert "Settled" not in page


def test_a_folder_goes_on_past_failures_and_resumes_until_the_weights_change(place, head, tmp_path):
    photos = tmp_path / "in"
    photos.mkdir()
    for path in (place / "in").iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    write_image(photos / "blank.png", np.full((80, 80, 3), 128, np.uint8))
    marks = tmp_path / "marks"
    marks.mkdir()
    for path in photos.glob("*.pts"):
        path.rename(marks / path.name)
    weights = tmp_path / "weights.pt"
    weights.write_bytes((place / "weights.pt").read_bytes())
    command = [
        *("predict", photos, "-o", tmp_path / "out", "--weights", weights, "--model", place / "head.h5"),
        *("--landmarks", marks, "--files", "params", "--jobs", 1),
    ]
    first = run(*command)
    assert first.exit_code == 2, first.output
    assert first.stdout == f"2 of 3 photos predicted: {tmp_path / 'out' / 'index.html'}\n"
    assert "blank.png" in first.stderr
    assert f"1 of 3 failed: {photos / 'blank.png'}." in first.stderr
    assert not (tmp_path / "out" / "blank").exists()
    rows = {row["name"]: row for row in map(json.loads, run(*command, "--json").stdout.splitlines())}
    assert {name: row["status"] for name, row in rows.items()} == {
        "0": "reused",
        "1": "reused",
        "blank": "failed",
    }
    write_weights(weights, head, deviation=0.4)
    rows = {row["name"]: row for row in map(json.loads, run(*command, "--json").stdout.splitlines())}
    assert (rows["0"]["status"], rows["1"]["status"]) == ("fitted", "fitted")


def test_one_person_shares_an_identity_weighed_by_c_net(place, tmp_path):
    command = [
        *("predict", place / "in", "-o", tmp_path / "out", *how(place), "--landmarks", place / "in"),
        *("--same-person", "--files", "params"),
    ]
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    plain = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["status"], row["weight"]) for row in plain] == [("predicted", 1.0)] * 2
    weighed = run(*command, "--c-net", place / "c.pt")
    assert weighed.exit_code == 0, weighed.output
    assert "One person from 2 of 2 photos" in weighed.stdout
    person = json.loads((tmp_path / "out" / "person.json").read_text())
    weights = [photo["weight"] for photo in person["photos"]]
    assert max(weights) == 1.0
    assert min(weights) < 0.999
    for name in ("0", "1"):
        params = json.loads((tmp_path / "out" / name / "params.json").read_text())
        assert np.allclose(params["identity"], person["identity"], atol=1e-9)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "as a network (weights.pt) sees it in all photos" in page
    assert "disagrees" not in page
    assert "measured on other people" in page


def test_options_that_make_no_sense_are_refused(place, tmp_path):
    photo = place / "in" / "0.png"
    said = run("predict", photo, "-o", tmp_path / "o", *how(place), "--c-net", place / "c.pt")
    assert said.exit_code == 2
    assert "give --same-person" in said.stderr
    said = run("predict", "-o", tmp_path / "o", *how(place))
    assert said.exit_code == 2
    assert "Give photos" in said.stderr
    said = run("predict", photo, "-o", tmp_path / "o", "--weights", place / "weights.pt")
    assert said.exit_code == 2
    assert said.stderr.startswith(f"Error: {place / 'weights.pt'}: trained for a model with the digest")
    assert len(said.stderr.splitlines()) == 1
    said = run("fit", place / "in", "-o", tmp_path / "o", "--init", place / "weights.pt", "--same-person")
    assert said.exit_code == 2
    assert "--init is for single photos" in said.stderr
    assert not (tmp_path / "o").exists()


def test_fit_may_start_from_a_network(place, head, tmp_path):
    photo, marks = place / "in" / "0.png", place / "in" / "0.pts"
    command = [
        *("fit", photo, "-o", tmp_path, "--model", place / "head.h5", "--landmarks", marks),
        *("--no-photometric", "--files", "params"),
    ]
    assert run(*command).exit_code == 0
    plain = json.loads((tmp_path / "0" / "params.json").read_text())
    begun = run(*command, "--init", place / "weights.pt")
    assert begun.exit_code == 0, begun.output
    assert "the fit started at the face that weights.pt predicted" in begun.stderr.lower()
    params = json.loads((tmp_path / "0" / "params.json").read_text())
    assert np.abs(np.subtract(params["identity"], plain["identity"])).max() > 0.05
    seen = Predictor.load(place / "weights.pt", head)(photo, marks)
    assert np.allclose(params["identity"], seen.identity, atol=1e-6)
    assert "predicted_by" not in params
    same = fit(photo, model=head, landmarks=marks, photometric=False, init=place / "weights.pt")
    assert np.allclose(same.identity, params["identity"], atol=1e-6)


def test_a_network_of_a_part_of_the_model_predicts_files_and_begins_fits(place, head, tmp_path):
    photo, marks = place / "in" / "0.png", place / "in" / "0.pts"
    part = head.truncate(identity=7, expression=2, albedo=0)
    weights = write_weights(tmp_path / "part.pt", part, digest=head.digest)
    made = predict(photo, weights, tmp_path / "out", model=head, landmarks=marks, files=["params"])
    params = json.loads((tmp_path / "out" / "params.json").read_text())
    assert np.allclose(params["identity"], made.identity, atol=1e-6)
    assert made.identity.shape == (12,)
    assert made.identity[:7].all()
    assert not made.identity[7:].any()
    begun = fit(photo, model=head, landmarks=marks, photometric=False, init=weights)
    assert np.allclose(begun.identity[:7], made.identity[:7], atol=1e-6)


def test_layouts_that_shade_displayed_colours_are_shown_as_such(place, head, tmp_path):
    weights = write_weights(tmp_path / "paper.pt", head, guided=False, preset="deng-paper", deviation=None)
    result = predict(place / "in" / "0.png", weights, model=head, landmarks=place / "in" / "0.pts")
    assert result.sh_coefficients is None
    assert result.lit_colors is not None
    assert result.predicted_by == "paper.pt"
    assert result.lit_colors.max() <= 1.0
    assert result.lit_colors.std() > 0.01
