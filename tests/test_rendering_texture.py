"""Textures on the CPU against torch's grid_sample, hand-worked numbers and finite differences."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from morphkit.rendering._cpu import CpuRasterizer
from morphkit.rendering._texture_arguments import check_texture, mip_levels, resolved_filter

CPU = CpuRasterizer()
BOUNDARIES = ["wrap", "clamp", "zero"]
FILTERS = ["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]


def numbers(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def places(seed, batch=2, h=5, w=7, reach=1.5):
    """Return uv around the unit square, and `reach` beyond its middle."""
    g = torch.Generator().manual_seed(seed)
    return 0.5 + reach * (2 * torch.rand(batch, h, w, 2, generator=g, dtype=torch.float64) - 1)


def reference(texture, uv, boundary, filter_mode="linear"):
    """Return what grid_sample shows; to wrap, of 5 x 5 copies."""
    if boundary == "wrap":
        texture, uv, boundary = texture.repeat(1, 5, 5, 1), (uv + 2) / 5, "clamp"
    shown = torch.nn.functional.grid_sample(
        texture.permute(0, 3, 1, 2).expand(len(uv), -1, -1, -1),
        2 * uv - 1,
        mode={"linear": "bilinear"}.get(filter_mode, filter_mode),
        padding_mode={"clamp": "border", "zero": "zeros"}[boundary],
        align_corners=False,
    )
    return shown.permute(0, 2, 3, 1)


def constant_levels(texture, count):
    """Return levels 1 to `count` of which level k shows k everywhere: the picture is the level."""
    n, th, tw, c = texture.shape
    return [torch.full((n, th >> k, tw >> k, c), float(k), dtype=texture.dtype) for k in range(1, count + 1)]


def level_of(derivatives, bias=None, **options):
    """Return each pixel's level on a texture of 16 x 32 texels with four levels above the first."""
    texture = torch.zeros(1, 16, 32, 1, dtype=torch.float64)
    uv = places(0, *derivatives.shape[:3])
    mip = constant_levels(texture, 4)
    return CPU.texture(texture, uv, derivatives, bias, mip=mip, **options)[..., 0]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 10_000),
    st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4)),
    st.sampled_from(BOUNDARIES),
    st.sampled_from(["nearest", "linear"]),
)
def test_follows_grid_sample(seed, shape, boundary, filter_mode):
    texture, uv = numbers(seed, *shape).requires_grad_(), places(seed).requires_grad_()
    ours = CPU.texture(texture, uv, filter_mode=filter_mode, boundary=boundary)
    theirs = reference(texture, uv, boundary, filter_mode)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    weights = numbers(seed + 1, *ours.shape)
    for found, expected in zip(
        torch.autograd.grad((ours * weights).sum(), (texture, uv)),
        torch.autograd.grad((theirs * weights).sum(), (texture, uv)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_texel_centres_and_rows():
    texture = numbers(1, 1, 3, 5, 2)
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(5), indexing="ij")
    uv = torch.stack([(columns.double() + 0.5) / 5, (rows.double() + 0.5) / 3], dim=-1)[None]
    for filter_mode in ("nearest", "linear"):
        for boundary in BOUNDARIES:
            shown = CPU.texture(texture, uv, filter_mode=filter_mode, boundary=boundary)
            torch.testing.assert_close(shown, texture, rtol=0, atol=1e-14)


def test_nearest_is_the_texel_below():
    texture = torch.arange(4, dtype=torch.float64).reshape(1, 1, 4, 1)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.5, 0.75, 0.9999, 1.0, -0.01])
    uv = torch.stack([u, torch.zeros_like(u)], dim=-1)[None, None].double()
    for boundary, expected in (
        ("wrap", [0, 0, 1, 2, 3, 3, 0, 3]),
        ("clamp", [0, 0, 1, 2, 3, 3, 3, 0]),
        ("zero", [0, 0, 1, 2, 3, 3, 0, 0]),
    ):
        shown = CPU.texture(texture, uv, filter_mode="nearest", boundary=boundary)
        assert shown.flatten().tolist() == expected


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9))
def test_an_affine_texture_is_exact_inside(seed, th, tw):
    slopes = numbers(seed, 3, 2)
    rows, columns = torch.meshgrid(torch.arange(th), torch.arange(tw), indexing="ij")
    centres = torch.stack([(columns.double() + 0.5) / tw, (rows.double() + 0.5) / th], dim=-1)
    rim = 0.5 / torch.tensor([tw, th], dtype=torch.float64)
    uv = rim + (1 - 2 * rim) * places(seed, reach=0.5)
    shown = CPU.texture((centres @ slopes.T)[None], uv, boundary="clamp")
    torch.testing.assert_close(shown, uv @ slopes.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("filter_mode", FILTERS)
def test_wrap_has_period_one(filter_mode):
    texture, uv = numbers(2, 1, 8, 4, 3), torch.round(places(3) * 64) / 64 + 1 / 1024
    bias = numbers(4, *uv.shape[:3]).abs()
    shown = CPU.texture(texture, uv, None, bias, filter_mode=filter_mode)
    for shift in ([1, 0], [-3, 2], [1000, -4096]):
        moved = CPU.texture(texture, uv + torch.tensor(shift), None, bias, filter_mode=filter_mode)
        torch.testing.assert_close(moved, shown, rtol=0, atol=1e-13)


@pytest.mark.parametrize("filter_mode", FILTERS)
def test_far_outside_clamp_is_constant_and_zero_is_zero(filter_mode):
    texture, bias = numbers(5, 1, 4, 8, 3), torch.full((1, 1, 6), 0.7, dtype=torch.float64)
    far = torch.tensor([1.6, 2.0, 5.0, 1e9, 1e300, float("inf")], dtype=torch.float64)
    for outside, edge in ((far, 1.0), (1 - far, 0.0)):
        uv = torch.stack([outside, torch.full_like(far, 0.4)], dim=-1)[None, None].requires_grad_()
        rim = torch.tensor([[[[edge, 0.4]]]], dtype=torch.float64)
        shown = CPU.texture(texture, uv, None, bias, filter_mode=filter_mode, boundary="clamp")
        at_rim = CPU.texture(texture, rim, None, bias[..., :1], filter_mode=filter_mode, boundary="clamp")
        torch.testing.assert_close(shown, at_rim.expand_as(shown), rtol=0, atol=1e-12)
        assert not torch.autograd.grad(shown.sum(), uv)[0][..., 0].any()
        assert not CPU.texture(texture, uv, None, bias, filter_mode=filter_mode, boundary="zero").any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(-4, 4), st.booleans())
