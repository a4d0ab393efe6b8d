"""Principal components against float64 references, and by their laws."""

import dataclasses
import os
import pickle
import subprocess
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morphkit.basis import fit_pca
from morphkit.basis.samples import StoredSamples
from morphkit.errors import BadInputError


def prescribed(rng, n, d, spectrum):
    """Return n samples whose sample covariance has exactly these leading eigenvalues, and the axes."""
    k = len(spectrum)
    scores = rng.standard_normal((n, k))
    scores = np.linalg.qr(scores - scores.mean(0))[0] * np.sqrt(n - 1)
    axes = np.linalg.qr(rng.standard_normal((d, k)))[0]
    return (scores * np.sqrt(spectrum)) @ axes.T + rng.standard_normal(d) * 10, axes


def angle(a, b):
    """Return the largest angle between two subspaces."""
    return np.arccos(np.clip(np.linalg.svd(a.T @ b, compute_uv=False).min(), -1, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_svd_in_float64(rng, dtype):
    data = (
        rng.standard_normal((30, 30)) * np.geomspace(10, 0.1, 30) @ rng.standard_normal((30, 2000)) + 100
    ).astype(dtype)
    pca = fit_pca(data, 12)
    exact = data.astype(np.float64)
    _, singular, right = np.linalg.svd(exact - exact.mean(0), full_matrices=False)
    variances = singular**2 / 29
    precise = dtype == np.float64
    np.testing.assert_allclose(pca.variances, variances[:12], rtol=1e-9 if precise else 1e-6)
    np.testing.assert_allclose(pca.mean, exact.mean(0), rtol=1e-12 if precise else 1e-7)
    assert pca.total_variance == pytest.approx(variances.sum(), rel=1e-10 if precise else 1e-6)
    tolerance = 1e-6 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(np.abs(np.sum(pca.components * right[:12].T, axis=0)), 1, atol=tolerance)
    np.testing.assert_allclose(pca.components.T @ pca.components, np.eye(12), atol=tolerance)
    assert pca.components.dtype == dtype
    assert pca.components.flags.f_contiguous


def test_finds_a_prescribed_spectrum(rng):
    spectrum = np.array([400.0, 100.0, 25.0, 1.0, 0.01])
    data, axes = prescribed(rng, 40, 900, spectrum)
    pca = fit_pca(data)
    np.testing.assert_allclose(pca.variances, spectrum, rtol=1e-9)
    assert angle(pca.components, axes) < 1e-6
    assert pca.noise_variance == pytest.approx(0, abs=1e-12)


def test_noise_variance_of_many_coordinates_is_not_overestimated():
    rng = np.random.default_rng(5)
    n, d, q = 60, 3000, 4
    axes = np.linalg.qr(rng.standard_normal((d, q)))[0]
    data = (rng.standard_normal((n, q)) * [60, 45, 30, 25]) @ axes.T + 0.5 * rng.standard_normal((n, d))
    pca = fit_pca(data, q)
    # the samples' own components swallow q of the n - 1 directions: (n - 1 - q) / (n - 1) of .25 is left
    assert pca.noise_variance == pytest.approx(0.25 * (n - 1 - q) / (n - 1), rel=0.01)
    assert pca.noise_variance > 0.22


def test_total_variance_is_what_is_kept_and_noise(rng):
    pca = fit_pca(rng.standard_normal((20, 300)), 6)
    assert pca.variances.sum() + pca.noise_variance * (300 - 6) == pytest.approx(pca.total_variance)


def test_share_of_variance(rng):
    data, _ = prescribed(rng, 30, 200, np.array([90.0, 9.0, 0.9, 0.1]))
    assert [len(fit_pca(data, share).variances) for share in (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)] == [
        1,
        1,
        2,
        2,
        3,
        4,
    ]


def test_more_components_than_samples_span_is_noted(rng):
    pca = fit_pca(rng.standard_normal((5, 50)), 80)
    assert len(pca.variances) == 4
    assert pca.notes == ("4 components instead of 80: 5 samples span no more.",)
    assert fit_pca(rng.standard_normal((5, 50)), 4).notes == ()


def test_equal_samples_have_no_components():
    pca = fit_pca(np.ones((4, 30)), 2)
    assert pca.components.shape == (30, 0)
    assert pca.noise_variance == pca.total_variance == 0
    assert fit_pca(np.ones((4, 30)), 0.9).components.shape == (30, 0)


def test_fewer_coordinates_than_samples(rng):
    data = rng.standard_normal((50, 6))
    pca = fit_pca(data)
    np.testing.assert_allclose(pca.variances, np.linalg.eigvalsh(np.cov(data.T))[::-1], rtol=1e-9)
    assert pca.noise_variance == 0


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_neither_order_nor_precision_turn_signs(seed):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((12, 4)) * [8, 5, 3, 2] @ rng.standard_normal((4, 300))
    a = fit_pca(data, 3)
    b = fit_pca(data[rng.permutation(12)].astype(np.float32), 3)
    np.testing.assert_allclose(a.components, b.components, atol=1e-4)


def test_antisymmetric_components_keep_their_sign_under_noise(rng):
    half = rng.standard_normal(150)
    mode = np.r_[half, -half]  # its largest entries are a tie of opposite signs
    scores = rng.standard_normal(20)
    first = fit_pca(np.outer(scores, mode), 1).components
    for _ in range(20):
        noisy = np.outer(scores, mode) + 1e-3 * rng.standard_normal((20, 300))
        assert fit_pca(noisy, 1).components[:, 0] @ first[:, 0] > 0.99


def test_threads_change_nothing():
    code = (
        "import hashlib, numpy as np; from morphkit.basis import fit_pca; r = np.random.default_rng(1);"
        "p = fit_pca(r.standard_normal((600, 9000)).astype(np.float32), 20);"
        "print(hashlib.sha256(p.components.tobytes() + p.variances.tobytes()).hexdigest())"
    )
    outputs = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": threads}
        outputs.add(
            subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, check=True
            ).stdout
        )
    assert len(outputs) == 1


def test_weights_are_repetitions(rng):
    data = rng.standard_normal((8, 100))
    counts = np.array([1, 2, 3, 1, 1, 2, 4, 1])
    weighted = fit_pca(data, 5, weights=counts.astype(float))
    repeated = fit_pca(np.repeat(data, counts, axis=0), 5)
    np.testing.assert_allclose(weighted.mean, repeated.mean, atol=1e-12)
    np.testing.assert_allclose(
        np.abs(np.sum(weighted.components * repeated.components, axis=0)), 1, atol=1e-9
    )
    np.testing.assert_allclose(
        weighted.variances / weighted.variances[0], repeated.variances / repeated.variances[0], rtol=1e-9
    )


@pytest.mark.parametrize("options", [{}, {"centered": False}, {"method": "randomized"}])
def test_input_is_not_mutated(rng, options):
    data = rng.standard_normal((10, 50))
    copy = data.copy()
    fit_pca(data, 3, **options)
    np.testing.assert_array_equal(data, copy)


def faces(rng, n=300, d=3000):
    """Return float32 samples that look like faces: decaying modes and a little noise about a large mean."""
    deviations = 40 * np.arange(1, 41) ** -0.8
    data = (rng.standard_normal((n, 40)) * deviations) @ rng.standard_normal((40, d)) / np.sqrt(d)
    return (data + 0.03 * rng.standard_normal((n, d)) + 60 * rng.standard_normal(d)).astype(np.float32)


def test_small_components_of_float32_data_are_as_good_as_large_ones(rng):
    data = faces(rng)
    pca = fit_pca(data, 80)  # the last forty are noise, 10^-5 of the first variance
    centered = data.astype(np.float64) - data.mean(0, dtype=np.float64)
    _, singular, right = np.linalg.svd(centered, full_matrices=False)
    variances = singular**2 / 299
    np.testing.assert_allclose(pca.variances, variances[:80], rtol=2e-5)  # 1.2e-5 with another BLAS
    np.testing.assert_allclose(pca.components.T @ pca.components, np.eye(80), atol=1e-6)
    outside = right[:40] - right[:40] @ pca.components[:, :40] @ pca.components[:, :40].T
    assert np.linalg.svd(outside, compute_uv=False).max() < 1e-5
    assert pca.noise_variance == pytest.approx(variances[80:].sum() / (3000 - 80), rel=1e-3)


def test_randomized_is_honest_about_the_tail(rng):
    data = faces(rng)
    exact, other = fit_pca(data, 60), fit_pca(data, 60, method="randomized")
    np.testing.assert_allclose(other.variances, exact.variances, rtol=1e-3)
    assert angle(exact.components[:, :40], other.components[:, :40]) < 1e-3
    assert other.noise_variance == pytest.approx(exact.noise_variance, rel=1e-3)
    np.testing.assert_allclose(other.components.T @ other.components, np.eye(60), atol=1e-6)


def test_randomized_of_all_is_exact(rng):
    data = rng.standard_normal((12, 40))
    exact, other = fit_pca(data), fit_pca(data, method="randomized")
    np.testing.assert_allclose(other.variances, exact.variances, rtol=1e-9)
    np.testing.assert_allclose(other.components, exact.components, atol=1e-9)
    assert other.notes == ()


@pytest.mark.parametrize("layout", [None, (7, 512), (50, 4, 3)])
@pytest.mark.parametrize("options", [{}, {"method": "randomized"}, {"components": 0.9}])
def test_a_file_gives_what_an_array_gives(rng, tmp_path, layout, options):
    data = faces(rng, 50, 21_000)
    shape = (50, 7000, 3) if layout is None or len(layout) == 3 else data.shape
    options = {"components": 20, "weights": rng.uniform(0.5, 2, 50)} | options
    with h5py.File(tmp_path / "scans.h5", "w") as file:
        dataset = file.create_dataset("x", data=data.reshape(shape), chunks=layout)
        stored = fit_pca(dataset, **options)
    plain = fit_pca(data.reshape(shape), **options)
    np.testing.assert_allclose(stored.components, plain.components, atol=1e-5)
    np.testing.assert_allclose(stored.variances, plain.variances, rtol=1e-5)
    np.testing.assert_allclose(stored.mean, plain.mean, atol=1e-5)


def test_plain_numbers_are_found_behind_a_user_block_and_before_they_are_on_disk(rng, tmp_path):
    data = faces(rng, 20, 900)
    with h5py.File(tmp_path / "scans.h5", "w", userblock_size=1024) as file:
        file.create_dataset("first", data=np.zeros(77, np.int8))
        dataset = file.create_dataset("x", data.shape, np.float32)
        dataset[:] = data
        stored = StoredSamples.of(dataset)
        assert (stored.offset is None) == (not hasattr(os, "preadv"))
        np.testing.assert_array_equal(stored.columns(slice(7, 500)), data[:, 7:500])
        for other in (
            file.create_dataset("double", data=data.astype(np.float64)),
            file.create_dataset("swapped", data=data.astype(">f4")),
            file.create_dataset("packed", data=data, compression="gzip"),
            file.create_dataset("empty", data.shape, np.float32),
        ):
            read = StoredSamples.of(other)
            np.testing.assert_array_equal(read.columns(slice(3, 99)), other[:, 3:99])
            assert read.offset is None or other.dtype == np.float64
        (tmp_path / "short.h5").write_bytes((tmp_path / "scans.h5").read_bytes()[:4000])
        short = dataclasses.replace(stored, path=tmp_path / "short.h5")
        with pytest.raises(BadInputError, match="short"):
            short.columns(slice(0, 900))


def test_samples_need_little_memory(tmp_path):
    """The file is 120 MB; what is allocated does not grow with it."""
    with h5py.File(tmp_path / "scans.h5", "w") as file:
        dataset = file.create_dataset("x", (500, 60_000), np.float32)
        for start in range(0, 500, 100):
            values = np.random.default_rng(start).standard_normal((100, 1000), np.float32)
            dataset[start : start + 100] = np.tile(values, 60)
        tracemalloc.start()
        fit_pca(dataset, 10)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40e6


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("layout", [None, (20, 1000)])
def test_parts_made_elsewhere_give_the_same_bytes(rng, tmp_path, mode, layout):
    data = faces(rng, 60, 40_000)

    def elsewhere(function, parts):
        """Pickle all there is, and make the parts in another order."""
        parts = list(parts)
        results = {i: pickle.loads(pickle.dumps(function))(parts[i]) for i in reversed(range(len(parts)))}  # noqa: S301
        return [results[i] for i in range(len(parts))]

    with h5py.File(tmp_path / "scans.h5", "w") as file:
        file.create_dataset("x", data=data, chunks=layout)
    with h5py.File(tmp_path / "scans.h5", mode) as file:
        here, there = fit_pca(file["x"], 10), fit_pca(file["x"], 10, mapper=elsewhere)
    np.testing.assert_array_equal(here.components, there.components)
    np.testing.assert_array_equal(here.variances, there.variances)


def test_uncentred_components_are_of_mean_squares(rng):
    data = rng.standard_normal((20, 200)) + 3
    pca = fit_pca(data, 4, centered=False)
    _, singular, right = np.linalg.svd(data, full_matrices=False)
    np.testing.assert_allclose(pca.variances, singular[:4] ** 2 / 20, rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(pca.components * right[:4].T, axis=0)), 1, atol=1e-9)
    np.testing.assert_array_equal(pca.mean, 0)


@pytest.mark.parametrize(
    ("data", "keywords", "message"),
    [
        (np.zeros((1, 5)), {}, "1 samples"),
        (np.full((3, 5), np.nan), {}, "not finite"),
        (np.zeros((3, 5)), {"components": -1}, "negative"),
        (np.zeros((3, 5)), {"components": 1.5}, "share"),
        (np.zeros((3, 5)), {"method": "guess"}, "exact, randomized"),
        (np.zeros((3, 5)), {"method": "randomized", "components": 0.5}, "needs all variances"),
        (np.full((3, 5), np.inf), {"method": "randomized", "components": 2}, "not finite"),
        (np.zeros((3, 5)), {"weights": np.array([1.0, 0.0, 0.0])}, "weights"),
        (np.zeros((3, 5)), {"weights": np.array([1.0, -1.0, 1.0])}, "weights"),
    ],
)
def test_broken_contracts_are_named(data, keywords, message):
    with pytest.raises(ValueError, match=message):
        fit_pca(data, **keywords)
