"""Components of data with gaps."""

import tracemalloc

import h5py
import numpy as np
import pytest

from morphkit.basis import fit_pca, fit_pca_with_missing


def make_data(rng, n=80, vertices=150, noise=0.05):
    axes = np.linalg.qr(rng.standard_normal((3 * vertices, 4)))[0]
    deviations = np.array([9.0, 6.0, 4.0, 2.5])
    data = (rng.standard_normal((n, 4)) * deviations) @ axes.T + noise * rng.standard_normal(
        (n, 3 * vertices)
    )
    return data + rng.uniform(-1, 1, 3 * vertices), axes


def with_gaps(rng, data, share, vertices):
    gaps = rng.random((len(data), vertices)) < share
    return np.where(np.repeat(gaps, 3, axis=1), np.nan, data)


def test_without_gaps_it_is_plain_pca(rng):
    data, _ = make_data(rng)
    fit = fit_pca_with_missing(data, 4)
    plain = fit_pca(data, 4)
    assert fit.iterations == 0
    np.testing.assert_array_equal(fit.pca.components, plain.components)


def test_one_gap_hardly_changes_plain_pca(rng):
    data, _ = make_data(rng)
    plain = fit_pca(data, 4)
    holed = data.copy()
    holed[3, :3] = np.nan
    fit = fit_pca_with_missing(holed, 4, tolerance=1e-9, max_iterations=500)
    np.testing.assert_allclose(fit.pca.variances, plain.variances, rtol=1e-2)
    np.testing.assert_allclose(fit.pca.components, plain.components, atol=2e-3)
    assert fit.pca.noise_variance == pytest.approx(plain.noise_variance, rel=0.02)


def test_the_truth_is_found_through_a_third_missing(rng):
    data, axes = make_data(rng)
    fit = fit_pca_with_missing(with_gaps(rng, data, 0.33, 150), 4)
    assert fit.converged
    complete = fit_pca(data, 4)
    np.testing.assert_allclose(fit.pca.variances, complete.variances, rtol=0.05)
    np.testing.assert_allclose(np.abs(np.sum(fit.pca.components * complete.components, axis=0)), 1, atol=2e-3)
    assert fit.pca.noise_variance == pytest.approx(0.05**2, rel=0.15)
    assert np.linalg.svd(axes.T @ fit.pca.components)[1].min() > 0.997


def test_gaps_that_depend_on_the_data_do_not_bias_the_mean(rng):
    """Where only large samples show a coordinate, their other coordinates tell how large it is on average."""
    scores = rng.standard_normal(400)
    data = np.outer(scores, np.ones(12)) + 5 + 0.05 * rng.standard_normal((400, 12))
    data[scores < 0.3, 0] = np.nan
    fit = fit_pca_with_missing(data, 1, tolerance=1e-6, max_iterations=300)
    assert np.nanmean(data[:, 0]) > 5.9
    assert fit.pca.mean[0] == pytest.approx(5 + scores.mean(), abs=0.05)
    loading = fit.pca.components[:, 0]
    assert abs(loading[0]) == pytest.approx(np.abs(loading[1:]).mean(), rel=0.05)


def test_what_nobody_saw_is_told(rng):
    data, _ = make_data(rng, n=20)
    data[:, 6:9] = np.nan
    fit = fit_pca_with_missing(data, 3)
    np.testing.assert_array_equal(np.flatnonzero(~fit.observed), [6, 7, 8])
    np.testing.assert_array_equal(fit.pca.components[6:9], 0)
    assert np.isfinite(fit.pca.components).all()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_samples_and_all_components_stay_finite_and_small(rng, n):
    data, _ = make_data(rng, n=n)
    fit = fit_pca_with_missing(with_gaps(rng, data, 0.4, 150), 40)
    assert fit.pca.components.shape[1] <= n - 1
    assert np.isfinite(fit.pca.components).all()
    np.testing.assert_allclose(
        fit.pca.components.T @ fit.pca.components, np.eye(fit.pca.components.shape[1]), atol=1e-9
    )
    assert fit.pca.variances[0] < 3 * data.var(axis=0).sum() * n / (n - 1)


def test_deterministic(rng):
    data, _ = make_data(rng, n=15)
    holed = with_gaps(rng, data, 0.2, 150)
    a, b = fit_pca_with_missing(holed, 4), fit_pca_with_missing(holed.copy(), 4)
    np.testing.assert_array_equal(a.pca.components, b.pca.components)


def test_broken_contracts_are_named():
    with pytest.raises(ValueError, match="infinite"):
        fit_pca_with_missing(np.full((3, 4), np.inf))
    with pytest.raises(ValueError, match="1 samples"):
        fit_pca_with_missing(np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match="valid has shape"):
        fit_pca_with_missing(np.zeros((3, 6)), valid=np.ones((3, 4), bool))


def test_a_mask_of_vertices_is_the_same_as_nan(rng, tmp_path):
    data, _ = make_data(rng, n=30)
    valid = rng.random((30, 150)) < 0.8
    holed = np.where(np.repeat(valid, 3, axis=1), data, np.nan)
    marked = fit_pca_with_missing(holed, 4)
    wild = np.where(np.repeat(valid, 3, axis=1), data, 1e3).reshape(30, 150, 3)
    masked = fit_pca_with_missing(wild, 4, valid=valid)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["shapes"], file["valid"] = wild, valid
        stored = fit_pca_with_missing(file["shapes"], 4, valid=file["valid"])
    for fit in (masked, stored):
        np.testing.assert_array_equal(fit.pca.components, marked.pca.components)
        np.testing.assert_array_equal(fit.pca.mean, marked.pca.mean)


def test_weights_are_repetitions(rng):
    data, _ = make_data(rng, n=20)
    holed = with_gaps(rng, data, 0.2, 150)
    counts = rng.integers(1, 4, 20)
    weighted = fit_pca_with_missing(holed, 4, weights=counts.astype(float))
    repeated = fit_pca_with_missing(np.repeat(holed, counts, axis=0), 4)
    # not to the last digit: the prior on the loadings counts as so many samples
    np.testing.assert_allclose(weighted.pca.mean, repeated.pca.mean, atol=5e-3)
    scale = weighted.pca.unbias / repeated.pca.unbias
    np.testing.assert_allclose(weighted.pca.variances, repeated.pca.variances * scale, rtol=0.02)
    overlap = np.sum(weighted.pca.components * repeated.pca.components, axis=0)
    np.testing.assert_allclose(overlap, 1, atol=1e-3)


def test_memory_is_that_of_the_loadings_and_the_equations(rng):
    """80 MB of data in float64; nothing of their size is made."""
    n, v, k = 100, 33_000, 8
    scores, modes = rng.standard_normal((n, k)), rng.standard_normal((k, 3 * v))
    data = scores @ modes + 0.1 * rng.standard_normal((n, 3 * v))
    valid = np.ones((n, v), bool)
    valid[rng.integers(0, n, v // 10), np.arange(v // 10)] = False
    tracemalloc.start()
    fit = fit_pca_with_missing(data, k, valid=valid, max_iterations=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * data.nbytes
    axes = np.linalg.qr(modes.T)[0]
    assert np.linalg.svd(axes.T @ fit.pca.components, compute_uv=False).min() > 0.999
