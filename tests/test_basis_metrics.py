"""Generalization and specificity: exact where they can be, and honest about what they cannot know."""

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.basis import align_shapes, fit_linear_model
from morphkit.basis.metrics import (
    generalization,
    leave_out_generalization,
    mode_ladder,
    specificity,
)
from morphkit.geometry.procrustes import fit_similarity
from morphkit.linear import LinearModel


@pytest.fixture(scope="module")
def bowl():
    """Return a function that draws shapes, and their faces: a bowl of 15 x 15 vertices with five bumps."""
    side = 15
    u, w = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    places = np.stack([60 * u, 80 * w, 50 * (1 - u**2 - w**2)], axis=-1).reshape(-1, 3)
    i = (side * np.arange(side - 1)[:, None] + np.arange(side - 1)).ravel()
    faces = np.concatenate(
        [np.stack([i, i + 1, i + side], axis=1), np.stack([i + 1, i + side + 1, i + side], axis=1)]
    ).astype(np.int32)
    rng = np.random.default_rng(5)
    waves = np.sin(places @ rng.standard_normal((3, 5)) / 40 + rng.uniform(0, 6, 5))
    modes = waves[:, :, None] * rng.standard_normal((5, 3)) * np.array([4.0, 3, 2, 1, 0.5])[:, None]

    def draw(n, seed, noise=0.2):
        local = np.random.default_rng(seed)
        shapes = places + np.einsum("nk,vkd->nvd", local.standard_normal((n, 5)), modes)
        return shapes + noise * local.standard_normal(shapes.shape)

    return draw, faces


def refitted(shapes, out, modes, weights=None):
    """Return the point errors of those left out, by plain refitting."""
    model = fit_linear_model(np.delete(shapes, out, axis=0))
    errors = []
    for i in out:
        c = model.project(shapes[i])
        c[modes:] = 0
        rebuilt = model.instance(c)
        rebuilt = fit_similarity(rebuilt, shapes[i], weights, scale=False).apply(rebuilt)
        errors.append(
            np.linalg.norm(rebuilt - shapes[i], axis=1)[
                weights > 0 if weights is not None else slice(None)
            ].mean()
        )
    return errors


def test_leaving_out_is_refitting_without(bowl):
    draw, faces = bowl
    shapes = align_shapes(draw(9, 1)).shapes
    mask = np.arange(225) % 3 > 0
    metric = leave_out_generalization(shapes, faces, mask=mask, modes=[1, 4, 7])
    for column, modes in enumerate(metric.points.modes):
        expected = [refitted(shapes, [i], modes, mask.astype(float))[0] for i in range(9)]
        np.testing.assert_allclose(metric.values[:, column], expected, rtol=1e-4)
    assert metric.count == 9
    np.testing.assert_allclose(metric.points.mean, metric.values.mean(axis=0))


def test_leaving_some_out_at_a_time_from_a_file(bowl, tmp_path):
    draw, faces = bowl
    shapes = align_shapes(draw(12, 2)).shapes
    with h5py.File(tmp_path / "shapes.h5", "w") as file:
        stored = file.create_dataset("shapes", data=shapes)
        metric = leave_out_generalization(stored, faces, held_out=4, modes=[3, 7, 9])
    plain = leave_out_generalization(shapes, faces, held_out=4, modes=[3, 7, 9])
    np.testing.assert_array_equal(metric.values, plain.values)
    assert metric.points.modes == (3, 7)  # eight others span seven
    alone = leave_out_generalization(shapes, faces, modes=[3])
    assert metric.points.mean[0] > 0.9 * alone.points.mean[0]


def test_given_people_in_any_pose(bowl, rng):
    draw, faces = bowl
    model = fit_linear_model(align_shapes(draw(40, 3)).shapes, 5)
    held = draw(6, 4)
    posed = np.stack([x @ Rotation.random(rng=rng).as_matrix().T + 100 for x in held])
    metric, same = (generalization(model, x, faces) for x in (held, posed))
    np.testing.assert_allclose(metric.values, same.values, atol=1e-4)
    assert metric.points.modes == (0, 1, 2, 3, 5)
    assert (np.diff(metric.points.mean) < 0).all()
    assert metric.points.mean[-1] == pytest.approx(0.2 * np.sqrt(8 / np.pi), rel=0.15)  # the noise is left
    assert (metric.points.low <= metric.points.mean).all()
    assert (metric.points.mean <= metric.points.high).all()


