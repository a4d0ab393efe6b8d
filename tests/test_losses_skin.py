"""Attention: the published classifier's numbers and bias, and the one that goes by a face's own colours."""

import numpy as np
import pytest
import torch

from morphkit.losses import SkinColorModel, attention, own_color_attention

_MONK = "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420"
MONK = torch.tensor([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in _MONK.split()]).double()


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
