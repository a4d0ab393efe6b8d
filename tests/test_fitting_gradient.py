"""The gradient fit: its energy's derivative, its terms, and what a descent finds in a drawn photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting_head import small_head
from torch import nn

from morphkit.errors import BadInputError
from morphkit.export.camera import PhotoCamera
from morphkit.fitting.dense import dense_model
from morphkit.fitting.gradient_energy import LandmarkTarget, photo_attention
from morphkit.fitting.gradient_fit import GradientSettings, prepare_energy, refine
from morphkit.fitting.gradient_scene import Moved
from morphkit.fitting.landmark import POSE, Face, Observations
from morphkit.fitting.look import Look, draw
from morphkit.fitting.points import landmark_points
from morphkit.fitting.pose import Pose
from morphkit.fitting.threads import one_thread
from morphkit.fitting.window import Window, cut_window
from morphkit.losses import EnergyWeights, SkinColorModel, attention
from morphkit.losses.face_chips import DLIB_CHIP
from morphkit.losses.face_network import FaceNetwork
from morphkit.morphable import MorphableModel
from morphkit.rendering import ImageTransform, get_rasterizer

WITHOUT, DENG2019 = (
    replace(EnergyWeights.preset(name), perceptual_weight=0.0) for name in ("morphkit", "deng2019")
)
RASTERIZER = get_rasterizer("numba")


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return small_head()


@pytest.fixture(scope="module")
def truth(model: MorphableModel) -> Look:
    rng = np.random.default_rng(4)
    light = np.zeros((9, 3))
    light[0], light[2], light[1] = 3.2, -0.9, -0.5
    facing = np.diag([1.0, -1.0, -1.0])
    pose = Pose(facing, np.array([3.0, -2.0]), 0.9, 900.0, np.array([128.0, 128.0]))
    pose = pose.moved(np.array([0.05, 0.2, -0.03, 0, 0, 0, 0]))
    face = Face(pose, rng.normal(size=12) * 0.7, rng.normal(size=4) * 0.5)
    return Look(face, rng.normal(size=6) * 0.7, light)


@pytest.fixture(scope="module")
def window(model: MorphableModel, truth: Look) -> Window:
    """Return the truth as its photo shows it, before grey, 96 pixels wide."""
    pixels = truth.face.pose.project(dense_model(model).vertices(truth.face).astype(np.float64))
    grey = cut_window(np.full((256, 256, 3), 90, dtype=np.uint8), pixels, 96)
    with torch.no_grad():
        return replace(grey, image=draw(truth, dense_model(model), grey, RASTERIZER).image)


def _points68(model: MorphableModel, look: Look) -> np.ndarray:
    points = landmark_points(model, model.landmarks["ibug68"]).at(look.face.identity, look.face.expression)
    return look.face.pose.project(points)


def _energy(look: Look, window: Window, model: MorphableModel, truth: Look, **changes: object):
    target = LandmarkTarget.paper(model, _points68(model, truth), truth.face.pose.scale)
    compared = dense_model(model).attention
    return prepare_energy(look, window, model, compared, target, GradientSettings(**changes), RASTERIZER)


def _refined(look: Look, window: Window, model: MorphableModel, compared, target, settings, *drawn: object):
    energy = prepare_energy(look, window, model, compared, target, settings, *drawn)
    return refine(energy, steps=settings.steps, rate=settings.rate)


def _step(look: Look) -> torch.Tensor:
    return torch.zeros(POSE + len(look.face.identity) + len(look.face.expression) + len(look.albedo) + 27)


def test_a_step_is_the_looks_own(model, truth, rng):
    step = 0.1 * rng.normal(size=len(_step(truth)))
    moved, expected = Moved.by(truth, torch.from_numpy(step.astype(np.float32))), truth.moved(step)
    pose = expected.face.pose
    assert np.allclose(moved.camera_matrix, pose.intrinsics, rtol=1e-5)
    assert np.allclose(moved.rotation, pose.rotation, atol=1e-6)
    assert np.allclose(moved.translation, pose.translation, rtol=1e-5)
    assert np.allclose(moved.light, expected.light, atol=1e-6)
    for name, value in (
        ("identity", expected.face.identity),
        ("expression", expected.face.expression),
        ("albedo", expected.albedo),
    ):
        assert np.allclose(getattr(moved, name), value, atol=1e-6)
    points = rng.normal(size=(5, 3)) * 50
    pixels = moved.project(torch.from_numpy(points.astype(np.float32)))
    assert np.allclose(pixels, pose.project(points), atol=1e-3)


def test_the_truth_costs_nothing_but_its_priors(model, truth, window):
    terms = _energy(truth, window, model, truth, weights=DENG2019).terms(_step(truth))
    assert terms["photometric"] < 1e-4
    assert terms["landmark"] < 1e-8
    coefficients = truth.face.identity, truth.face.expression, truth.albedo
    squares = [float(values @ values) for values in coefficients]
    assert terms["coefficient"].item() == pytest.approx(3e-4 * np.dot([1, 0.8, 1.7e-3], squares), rel=1e-5)
    assert terms["monochrome"].item() == pytest.approx(0, abs=1e-9)
    assert set(terms) == {"photometric", "landmark", "coefficient", "flattening", "monochrome"}


def test_backends_agree(model, truth, window, rng):
    """On the energy of a look that is off, and on where it falls."""
    start = truth.moved(0.02 * rng.normal(size=len(_step(truth))))
    energy = _energy(start, window, model, truth, weights=WITHOUT)
    renderer = replace(energy.scene.renderer, rasterizer=get_rasterizer("torch"))
    by_torch = replace(energy, scene=replace(energy.scene, renderer=renderer))
    slopes = []
    for each in (energy, by_torch):
        step = torch.zeros_like(_step(truth)).requires_grad_()
        total = sum(each.terms(step).values())
        slopes.append((total.item(), torch.autograd.grad(total, step)[0]))
    (value, slope), (value_torch, slope_torch) = slopes
    assert value == pytest.approx(value_torch, rel=1e-5)
    assert torch.allclose(slope, slope_torch, atol=1e-3 * slope.abs().max())


def test_terms_of_weight_zero_are_left_out(model, truth, window):
    weights = EnergyWeights(0.0, 0.0, 0.0, 1.0, 1.0, 1.0)
    assert set(_energy(truth, window, model, truth, weights=weights).terms(_step(truth))) == {"coefficient"}


def test_the_papers_landmark_term_by_hand(model, truth, window):
    """All points 3 mm to the right: 9 mm² times the mean weight, which is 277 / 68."""
    points = _points68(model, truth)
    points[:, 0] += 3.0 * truth.face.pose.scale
    target = LandmarkTarget.paper(model, points, truth.face.pose.scale)
    moved = Moved.by(truth, _step(truth))
    assert target.loss(moved).item() == pytest.approx(9 * 277 / 68, rel=1e-4)
    points[30] = np.nan  # of weight 20
    target = LandmarkTarget.paper(model, points, truth.face.pose.scale)
    assert target.loss(moved).item() == pytest.approx(9 * 257 / 67, rel=1e-4)


def test_observed_landmarks_weigh_one_on_average_and_keep_their_directions(model, truth):
    """A point off by 2 mm along its outline costs nothing; one across it, and a plain one, their share."""
    points = landmark_points(model, model.landmarks["ibug68"]).take(np.array([8, 30, 36]))
    scale = truth.face.pose.scale
    pixels = truth.face.pose.project(points.at(truth.face.identity, truth.face.expression))
    pixels += 2.0 * scale * np.array([[1.0, 0], [0, 1], [1, 0]])
    across, plain = np.diag([0.0, 1.0]), np.eye(2)
    observations = Observations(points, pixels, 0.1 * np.stack([across, across, 2 * plain]))
    loss = LandmarkTarget.observed(observations, scale).loss(Moved.by(truth, _step(truth))).item()
    shares = np.array([0.5, 0.5, 4.0])  # half the squared length of each whitening
    assert loss == pytest.approx(np.mean([0.0, 4.0, 4.0 * 4.0]) / shares.mean(), rel=1e-4)


@pytest.mark.parametrize("kind", ["smooth", "photometric"])
def test_derivatives_agree_with_differences(model, truth, window, rng, kind):
    """Along random directions; of the photometric term by albedo and light, which no outline disturbs."""
    start = truth.moved(0.02 * rng.normal(size=len(_step(truth))))
    energy = _energy(start, window, model, truth, weights=DENG2019)
    names = ["landmark", "coefficient", "flattening", "monochrome"] if kind == "smooth" else ["photometric"]

    def value(step):
        terms = energy.terms(step)
        return sum(terms[name] for name in names)

    step = torch.zeros_like(_step(truth)).requires_grad_()
    (slope,) = torch.autograd.grad(value(step), step)
    for _ in range(3):
        direction = torch.from_numpy(rng.normal(size=len(step)).astype(np.float32))
        direction[: 0 if kind == "smooth" else POSE + 16] = 0.0
        ahead, behind = value(1e-3 * direction).item(), value(-1e-3 * direction).item()
        assert (ahead - behind) / 2e-3 == pytest.approx((slope @ direction).item(), rel=0.02, abs=2e-4)


def test_descent_finds_the_truth_again(model, truth, window):
    """From the mean face in a pose that is off, with the right landmarks: shape and colours come back."""
    zero = Face(
        truth.face.pose.moved(np.array([0.02, -0.03, 0.01, 1.0, -1.0, 0.01, 0.0])), np.zeros(12), np.zeros(4)
    )
    start = Look(zero, np.zeros(6), 1.1 * truth.light)
    target = LandmarkTarget.paper(model, _points68(model, truth), truth.face.pose.scale)
    settings = GradientSettings(weights=WITHOUT, steps=40, rate=0.1)
    fit = _refined(start, window, model, dense_model(model).attention, target, settings, RASTERIZER)

    def error(look: Look) -> float:
        vertices = model.instance(look.face.identity, look.face.expression)
        return float(np.abs(vertices - model.instance(truth.face.identity, truth.face.expression)).mean())

    assert error(fit.look) < 0.5 * error(start)
    assert fit.total.min() < 0.15 * fit.total[0]
    assert all(len(values) == 41 for values in fit.energies.values())
    assert fit.look.face.pose.focal == truth.face.pose.focal


def test_a_descent_repeats_itself(model, truth, window):
    target = LandmarkTarget.paper(model, _points68(model, truth), truth.face.pose.scale)
    inputs = truth, window, model, dense_model(model).attention, target, GradientSettings(WITHOUT, steps=3)
    first, second = _refined(*inputs, RASTERIZER), _refined(*inputs, RASTERIZER)
    assert np.array_equal(first.look.face.identity, second.look.face.identity)
    assert first.energies == second.energies


def test_no_step_returns_the_start(model, truth, window):
    target = LandmarkTarget.paper(model, _points68(model, truth), 1.0)
    compared = dense_model(model).attention
    fit = _refined(truth, window, model, compared, target, GradientSettings(WITHOUT, steps=0), RASTERIZER)
    assert np.array_equal(fit.look.albedo, truth.albedo)
    assert len(fit.total) == 1


def test_what_cannot_be_refined_is_refused(model, truth, window):
    target = LandmarkTarget.paper(model, _points68(model, truth), 1.0)
    inputs = window, model, dense_model(model).attention, target, GradientSettings(WITHOUT), RASTERIZER
    with pytest.raises(ValueError, match="look: its light must be known, got zeros"):
        prepare_energy(replace(truth, light=np.zeros((9, 3))), *inputs)
    with pytest.raises(ValueError, match=r"model: must embed ibug68 landmarks, embeds \[\]"):
        LandmarkTarget.paper(replace(model, landmarks={}), _points68(model, truth), 1.0)


class _Means(nn.Module):
    """Tells faces apart by the mean colours of their quarters."""

    def forward(self, srgb: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = nn.functional.adaptive_avg_pool2d(srgb, 2).flatten(1)
        return means - 0.5


def test_the_perceptual_term_pulls_towards_the_photo(model, truth, window):
    """With a network of a kind, and nothing else but priors, the drawn face comes to look like the photo."""
    start = replace(truth, albedo=np.zeros(6), light=0.6 * truth.light)
    network = FaceNetwork(_Means(), DLIB_CHIP)
    weights = EnergyWeights(0.0, 1e-3, 1.0, 1e-4, 1e-4, 1e-4)
    target = LandmarkTarget.paper(model, _points68(model, truth), truth.face.pose.scale)
    compared = dense_model(model).attention
    settings = GradientSettings(weights, steps=20, rate=0.2)
    fit = _refined(start, window, model, compared, target, settings, RASTERIZER, network)
    assert fit.energies["perceptual"][-1] < 0.2 * fit.energies["perceptual"][0]
    with pytest.raises(ValueError, match="network: the perceptual term has a weight"):
        prepare_energy(start, window, model, compared, target, settings, RASTERIZER)
    with pytest.raises(BadInputError, match="does not embed all ibug68 landmarks"):
        prepare_energy(
            start, window, replace(model, landmarks={}), compared, target, settings, RASTERIZER, network
        )


def test_kinds_of_attention(rng):
    photo = torch.from_numpy(rng.uniform(0.2, 0.8, size=(1, 6, 6, 3)).astype(np.float32))
    face = torch.ones(1, 6, 6, dtype=torch.bool)
    probability = SkinColorModel()(photo)
    assert torch.equal(photo_attention("skin-probability", photo, face), probability)
    assert torch.equal(photo_attention("skin", photo, face), attention(probability))
    assert (photo_attention("all", photo, face) == 1).all()
    own = photo_attention("own", photo, face)
    assert ((own > 0) & (own <= 1)).all()


def test_the_windows_camera_is_that_of_its_transform(rng):
    """In numpy (`PhotoCamera.cropped`) and in torch (`ImageTransform.window`), one map of pixels."""
    K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    camera = PhotoCamera(K, np.diag([1.0, -1, -1]), np.array([4.0, -3, 700]), 640, 480)
    cut = ImageTransform.identity(640, 480).window(101.5, 40.25, 1.7, 224, 200)
    points = 50.0 * rng.normal(size=(20, 3))
    pixels = cut.apply(torch.from_numpy(camera.project(points))[None])[0].numpy()
    np.testing.assert_allclose(
        camera.cropped(101.5, 40.25, 224, 200, 1.7).project(points), pixels, rtol=1e-12
    )
