"""Losses: numbers worked by hand, and gradients."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.losses import attention, coefficient_loss, ibug68_weights, landmark_loss, photometric_loss


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


def test_attention():
    assert attention(torch.tensor([0.0, 0.3, 0.5, 0.51, 1.0])).tolist() == pytest.approx([0, 0.3, 0.5, 1, 1])


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
