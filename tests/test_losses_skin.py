"""Attention: the published classifier's numbers and bias, and the one that goes by a face's own colours."""

import sys

import numpy as np
import pytest
import torch

from morphkit.errors import MissingDependencyError
from morphkit.losses import SkinColorModel, attention, own_color_attention
from morphkit.losses.skin import MONK_TONES

MONK = torch.tensor(MONK_TONES, dtype=torch.float64)


def test_attention():
    assert attention(torch.tensor([0.0, 0.3, 0.5, 0.51, 1.0])).tolist() == pytest.approx([0, 0.3, 0.5, 1, 1])


def test_skin_colour_model_by_hand():
    """At prior 1/2 and one colour, the ratio of the two mixtures, summed as the formula says."""
    color = np.array([0.8, 0.55, 0.4])
    red, green, blue = color
    ycbcr = np.array(
        [
            16 + 65.481 * red + 128.553 * green + 24.966 * blue,
            128 - 37.797 * red - 74.203 * green + 112 * blue,
            128 + 112 * red - 93.786 * green - 18.214 * blue,
        ]
    )

    def density(mixture):
        total = 0.0
        for share, mean, (a, b, c, d, e, f) in mixture:
            precision = np.array([[a, b, c], [b, d, e], [c, e, f]])
            away = ycbcr - mean
            total += share * np.sqrt(np.linalg.det(precision)) * np.exp(-0.5 * away @ precision @ away)
        return total

    from morphkit.losses.skin import _OTHER, _SKIN

    skin, other = density(_SKIN), density(_OTHER)
    assert SkinColorModel(prior=0.5)(torch.from_numpy(color)).item() == pytest.approx(skin / (skin + other))
    assert SkinColorModel()(torch.from_numpy(color)).item() == pytest.approx(
        0.8 * skin / (0.8 * skin + 0.2 * other)
    )


def test_the_published_covariances_are_those_of_the_published_precisions():
    from morphkit.losses.skin import _OTHER, _SKIN

    published = [5692842.5, 5851930.5, 2329131, 1585971, 458703648, 6466488, 90611376, 133097.63]
    for determinant, (_, _, (a, b, c, d, e, f)) in zip(published, (*_SKIN, *_OTHER), strict=True):
        precision = np.array([[a, b, c], [b, d, e], [c, e, f]])
        assert 1 / np.linalg.det(precision) == pytest.approx(determinant, rel=2e-7)


def test_the_published_model_prefers_light_skin():
    """What its docstring owns up to; were it ever mended, the docstring should change."""
    probabilities = SkinColorModel()(MONK)
    assert ((probabilities[:8] > 0.77) & (probabilities[:8] < 0.97)).all()
    assert probabilities[8:].tolist() == pytest.approx([0.482, 0.209], abs=1e-3)


def test_the_monk_scale_is_the_published_one():
    codes = "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420"
    assert ["".join(f"{round(255 * c):02x}" for c in tone) for tone in MONK_TONES] == codes.split()


def test_the_report_by_tone_is_the_model_on_the_swatches():
    by_tone = SkinColorModel().by_tone()
    assert by_tone == pytest.approx(SkinColorModel()(MONK).tolist())
    assert max(by_tone) / min(by_tone) > 4


