"""The public implementations' light, against their formula written out by hand."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.rendering.light_conventions import (
    from_channel_major,
    from_deep3d,
    to_channel_major,
    to_deep3d,
)
from morphkit.rendering.lighting import ambient_light, directional_light, shade

# 0.886227, 1.772454, 2.427032, 0.700624, 1.213516 in full
C0, C1, C2, C20, C22 = np.sqrt(np.pi * np.array([1 / 4, 1, 15 / 8, 5 / 32, 15 / 32]))


def test_constants_are_those_of_their_code():
    assert np.round([C0, C1, C2, C20, C22], 6).tolist() == [0.886227, 1.772454, 2.427032, 0.700624, 1.213516]


def deep3d_color(albedo, normals, gamma):
    """Return albedo · (Y γ) as the public implementations have it: y up, z towards the viewer."""
    x, y, z = normals.T
    basis = np.stack(
        [
            np.full_like(x, C0),
            -C1 * y,
            C1 * z,
            -C1 * x,
            C2 * x * y,
            -C2 * y * z,
            C20 * (3 * z**2 - 1),
            -C2 * x * z,
            C22 * (x**2 - y**2),
        ],
        axis=1,
    )
    gamma = gamma.reshape(3, 9).copy()
    gamma[:, 0] += 0.8
    return albedo * (basis @ gamma.T)


@pytest.fixture
def gamma(rng) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(4, 27)))


@pytest.fixture
def normals(rng) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(4, 50, 3))), dim=-1)


def test_their_formula_and_our_shading_agree(gamma, normals, rng):
    albedo = torch.from_numpy(rng.uniform(size=(4, 50, 3)))
    ours = shade(albedo, normals, from_deep3d(gamma))
    y_up = normals.numpy() * [1, -1, -1]
    for k in range(4):
        theirs = deep3d_color(albedo[k].numpy(), y_up[k], gamma[k].numpy())
        np.testing.assert_allclose(ours[k].numpy(), theirs, rtol=0, atol=1e-12)


def test_there_and_back(gamma):
    torch.testing.assert_close(to_deep3d(from_deep3d(gamma)), gamma, rtol=0, atol=1e-14)


def test_zeros_are_an_even_light():
    """0.8 · √π / 2 = 0.709 of the albedo, from everywhere."""
    even = from_deep3d(torch.zeros(1, 27).double())
    expected = ambient_light(1, 0.8 * np.sqrt(np.pi) / 2).double()
    torch.testing.assert_close(even, expected, rtol=1e-6, atol=0)


def test_white_light_has_nine(gamma):
    white = from_deep3d(gamma[:, :9])
    assert (white == white[..., :1]).all()
    torch.testing.assert_close(white, from_deep3d(gamma[:, :9].repeat(1, 3)), rtol=0, atol=0)


def test_a_lamp_above_the_photographer_in_their_signs():
    """It has their second coefficient negative (-y up) and the third positive (z towards the viewer)."""
    lamp = directional_light(torch.tensor([[0.0, -1, -1]]), torch.ones(1, 3))
    red = to_deep3d(lamp)[0, :9]
    assert red[1] < 0
    assert red[2] > 0
    assert red[3] == 0


def test_channel_major_layout():
    rows = torch.arange(54.0).reshape(2, 27)
    coefficients = from_channel_major(rows)
    assert coefficients[0, 0].tolist() == [0, 9, 18]
    assert coefficients[1, 8].tolist() == [35, 44, 53]
    torch.testing.assert_close(to_channel_major(coefficients), rows, rtol=0, atol=0)


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, 27\) or \(batch, 9\), got \(1, 16\)"):
        from_deep3d(torch.zeros(1, 16))


def test_gradients(gamma):
    assert gradcheck(from_deep3d, gamma[:1].requires_grad_())
    assert gradcheck(from_deep3d, gamma[:1, :9].detach().requires_grad_())
    assert gradcheck(to_deep3d, from_deep3d(gamma[:1].detach()).requires_grad_())
