"""Scans that do not belong are reported, each with its reason; the others are left alone."""

import h5py
import numpy as np
import pytest

from morphkit.basis import align_shapes
from morphkit.basis.holdout import folds, inner_products, span_model
from morphkit.basis.outliers import find_outliers

V, MODES = 300, 12


@pytest.fixture
def faces_of(rng):
    """Return a function that draws faces: smooth modes over a head-sized blob, and a little noise."""
    places = rng.standard_normal((V, 3)) * [60, 90, 50] + [0, 0, 20 * np.sign(rng.standard_normal())]
    waves = np.sin(places @ rng.standard_normal((3, MODES)) / 60 + rng.uniform(0, 6, MODES))
    directions = rng.standard_normal((MODES, 3))
    modes = waves[:, :, None] * directions * np.linspace(3, 0.5, MODES)[:, None]

    def draw(n, seed):
        local = np.random.default_rng(seed)
        shapes = places + np.einsum("nk,vkd->nvd", local.standard_normal((n, MODES)), modes)
        return (shapes + 0.15 * local.standard_normal(shapes.shape)).astype(np.float32)

    return draw


def report(shapes, **settings):
    return find_outliers(align_shapes(shapes).shapes, **settings)


@pytest.mark.parametrize(("n", "sets"), [(6, 30), (7, 30), (9, 30), (14, 30), (30, 20), (400, 2)])
def test_clean_sets_name_less_than_a_tenth_of_a_scan(faces_of, n, sets):
    named = [len(report(faces_of(n, seed))) for seed in range(sets)]
    assert sum(named) < 0.1 * sets


def test_ten_thousand_clean_scans_are_left_alone(faces_of):
    assert find_outliers(faces_of(10_000, 3)[:, :100]) == ()


def test_one_strong_mode_in_much_noise_is_no_outliers_doing(rng):
    # distances from the mean hardly vary, but for one direction: the far tail is long for their spread
    mode, n = rng.standard_normal((V, 3)), 3000
    shapes = 50 * rng.standard_normal((V, 3)) + 0.5 * rng.standard_normal((n, 1, 1)) * mode
    noisy = (shapes + 2 * rng.standard_normal((n, V, 3))).astype(np.float32)
    assert find_outliers(noisy) == ()