def test_sliding_along_the_surface_is_no_error_for_the_surface(bowl):
    draw, faces = bowl
    model = fit_linear_model(align_shapes(draw(30, 5, noise=0.0)).shapes, 5)
    held = draw(4, 6, noise=0.0)
    slid = held.copy().reshape(4, 15, 15, 3)
    slid[:, 1:-1, 1:-1] += 0.4 * (slid[:, 1:-1, 2:] - slid[:, 1:-1, 1:-1])
    metric = generalization(model, slid.reshape(4, 225, 3), faces, modes=[5])
    assert metric.points.mean[0] > 1.5
    assert metric.surface.mean[0] < 0.4 * metric.points.mean[0]


def test_a_model_is_specific_if_its_variances_are_right(bowl):
    draw, faces = bowl
    real = align_shapes(draw(150, 7)).shapes
    model = fit_linear_model(real, 5)
    right = specificity(model, real, faces, samples=60)
    blown = LinearModel(model.mean, model.basis, 3 * model.standard_deviations)
    wide = specificity(blown, real, faces, samples=60)
    assert wide.points.mean[-1] > 2 * right.points.mean[-1]
    fresh = align_shapes(draw(60, 8), model.mean.astype(float)).shapes
    between = [
        min(np.linalg.norm(a - b, axis=1).mean() for b in real) for a in fresh
    ]  # real people are as far from the nearest other as drawn ones are, but for noise
    assert right.points.mean[-1] == pytest.approx(np.mean(between), rel=0.15)
    assert (right.surface.mean < right.points.mean).all()
    assert right.count == 60
    for curve in (right.points, right.surface):  # the mean alone has no spread: no interval, not a narrow one
        assert np.isnan([curve.low[0], curve.high[0]]).all()
        assert (curve.low[1:] < curve.high[1:]).all()


def test_the_nearest_real_shape_is_found_whatever_its_pose(bowl, rng):
    draw, faces = bowl
    real = align_shapes(draw(20, 9)).shapes
    model = fit_linear_model(real)
    still = LinearModel(real[7].astype(np.float32), model.basis, model.standard_deviations * 1e-6)
    posed = np.stack([x @ Rotation.random(rng=rng).as_matrix().T - 50 for x in real])
    found = specificity(still, posed, faces, samples=3)
    assert found.points.mean.max() < 1e-3


def test_intervals_narrow_with_more_shapes_and_cover(bowl):
    draw, faces = bowl
    model = fit_linear_model(align_shapes(draw(40, 10)).shapes, 2)
    widths, inside = [], 0
    truth = generalization(model, draw(200, 11), faces, modes=[2]).points.mean[0]
    for seed in range(12):
        curve = generalization(model, draw(25, 100 + seed), faces, modes=[2]).points
        inside += int(curve.low[0] <= truth <= curve.high[0])
        widths.append(curve.high[0] - curve.low[0])
    assert inside >= 8
    few = generalization(model, draw(6, 12), faces, modes=[2]).points
    assert np.mean(widths) < few.high[0] - few.low[0] + 0.2


def test_limits_and_ladders(bowl):
    draw, faces = bowl
    shapes = align_shapes(draw(10, 13)).shapes
    model = fit_linear_model(shapes)
    assert generalization(model, shapes, faces, limit=4, modes=[1]).count == 4
    assert mode_ladder(9) == (0, 1, 2, 3, 5, 7, 9)
    assert mode_ladder(9, [4, 4, 20]) == (4,)
    for call, message in (
        (lambda: leave_out_generalization(shapes[:2], faces), "two or more must remain"),
        (lambda: leave_out_generalization(shapes, faces, held_out=9), "two or more must remain"),
        (lambda: generalization(model, shapes, faces, mask=np.zeros(225, bool)), "mask"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
