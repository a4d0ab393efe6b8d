"""Scan-to-mesh distances: what is the same must measure nothing, and what is known must measure itself."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_head import small_head
from scipy.spatial.transform import Rotation

from morphkit.evaluation import (
    FaceCrop,
    MisalignedError,
    PooledErrors,
    align_by_points,
    depth_errors,
    depth_shifts,
    gaussian_calibration,
    nose_crop,
    now_crop,
    refine,
    scan_to_mesh,
    seven_points,
)
from morphkit.evaluation.crop import upright
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.similarity import Similarity
from morphkit.landmarks.ibug import NOW_POINTS
from morphkit.mesh import Landmarks, Mesh

FORWARD = np.array([0.0, 0.0, -1.0])  # of a camera before a head at rest


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def truth(head):
    rng = np.random.default_rng(5)
    return Mesh(head.instance(identity=1.5 * rng.standard_normal(12)), head.faces)


def points_of(head, mesh):
    return seven_points(head.landmarks["ibug68"].landmarks(mesh.vertices, mesh.faces))


def moved(mesh, points, scale, turn, shift):
    place = Similarity(scale, Rotation.from_rotvec(turn).as_matrix(), np.array(shift, float))
    return Mesh(place.apply(mesh.vertices), mesh.faces), place.apply(points)


def measured(head, truth):
    points = points_of(head, truth)
    return truth.vertices[now_crop(points).contains(truth.vertices)], points


def other_head(head):
    mesh = Mesh(head.instance(identity=np.linspace(-1.5, 1.5, 12)), head.faces)
    return mesh, points_of(head, mesh)


def test_the_seven_points_by_name_number_or_order(rng):
    points = rng.standard_normal((7, 3))
    by_name = Landmarks(tuple(NOW_POINTS), points)
    by_number = Landmarks(tuple(NOW_POINTS.values()), points).select(sorted(NOW_POINTS.values()))
    in_order = Landmarks(tuple("0123456"), points)
    for landmarks in (by_name, by_number, in_order):
        np.testing.assert_array_equal(seven_points(landmarks), points)
    with pytest.raises(ValueError, match="nose_bottom, mouth_left of the seven points"):
        seven_points(by_name.select(n for n in NOW_POINTS if n not in ("nose_bottom", "mouth_left")))


def test_the_crop_of_now_by_hand():
    points = np.array([[-45, 30, 0], [-15, 30, 0], [15, 30, 0], [45, 30, 0], [0, -10, 30], *np.zeros((2, 3))])
    crop = now_crop(points.astype(float))
    np.testing.assert_allclose(crop.centre, [0, -10 + 0.3 * 40, 30 - 0.3 * 30])
    assert crop.radius == pytest.approx(0.7 * (90 + 50))
    inside = crop.contains(crop.centre + np.array([[97.9, 0, 0], [98.1, 0, 0], [np.nan, 0, 0]]))
    assert inside.tolist() == [True, False, False]


def test_the_crop_around_the_nose_tip(rng):
    points = rng.standard_normal((3, 3))
    for name in ("nose_tip", "30"):
        crop = nose_crop(Landmarks(("1", name, "2"), points), 95.0)
        np.testing.assert_array_equal(crop.centre, points[1])
        assert crop.radius == 95.0
    with pytest.raises(ValueError, match="tip of the nose"):
        nose_crop(Landmarks(("1", "2", "3"), points), 95.0)
    with pytest.raises(ValueError, match="radius"):
        nose_crop(Landmarks(("1", "30", "2"), points), 0.0)


def test_upright_undoes_a_turn(head, truth):
    straight = upright(points_of(head, truth))
    assert np.linalg.det(straight) == pytest.approx(1)
    assert (np.diag(straight) > 0.97).all()  # the small head looks along z
    turn = Rotation.from_rotvec([0.5, -1.0, 2.0]).as_matrix()
    np.testing.assert_allclose(upright(points_of(head, truth) @ turn.T) @ turn, straight, atol=1e-12)


@pytest.mark.parametrize("metrical", [False, True])
def test_the_truth_itself_is_no_distance_away(head, truth, metrical):
    region, points = measured(head, truth)
    found = scan_to_mesh(region, points, truth, points, metrical=metrical)
    assert found.converged
    assert found.distances.max() < 1e-9
    assert found.similarity.scale == pytest.approx(1)


def test_a_fit_in_any_frame_and_size_measures_the_same(head, truth):
    region, points = measured(head, truth)
    fit, fit_points = other_head(head)
    plain = scan_to_mesh(region, points, fit, fit_points)
    assert plain.distances.mean() > 0.3
    for scale in (0.001, 1.0, 40.0):
        turned = scan_to_mesh(region, points, *moved(fit, fit_points, scale, [0.4, -2.0, 1.0], [3, -200, 70]))
        np.testing.assert_allclose(turned.distances, plain.distances, atol=2e-3)
        assert turned.similarity.scale == pytest.approx(plain.similarity.scale / scale, rel=1e-4)


def test_metrical_distances_stand_rigid_motion_only(head, truth):
    region, points = measured(head, truth)
    fit, fit_points = other_head(head)
    plain = scan_to_mesh(region, points, fit, fit_points, metrical=True)
    turned = scan_to_mesh(
        region, points, *moved(fit, fit_points, 1.0, [0.4, -2.0, 1.0], [3, -200, 70]), metrical=True
    )
    np.testing.assert_allclose(turned.distances, plain.distances, atol=2e-3)
    assert turned.similarity.scale == plain.similarity.scale == 1.0
    free = scan_to_mesh(region, points, fit, fit_points)
    assert np.sum(free.distances**2) < np.sum(plain.distances**2)


def ball(radius):
    """Return a sphere with seven points about where a face has them."""
    across, around = np.linspace(0, np.pi, 62)[1:-1], np.linspace(0, 2 * np.pi, 81)[:-1]
    a, b = np.meshgrid(across, around, indexing="ij")
    ring = np.stack([np.sin(a) * np.cos(b), np.sin(a) * np.sin(b), np.cos(a)], axis=2).reshape(-1, 3)
    i = np.arange(len(ring)).reshape(60, 80)
    j = np.roll(i, -1, axis=1)
    top, bottom = np.full(80, len(ring)), np.full(80, len(ring) + 1)
    faces = [np.stack([i[:-1], i[1:], j[:-1]], -1), np.stack([j[:-1], i[1:], j[1:]], -1)]
    faces += [np.stack([i[0], j[0], top], -1), np.stack([j[-1], i[-1], bottom], -1)]
    faces = np.concatenate([part.reshape(-1, 3) for part in faces]).astype(np.int32)
    xy = np.array([[-45, 30], [-15, 30], [15, 30], [45, 30], [0, -10], [-25, -40], [25, -40]]) / 100
    points = np.column_stack([xy, np.sqrt(1 - (xy**2).sum(axis=1))])
    return Mesh(radius * np.vstack([ring, [[0, 0, 1], [0, 0, -1]]]), faces), radius * points


def test_a_size_one_hundredth_too_large_costs_a_hundredth_when_metrical():
    truth, points = ball(100.0)
    large, large_points = ball(101.0)
    free = scan_to_mesh(truth.vertices, points, large, large_points)
    assert free.distances.max() < 1e-6
    assert free.similarity.scale == pytest.approx(100 / 101)
    held = scan_to_mesh(truth.vertices, points, large, large_points, metrical=True)
    assert held.similarity.scale == 1.0
    np.testing.assert_allclose(held.similarity.translation, 0, atol=0.02)
    np.testing.assert_allclose(held.distances, 1, atol=0.12)  # facets cut 0.11 mm off the larger ball


def test_a_bump_of_a_millimetre_measures_a_millimetre():
    truth, points = ball(100.0)
    height = np.exp(-((np.arccos(np.clip(truth.vertices[:, 2] / 100, -1, 1)) / 0.06) ** 2))  # 6 mm wide
    bumpy = truth.vertices * (1 + height[:, None] / 100)
    found = scan_to_mesh(bumpy, points, truth, points, metrical=True)
    np.testing.assert_allclose(found.distances, height, atol=0.03)
    assert np.median(found.distances) < 0.02  # the rest of the ball stays where it was


def test_refinement_finds_the_least_squares_from_afar(head, truth):
    region, _ = measured(head, truth)
    query = ClosestPointQuery(other_head(head)[0])
    exact = refine(query, region, Similarity.identity())
    start = Similarity(1.1, Rotation.from_rotvec([0.15, -0.1, 0.1]).as_matrix(), np.array([5.0, -8.0, 4.0]))
    far = refine(query, region, start)
    assert exact.converged
    assert far.converged
    energy = np.sum(exact.distances**2)
    assert np.sum(far.distances**2) == pytest.approx(energy, rel=1e-3)  # facets make small dents in it
    for turn, shift in (([0.002, 0, 0], [0, 0, 0]), ([0, 0, 0], [0.1, 0, 0]), ([0, -0.002, 0], [0, 0, 0.1])):
        nudge = Similarity(1.0005, Rotation.from_rotvec(turn).as_matrix(), np.array(shift, float))
        other = nudge.compose(exact.similarity)
        apart = other.scale * query.query(other.inverse().apply(region)).distances
        assert np.sum(apart**2) > energy
    assert not refine(query, region, start, steps=1).converged


def broken_nan(fit, points):
    vertices = fit.vertices.copy()
    vertices[7] = np.nan
    return Mesh(vertices, fit.faces), points


def broken_order(fit, points):
    return fit, points[[3, 2, 1, 0, 4, 6, 5]]


def broken_frame(fit, points):
    return fit, points + 100


def broken_nose(fit, points):
    return fit, np.full_like(points, 3.0)


def broken_unknown(fit, points):
    return fit, np.where(np.arange(7)[:, None] == 4, np.nan, points)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (broken_nan, "not all finite"),
        (broken_order, "do not match the true ones"),
        (broken_frame, "from its own surface"),
        (broken_nose, "not seven places"),
        (broken_unknown, "not seven places"),
    ],
)
def test_what_cannot_be_aligned_is_said(head, truth, spoil, reason):
    region, points = measured(head, truth)
    with pytest.raises(MisalignedError, match=reason):
        scan_to_mesh(region, points, *spoil(*other_head(head)))


def test_a_fit_in_metres_is_no_metrical_fit(head, truth):
    region, points = measured(head, truth)
    metres = moved(*other_head(head), 0.001, [0, 0, 0], [0, 0, 0])
    scan_to_mesh(region, points, *metres)
    with pytest.raises(MisalignedError, match=r"its eyes are 0\.0\d+ mm apart, not 79"):
        scan_to_mesh(region, points, *metres, metrical=True)


def test_too_few_true_points(head, truth):
    _, points = measured(head, truth)
    with pytest.raises(ValueError, match="at least 3"):
        scan_to_mesh(points[:2], points, truth, points)
    with pytest.raises(MisalignedError):
        align_by_points(points, points[:, [1, 0, 2]])


def test_pooled_figures_by_hand():
    pooled = PooledErrors.of([np.array([1.0, 3.0]), None, np.array([2.0, 4.0, 5.0])], [2, 4, 3])
    assert (pooled.median, pooled.mean) == (3.0, 3.0)
    assert pooled.standard_deviation == pytest.approx(np.sqrt(2))
    assert pooled.failed_points == 4
    assert pooled.median_with_failures == 5.0  # of 1 2 3 4 5 inf inf inf inf
    np.testing.assert_allclose(pooled.curve(np.array([0.5, 1, 2.5, 100])), [0, 1 / 9, 2 / 9, 5 / 9])
    assert pooled.auc(5.0) == pytest.approx((4 + 3 + 2 + 1 + 0) / 5 / 9)
    thresholds = np.linspace(0, 5, 100_001)
    assert pooled.auc(5.0) == pytest.approx(pooled.curve(thresholds).mean(), abs=1e-4)


def test_pooled_failures_only_make_it_worse():
    all_failed = PooledErrors.of([None, None], [5, 5])
    assert np.isnan(all_failed.median)
    assert all_failed.median_with_failures == np.inf
    assert all_failed.auc() == 0
    assert all_failed.curve(np.array([7.0])).tolist() == [0]
    half = PooledErrors.of([np.ones(5), None], [5, 5])
    assert half.median_with_failures == np.inf
    fewer = PooledErrors.of([np.ones(5), None], [5, 3])
    assert fewer.median_with_failures == fewer.median == 1.0
    for points in (None, [2]):
        with pytest.raises(ValueError, match="points: expected a number for each of 2"):
            PooledErrors.of([np.ones(2), None], points)


def test_depth_errors_are_the_shift_along_the_cameras_z(head, truth):
    camera = np.diag([1.0, -1, -1]) @ Rotation.from_rotvec([0.1, 0.3, 0]).as_matrix()
    region, points = measured(head, truth)
    away = Mesh(truth.vertices + 2.0 * camera[2], truth.faces)
    found = depth_errors(truth, away, Similarity.identity(), camera[2], crop=now_crop(points))
    assert 0.3 * len(region) < len(found.vertices) < len(region)
    inner = np.linalg.norm(truth.vertices[found.vertices] - now_crop(points).centre, axis=1) < 70
    np.testing.assert_allclose(found.errors[inner], 2.0, atol=1e-9)
    back = depth_errors(away, truth, Similarity.identity(), camera[2], crop=now_crop(points))
    np.testing.assert_allclose(np.median(back.errors), -2.0, atol=1e-9)


def test_depth_errors_do_not_see_the_truths_frame_or_size(head, truth):
    fit, fit_points = other_head(head)
    region, points = measured(head, truth)
    forward = FORWARD
    place = Similarity(1.3, Rotation.from_rotvec([1.0, 0.2, -0.4]).as_matrix(), np.array([10.0, 20, 30]))
    plain = depth_errors(fit, truth, scan_to_mesh(region, points, fit, fit_points).similarity, forward)
    found = scan_to_mesh(place.apply(region), place.apply(points), fit, fit_points).similarity
    far = depth_errors(fit, Mesh(place.apply(truth.vertices), truth.faces), found, forward)
    shared, a, b = np.intersect1d(plain.vertices, far.vertices, return_indices=True)
    assert len(shared) > 0.98 * len(plain.vertices)
    np.testing.assert_allclose(plain.errors[a], far.errors[b], atol=0.05)


def test_depth_errors_leave_out_what_cannot_be_told(head, truth):
    forward = FORWARD
    gone = Mesh(truth.vertices + 15.5 * forward, truth.faces)
    flat = truth.vertices[:, 2] > 70
    assert not np.isin(
        np.flatnonzero(flat), depth_errors(truth, gone, Similarity.identity(), forward).vertices
    ).any()
    mask = np.zeros(len(truth.vertices), bool)
    mask[::3] = True
    found = depth_errors(truth, truth, Similarity.identity(), 5 * forward, crop=mask)
    assert mask[found.vertices].all()
    np.testing.assert_allclose(found.errors, 0, atol=1e-9)
    with pytest.raises(ValueError, match="mask"):
        depth_errors(truth, truth, Similarity.identity(), forward, crop=mask[1:])
    with pytest.raises(ValueError, match="forward"):
        depth_errors(truth, truth, Similarity.identity(), np.zeros(3))
    nowhere = depth_errors(truth, truth, Similarity.identity(), forward, crop=FaceCrop(np.full(3, 1e4), 1.0))
    assert len(nowhere.vertices) == len(nowhere.errors) == 0


def test_a_surface_shifts_along_z_as_its_displaced_vertices_say(head, truth, rng):
    forward = np.array([0.2, -0.1, -1.0])
    step = 0.02 * rng.standard_normal(3)
    moved_on = Mesh(truth.vertices + step, truth.faces)
    crop = now_crop(points_of(head, truth))
    found = depth_errors(truth, moved_on, Similarity.identity(), forward, crop=crop)
    shifts = depth_shifts(np.tile(step, (2, len(truth.vertices), 1)), truth, forward)
    np.testing.assert_array_equal(shifts[0], shifts[1])
    apart = shifts[0, found.vertices] - found.errors
    assert np.median(np.abs(apart)) < 0.2 * np.median(np.abs(found.errors))
    assert np.isnan(shifts[0, truth.vertices[:, 2] < -50]).all()  # the back of the head
    with pytest.raises(ValueError, match="displacements"):
        depth_shifts(np.zeros((4, 3)), truth, forward)


def test_depth_deviations_of_a_model_cover_its_own_people(head):
    """The chain by which coverage is told: errors of the mean's depths, and the model's own deviations."""
    mean = head.mesh()
    factors = head.identity.standard_deviations * head.identity.basis
    shifts = depth_shifts(factors.T.reshape(12, -1, 3), mean, FORWARD)
    deviations = np.sqrt((shifts**2).sum(axis=0))
    errors, spread = [], []
    for seed in range(60):
        person = Mesh(head.instance(identity=np.random.default_rng(seed).standard_normal(12)), head.faces)
        crop = now_crop(points_of(head, mean))
        found = depth_errors(mean, person, Similarity.identity(), FORWARD, crop=crop)
        errors.append(found.errors)
        spread.append(deviations[found.vertices])
    calibration = gaussian_calibration(np.concatenate(errors), np.concatenate(spread))
    assert calibration.coverage(0.5) == pytest.approx(0.5, abs=0.05)
    assert calibration.coverage(0.9) == pytest.approx(0.9, abs=0.04)