def test_level_is_the_longer_axis_of_the_footprint(seed, magnitude, biased):
    derivatives = numbers(seed, 2, 3, 4, 4) * 2**magnitude / 16
    bias = numbers(seed + 1, 2, 3, 4) if biased else None
    jacobians = derivatives.reshape(2, 3, 4, 2, 2).numpy() * np.array([32, 16])[:, None]
    axes = np.linalg.svd(jacobians, compute_uv=False)[..., 0]
    exact = torch.from_numpy(np.log2(axes)) + (0 if bias is None else bias)
    torch.testing.assert_close(level_of(derivatives, bias), exact.clamp(0, 4), rtol=0, atol=1e-12)
    nearest = level_of(derivatives, bias, filter_mode="linear-mipmap-nearest")
    assert torch.equal(nearest, (exact.clamp(0, 4) + 0.5).floor())


def test_trilinear_by_hand():
    """Level 1.25 of a 4 x 4 texture: 3/4 of a level of 2 x 2 and 1/4 of its mean."""
    texture = torch.arange(16, dtype=torch.float64).reshape(1, 4, 4, 1)
    finer = torch.tensor([[2.5, 4.5], [10.5, 12.5]])
    uv = torch.tensor([[[[0.25, 0.25], [0.75, 0.25], [0.5, 0.5], [0.5, 0.75]]]]).double()
    bias = torch.full((1, 1, 4), 1.25, dtype=torch.float64)
    between = torch.tensor([finer[0, 0], finer[0, 1], 7.5, 11.5]).double()
    shown = CPU.texture(texture, uv, mip_level_bias=bias)[0, 0, :, 0]
    torch.testing.assert_close(shown, 0.75 * between + 0.25 * 7.5, rtol=0, atol=1e-14)
    footprint = torch.tensor([2**1.25 / 4, 0, 0, 0.1], dtype=torch.float64).expand(1, 1, 4, 4)
    same = CPU.texture(texture, uv, footprint)[0, 0, :, 0]
    torch.testing.assert_close(same, shown, rtol=0, atol=1e-14)