def _labelled(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of all ten tones in equal numbers, shaded and noisy, and of a blue and green world."""
    tones = np.repeat(np.array(MONK_TONES), 100, axis=0)
    skin = tones * rng.uniform(0.6, 1.05, (1000, 1)) + 0.02 * rng.normal(size=(1000, 3))
    other = rng.uniform(0, 1, (1000, 3)) * [0.6, 1.0, 1.0] + [0.0, 0.0, 0.2] * rng.uniform(size=(1000, 1))
    return skin.clip(0, 1), other.clip(0, 1)


def test_a_model_of_all_tones_is_fairer_than_the_published_one(rng):
    pytest.importorskip("sklearn")
    skin, other = _labelled(rng)
    model = SkinColorModel.fit(skin, other, prior=0.5)
    by_tone = np.array(model.by_tone())
    assert by_tone.min() > 0.75
    assert by_tone.max() / by_tone.min() < 1.3
    judged = model(torch.from_numpy(other)) > 0.5
    assert judged.float().mean() < 0.15
    assert SkinColorModel.fit(skin, other, prior=0.5) == model


def test_fitting_finds_the_gaussians_that_made_the_colours(rng):
    """Two clouds, a third and two thirds of the pixels, with known means and covariances in YCbCr."""
    pytest.importorskip("sklearn")
    to_ycbcr = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]])
    centres, spreads = (
        np.array([[110.0, 110, 150], [160, 112, 145]]),
        [np.diag([9.0, 4, 4]), np.diag([4, 9, 25.0])],
    )
    clouds = [
        rng.multivariate_normal(centre, spread, count)
        for centre, spread, count in zip(centres, spreads, (2000, 4000), strict=True)
    ]
    srgb = (np.concatenate(clouds) - [16, 128, 128]) @ np.linalg.inv(to_ycbcr).T
    model = SkinColorModel.fit(srgb, rng.uniform(size=(1000, 3)), components=2)
    assert [share for share, _, _ in model.skin] == pytest.approx([2 / 3, 1 / 3], abs=0.01)
    for (_, mean, triangle), centre, spread in zip(model.skin, centres[::-1], spreads[::-1], strict=True):
        assert np.allclose(mean, centre, atol=0.3)
        (a, b, c, d, e, f) = triangle
        covariance = np.linalg.inv([[a, b, c], [b, d, e], [c, e, f]])
        assert np.allclose(covariance, spread + np.eye(3), atol=1.5)


def test_what_cannot_be_fitted_is_refused(rng, monkeypatch):
    skin, other = rng.uniform(size=(50, 3)), rng.uniform(size=(50, 3))
    with pytest.raises(ValueError, match=r"skin must be \(n, 3\) with n of at least 40, got \(39, 3\)"):
        SkinColorModel.fit(skin[:39], other)
    with pytest.raises(ValueError, match=r"other must be sRGB colours 0\.\.1"):
        SkinColorModel.fit(skin, 255 * other)
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(MissingDependencyError, match=r"pip install \"morphkit-3dmm\[train\]\""):
        SkinColorModel.fit(skin, other)


def _face(tone: torch.Tensor, covering: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a shaded, noisy picture of skin, its lower 30 % covered by something, and where that is."""
    generator = torch.Generator().manual_seed(5)
    covered = torch.zeros(60, 60, dtype=torch.bool)
    covered[42:] = True
    albedo = torch.where(covered[..., None], covering, tone) ** 2.2
    shade = torch.linspace(0.35, 1.1, 60).double()[None, :, None]
    grain = (0.08 * torch.randn(60, 60, 1, generator=generator, dtype=torch.float64)).exp()
    noise = 0.008 * torch.randn(60, 60, 3, generator=generator, dtype=torch.float64)
    return ((albedo * shade * grain) ** (1 / 2.2) + noise).clamp(0, 1), covered


def test_own_colours_treat_all_tones_alike():
    means = []
    for tone in MONK:
        picture, covered = _face(tone, torch.tensor([0.45, 0.65, 0.8]).double())
        weights = own_color_attention(picture[None], torch.ones(1, 60, 60, dtype=torch.bool))[0]
        means.append(weights[~covered].mean().item())
        assert weights[covered].mean() < 0.35
    assert min(means) > 0.85
    assert max(means) / min(means) < 1.1


def test_own_colours_ignore_brightness_of_the_whole_picture():
    picture, _ = _face(MONK[5], torch.tensor([0.9, 0.9, 0.9]).double())
    face = torch.ones(1, 60, 60, dtype=torch.bool)
    bright, dim = own_color_attention(picture[None], face), own_color_attention(0.6 * picture[None], face)
    assert (bright - dim).abs().mean() < 0.03


def test_own_colours_are_learnt_inside_the_face_alone_and_without_one_all_count():
    picture, covered = _face(MONK[3], torch.tensor([0.2, 0.3, 0.9]).double())
    face = torch.zeros(2, 60, 60, dtype=torch.bool)
    face[0, 45:] = True
    weights = own_color_attention(picture.expand(2, -1, -1, -1), face)
    assert weights[0][covered].mean() > 0.8
    assert weights[0][~covered].mean() < 0.05
    assert (weights[1] == 1).all()


def test_a_face_of_one_flat_colour_counts_in_full():
    flat = MONK[9].expand(1, 4, 4, 3)
    assert torch.equal(
        own_color_attention(flat, torch.ones(1, 4, 4, dtype=torch.bool)), torch.ones(1, 4, 4).double()
    )
