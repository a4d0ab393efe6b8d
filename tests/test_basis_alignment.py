"""Generalized Procrustes: poses go, shapes stay."""

import h5py
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.basis import align_shapes


def posed(rng, shape, scale=False):
    rotation = Rotation.random(rng=rng).as_matrix()
    factor = rng.uniform(0.5, 2) if scale else 1.0
    return factor * shape @ rotation.T + 300 * rng.standard_normal(3)


@pytest.fixture
def head(rng):
    return rng.standard_normal((80, 3)) * [60, 90, 70]


@pytest.mark.parametrize("scale", [False, True])
def test_posed_copies_become_one(rng, head, scale):
    alignment = align_shapes(np.stack([posed(rng, head, scale) for _ in range(6)]), head, scale=scale)
    assert alignment.converged
    assert np.ptp(alignment.shapes, axis=0).max() < 1e-6
    if not scale:
        np.testing.assert_allclose(alignment.mean, head, atol=1e-6)


def test_result_does_not_depend_on_the_poses(rng, head):
    heads = head + 4 * rng.standard_normal((7, 80, 3))
    a = align_shapes(heads, head)
    b = align_shapes(np.stack([posed(rng, h) for h in heads]), head)
    np.testing.assert_allclose(a.shapes, b.shapes, atol=1e-3)


def test_shapes_are_moved_rigidly_by_the_maps_told(rng, head):
    heads = np.stack([posed(rng, head + 4 * rng.standard_normal((80, 3))) for _ in range(5)])
    alignment = align_shapes(heads, head)
    for given, aligned, similarity in zip(heads, alignment.shapes, alignment.similarities, strict=True):
        np.testing.assert_allclose(similarity.apply(given), aligned, atol=1e-9)
        assert similarity.scale == 1.0
    np.testing.assert_allclose(alignment.shapes.mean(axis=0), alignment.mean, atol=1e-9)


