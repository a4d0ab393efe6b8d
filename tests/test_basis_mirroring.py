"""Left-right symmetric statistics."""

import h5py
import numpy as np
import pytest

from morphkit.basis import fit_pca
from morphkit.basis.mirroring import fit_mirrored, mirror_image, mirror_images, symmetric

V = 60
MIRROR = np.r_[np.arange(20, 40), np.arange(20), np.arange(40, 60)]  # forty in pairs, twenty on the plane


def shapes(rng, n=15, dtype=np.float64):
    spread = np.geomspace(9, 0.5, 10)
    data = (rng.standard_normal((n, 10)) * spread) @ rng.standard_normal((10, 3 * V)) + 20
    return data.reshape(n, V, 3).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flip", [True, False])
def test_mean_and_modes_are_exactly_symmetric_or_antisymmetric(rng, dtype, flip):
    pca = fit_mirrored(shapes(rng, dtype=dtype), MIRROR, 12, flip=flip)
    mean = pca.mean.reshape(-1, 3)
    np.testing.assert_array_equal(mirror_image(mean, MIRROR, flip), mean)
    modes = pca.components.T.reshape(-1, V, 3)
    images = mirror_image(modes, MIRROR, flip)
    even = [np.array_equal(image, mode) for image, mode in zip(images, modes, strict=True)]
    odd = [np.array_equal(image, -mode) for image, mode in zip(images, modes, strict=True)]
    assert all(np.logical_xor(even, odd))
    assert any(even)
    assert any(odd)
    np.testing.assert_allclose(pca.components.T @ pca.components, np.eye(12), atol=1e-6)
    assert (np.diff(pca.variances) <= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_statistics_of_shapes_and_mirror_images(rng, weighted):
    data = shapes(rng)
    weights = rng.uniform(0.5, 2, len(data)) if weighted else None
    pca = fit_mirrored(data, MIRROR, weights=weights)
    both = np.concatenate([data, mirror_image(data, MIRROR, True)])
    plain = fit_pca(both, weights=None if weights is None else np.tile(weights, 2))
    np.testing.assert_allclose(pca.mean, plain.mean, atol=1e-9)
    # the mean is estimated for the symmetric parts alone: they have their own n / (n - 1)
    images = mirror_image(pca.components.T.reshape(-1, V, 3), MIRROR, True).reshape(-1, 3 * V)
    unbias = np.where(np.sum(images * pca.components.T, axis=1) > 0, pca.unbias, 1.0)
    scatter = (pca.components * (pca.variances / unbias)) @ pca.components.T
    reference = (plain.components * (plain.variances / plain.unbias)) @ plain.components.T
    np.testing.assert_allclose(scatter, reference, atol=1e-8)


def test_symmetric_shapes_have_no_antisymmetric_modes(rng):
    data = np.stack([symmetric(shape, MIRROR) for shape in shapes(rng)])
    pca, plain = fit_mirrored(data, MIRROR, 20), fit_pca(data, 20)
    np.testing.assert_allclose(pca.components, plain.components, atol=1e-7)
    np.testing.assert_allclose(pca.variances, plain.variances, rtol=1e-9)
    assert pca.notes == plain.notes


def test_share_of_variance_and_what_is_left(rng):
    data = shapes(rng) + 0.1 * rng.standard_normal((15, V, 3))
    everything = fit_mirrored(data, MIRROR)
    share = np.cumsum(everything.variances) / everything.total_variance
    pca = fit_mirrored(data, MIRROR, 0.9)
    k = len(pca.variances)
    assert share[k - 2] < 0.9 <= share[k - 1]
    assert pca.variances.sum() + pca.noise_variance * (3 * V - k) == pytest.approx(pca.total_variance)


def test_offsets_from_zero(rng):
    offsets = shapes(rng)
    pca = fit_mirrored(offsets, MIRROR, centered=False)
    both = np.concatenate([offsets, mirror_image(offsets, MIRROR, True)])
    plain = fit_pca(both, centered=False)
    np.testing.assert_allclose(pca.variances, plain.variances[: len(pca.variances)], rtol=1e-9)
    np.testing.assert_array_equal(pca.mean, 0)


def test_from_a_file(rng, tmp_path):
    data = shapes(rng, dtype=np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=data)
        pca = fit_mirrored(stored, MIRROR, 6, output=file)
        np.testing.assert_array_equal(file["mirror_images"], mirror_images(data, MIRROR, True))
        with pytest.raises(ValueError, match="output"):
            fit_mirrored(stored, MIRROR, 6)
    np.testing.assert_allclose(pca.components, fit_mirrored(data, MIRROR, 6).components, atol=1e-6)


def test_a_map_that_is_no_mirror_is_named(rng):
    with pytest.raises(ValueError, match="its own inverse"):
        fit_mirrored(shapes(rng), np.roll(np.arange(V), 1))