@pytest.mark.parametrize("spoil", ["size", "side", "place"])
def test_a_gross_outlier_among_seven_is_found_and_no_other(faces_of, spoil):
    for seed in range(10):
        shapes = faces_of(7, seed)
        near = np.argsort(np.linalg.norm(shapes[4] - shapes[4][5], axis=1))[: V // 5]
        if spoil == "size":
            shapes[4] *= 1.6
        elif spoil == "side":
            shapes[4] *= [-1, 1, 1]
        else:
            shapes[4, near] += [0, 0, 60]
        assert [outlier.index for outlier in report(shapes)] == [4]


def test_planted_outliers_are_found_and_explained(faces_of, rng):
    shapes = faces_of(24, 1)
    shapes[3] *= 1.6
    shapes[7] *= [-1, 1, 1]
    patch = np.argsort(np.linalg.norm(shapes[0] - shapes[0][5], axis=1))[:15]
    shapes[12, patch] = shapes[12, rng.permutation(patch)] + [0, 15, 0]
    found = report(shapes)
    assert {outlier.index for outlier in found} == {3, 7, 12}
    assert [o.score for o in found] == sorted((o.score for o in found), reverse=True)
    reasons = {outlier.index: outlier.reason for outlier in found}
    assert "size" in reasons[3]
    assert "mm from the mean" in reasons[7]
    assert "size" not in reasons[7]
    assert "in part" in reasons[12].lower()
    assert "proportions" not in reasons[12]
    assert all(reason.endswith(".") and reason.count("\n") == 0 for reason in reasons.values())


def test_two_of_a_kind_do_not_vouch_for_each_other(faces_of):
    shapes = faces_of(20, 2)
    shapes[[4, 11]] *= [-1, 1, 1]
    assert {outlier.index for outlier in report(shapes)} == {4, 11}


def test_correspondence_that_has_slipped_shows_in_the_edges(faces_of):
    shapes = faces_of(24, 8)
    near = np.argsort(np.linalg.norm(shapes[0][:, None] - shapes[0], axis=2), axis=1)[:, 1:3]
    triangles = np.column_stack([np.arange(V), near]).astype(np.int32)
    slipped = shapes[5].copy()
    slipped[:60] = shapes[5][near[:60, 0]]  # every vertex where its neighbour belongs
    assert find_outliers(shapes, faces=triangles) == ()
    shapes[5] = slipped
    (found,) = find_outliers(shapes, faces=triangles)
    assert found.index == 5
    assert "edges" in found.reason


def test_a_mask_leaves_the_rest_unjudged(faces_of):
    shapes = faces_of(20, 3)
    shapes[9, :20] += 80.0
    assert [o.index for o in find_outliers(shapes)] == [9]
    assert find_outliers(shapes, mask=np.arange(V) >= 20) == ()


def test_large_sets_and_files_are_judged_in_groups(faces_of, tmp_path, monkeypatch):
    shapes = faces_of(90, 4)
    shapes[41] *= 1.4
    assert [o.index for o in find_outliers(shapes)] == [41]
    monkeypatch.setattr("morphkit.basis.outliers._POOL", 40)
    with h5py.File(tmp_path / "shapes.h5", "w") as file:
        stored = find_outliers(file.create_dataset("shapes", data=shapes))
    assert stored == find_outliers(shapes)
    assert [o.index for o in stored] == [41]


def test_few_scans_cannot_be_judged(faces_of):
    shapes = faces_of(5, 5)
    shapes[0] *= 3
    assert find_outliers(shapes) == ()


def test_copies_of_one_scan_are_all_alike_and_another_is_not(faces_of):
    same, other = faces_of(2, 6)
    assert report(np.stack([same] * 7)) == ()
    copies = np.stack([same] * 7)
    copies[4] = other
    assert [outlier.index for outlier in find_outliers(copies)] == [4]
    assert [outlier.index for outlier in report(copies)] == [4]


def test_a_little_more_noise_than_the_others_is_no_outliers_doing(faces_of, rng, monkeypatch):
    shapes = faces_of(40, 7)
    shapes[4] += 0.4 * rng.standard_normal(shapes[4].shape)  # where people differ by some millimetres
    assert find_outliers(shapes) == ()
    monkeypatch.setattr("morphkit.basis.outliers._SLIGHT", 0.0)
    assert [outlier.index for outlier in find_outliers(shapes)] == [4]


def test_a_weak_mode_beside_a_strong_one_is_no_outliers_doing(rng, monkeypatch):
    n, (strong, weak) = 24, rng.standard_normal((2, V, 3))
    weights = rng.standard_normal((n, 2)) * [10.0, 0.1]
    weights[4, 1] = 1.5
    shapes = 50 * rng.standard_normal((V, 3)) + np.einsum("nk,kvd->nvd", weights, [strong, weak])
    shapes = (shapes + 0.01 * rng.standard_normal(shapes.shape)).astype(np.float32)
    assert find_outliers(shapes) == ()
    monkeypatch.setattr("morphkit.basis.outliers._WEAK", 0.0)
    assert [outlier.index for outlier in find_outliers(shapes)] == [4]


def test_models_through_inner_products_are_the_models(rng):
    data = rng.standard_normal((8, 40)) + 5
    others = rng.standard_normal((3, 40)) + 5
    model = span_model(inner_products(data, data))
    mean = data.mean(axis=0)
    _, singular, right = np.linalg.svd(data - mean, full_matrices=False)
    np.testing.assert_allclose(model.roots, singular[:7], rtol=1e-9)
    coordinates = model.coordinates(inner_products(others, data))
    np.testing.assert_allclose(np.abs(coordinates), np.abs((others - mean) @ right[:7].T), atol=1e-9)
    blended = model.blend(coordinates, 4) @ data
    np.testing.assert_allclose(blended, mean + (others - mean) @ right[:4].T @ right[:4], atol=1e-9)


def test_folds_share_everybody_out(rng):
    parts = folds(11, 3, rng)
    assert sorted(np.concatenate(parts).tolist()) == list(range(11))
    assert {len(part) for part in parts} <= {2, 3}
