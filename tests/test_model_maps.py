"""Linear maps: the loops for large bases against torch's product, their derivatives, groups and errors."""

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from morphkit.geometry import parallel
from morphkit.model import _linear
from morphkit.model.maps import LinearMap, ShapeMap

SPANS = [[(0, 20)], [(0, 9)], [(0, 3), (12, 19)], [(0, 0), (14, 18)], [(0, 12), (12, 12)]]


@pytest.fixture
def large(monkeypatch):
    """Let small bases go through the loops that are meant for large ones, in several blocks."""
    monkeypatch.setattr(_linear, "_LARGE", 0)
    monkeypatch.setattr(_linear, "_WIDTH", 4)


@pytest.fixture
def linear_map():
    return random_map(20, 35)


def random_map(components, points, dtype=torch.float64):
    generator = torch.Generator().manual_seed(components)
    mean = torch.randn(points, 3, generator=generator, dtype=dtype)
    return LinearMap(mean, torch.randn(components, 3 * points, generator=generator, dtype=dtype))


def dense(linear_map, coefficients, spans):
    """Return the points by the textbook's formula."""
    rows = torch.cat([torch.arange(*span) for span in spans])
    return (linear_map.mean.flatten() + coefficients @ linear_map.basis[rows]).reshape(-1, 35, 3)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("batch", [1, 3, 4, 6, 9])
def test_the_loops_equal_the_formula_and_so_do_gradients(linear_map, spans, batch):
    count = sum(stop - start for start, stop in spans)
    coefficients = torch.randn(batch, count, dtype=torch.float64, requires_grad=True)
    points = linear_map.combined(coefficients, spans)
    expected = dense(linear_map, coefficients, spans)
    torch.testing.assert_close(points, expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn_like(points)
    (found,) = torch.autograd.grad(points, coefficients, weights)
    (wanted,) = torch.autograd.grad(expected, coefficients, weights)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.usefixtures("large")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.func's own
def test_derivatives_of_any_order_and_in_every_way(linear_map):
    coefficients = torch.randn(5, 20, dtype=torch.float64, requires_grad=True)
    assert gradcheck(linear_map, coefficients, check_forward_ad=True)
    assert gradgradcheck(lambda c: linear_map(c) ** 2, coefficients)
    plain = coefficients.detach()
    by_column = torch.func.jacfwd(linear_map)(plain)
    torch.testing.assert_close(torch.func.jacrev(linear_map)(plain), by_column)
    torch.testing.assert_close(by_column[2, :, :, 2], linear_map.basis.T.reshape(35, 3, 20))
    hessian = torch.func.hessian(lambda c: linear_map(c).square().sum() / 2)(plain)
    torch.testing.assert_close(hessian[1, :, 1], linear_map.basis @ linear_map.basis.T)
    stacked = torch.func.vmap(linear_map, in_dims=1, out_dims=1)(plain[:, None].expand(-1, 3, -1))
    torch.testing.assert_close(stacked[:, 2], linear_map(plain))


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_bits_for_any_number_of_threads(monkeypatch, dtype):
    linear_map = random_map(20, 35, dtype)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(parallel, "thread_count", lambda count=threads: count)
        monkeypatch.setattr(_linear, "thread_count", lambda count=threads: count)
        coefficients = torch.linspace(-2, 2, 120, dtype=dtype).reshape(6, 20).requires_grad_()
        points = linear_map(coefficients)
        (gradient,) = torch.autograd.grad(points, coefficients, points.detach())
        found.append((points.detach(), gradient))
    assert all(torch.equal(a, b) for later in found[1:] for a, b in zip(found[0], later, strict=True))


@pytest.mark.usefixtures("large")
def test_single_precision_is_single_precision():
    linear_map, exact = random_map(20, 35, torch.float32), random_map(20, 35, torch.float32)
    exact = LinearMap(exact.mean.double(), exact.basis.double())
    coefficients = torch.randn(6, 20)
    points = linear_map(coefficients)
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.double(), exact(coefficients.double()), atol=2e-5, rtol=0)


