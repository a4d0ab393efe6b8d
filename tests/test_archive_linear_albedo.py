"""Colours in sRGB to linear light: the nearest linear model of the decoded colours."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from morphkit.archive import load_model, save_model, with_linear_albedo
from morphkit.cli import main
from morphkit.io.color import srgb_to_linear
from morphkit.morphable import LinearModel, MorphableModel

V, K = 40, 6


@pytest.fixture
def model(rng):
    """Skin in sRGB: a mean of 0.25 to 0.75, components that share the variance."""
    basis, _ = np.linalg.qr(rng.standard_normal((3 * V, K)))
    mean = rng.uniform(0.25, 0.75, (V, 3)).astype(np.float32)
    deviations = 0.3 * 0.8 ** np.arange(K, dtype=float)
    albedo = LinearModel(mean, np.asfortranarray(basis, np.float32), deviations)
    still = LinearModel(np.zeros((V, 3), np.float32), np.zeros((3 * V, 0), np.float32), np.zeros(0))
    faces = np.array([[i, i + 1, i + 2] for i in range(V - 2)], np.int32)
    return MorphableModel(faces, still, albedo=albedo, provenance={"albedo_color_space": "sRGB"})


def test_no_other_mean_and_slope_is_nearer_to_the_decoded_colours(model, rng):
    linear = with_linear_albedo(model).albedo
    coefficients = rng.standard_normal((20_000, K))
    encoded = (
        model.albedo.mean.reshape(-1)
        + (coefficients * model.albedo.standard_deviations) @ model.albedo.basis.T
    )
    decoded = srgb_to_linear(np.clip(encoded, 0, 1))
    found = linear.mean.reshape(-1) + (coefficients * linear.standard_deviations) @ linear.basis.T
    t = (encoded - encoded.mean(0)) / encoded.std(0)
    best = decoded.mean(0) + t * (t * decoded).mean(0)
    rest, least = ((one - decoded).std(0) for one in (found, best))
    np.testing.assert_allclose(rest, least, rtol=0.02)
    np.testing.assert_allclose(found.mean(0), decoded.mean(0), atol=2e-3)
    by_tangent = srgb_to_linear(model.albedo.mean.reshape(-1))
    assert np.abs(found.mean(0) - decoded.mean(0)).max() < 0.2 * np.abs(by_tangent - decoded.mean(0)).max()


def test_without_spread_colours_are_decoded_exactly(model):
    still = LinearModel(model.albedo.mean, model.albedo.basis, np.full(K, 1e-9))
    flat = with_linear_albedo(replace(model, albedo=still))
    np.testing.assert_allclose(flat.albedo.mean, srgb_to_linear(model.albedo.mean), atol=1e-6)


def test_convert_makes_it_once(model, tmp_path):
    with pytest.raises(ValueError, match="no albedo"):
        with_linear_albedo(MorphableModel(model.faces, model.identity))
    save_model(tmp_path / "srgb.h5", model)
    first, second = (str(tmp_path / name) for name in ("linear.h5", "twice.h5"))
    told = CliRunner().invoke(main, ["convert", str(tmp_path / "srgb.h5"), first, "--linear-albedo"])
    assert told.exit_code == 0, told.output
    back = load_model(first)
    assert back.provenance["albedo_color_space"] == "linear"
    assert back.provenance["albedo_linearised_from"] == "sRGB"
    np.testing.assert_allclose(back.albedo.mean, with_linear_albedo(model).albedo.mean, atol=1e-7)
    again = CliRunner().invoke(main, ["convert", first, second, "--linear-albedo"])
    assert again.exit_code == 2
    assert "is linear already" in again.stderr
