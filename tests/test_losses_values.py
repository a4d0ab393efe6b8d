"""Losses: numbers worked by hand, and gradients."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.losses import (
    EnergyWeights,
    coefficient_loss,
    ibug68_weights,
    landmark_loss,
    monochrome_light_loss,
    perceptual_loss,
    photometric_loss,
    texture_flattening_loss,
)
from morphkit.losses.colors import linear_to_srgb


def test_photometric_loss_by_hand():
    """Distances 0.5 (3-4-5), 1 and 0, weights 1, 0.5 and 0.5: (0.5 + 0.5) / 2; an unseen image gives 0."""
    observed = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    rendered = observed.clone()
    rendered[0, 0, 0] = torch.tensor([0.3, 0.4, 0.0])
    rendered[0, 0, 1] = torch.tensor([0.0, 0.0, 1.0])
    weights = torch.tensor([[[1.0, 0.5, 0.5]], [[0.0, 0.0, 0.0]]], dtype=torch.float64)
    loss = photometric_loss(rendered, observed, weights, epsilon=1e-9)
    assert loss.item() == pytest.approx(0.5 * 0.5, abs=1e-8)


def test_photometric_loss_is_smooth_at_a_perfect_picture(rng):
    picture = torch.from_numpy(rng.uniform(size=(1, 2, 2, 3))).requires_grad_()
    loss = photometric_loss(picture, picture.detach(), torch.ones(1, 2, 2).double())
    (gradient,) = torch.autograd.grad(loss, picture)
    assert loss.item() == 0
    assert not gradient.any()


def test_weights_of_the_photometric_loss_take_no_gradient(rng):
    rendered, observed = (torch.from_numpy(rng.uniform(size=(2, 3, 4, 3))).requires_grad_() for _ in range(2))
    weights = torch.from_numpy(rng.uniform(size=(2, 3, 4))).requires_grad_()
    photometric_loss(rendered, observed, weights).backward()
    assert weights.grad is None
    assert gradcheck(lambda a, b: photometric_loss(a, b, weights), (rendered, observed))


def test_landmark_loss_by_hand(rng):
    """Squared distances 25 and 4, weights 1 and 20, in one image; 0 in the other: (25 + 80) / 2 / 2."""
    projected = torch.tensor([[[3.0, 4], [0, 2]], [[1, 1], [1, 1]]])
    observed = torch.tensor([[[0.0, 0], [0, 0]], [[1, 1], [1, 1]]])
    assert landmark_loss(projected, observed, torch.tensor([1.0, 20])).item() == pytest.approx(26.25)
    points = [torch.from_numpy(rng.normal(size=(2, 5, 2))).requires_grad_() for _ in range(2)]
    weights = torch.from_numpy(rng.uniform(size=5))
    assert gradcheck(lambda p, q: landmark_loss(p, q, weights), points)


def test_the_papers_landmark_weights():
    weights = ibug68_weights()
    assert torch.nonzero(weights == 20).flatten().tolist() == [28, 29, 30, *range(60, 68)]
    assert weights.sum().item() == 57 + 11 * 20


def test_coefficient_loss_by_hand(rng):
    loss = coefficient_loss(
        torch.tensor([[1.0, 2], [0, 0]]), torch.tensor([[2.0], [0]]), torch.tensor([[10.0], [0]])
    )
    assert loss.item() == pytest.approx((5 + 0.8 * 4 + 1.7e-3 * 100) / 2)
    groups = [torch.from_numpy(rng.normal(size=(2, k))).requires_grad_() for k in (4, 3, 2)]
    assert gradcheck(coefficient_loss, groups)
    assert np.isclose(coefficient_loss(*groups, 0.0, 0.0, 0.0).item(), 0)


def test_perceptual_loss_by_hand(rng):
    """Cosines 1 (whatever the lengths), 0 and 0.6 (3-4-5): (0 + 1 + 0.4) / 3."""
    rendered = torch.tensor([[2.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    observed = torch.tensor([[5.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    assert perceptual_loss(rendered, observed).item() == pytest.approx(1.4 / 3)
    embeddings = [torch.from_numpy(rng.normal(size=(3, 7))).requires_grad_() for _ in range(2)]
    assert gradcheck(perceptual_loss, embeddings)
    assert perceptual_loss(embeddings[0], 3.0 * embeddings[0]).item() == pytest.approx(0, abs=1e-15)


def test_texture_flattening_by_hand(rng):
    """Red 0, 2, 4 varies by 8/3, green 1, 1, 4 by 2, blue not at all; the last vertex is outside."""
    albedo = torch.tensor([[[0.0, 1, 5], [2, 1, 5], [4, 4, 5], [99, 99, 99]]])
    region = torch.tensor([True, True, True, False])
    assert texture_flattening_loss(albedo, region).item() == pytest.approx(8 / 3 + 2)
    assert texture_flattening_loss(albedo, torch.tensor([2, 0, 1])).item() == pytest.approx(8 / 3 + 2)
    varied = torch.from_numpy(rng.uniform(size=(2, 4, 3))).requires_grad_()
    assert gradcheck(lambda a: texture_flattening_loss(a, region), varied)


def test_monochrome_light_by_hand(rng):
    """Departures -1, 0, 1 in one of two bands: 2 / 6; a white light of any shape costs nothing."""
    assert monochrome_light_loss(torch.tensor([[[1.0, 2, 3], [7, 7, 7]]])).item() == pytest.approx(2 / 6)
    white = torch.from_numpy(rng.normal(size=(2, 9, 1))).expand(-1, -1, 3)
    assert monochrome_light_loss(white).item() == pytest.approx(0, abs=1e-30)
    light = torch.from_numpy(rng.normal(size=(2, 9, 3))).requires_grad_()
    assert gradcheck(monochrome_light_loss, light)


def test_srgb_curve_agrees_with_the_one_of_files_and_goes_on_straight(rng):
    from morphkit.io.color import linear_to_srgb as by_numpy

    linear = np.concatenate([np.linspace(0, 1, 1001), [0.0031308]])
    assert np.allclose(linear_to_srgb(torch.from_numpy(linear)), by_numpy(linear), atol=1e-7, rtol=0)
    beyond = torch.tensor([-0.5, 1.5], dtype=torch.float64)
    assert np.allclose(linear_to_srgb(beyond), [-6.46, 1 + 0.5 * 1.055 / 2.4])
    values = torch.from_numpy(rng.uniform(0.01, 0.99, 20)).requires_grad_()
    assert gradcheck(linear_to_srgb, values)


def test_published_weights():
    paper, pytorch = EnergyWeights.preset("deng2019"), EnergyWeights.preset("deep3d_pt")
    assert (paper.photometric_weight, paper.landmark_weight, paper.perceptual_weight) == (1.9, 1.6e-3, 0.2)
    ratios = np.array([paper.expression_weight, paper.albedo_weight]) / paper.identity_weight
    assert np.allclose(ratios, [0.8, 1.7e-3])
    assert pytorch.albedo_weight == pytest.approx(10 * paper.albedo_weight)
    assert pytorch == EnergyWeights.preset("deep3d_tf")
    assert (pytorch.photometric_weight, pytorch.flattening_weight, pytorch.monochrome_weight) == (1.92, 5, 10)


def test_weights_refuse_what_is_none():
    with pytest.raises(ValueError, match="landmark_weight must be a number of at least 0, got nan"):
        EnergyWeights(1.0, float("nan"), 0.0, 1.0, 1.0, 1.0)