@pytest.mark.usefixtures("large")
def test_a_basis_that_is_learned_gets_its_gradient(linear_map):
    basis = linear_map.basis.clone().requires_grad_()
    coefficients = torch.randn(4, 20, dtype=torch.float64)
    LinearMap(linear_map.mean, basis)(coefficients).sum().backward()
    torch.testing.assert_close(basis.grad, coefficients.sum(0)[:, None].expand_as(basis))


@pytest.mark.usefixtures("large")
def test_inputs_of_any_layout_are_read_and_left_alone(linear_map):
    coefficients = torch.randn(20, 6, dtype=torch.float64).T
    before = coefficients.clone(), linear_map.mean.clone(), linear_map.basis.clone()
    points = linear_map(coefficients)
    torch.testing.assert_close(points, linear_map(coefficients.contiguous()), rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(linear_map(c := coefficients.clone().requires_grad_()).sum(), c)
    torch.testing.assert_close(gradient, linear_map.basis.sum(1).expand(6, -1))  # of an expanded gradient
    after = coefficients, linear_map.mean, linear_map.basis
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_large_map_takes_the_loops_and_agrees(rng):
    basis = torch.from_numpy(rng.standard_normal((70, 3 * 20_001), np.float32))
    linear_map = LinearMap(torch.from_numpy(rng.standard_normal((20_001, 3), np.float32)), basis)
    coefficients = torch.from_numpy(rng.standard_normal((5, 70), np.float32)).requires_grad_()
    points = linear_map(coefficients)
    assert type(points.grad_fn.next_functions[0][0]).__name__ == "_CombineBackward"
    expected = linear_map.mean.flatten() + coefficients.detach() @ basis
    torch.testing.assert_close(points.flatten(1).detach(), expected, atol=1e-4, rtol=0)
    (gradient,) = torch.autograd.grad(points, coefficients, points.detach())
    torch.testing.assert_close(gradient, expected @ basis.T, atol=0.05, rtol=1e-5)


@pytest.mark.parametrize(("i", "e"), [(12, 8), (5, 8), (12, 3), (0, 2), (7, 0)])
def test_shape_is_identity_plus_expression(i, e):
    points = random_map(20, 35)
    shape = ShapeMap(points, 12)
    identity, expression = (torch.randn(3, n, dtype=torch.float64) for n in (i, e))
    offset = identity @ points.basis[:i] + expression @ points.basis[12 : 12 + e]
    torch.testing.assert_close(shape(identity, expression), points.mean + offset.reshape(3, 35, 3))
    torch.testing.assert_close(shape.identity(identity), shape(identity))
    assert shape.identity.basis.data_ptr() == points.basis.data_ptr()


@pytest.mark.usefixtures("large")
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_errors_name_what_is_wrong(linear_map):
    shape = ShapeMap(linear_map, 12)
    zeros = torch.zeros(2, 21, dtype=torch.float64)
    with pytest.raises(ValueError, match="coefficients must number at most 20, got 21"):
        linear_map(zeros)
    with pytest.raises(ValueError, match=r"must be torch.float64, got torch.float32"):
        linear_map(zeros[:, :5].float())
    with pytest.raises(ValueError, match="identity coefficients must number at most 12, got 13"):
        shape(zeros[:, :13])
    with pytest.raises(ValueError, match="expression coefficients must number at most 8, got 9"):
        shape(zeros[:, :5], zeros[:, :9])
    with pytest.raises(ValueError, match="105 columns"):
        LinearMap(linear_map.mean, linear_map.basis[:, 1:])
    with forward_ad.dual_level():
        moving = LinearMap(linear_map.mean, forward_ad.make_dual(linear_map.basis, linear_map.basis))
        with pytest.raises(ValueError, match="not of the mean or the basis"):
            moving(zeros[:, :20])
    with pytest.raises(ValueError, match="not over the mean or the basis"):
        torch.func.vmap(_linear._Combine.apply, in_dims=(0, 0, None, None))(
            zeros[None, :, :3], linear_map.mean.reshape(1, -1), linear_map.basis, np.arange(3)
        )