def test_each_shape_is_at_its_best_and_the_mean_in_the_references_frame(rng, head):
    from morphkit.geometry.procrustes import fit_similarity

    heads = np.stack([posed(rng, head + 4 * rng.standard_normal((80, 3))) for _ in range(5)])
    alignment = align_shapes(heads, head, tolerance=1e-9)
    for shape in alignment.shapes:
        best = fit_similarity(shape, alignment.mean, scale=False)
        np.testing.assert_allclose(best.rotation, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(best.translation, 0, atol=1e-4)
    frame = fit_similarity(alignment.mean, head, scale=False)
    np.testing.assert_allclose(frame.rotation, np.eye(3), atol=1e-9)


def test_size_is_kept_on_average(rng, head):
    heads = np.stack([posed(rng, head, scale=True) for _ in range(6)])
    sizes = [np.linalg.norm(h - h.mean(0)) for h in heads]
    alignment = align_shapes(heads, head, scale=True)
    assert np.linalg.norm(alignment.mean - alignment.mean.mean(0)) == pytest.approx(np.mean(sizes), rel=1e-6)


def test_vertices_that_are_not_valid_do_not_steer(rng, head):
    heads = np.stack([posed(rng, head) for _ in range(5)])
    valid = np.ones((5, 80), bool)
    for i in range(5):
        wild = rng.choice(80, 25, replace=False)
        heads[i, wild] += 200 * rng.standard_normal((25, 3))
        valid[i, wild] = False
    alignment = align_shapes(heads, head, valid=valid)
    for shape, ok in zip(alignment.shapes, valid, strict=True):
        both = ok & valid[0]
        np.testing.assert_allclose(shape[both], alignment.shapes[0][both], atol=1e-4)


def test_weights_choose_what_is_aligned(rng, head):
    heads = np.stack(
        [
            posed(rng, np.where(np.arange(80)[:, None] < 40, head, head * rng.uniform(0.5, 2)))
            for _ in range(5)
        ]
    )
    weights = (np.arange(80) < 40).astype(float)
    alignment = align_shapes(heads, head, weights=weights)
    assert np.ptp(alignment.shapes[:, :40], axis=0).max() < 1e-6


def test_precision_of_the_input_is_kept_and_the_input_too(rng, head):
    heads = np.stack([posed(rng, head) for _ in range(3)]).astype(np.float32)
    copy = heads.copy()
    assert align_shapes(heads).shapes.dtype == np.float32
    np.testing.assert_array_equal(heads, copy)


def test_one_shape_is_brought_to_the_reference(rng, head):
    np.testing.assert_allclose(align_shapes(posed(rng, head)[None], head).shapes[0], head, atol=1e-9)


def test_stopping_early_is_told(rng, head):
    heads = np.stack([posed(rng, head + 9 * rng.standard_normal((80, 3))) for _ in range(5)])
    alignment = align_shapes(heads, max_iterations=1, tolerance=0.0)
    assert not alignment.converged
    assert alignment.iterations == 1


def test_too_little_to_align_is_named(rng, head):
    with pytest.raises(ValueError, match="shape 1 has fewer than three"):
        align_shapes(np.stack([head, head]), valid=np.stack([np.ones(80, bool), np.arange(80) < 2]))
    with pytest.raises(ValueError, match="at least one"):
        align_shapes(np.zeros((0, 80, 3)))


@pytest.mark.parametrize("settings", [{}, {"scale": True}, {"robust": "tukey"}])
def test_streaming_from_a_file_gives_the_same(rng, head, tmp_path, settings):
    heads = np.stack([posed(rng, head + 4 * rng.standard_normal((80, 3))) for _ in range(9)]).astype(
        np.float32
    )
    valid = rng.uniform(size=(9, 80)) < 0.9
    with h5py.File(tmp_path / "heads.h5", "w") as file:
        given = file.create_dataset("shapes", data=heads)
        seen = file.create_dataset("valid", data=valid)
        streamed = align_shapes(given, head, valid=seen, output=file, **settings)
        plain = align_shapes(heads, head, valid=valid, **settings)
        assert streamed.shapes.name == "/aligned_shapes"
        assert streamed.shapes.dtype == np.float32
        np.testing.assert_array_equal(streamed.shapes[:], plain.shapes)
        np.testing.assert_array_equal(given[:], heads)
        align_shapes(given, head, output=file)  # a second run replaces the first
        with pytest.raises(ValueError, match="output"):
            align_shapes(given, head)


def test_small_chunks_change_nothing(rng, head, monkeypatch):
    heads = np.stack([posed(rng, head + 4 * rng.standard_normal((80, 3))) for _ in range(7)])
    whole = align_shapes(heads, head, robust="huber", robust_over="scans")
    monkeypatch.setattr("morphkit.basis.poses._CHUNK", 500)
    np.testing.assert_allclose(
        align_shapes(heads, head, robust="huber", robust_over="scans").shapes, whole.shapes, atol=1e-9
    )


@pytest.mark.parametrize("kernel", ["huber", "tukey"])
def test_a_vertex_gone_wrong_does_not_turn_its_head(rng, head, kernel):
    heads = np.stack([head + rng.standard_normal((80, 3)) for _ in range(8)])
    spoiled = heads.copy()
    spoiled[3, :12] += [60.0, 40.0, 0.0]
    errors = {}
    for robust in (None, kernel):
        right = align_shapes(heads, head, robust=robust).shapes
        errors[robust] = np.abs((align_shapes(spoiled, head, robust=robust).shapes - right)[3, 12:]).max()
    assert errors[kernel] < 0.2 * errors[None]
    if kernel == "tukey":
        assert errors[kernel] < 0.3


def test_a_scan_gone_wrong_counts_less_in_the_mean_and_stands_out(rng, head):
    heads = np.stack([posed(rng, head + rng.standard_normal((80, 3))) for _ in range(9)])
    spoiled = heads.copy()
    spoiled[4] += 25 * rng.standard_normal((80, 3))
    clean = align_shapes(np.delete(heads, 4, axis=0), head)
    judged = align_shapes(spoiled, head, robust="tukey", robust_over="scans")
    assert judged.scan_weights[4] == 0
    assert judged.scan_weights.sum() > 7
    assert judged.residuals.argmax() == 4
    plain = align_shapes(spoiled, head)
    np.testing.assert_array_equal(plain.scan_weights, 1)
    rest = np.delete(np.arange(9), 4)
    offsets = [np.linalg.norm(a.shapes[rest] - clean.shapes, axis=2).mean() for a in (judged, plain)]
    assert offsets[0] < offsets[1]
    np.testing.assert_allclose(
        plain.residuals, np.sqrt(((plain.shapes - plain.mean) ** 2).sum(axis=2).mean(axis=1)), rtol=1e-3
    )


def test_scan_weights_count_like_copies(rng, head):
    heads = head + 4 * rng.standard_normal((4, 80, 3))
    weighted = align_shapes(heads, head, scan_weights=np.array([3.0, 1, 1, 0]), tolerance=1e-10)
    copies = align_shapes(heads[[0, 0, 0, 1, 2]], head, tolerance=1e-10)
    np.testing.assert_allclose(weighted.mean, copies.mean, atol=1e-6)
    np.testing.assert_allclose(weighted.shapes[:3], copies.shapes[[0, 3, 4]], atol=1e-6)
    for bad in (np.zeros(4), np.array([1.0, 1, 1, -1])):
        with pytest.raises(ValueError, match="scan_weights"):
            align_shapes(heads, head, scan_weights=bad)
