"""Components brought up to date equal components of everything."""

import h5py
import numpy as np
import pytest

from morphkit.basis import fit_linear_model, fit_pca
from morphkit.basis.incremental import pca_of, update_pca


def samples(rng, n, d=400):
    return rng.standard_normal((n, 12)) * np.geomspace(9, 0.5, 12) @ rng.standard_normal((12, d)) + 20


def assert_same(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.mean, b.mean, atol=tolerance * 10)
    np.testing.assert_allclose(a.variances, b.variances, rtol=tolerance)
    np.testing.assert_allclose(a.components, b.components, atol=tolerance * 10)
    assert a.total_variance == pytest.approx(b.total_variance, rel=tolerance)
    assert a.noise_variance == pytest.approx(b.noise_variance, abs=tolerance * a.total_variance)
    assert a.n_samples == b.n_samples
    assert a.weight_sum == pytest.approx(b.weight_sum)
    assert a.weight_squares == pytest.approx(b.weight_squares)


@pytest.mark.parametrize("cuts", [(20,), (2, 3, 9), (39,)])
def test_with_every_component_it_equals_the_batch(rng, cuts):
    data = samples(rng, 40)
    batches = np.split(data, cuts)
    if len(batches[0]) < 2:
        batches = [np.concatenate(batches[:2]), *batches[2:]]
    pca = fit_pca(batches[0])
    for batch in batches[1:]:
        pca = update_pca(pca, batch, 12)
    assert_same(pca, fit_pca(data, 12))


def test_weighted_batches(rng):
    data, weights = samples(rng, 40), rng.uniform(0.2, 3, 40)
    first = fit_pca(data[:25], weights=weights[:25])
    assert_same(update_pca(first, data[25:], 12, weights=weights[25:]), fit_pca(data, 12, weights=weights))


def test_what_was_left_out_stays_in_the_noise(rng):
    data = samples(rng, 60) + 0.1 * rng.standard_normal((60, 400))
    pca = update_pca(fit_pca(data[:40], 15), data[40:], 12)
    batch = fit_pca(data, 12)
    np.testing.assert_allclose(pca.variances, batch.variances, rtol=1e-2)
    assert pca.total_variance == pytest.approx(batch.total_variance, rel=1e-9)
    assert pca.noise_variance == pytest.approx(batch.noise_variance, rel=0.05)
    np.testing.assert_allclose(pca.components.T @ pca.components, np.eye(12), atol=1e-9)


def test_one_new_sample_from_a_file(rng, tmp_path):
    data = samples(rng, 15).astype(np.float32)
    with h5py.File(tmp_path / "new.h5", "w") as file:
        pca = update_pca(fit_pca(data[:14]), file.create_dataset("x", data=data[14:]), 12)
    assert_same(pca, fit_pca(data, 12), 1e-4)


def test_components_without_length_still_have_a_mean(rng):
    data = np.repeat(rng.standard_normal((1, 30)), 6, axis=0)
    more = rng.standard_normal((4, 30))
    assert_same(update_pca(fit_pca(data), more, 3), fit_pca(np.concatenate([data, more]), 3))


def test_a_model_is_components(rng):
    shapes = samples(rng, 30).reshape(30, -1, 4)[..., :3].astype(np.float32)
    model = fit_linear_model(shapes[:20])
    updated = update_pca(pca_of(model, 20), shapes[20:], 12)
    assert_same(updated, fit_pca(shapes.reshape(30, -1), 12), 1e-4)


def test_as_many_components_as_before_unless_told(rng):
    pca = fit_pca(samples(rng, 20), 5)
    assert len(update_pca(pca, samples(rng, 9)).variances) == 5
    assert update_pca(pca, samples(rng, 9), 100).notes == (
        "14 components instead of 100: 29 samples span no more.",
    )
    assert len(update_pca(pca, samples(rng, 9), 0.5).variances) < 5


def test_broken_contracts_are_named(rng):
    pca = fit_pca(samples(rng, 5))
    with pytest.raises(ValueError, match="7 coordinates, the components 400"):
        update_pca(pca, np.zeros((3, 7)))
    with pytest.raises(ValueError, match="n_samples must be two"):
        pca_of(fit_linear_model(np.zeros((3, 5, 3))), 1)