def test_a_minified_chequerboard_is_grey():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    texture, uv = board.double()[None, ..., None], places(6)
    footprint = torch.tensor([2 / 64, 0, 0, 2 / 64]).double().expand(2, 5, 7, 4)
    grey = torch.full((2, 5, 7, 1), 0.5, dtype=torch.float64)
    torch.testing.assert_close(CPU.texture(texture, uv, footprint), grey, rtol=0, atol=1e-14)
    assert (CPU.texture(texture, uv, footprint, filter_mode="linear") - grey).abs().max() > 0.3


def test_levels_keep_the_mean_and_stop_at_odd_sides():
    texture = numbers(7, 2, 24, 40, 3)
    levels = mip_levels(texture, None, None)
    assert [tuple(level.shape[1:3]) for level in levels] == [(12, 20), (6, 10), (3, 5)]
    for level in levels:
        torch.testing.assert_close(level.mean(dim=(1, 2)), texture.mean(dim=(1, 2)), rtol=0, atol=1e-14)
    assert len(mip_levels(texture, None, 2)) == 2
    assert mip_levels(texture[:, :1], None, None) == []


def test_max_mip_level_limits_the_level():
    texture, uv = numbers(8, 1, 16, 16, 2), places(9)
    blur = torch.full((2, 5, 7), 9.0, dtype=torch.float64)
    for most in range(5):
        limited = CPU.texture(texture, uv, None, blur, max_mip_level=most)
        assert torch.equal(limited, CPU.texture(texture, uv, None, torch.full_like(blur, most)))
    assert torch.equal(
        CPU.texture(texture, uv, None, blur, max_mip_level=0), CPU.texture(texture, uv, filter_mode="linear")
    )
    assert level_of(blur[..., None].expand(2, 5, 7, 4), max_mip_level=3).eq(3).all()


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("filter_mode", FILTERS)
def test_gradients(filter_mode, boundary):
    texture, uv = numbers(10, 2, 4, 8, 1), places(11, 2, 2, 3)
    inputs = (texture, uv, 0.3 * numbers(12, 2, 2, 3, 4), 0.3 * numbers(13, 2, 2, 3))

    def run(*tensors):
        return CPU.texture(*tensors, filter_mode=filter_mode, boundary=boundary)

    assert gradcheck(run, [t.requires_grad_() for t in inputs], eps=1e-7, rtol=1e-4, atol=1e-7)


def test_gradients_of_given_levels_and_bias_alone():
    texture, bias = numbers(14, 1, 8, 4, 2), 1 + 0.4 * numbers(15, 2, 3, 4)
    mip = [numbers(16, 1, 4, 2, 2), numbers(17, 1, 2, 1, 2)]
    uv = places(18, 2, 3, 4)
    inputs = [t.requires_grad_() for t in (texture, uv, bias, *mip)]
    assert gradcheck(lambda t, uv, b, *mip: CPU.texture(t, uv, None, b, mip=mip), inputs, eps=1e-7, rtol=1e-4)


def test_level_has_no_gradient_where_it_is_clamped_and_a_finite_one_everywhere():
    """A point, a circle, a line, a mirrored circle, far below, far above: only those between may move."""
    rows = [[0, 0, 0, 0], [2, 0, 0, 2], [1, 2, 1, 2], [2, 0, 0, -2], [1e-6, 0, 0, 0], [1e6, 0, 0, 1e6]]
    derivatives = (torch.tensor(rows).double() / torch.tensor([32, 32, 16, 16]))[None, None].requires_grad_()
    bias = torch.zeros(1, 1, 6, dtype=torch.float64).requires_grad_()
    level = level_of(derivatives, bias)
    by_footprint, by_bias = torch.autograd.grad(level.sum(), (derivatives, bias))
    assert by_bias.flatten().tolist() == [0, 1, 1, 1, 0, 0]
    assert by_footprint.isfinite().all()
    assert by_footprint.any(dim=-1).flatten().tolist() == [False, True, True, True, False, False]


def test_at_a_whole_level_the_next_one_pulls():
    level = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0]]]).double().requires_grad_()
    texture = torch.zeros(1, 16, 16, 1, dtype=torch.float64)
    mip = [k * k * m for k, m in zip(range(1, 5), constant_levels(torch.ones_like(texture), 4), strict=True)]
    shown = CPU.texture(texture, places(19, 1, 1, 5), None, level, mip=mip)[..., 0]
    cubes = torch.arange(5) ** 3
    assert torch.equal(shown.flatten(), cubes.double())
    (slope,) = torch.autograd.grad(shown.sum(), level)
    assert slope.flatten().tolist() == [*(cubes[1:] - cubes[:-1]).tolist(), 0]


