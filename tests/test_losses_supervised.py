"""Losses that know the truth: numbers worked by hand, laws, and gradients."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.losses.supervised import (
    gram_loss,
    gram_matrix,
    light_loss,
    projection_loss,
    similarity_tangents,
)
from morphkit.rendering.lighting import ambient_light, reflection_basis
from morphkit.rendering.spherical_harmonics import sphere_quadrature


def test_gram_by_hand():
    """Weights 1 and 3; the first coefficient moves the first point by (3, 4), the second both by (0, 2)."""
    basis = torch.tensor([[[3.0, 4], [0, 0]], [[0, 2], [0, 2]]])
    gram = gram_matrix(basis, torch.tensor([1.0, 3.0]))
    assert torch.allclose(
        gram, torch.tensor([[25.0, 8], [8, 16]]).double() / torch.tensor([[4.0, 4], [4, 4]])
    )
    predicted, truth = torch.tensor([[1.0, 1.0], [0, 0]]), torch.tensor([[0.0, 0.0], [0, 0]])
    # (3, 6) and (0, 2): (45 + 3 · 4) / 4 in one face, nothing in the other
    assert gram_loss(predicted, truth, gram.float()).item() == pytest.approx(57 / 4 / 2)


def test_gram_weighs_coordinates_by_themselves():
    basis = torch.tensor([[[3.0, 4.0]]])
    assert gram_matrix(basis, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(9 / 0.5)
    assert gram_matrix(basis, torch.tensor([[1.0, 1.0]])).item() == pytest.approx(25)


def test_gram_loss_is_the_distance_of_the_points(rng):
    basis = torch.from_numpy(rng.normal(size=(5, 40, 3)))
    weights = torch.from_numpy(rng.uniform(0.1, 2, 40))
    gram = gram_matrix(basis, weights)
    a, b = (torch.from_numpy(rng.normal(size=(3, 5))).requires_grad_() for _ in range(2))
    points = torch.einsum("bk,knd->bnd", a - b, basis)
    expected = ((points**2).sum(dim=2) @ weights / weights.sum()).mean()
    assert gram_loss(a, b, gram).item() == pytest.approx(expected.item(), rel=1e-12)
    assert gradcheck(lambda p, q: gram_loss(p, q, gram), (a, b))


def test_movements_that_do_not_count_are_left_out(rng):
    """What is left of a movement is its distance from the nearest weighted combination of the free ones."""
    basis, free = torch.from_numpy(rng.normal(size=(4, 30, 3))), torch.from_numpy(rng.normal(size=(2, 30, 3)))
    weights = torch.from_numpy(rng.uniform(0.1, 2, 30))
    gram = gram_matrix(basis, weights, free)
    roots = np.repeat(np.sqrt(weights.numpy()), 3)
    for k, movement in enumerate(basis.flatten(1).numpy()):
        columns = (free.flatten(1).numpy() * roots).T
        _, residual, *_ = np.linalg.lstsq(columns, movement * roots)
        assert gram[k, k].item() == pytest.approx(residual.item() / weights.sum().item(), rel=1e-10)
    mixed = torch.cat([basis, torch.einsum("m,mnd->nd", torch.tensor([0.3, -2.0]).double(), free)[None]])
    whole = gram_matrix(mixed, weights, free)
    assert whole[4].abs().max() < 1e-12


def test_similarity_tangents_are_the_slopes_of_similarities(rng):
    from scipy.spatial.transform import Rotation

    points = torch.from_numpy(rng.normal(size=(6, 3)))
    tangents = similarity_tangents(points)
    centre = points.mean(dim=0)
    step = 1e-6
    for axis in range(3):
        unit = np.eye(3)[axis]
        assert torch.allclose(tangents[axis], torch.from_numpy(unit).expand(6, 3))
        turn = torch.from_numpy(Rotation.from_rotvec(step * unit).as_matrix())
        slope = ((points - centre) @ turn.T + centre - points) / step
        assert torch.allclose(tangents[3 + axis], slope, atol=1e-5)
    assert torch.allclose(tangents[6], points - centre)


def test_light_loss_by_hand(rng):
    """Twice the even light reflects 2 for 1; a tenth more in the second harmonic is seen at two thirds."""
    even = ambient_light().double()
    assert light_loss(2 * even, even).item() == pytest.approx(1.0)
    one = torch.zeros(1, 9, 3, dtype=torch.float64)
    one[0, 2, 0] = 0.1
    assert light_loss(even + one, even).item() == pytest.approx((2 / 3 * 0.1) ** 2 / 3 / (4 * np.pi))
    lights = [torch.from_numpy(rng.normal(size=(2, 9, 3))).requires_grad_() for _ in range(2)]
    assert gradcheck(light_loss, lights)


def test_light_loss_is_the_difference_on_a_sphere(rng):
    directions, weights = (torch.from_numpy(values) for values in sphere_quadrature(4))
    a, b = (torch.from_numpy(rng.normal(size=(2, 9, 3))) for _ in range(2))
    reflected = reflection_basis(directions) @ (a - b)
    expected = torch.einsum("n,bnc->", weights, reflected**2) / (4 * np.pi) / 6
    assert light_loss(a, b).item() == pytest.approx(expected.item(), rel=1e-12)


def test_projection_loss_by_hand(rng):
    """Distances 5 and 0 in one face, 2 and 1 in the other: (25 + 0 + 4 + 1) / 4."""
    predicted = torch.tensor([[[3.0, 4], [1, 1]], [[0, 2], [1, 0]]])
    truth = torch.tensor([[[0.0, 0], [1, 1]], [[0, 0], [0, 0]]])
    assert projection_loss(predicted, truth).item() == pytest.approx(7.5)
    points = [torch.from_numpy(rng.normal(size=(2, 5, 2))).requires_grad_() for _ in range(2)]
    assert gradcheck(projection_loss, points)
