"""Laws of the bands that colours are compared in."""

import numpy as np

from morphkit.fitting.blocks import block_details


def _pixels(side):
    row, column = np.divmod(np.arange(side * side), side)
    return row, column


def test_bands_split_the_energy_of_a_full_square(rng):
    """Orthogonal: squares of all bands, each times its pixels, add up to the values' own."""
    row, column = _pixels(16)
    values = rng.normal(size=(256, 3)).astype(np.float32)
    bands = list(block_details(row, column, values, np.ones(256), 4))
    total = sum(4.0**k * (details**2 * share[:, None]).sum() for k, (details, share) in enumerate(bands))
    assert np.isclose(total, (values**2).sum(), rtol=1e-5)
    assert [len(details) for details, _ in bands] == [256, 64, 16, 4]
    assert np.allclose([share.sum() for _, share in bands], [256, 64, 16, 4])


def test_a_constant_is_all_in_the_last_band_whatever_the_weights(rng):
    row, column = _pixels(12)
    kept = rng.random(144) < 0.6
    bands = list(
        block_details(
            row[kept],
            column[kept],
            np.full((kept.sum(), 2), 0.7, np.float32),
            rng.random(kept.sum()) + 0.1,
            5,
        )
    )
    assert all(np.allclose(details, 0.0, atol=1e-6) for details, _ in bands[:-1])
    assert np.allclose(bands[-1][0], 0.7)


def test_what_weighs_nothing_changes_nothing(rng):
    row, column = _pixels(8)
    values = rng.normal(size=(64, 2)).astype(np.float32)
    weights = rng.random(64) + 0.1
    weights[10:20] = 0.0
    spoilt = values.copy()
    spoilt[10:20] = 99.0
    for (one, share), (two, _) in zip(
        block_details(row, column, values, weights, 4),
        block_details(row, column, spoilt, weights, 4),
        strict=True,
    ):
        assert np.allclose(one[share > 0], two[share > 0], atol=1e-6)
