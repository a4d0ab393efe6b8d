"""Spherical harmonics to order 3: integrals over the sphere, and the group of rotations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import factorial, lpmv
from torch.autograd import gradcheck

from morphkit.rendering.lighting import reflection_basis, shade
from morphkit.rendering.rotations import axis_angle_to_matrix
from morphkit.rendering.spherical_harmonics import (
    bands,
    order_of,
    rotate_light,
    sh_basis,
    sh_rotation,
    sphere_quadrature,
)

ORDERS = [0, 1, 2, 3]
components = st.floats(-4, 4)
rotations = st.tuples(components, components, components).map(
    lambda v: axis_angle_to_matrix(torch.tensor([v], dtype=torch.float64))
)


def some_directions(count: int = 30, seed: int = 3) -> torch.Tensor:
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return torch.nn.functional.normalize(torch.from_numpy(vectors), dim=-1)


def some_light(order: int, batch: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(order).normal(size=(batch, (order + 1) ** 2, 3)))


@pytest.mark.parametrize("degree", [0, 1, 4, 6, 9])
def test_quadrature_is_exact_to_its_degree(degree):
    """The mean over the sphere of x^a y^b z^c is the product of (odd factorials) over (a+b+c+1)!!, or 0."""
    directions, weights = sphere_quadrature(degree)
    assert weights.sum() == pytest.approx(4 * np.pi)

    def odd(n):
        return np.prod(np.arange(n, 0, -2, dtype=float)) if n > 0 else 1.0

    for a in range(degree + 1):
        for b in range(degree + 1 - a):
            for c in range(degree + 1 - a - b):
                even = all(n % 2 == 0 for n in (a, b, c))
                mean = odd(a - 1) * odd(b - 1) * odd(c - 1) / odd(a + b + c + 1) if even else 0.0
                integral = weights @ np.prod(directions ** np.array([a, b, c]), axis=1)
                assert integral == pytest.approx(4 * np.pi * mean, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_basis_is_orthonormal(order):
    directions, weights = (torch.from_numpy(v) for v in sphere_quadrature(2 * order))
    basis = sh_basis(directions, order)
    gram = basis.T @ (weights[:, None] * basis)
    torch.testing.assert_close(gram, torch.eye((order + 1) ** 2).double(), rtol=0, atol=1e-13)


def test_basis_is_the_field_s():
    """By their definition: norm · P_l^m(cos polar) · cos or sin(m azimuth), without scipy's phase (-1)^m."""
    directions = some_directions().numpy()
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    columns = []
    for band in range(4):
        for m in range(-band, band + 1):
            ratio = factorial(band - abs(m)) / factorial(band + abs(m))
            norm = np.sqrt((2 if m else 1) * (2 * band + 1) / (4 * np.pi) * ratio) * (-1) ** m
            around = np.sin(-m * azimuth) if m < 0 else np.cos(m * azimuth)
            columns.append(norm * lpmv(abs(m), band, directions[:, 2]) * around)
    np.testing.assert_allclose(
        sh_basis(torch.from_numpy(directions), 3).numpy(), np.stack(columns, axis=1), rtol=0, atol=1e-13
    )


def test_lambert_s_constants():
    """A_l = 2π times the integral of P_l(t) t over 0..1; the third is nothing (Ramamoorthi & Hanrahan)."""
    t, weights = np.polynomial.legendre.leggauss(8)
    t, weights = (t + 1) / 2, weights / 2
    for band in range(4):
        legendre = np.polynomial.legendre.Legendre.basis(band)(t)
        constant = 2 * np.pi * (weights * legendre * t).sum()
        columns = [k for k, of in enumerate(bands(3)) if of == band]
        directions = some_directions()
        expected = constant / np.pi * sh_basis(directions, 3)[:, columns]
        torch.testing.assert_close(reflection_basis(directions, 3)[:, columns], expected, rtol=0, atol=1e-13)
    assert (reflection_basis(some_directions(), 3)[:, 9:] == 0).all()


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=15, deadline=None)
@given(rotations)
def test_a_turned_light_is_seen_by_turned_normals(order, R):
    directions = some_directions()
    light = some_light(order)
    turned = rotate_light(light, R)
    torch.testing.assert_close(
        sh_basis(directions @ R[0].T, order) @ turned[0], sh_basis(directions, order) @ light[0]
    )
    albedo = torch.ones(1, 30, 3).double()
    torch.testing.assert_close(
        shade(albedo, (directions @ R[0].T)[None], turned), shade(albedo, directions[None], light)
    )


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=15, deadline=None)
@given(rotations, rotations)
def test_rotations_of_light_are_a_group(order, first, second):
    one, two = sh_rotation(first, order), sh_rotation(second, order)
    torch.testing.assert_close(sh_rotation(second @ first, order), two @ one, rtol=0, atol=1e-12)
    identity = torch.eye((order + 1) ** 2).double()[None]
    torch.testing.assert_close(one @ one.transpose(1, 2), identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        sh_rotation(first.transpose(1, 2), order), one.transpose(1, 2), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(sh_rotation(torch.eye(3).double()[None], order), identity, rtol=0, atol=1e-13)
    band = torch.tensor(bands(order))
    assert (one[0][band[:, None] != band] == 0).all()


def test_band_norms_are_kept():
    light = some_light(3, batch=4)
    R = axis_angle_to_matrix(some_directions(4) * 2.0)
    turned = rotate_light(light, R)
    for band in range(4):
        columns = [k for k, of in enumerate(bands(3)) if of == band]
        torch.testing.assert_close(turned[:, columns].norm(dim=1), light[:, columns].norm(dim=1))
    torch.testing.assert_close(rotate_light(turned, R.transpose(1, 2)), light)
    torch.testing.assert_close(rotate_light(light[:1], R)[0], turned[0])
    torch.testing.assert_close(rotate_light(light, R[:1])[0], turned[0])


def test_rotation_in_single_precision():
    light, R = some_light(3).float(), axis_angle_to_matrix(torch.tensor([[0.3, -1.0, 2.0]]))
    exact = rotate_light(light.double(), axis_angle_to_matrix(torch.tensor([[0.3, -1.0, 2.0]]).double()))
    turned = rotate_light(light, R)
    assert turned.dtype == torch.float32
    torch.testing.assert_close(turned.double(), exact, rtol=0, atol=3e-6)


def test_gradients():
    axis_angle = torch.tensor([[0.2, -0.7, 0.4], [0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    light = some_light(3, batch=2)[..., :1].requires_grad_()
    assert gradcheck(lambda a, s: rotate_light(s, axis_angle_to_matrix(a)), (axis_angle, light))
    for order in ORDERS:
        assert gradcheck(lambda d, o=order: sh_basis(d, o), some_directions(4).requires_grad_())


@pytest.mark.parametrize("order", [-1, 4])
def test_other_orders_are_refused(order):
    with pytest.raises(ValueError, match="order must be 0 to 3"):
        sh_basis(some_directions(2), order)


@pytest.mark.parametrize("count", [0, 2, 8, 25])
def test_other_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"1, 4, 9 or 16 coefficients, got {count}"):
        order_of(count)
