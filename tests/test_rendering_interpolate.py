"""Interpolation on the CPU and its derivatives against their definitions and finite differences."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from morphkit.rendering import _cpu_interpolate
from morphkit.rendering._cpu import CpuRasterizer

CPU = CpuRasterizer()
FACES = torch.tensor([[0, 1, 2], [3, 2, 1], [4, 0, 3]], dtype=torch.int32)


def scene(seed, batch=2, size=(4, 5), dtype=torch.float64):
    """Return random weights and faces, a fifth of the pixels empty, and derivatives: no picture is needed."""
    g = torch.Generator().manual_seed(seed)
    shape = (batch, *size, 1)
    rast = torch.rand(*shape[:3], 4, generator=g, dtype=torch.float64)
    rast[..., :2] /= 2
    rast[..., 3:] = torch.randint(0, len(FACES) + 1, shape, generator=g)
    rast *= torch.rand(shape, generator=g) > 0.2
    derivatives = torch.randn(*shape[:3], 4, generator=g, dtype=torch.float64) * (rast[..., 3:] > 0)
    return rast.to(dtype), derivatives.to(dtype)


def attributes_of(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_values_are_weighted_corners():
    rast, _ = scene(0)
    attributes = attributes_of(1, 2, 5, 3)
    out = CPU.interpolate(attributes, rast, FACES)
    u, v, seen = rast[..., 0:1], rast[..., 1:2], rast[..., 3] > 0
    corners = FACES.long()[(rast[..., 3].long() - 1).clamp(min=0)]
    a0, a1, a2 = (attributes[torch.arange(2)[:, None, None], corners[..., k]] for k in range(3))
    expected = (u * a0 + v * a1 + (1 - u - v) * a2) * seen[..., None]
    assert 20 < seen.sum() < seen.numel()
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([(1, 5, 4), (3, 5, 4), (5, 4)]),
    st.none() | st.lists(st.integers(0, 3), max_size=5),
)
def test_derivatives_follow_the_weights(seed, shape, channels):
    """Values are affine in u and v: moving along (du/dX, dv/dX) by 1 adds da/dX, to the last digits."""
    rast, derivatives = scene(seed, batch=3)
    attributes = attributes_of(seed, *shape)
    out, slopes = CPU.interpolate_with_derivatives(attributes, rast, FACES, derivatives, channels)
    assert torch.equal(out, CPU.interpolate(attributes, rast, FACES))
    chosen = list(range(4)) if channels is None else channels
    for axis in range(2):
        moved = rast.clone()
        moved[..., :2] += derivatives[..., axis::2]
        expected = (CPU.interpolate(attributes, moved, FACES) - out)[..., chosen]
        torch.testing.assert_close(slopes[..., axis::2], expected, rtol=0, atol=1e-12)
    assert not slopes[rast[..., 3] == 0].any()


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 5, 3), (5, 3)])
def test_gradients(shape):
    rast, derivatives = scene(3)
    inputs = [attributes_of(4, *shape), rast[..., :2].clone(), derivatives]

    def run(attributes, weights, slopes):
        rast_of = torch.cat([weights, rast[..., 2:]], dim=-1)
        return CPU.interpolate_with_derivatives(attributes, rast_of, FACES, slopes, [2, 0, 2])

    assert gradcheck(run, [tensor.requires_grad_() for tensor in inputs])


def test_weights_move_only_the_values():
    rast, derivatives = scene(5)
    rast.requires_grad_()
    _, slopes = CPU.interpolate_with_derivatives(attributes_of(6, 5, 3), rast, FACES, derivatives)
    assert torch.autograd.grad(slopes.sum(), rast, allow_unused=True) == (None,)


@pytest.mark.parametrize("batch", [1, 2, 40])
def test_shared_attributes_are_one_instance_for_all(batch):
    rast, derivatives = scene(7, batch)
    shared = attributes_of(8, 5, 3).requires_grad_()
    results = [
        CPU.interpolate_with_derivatives(attributes, rast, FACES, derivatives)
        for attributes in (shared, shared[None], shared.expand(batch, -1, -1))
    ]
    gradients = [torch.autograd.grad((a**2).sum() + (b**3).sum(), shared)[0] for a, b in results]
    for (values, slopes), gradient in zip(results[1:], gradients[1:], strict=True):
        assert torch.equal(values, results[0][0])
        assert torch.equal(slopes, results[0][1])
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("instances", [1, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_for_any_number_of_threads(instances, dtype, monkeypatch):
    rast, derivatives = scene(9, 6, (31, 17), dtype)
    attributes = attributes_of(10, instances, 5, 3).to(dtype)

    def run(threads):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        inputs = [t.clone().requires_grad_() for t in (attributes, rast, derivatives)]
        values, slopes = CPU.interpolate_with_derivatives(inputs[0], inputs[1], FACES, inputs[2])
        return values, slopes, *torch.autograd.grad((values**2).sum() + (slopes**2).sum(), inputs)

    for one, four in zip(run(1), run(4), strict=True):
        assert torch.equal(one, four)


def test_partial_sums_stay_few_and_cover_every_pixel_once():
    for instances, vertices, batch, size in [(1, 35_000, 64, 224**2), (1, 5, 1, 7), (3, 5, 3, 10**6)]:
        parts, sums = _cpu_interpolate._partial_sums(
            np.broadcast_to(np.float32(0), (instances, vertices, 1)), batch * size
        )
        assert len(parts) == len(sums) <= max(8, instances)
        covered = [(part.start, part.stop) for _, part in parts]
        assert [a for a, _ in covered] == [0, *(b for _, b in covered[:-1])]
        assert covered[-1][1] == batch * size


def test_float32_follows_float64():
    """50,000 pixels that meet in five vertices add up as exactly as one does."""
    rast, derivatives = scene(11, 2, (160, 160))
    attributes = attributes_of(12, 5, 3)
    found = []
    for dtype in (torch.float64, torch.float32):
        inputs = [t.to(dtype).requires_grad_() for t in (attributes, rast, derivatives)]
        values, slopes = CPU.interpolate_with_derivatives(inputs[0], inputs[1], FACES, inputs[2])
        found.append((values, slopes, *torch.autograd.grad((values**2).sum() + (slopes**2).sum(), inputs)))
    for double, single in zip(*found, strict=True):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=2e-6, atol=1e-5)


def test_wrong_arguments_are_named():
    rast, derivatives = scene(13)
    attributes = attributes_of(14, 5, 3)
    with pytest.raises(ValueError, match="1 or 2 instances, got 3"):
        CPU.interpolate(attributes.expand(3, -1, -1), rast, FACES)
    with pytest.raises(ValueError, match=r"channels must lie in 0..2, got \(0, 3\)"):
        CPU.interpolate_with_derivatives(attributes, rast, FACES, derivatives, [0, 3])
    with pytest.raises(ValueError, match="channels"):
        CPU.interpolate_with_derivatives(attributes, rast, FACES, derivatives, [-1])
    with pytest.raises(ValueError, match="rast shows face 2 of 2 faces"):
        CPU.interpolate(attributes, rast, FACES[:2])
    with pytest.raises(ValueError, match=r"faces must index the 4 vertices of attributes, got 0..4"):
        CPU.interpolate_with_derivatives(attributes[:4], rast, FACES, derivatives)
