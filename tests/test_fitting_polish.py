"""The gradient fit as a stage: what it adds to a photo's fit, and what it says where it cannot run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fitting_head import small_head
from torch import nn

from morphkit.cli import main
from morphkit.cli.polish import PRESETS, Polish
from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.fitting import FitResult, FitSettings, GradientSettings, fit_image, fit_images, write_fit
from morphkit.fitting import gradient_stage as stage
from morphkit.fitting.dense import dense_model
from morphkit.fitting.landmark import Face
from morphkit.fitting.look import Look, draw
from morphkit.fitting.points import landmark_points
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.settings import PhotometricSettings
from morphkit.fitting.window import Window
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.losses import EnergyWeights
from morphkit.losses.face_chips import DLIB_CHIP
from morphkit.losses.face_network import FaceNetwork
from morphkit.losses.weights import Preset
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import get_rasterizer

SIZE = 160
COARSE = PhotometricSettings(sizes=(48,), iterations=4)
POLISH = replace(GradientSettings().without_perceptual(), size=64, steps=6)
SETTINGS = FitSettings(photometric=COARSE, gradient=POLISH)


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return small_head()


@pytest.fixture(scope="module")
def truth() -> Look:
    rng = np.random.default_rng(8)
    rotation = rotation_matrix(np.array([0.05, 0.2, -0.03])) @ np.diag([1.0, -1.0, -1.0])
    pose = Pose(rotation, np.array([2.0, -3.0]), 0.6, 1.4 * SIZE, np.array([SIZE / 2, SIZE / 2]))
    light = np.zeros((9, 3))
    light[0], light[1], light[2] = [4.2, 4.0, 3.8], -0.9, -1.4
    return Look(Face(pose, rng.normal(size=12), rng.normal(size=4)), rng.normal(size=6), light)


@pytest.fixture(scope="module")
def photo(head: MorphableModel, truth: Look) -> np.ndarray:
    wall = Window(np.full((SIZE, SIZE, 3), 0.2, np.float32), np.ones((SIZE, SIZE), bool), 0.0, 0.0, 1.0)
    with torch.no_grad():
        return linear_to_srgb_uint8(draw(truth, dense_model(head), wall, get_rasterizer("numba")).image)


@pytest.fixture(scope="module")
def marks(head: MorphableModel, truth: Look) -> np.ndarray:
    points = landmark_points(head, head.landmarks["ibug68"]).at(truth.face.identity, truth.face.expression)
    return truth.face.pose.project(points)


@pytest.fixture(scope="module")
def polished(photo, head, marks) -> FitResult:
    return fit_image(photo, head, landmarks=marks, settings=SETTINGS)


def test_the_polish_goes_on_from_the_colours(polished, photo, head, marks):
    plain = fit_image(photo, head, landmarks=marks, settings=FitSettings(photometric=COARSE))
    totals = np.sum(list(polished.polish_energies.values()), axis=0)
    assert len(totals) == POLISH.steps + 1
    assert totals.min() < totals[0]
    assert set(polished.polish_energies) == {"coefficient", "photometric", "landmark", "monochrome"}
    assert not np.array_equal(polished.identity, plain.identity)
    assert not np.array_equal(polished.sh_coefficients, plain.sh_coefficients)
    assert np.abs(polished.vertices - plain.vertices).max() < 5.0
    assert plain.polish_energies == {}
    assert np.array_equal(polished.posterior.covariance, plain.posterior.covariance)
    assert np.array_equal(polished.attention, plain.attention)
    assert [*plain.timings, "polish"] == list(polished.timings)


def test_its_vertices_are_its_coefficients(polished, head):
    assert np.allclose(polished.vertices, head.instance(polished.identity, polished.expression))
    assert np.allclose(polished.neutral, head.instance(polished.identity))


def test_progress_counts_the_polish(photo, head, marks):
    told: list[tuple[str, int, int]] = []
    fit_image(
        photo,
        head,
        landmarks=marks,
        settings=replace(SETTINGS, gradient=replace(POLISH, steps=0)),
        progress=lambda *step: told.append(step),
    )
    assert told == [("Fitting", i, 4) for i in (1, 2, 3, 4)]


def test_files_tell_of_it(polished, tmp_path):
    write_fit(polished, tmp_path, files=("params", "report"))
    values = json.loads((tmp_path / "params.json").read_text())
    assert values["polish_energies"]["landmark"] == pytest.approx(polished.polish_energies["landmark"])
    assert "Polish" in (tmp_path / "report.html").read_text()


def test_the_papers_landmarks(photo, head, marks):
    """The 68, some of them unknown, and a skin model."""
    given = marks.copy()
    given[40:44] = np.nan
    gradient = replace(GradientSettings.preset("deng2019").without_perceptual(), size=64, steps=2)
    fit = fit_image(photo, head, landmarks=given, settings=replace(SETTINGS, gradient=gradient))
    assert {"landmark", "flattening", "photometric"} < set(fit.polish_energies)


def test_a_model_without_albedo_is_not_polished_and_says_so(photo, head, marks):
    plain = replace(head, albedo=None)
    fit = fit_image(photo, plain, landmarks=marks, settings=FitSettings(gradient=GradientSettings()))
    assert fit.polish_energies == {}
    assert fit.notes[-1].endswith("were not used for the shape, and the fit was not polished.")


def test_what_cannot_be_polished_is_refused_at_once(head):
    blank = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="expected settings for it, got None"):
        fit_image(blank, head, settings=replace(SETTINGS, photometric=None))
    with pytest.raises(ValueError, match="gradient is for single photos"):
        fit_images([blank], head, settings=SETTINGS)
    few = head.landmarks["ibug68"]
    few = LandmarkEmbedding(few.names[:60], few.face_indices[:60], few.barycentrics[:60])
    partial = replace(head, landmarks={"ibug68": few})
    with pytest.raises(BadInputError, match="embeds 60 of the 68 ibug68"):
        fit_image(blank, partial, settings=FitSettings(gradient=GradientSettings()))
    papers = GradientSettings.preset("deep3d_pt").without_perceptual()
    with pytest.raises(BadInputError, match="embeds no ibug68 landmarks"):
        fit_image(blank, replace(head, landmarks={}), settings=FitSettings(gradient=papers))


def test_a_missing_network_is_said_before_anything_is_fitted(head, monkeypatch):
    def missing():
        raise MissingDependencyError("it is not installed")

    stage._network.cache_clear()
    monkeypatch.setattr(stage, "load_face_network", missing)
    with pytest.raises(MissingDependencyError, match="not installed"):
        fit_image(np.zeros((8, 8, 3), np.uint8), head, settings=FitSettings(gradient=GradientSettings()))
    result = CliRunner().invoke(main, ["fit", "a.png", "-o", "out", "--perceptual"])
    assert result.exit_code != 0
    assert isinstance(result.exception, MissingDependencyError) or "not installed" in result.stderr


class _Means(nn.Module):
    def forward(self, srgb: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = nn.functional.adaptive_avg_pool2d(srgb, 2).flatten(1)
        return means - 0.5


def test_a_network_is_read_once_and_heard(photo, head, marks, monkeypatch):
    read: list[object] = []

    def load(path: object) -> FaceNetwork:
        read.append(path)
        return FaceNetwork(_Means(), DLIB_CHIP)

    stage._network.cache_clear()
    monkeypatch.setattr(stage, "load_arcface", load)
    gradient = GradientSettings(size=64, steps=2, network="own.pt")
    fit = fit_image(photo, head, landmarks=marks, settings=replace(SETTINGS, gradient=gradient))
    assert read == ["own.pt"]
    assert len(fit.polish_energies["perceptual"]) == 3
    stage._network.cache_clear()


def test_a_network_whose_file_changes_is_read_again(tmp_path, monkeypatch):
    own = tmp_path / "own.pt"
    own.write_bytes(b"one")
    stage._network.cache_clear()
    monkeypatch.setattr(stage, "load_arcface", lambda _: FaceNetwork(_Means(), DLIB_CHIP))
    settings = GradientSettings(network=own)
    first = stage.face_network(settings)
    assert stage.face_network(settings) is first
    own.write_bytes(b"other")
    assert stage.face_network(settings) is not first
    stage._network.cache_clear()


def test_presets_are_whole():
    assert set(PRESETS.values()) == set(get_args(Preset))
    for name in PRESETS.values():
        assert GradientSettings.preset(name).weights == EnergyWeights.preset(name)
    assert GradientSettings.preset("morphkit") == GradientSettings()
    assert GradientSettings.preset("deng2019").attention == "skin"
    assert GradientSettings.preset("deep3d_tf").attention == "skin-probability"


def test_options_become_settings():
    assert Polish(False, False, None, None).settings() is None
    assert Polish(True, False, None, None).settings() == GradientSettings().without_perceptual()
    papers = GradientSettings.preset("deep3d_tf").without_perceptual()
    assert Polish(False, False, None, "deep3d-tf").settings() == papers


@pytest.mark.parametrize("other", [["--same-person"], ["--video", "film.mp4"], ["--no-photometric"]])
def test_options_that_do_not_go_together(other):
    photos = [] if "--video" in other else ["a.png"]
    result = CliRunner().invoke(main, ["fit", *photos, "-o", "out", "--polish", *other])
    assert result.exit_code == 2
    assert f"--polish does not go with {other[0]}" in result.stderr
