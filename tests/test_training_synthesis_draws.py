"""What rendered photos draw at random: people, expressions, cameras, lights, landmarks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morphkit import load_default_model
from morphkit.geometry.views import turn
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.rendering.lighting import reflection_basis
from morphkit.training.synthesis.complexion import Complexions, tone
from morphkit.training.synthesis.detections import noisy_landmarks
from morphkit.training.synthesis.fields import Grid, grid_noise, noise
from morphkit.training.synthesis.lights import draw_light
from morphkit.training.synthesis.people import Population
from morphkit.training.synthesis.settings import SynthesisSettings
from morphkit.training.synthesis.shots import draw_shot
from morphkit.training.synthesis.views import crop_view, photo_view

USUAL = SynthesisSettings()
ORIGIN = np.array([0.0, -10.0, 60.0])


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_default_model()


@pytest.fixture(scope="module")
def population(model: MorphableModel) -> Population:
    return Population.of(model)


def test_identities_are_standard_normal_within_the_truncation(population):
    drawn = np.array([
        population.draw_person(np.random.default_rng(i), SynthesisSettings(truncation=2.0)).identity
        for i in range(200)
    ])  # fmt: skip
    assert np.abs(drawn).max() <= 2.0
    count = drawn.size  # 16,000: of a normal cut at 2, the variance is 1 - 2·2·φ(2)/(2Φ(2) - 1)
    assert abs(drawn.mean()) < 4 / np.sqrt(count)
    assert drawn.var() == pytest.approx(1 - 4 * 0.053991 / 0.954500, abs=0.03)
    unrelated = np.corrcoef(drawn, rowvar=False) - np.eye(drawn.shape[1])
    assert np.abs(unrelated).max() < 5.5 / np.sqrt(len(drawn))


def test_skin_has_colours_of_skin_and_the_model_s_own_statistics_beside(model, population):
    as_model = SynthesisSettings(tones="model")
    drawn = np.array([
        population.draw_person(np.random.default_rng(i), as_model).albedo for i in range(300)
    ])  # fmt: skip
    assert Complexions.of(model).plausible(drawn).all()
    free = drawn[:, 8:]  # what says nothing of the tone stays standard normal
    assert abs(free.mean()) < 5 / np.sqrt(free.size)
    assert free.var() == pytest.approx(1.0, abs=0.06)


def test_even_tones_reach_farther_than_the_model_s(model, population):
    def tones(settings: SynthesisSettings) -> np.ndarray:
        rngs = (np.random.default_rng([7, i]) for i in range(150))
        people = [population.draw_person(rng, settings).albedo for rng in rngs]
        skin = np.flatnonzero(model.masks["skin"])
        return tone(np.array([model.albedo_instance(albedo)[skin].mean(axis=0) for albedo in people]))

    even, own = tones(USUAL), tones(SynthesisSettings(tones="model"))
    assert np.quantile(even, 0.1) < np.quantile(own, 0.1) - 15
    assert (even < 20).mean() > 2 * (own < 20).mean()


def test_tone_is_the_published_angle():
    # by hand: Y = 0.3353, Z / 1.089 = 0.2163; L* = 64.59, b* = 18.90; arctan(14.59 / 18.90)
    assert tone(np.array([[0.5, 0.3, 0.2]])) == pytest.approx([37.67], abs=0.05)


def test_half_of_the_expressions_are_nearly_at_rest(model, population):
    moved = [
        np.abs(model.expression.instance(population.draw_expression(np.random.default_rng(i), 1.0))).max()
        for i in range(200)
    ]
    at_rest = (np.array(moved) < 4.0).mean()  # millimetres
    assert 0.35 < at_rest < 0.65
    assert np.quantile(moved, 0.9) > 8.0
    assert not population.draw_expression(np.random.default_rng(3), 0.0).any()


def test_models_without_named_units_get_narrow_gaussians(model, population):
    from dataclasses import replace

    nameless = replace(population, units=None)
    drawn = np.array([nameless.draw_expression(np.random.default_rng(i), 1.0) for i in range(400)])
    deviations = drawn.std(axis=1)
    assert (deviations < 0.3).mean() > 0.45
    assert deviations.max() < 1.0
    faceless = replace(population, expression=None, units=None)
    assert faceless.draw_expression(np.random.default_rng(0), 1.0).shape == (0,)


def test_cameras_see_the_face_at_the_distance_and_in_the_pose_that_they_say():
    for i in range(60):
        shot = draw_shot(np.random.default_rng(i), ORIGIN, USUAL)
        middle = shot.R @ ORIGIN + shot.t
        assert np.linalg.norm(middle) == pytest.approx(shot.distance)
        assert 350 <= shot.distance <= 2500
        x, y = (shot.K @ middle)[:2] / middle[2]
        assert 0 < x < shot.width
        assert 0 < y < shot.height
        film = shot.K[0, 0] * 43.27 / np.hypot(shot.width, shot.height)
        assert 24 <= film <= 135
        # seen along the line of sight, the head is turned by its pose alone
        sight = middle / np.linalg.norm(middle)
        pitch, yaw, roll = shot.pose
        head_forward = np.diag([1, -1, -1]) @ turn(yaw, pitch, roll) @ [0, 0, 1]
        assert (shot.R @ [0, 0, 1]) @ sight == pytest.approx(head_forward[2])
        assert (np.abs(np.degrees(shot.pose)) <= np.array([25, 60, 20]) + 1e-9).all()


def test_most_lights_leave_no_side_of_a_face_in_negative_light(rng):
    directions = rng.normal(size=(400, 3))
    directions[:, 2] = -abs(directions[:, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    basis = reflection_basis(torch.from_numpy(directions)).numpy()
    for i in range(100):
        light = draw_light(np.random.default_rng(i), 0.2)
        shown = basis @ light.coefficients
        assert (shown < 0).mean() < 0.02
        assert shown.max() < 3.0
        assert np.allclose(np.linalg.norm(light.directions, axis=1), 1.0)


def test_noisy_landmarks_are_off_by_a_detector_s_millimetres(rng):
    true = rng.uniform(0, 300, (68, 2))
    many = np.array([noisy_landmarks(rng, true, 2.0, 1.0) - true for _ in range(500)])
    assert np.abs(many.mean(axis=0) / many.std(axis=0)).max() < 4.5 / np.sqrt(500)
    features, jaw = (np.sqrt((part**2).mean()) / 2.0 for part in (many[:, 17:], many[:, :17]))  # millimetres
    assert 1.8 < features < 3.2
    assert 5.0 < jaw < 8.0
    assert np.array_equal(noisy_landmarks(rng, true, 2.0, 0.0), true)


def test_crop_and_photo_views_show_every_point_where_the_crop_puts_it(rng):
    shot = draw_shot(rng, ORIGIN, USUAL)
    light = draw_light(rng, 0.0)
    angle, zoom = 0.3, 0.7
    linear = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    crop = np.column_stack([linear, [13.0, -40.0]])
    photo, cut = photo_view(shot, light, crop, 224), crop_view(shot, light, crop, 224)
    points = ORIGIN + rng.normal(0, 40, (20, 3))
    assert cut.project(points) == pytest.approx(photo.project(points) @ linear.T + crop[:, 2])
    assert cut.K[0, 1] == cut.K[1, 0] == 0
    assert np.linalg.det(cut.R) == pytest.approx(1.0)
    # a surface keeps its colours: its normal and the light have turned together
    normal = np.array([[0.3, -0.2, 0.93]]) / np.linalg.norm([0.3, -0.2, 0.93])
    shown = [
        reflection_basis(torch.from_numpy(normal @ view.R.T)).numpy() @ view.light.coefficients
        for view in (photo, cut)
    ]
    assert shown[0] == pytest.approx(shown[1])


def test_noise_is_smooth_and_a_function_of_place_and_seed_alone():
    x, y = np.meshgrid(np.linspace(-50, 50, 400), np.linspace(-50, 50, 400))
    values = noise(x, y, 5)
    assert abs(values.mean()) < 0.05
    assert np.abs(np.diff(values, axis=0)).max() < 2.0 * 1.5 * (100 / 399) * np.sqrt(3)
    assert np.array_equal(noise(x[3:7], y[3:7], 5), values[3:7])
    lattice = noise(*np.meshgrid(np.arange(-60.0, 60), np.arange(-60.0, 60)), 5)
    assert lattice.var() == pytest.approx(1.0, abs=0.05)
    assert not np.array_equal(noise(x, y, 6), values)
    grid = Grid(-112.0, -112.0, 1.0, 224, 224)
    assert grid_noise(grid, np.random.default_rng(1), 20.0).shape == (224, 224)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"hair": 1.5}, "hair"),
        ({"blur": float("nan")}, "blur"),
        ({"size": 8}, "size"),
        ({"distances": (900.0, 400.0)}, "distances"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong, named):
    with pytest.raises(ValueError, match=f"^{named} must"):
        SynthesisSettings(**wrong)


def test_linear_models_of_colour_without_skin_fall_back_to_the_mean(model):
    from dataclasses import replace

    green = model.albedo.mean * 0 + np.array([0.1, 0.6, 0.1], np.float32)
    lawn = replace(
        model, albedo=LinearModel(green, model.albedo.basis, model.albedo.standard_deviations * 1e-6)
    )
    drawn = Complexions.of(lawn).draw(np.random.default_rng(0), USUAL)
    assert not drawn.any()