@pytest.mark.parametrize("boundary", ["wrap", "clamp"])
def test_weights_add_up_to_one(boundary):
    """What comes back to all texels together is what went in."""
    texture = numbers(20, 1, 16, 8, 3).requires_grad_()
    uv, bias = places(21), numbers(22, 2, 5, 7).abs()
    weights = numbers(23, 2, 5, 7, 3)
    shown = CPU.texture(texture, uv, None, bias, boundary=boundary)
    (gradient,) = torch.autograd.grad((shown * weights).sum(), texture)
    torch.testing.assert_close(
        gradient.sum(dim=(0, 1, 2)), weights.sum(dim=(0, 1, 2)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_what_is_no_number_shows_as_zero_and_pulls_on_nothing(boundary):
    nan, inf = float("nan"), float("inf")
    spots = [[nan, 0.5], [0.5, nan], [0.5, 0.5], [0.5, 0.5], *([[inf, 0.5]] if boundary == "wrap" else [])]
    levels = [0.0, 0.0, nan, 0.0, 0.0][: len(spots)]
    texture = numbers(24, 1, 8, 8, 2).requires_grad_()
    uv = torch.tensor(spots).double()[None, None].requires_grad_()
    bias = torch.tensor(levels).double()[None, None].requires_grad_()
    shown = CPU.texture(texture, uv, None, bias, boundary=boundary)
    assert shown.any(dim=-1).flatten().tolist() == [False, False, False, True, False][: len(spots)]
    gradients = torch.autograd.grad(shown.sum(), (texture, uv, bias))
    assert all(gradient.isfinite().all() for gradient in gradients)
    alone = CPU.texture(texture, uv[:, :, 3:4], None, bias[:, :, 3:4], boundary=boundary)
    assert torch.equal(gradients[0], torch.autograd.grad(alone.sum(), texture)[0])


@pytest.mark.parametrize("filter_mode", ["nearest", "linear", "linear-mipmap-linear"])
@pytest.mark.parametrize("instances", [1, 6])
def test_same_bits_for_any_number_of_threads(instances, filter_mode, monkeypatch):
    single = torch.float32
    inputs = [numbers(25, instances, 32, 64, 3, dtype=single), places(26, 6, 31, 17).float()]
    inputs += [0.05 * numbers(27, 6, 31, 17, 4, dtype=single), numbers(28, 6, 31, 17, dtype=single)]

    def run(threads):
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
        tensors = [t.clone().requires_grad_() for t in inputs]
        shown = CPU.texture(*tensors, filter_mode=filter_mode)
        gradients = torch.autograd.grad((shown**2).sum(), tensors, allow_unused=True)
        assert all(torch.equal(a, b) for a, b in zip(tensors, inputs, strict=True))
        return [shown, *(g for g in gradients if g is not None)]

    for one, four in zip(run(1), run(4), strict=True):
        assert torch.equal(one, four)


def test_one_instance_serves_all_images():
    texture, uv = numbers(29, 1, 8, 8, 3).requires_grad_(), places(30, 4)
    bias = numbers(31, 4, 5, 7).abs()
    shared, expanded = (CPU.texture(t, uv, None, bias) for t in (texture, texture.expand(4, -1, -1, -1)))
    assert torch.equal(shared, expanded)
    weights = numbers(32, *shared.shape)
    gradients = [torch.autograd.grad((s * weights).sum(), texture)[0] for s in (shared, expanded)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    for i in range(4):
        part = slice(i, i + 1)
        assert torch.equal(CPU.texture(texture, uv[part], None, bias[part]), shared[part])
    assert CPU.texture(texture, uv[:0]).shape == (0, 5, 7, 3)


def test_float32_follows_float64():
    """20,000 pixels per image at all levels: the coarsest texel takes hundreds of them."""
    inputs = [numbers(33, 1, 64, 64, 3), places(34, 2, 100, 100), 0.1 * numbers(35, 2, 100, 100, 4)]
    weights = numbers(36, 2, 100, 100, 3)
    found = []
    for dtype in (torch.float64, torch.float32):
        tensors = [t.float().to(dtype).requires_grad_() for t in inputs]
        shown = CPU.texture(*tensors)
        gradients = torch.autograd.grad((shown * weights.to(dtype)).sum(), tensors)
        found.append([shown, *gradients])
    for double, single in zip(*found, strict=True):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4 * double.std().item())


def test_auto_is_linear_until_there_is_a_level():
    texture, uv, footprint = numbers(37, 1, 8, 8, 2), places(38), 0.2 * numbers(39, 2, 5, 7, 4)
    assert torch.equal(CPU.texture(texture, uv), CPU.texture(texture, uv, footprint, filter_mode="linear"))
    trilinear = CPU.texture(texture, uv, footprint, filter_mode="linear-mipmap-linear")
    assert torch.equal(CPU.texture(texture, uv, footprint), trilinear)


def plane(size):
    """Return one large triangle in perspective with its uv, in clip space."""
    clip = torch.tensor([[-3.0, -2, 0.1, 1], [9, -2, 1.5, 3], [0.5, 9, 0.7, 2]], dtype=torch.float64)
    uv = torch.tensor([[0.1, 0.2], [1.7, 0.1], [0.4, 2.3]], dtype=torch.float64)
    return clip[None], uv, torch.tensor([[0, 1, 2]], dtype=torch.int32), (size, size)


def test_attributes_change_from_pixel_to_pixel_as_their_derivatives_say():
    clip, uv, faces, size = plane(6)
    rast, by_pixel = CPU.rasterize_with_derivatives(clip, faces, size)
    _, derivatives = CPU.interpolate_with_derivatives(uv, rast, faces, by_pixel)
    for axis in range(2):
        step = torch.zeros(4, dtype=torch.float64)
        step[axis] = 2e-5 / 6  # 1e-5 of a pixel: what moves left shows what lay to the right
        behind, ahead = (
            CPU.interpolate(uv, CPU.rasterize(clip + sign * step * clip[..., 3:], faces, size), faces)
            for sign in (1, -1)
        )
        torch.testing.assert_close(derivatives[..., axis::2], (ahead - behind) / 2e-5, rtol=1e-7, atol=1e-9)


def test_gradients_from_texels_to_vertices():
    clip, uv, faces, size = plane(4)
    texture = numbers(43, 1, 16, 16, 1)

    def run(clip, uv, texture):
        rast, by_pixel = CPU.rasterize_with_derivatives(clip, faces, size)
        return CPU.texture(texture, *CPU.interpolate_with_derivatives(uv, rast, faces, by_pixel))

    inputs = [t.requires_grad_() for t in (clip, uv, texture)]
    assert gradcheck(run, inputs, eps=1e-7, rtol=1e-4, atol=1e-6)


def test_wrong_arguments_are_named():
    texture, uv, wide = numbers(40, 1, 12, 8, 2), places(41), numbers(42, 1, 12, 8, 3)
    bias = torch.zeros(2, 5, 7, dtype=torch.float64)
    for message, arguments in {
        r"texture must be \(instances, th, tw, c\)": (texture[0], uv, None, None),
        "texture must be float32 or float64": (texture.half(), uv, None, None),
        "texture must have 1 or 2 instances, got 3": (texture.expand(3, -1, -1, -1), uv, None, None),
        r"uv must be \(batch, h, w, 2\)": (texture, uv[..., 0], None, None),
        "uv must be .* in torch.float64 like texture, got .* in torch.float32": (
            texture,
            uv.float(),
            None,
            None,
        ),
        r"uv_derivatives must be \(2, 5, 7, 4\)": (texture, uv, uv, None),
        r"mip_level_bias must be \(2, 5, 7\) .* got \(2, 5, 6\)": (texture, uv, None, bias[..., 1:]),
    }.items():
        with pytest.raises(ValueError, match=message):
            check_texture(*arguments, "wrap")
    with pytest.raises(ValueError, match="needs uv_derivatives or mip_level_bias"):
        CPU.texture(texture, uv, filter_mode="linear-mipmap-nearest")
    with pytest.raises(ValueError, match="max_mip_level must not be negative, got -1"):
        CPU.texture(texture, uv, None, bias, max_mip_level=-1)
    with pytest.raises(ValueError, match=r"mip\[0\] must be \(1, 6, 4, 2\)"):
        CPU.texture(texture, uv, None, bias, mip=[wide])
    with pytest.raises(ValueError, match="at most 2 levels, for sides of 12 and 8, got 3"):
        CPU.texture(texture, uv, None, bias, mip=constant_levels(texture, 3))
    with pytest.raises(ValueError, match=r"filter_mode must be one of auto, nearest, .* got 'cubic'"):
        resolved_filter("cubic", has_level=True)
    with pytest.raises(ValueError, match="boundary must be one of wrap, clamp, zero, got 'mirror'"):
        check_texture(texture, uv, None, None, "mirror")
