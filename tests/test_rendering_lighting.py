"""Spherical harmonics and matte shading: orthonormality, Lambert's constants, closed-form light."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.rendering.lighting import ambient_light, directional_light, fit_light, reflection_basis, shade
from morphkit.rendering.spherical_harmonics import sh_basis


def sphere_quadrature(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Return directions and weights that integrate polynomials over the sphere exactly."""
    z, weight = np.polynomial.legendre.leggauss(count)
    around = 2 * np.pi * np.arange(2 * count) / (2 * count)
    z, a = np.meshgrid(z, around, indexing="ij")
    radius = np.sqrt(1 - z**2)
    directions = np.stack([radius * np.cos(a), radius * np.sin(a), z], axis=-1).reshape(-1, 3)
    return torch.from_numpy(directions), torch.from_numpy(np.repeat(weight, 2 * count) * np.pi / count)


def random_normals(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(*shape, 3))), dim=-1)


def test_basis_is_orthonormal():
    directions, weights = sphere_quadrature()
    basis = sh_basis(directions)
    torch.testing.assert_close(
        basis.T @ (weights[:, None] * basis), torch.eye(9).double(), rtol=0, atol=1e-12
    )


def test_reflection_is_the_cosine_integral(rng):
    """For radiance in the basis, irradiance / pi is the integral of radiance times max(cos, 0) over pi."""
    directions, weights = sphere_quadrature(120)
    normals = random_normals(rng, 6)
    cosine = (normals @ directions.T).clamp_min(0)
    integral = (cosine * weights) @ sh_basis(directions) / np.pi
    torch.testing.assert_close(reflection_basis(normals), integral, rtol=0, atol=1e-3)


def test_constant_light_shows_the_albedo(rng):
    albedo = torch.from_numpy(rng.uniform(size=(2, 4, 5, 3)))
    shaded = shade(albedo, random_normals(rng, 2, 4, 5), ambient_light(2).double())
    torch.testing.assert_close(shaded, albedo, rtol=1e-6, atol=0)


def test_light_is_found_again(rng):
    """Colours made by a light give it back; spoiling half of them, with no weight, changes nothing."""
    albedo = torch.from_numpy(rng.uniform(0.2, 0.8, (2, 200, 3)))
    normals = random_normals(rng, 2, 200)
    light = torch.from_numpy(rng.normal(size=(2, 9, 3)))
    pixels = shade(albedo, normals, light)
    torch.testing.assert_close(fit_light(albedo, normals, pixels, ridge=0.0), light)
    weights = torch.ones(2, 200).double()
    weights[:, ::2] = 0
    spoilt = torch.where(weights[..., None] > 0, pixels, 7.0)
    torch.testing.assert_close(fit_light(albedo, normals, spoilt, weights, ridge=0.0), light)


def test_ridge_keeps_a_half_seen_light_small(rng):
    cone = random_normals(rng, 1, 50) * 0.01 + torch.tensor([0, 0, -1.0])
    normals = torch.nn.functional.normalize(cone, dim=-1)
    albedo = torch.full((1, 50, 3), 0.5).double()
    pixels = albedo + 0.001 * torch.from_numpy(rng.normal(size=(1, 50, 3)))
    light = fit_light(albedo, normals, pixels)
    assert light[:, 1:].abs().max() < 2
    torch.testing.assert_close(shade(albedo, normals, light), albedo, rtol=0, atol=0.003)
    assert torch.isfinite(fit_light(0 * albedo, normals, pixels)).all()


def test_gradients(rng):
    albedo = torch.from_numpy(rng.uniform(0.2, 0.8, (1, 12, 3))).requires_grad_()
    normals = random_normals(rng, 1, 12).requires_grad_()
    light = torch.from_numpy(rng.normal(size=(1, 9, 3))).requires_grad_()
    assert gradcheck(shade, (albedo, normals, light))
    pixels = torch.from_numpy(rng.uniform(size=(1, 12, 3))).requires_grad_()
    assert gradcheck(fit_light, (albedo, normals, pixels), fast_mode=True)


def test_negative_ridge_is_refused(rng):
    points = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="ridge"):
        fit_light(points, points, points, ridge=-1.0)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_light_of_any_order(rng, order):
    """A light cut off at an order is that light with zeros beyond; the third band shows nowhere."""
    count = (order + 1) ** 2
    albedo, normals = torch.from_numpy(rng.uniform(size=(2, 7, 3))), random_normals(rng, 2, 7)
    light = torch.from_numpy(rng.normal(size=(2, count, 3)))
    whole = torch.nn.functional.pad(light, (0, 0, 0, max(0, 9 - count)))[:, :9]
    torch.testing.assert_close(shade(albedo, normals, light), shade(albedo, normals, whole))
    basis = reflection_basis(normals, order)
    assert basis.shape == (2, 7, count)
    torch.testing.assert_close(shade(albedo, normals, light), albedo * (basis @ light))
    if order <= 2:
        pixels = shade(albedo[:, :1].expand(2, 7, 3), normals, light)
        found = fit_light(albedo[:, :1].expand(2, 7, 3), normals, pixels, ridge=1e-12, order=order)
        assert found.shape == light.shape
        if order < 2:  # seven points say no more than four coefficients
            torch.testing.assert_close(found, light, rtol=1e-6, atol=1e-6)
    ambient = ambient_light(2, 0.7, order).double()
    torch.testing.assert_close(shade(albedo, normals, ambient), 0.7 * albedo, rtol=1e-6, atol=0)


def test_white_light_is_found_again(rng):
    albedo, normals = torch.from_numpy(rng.uniform(0.2, 0.8, (2, 200, 3))), random_normals(rng, 2, 200)
    light = torch.from_numpy(rng.normal(size=(2, 9, 1))).expand(2, 9, 3)
    pixels = shade(albedo, normals, light)
    torch.testing.assert_close(fit_light(albedo, normals, pixels, ridge=0.0, monochrome=True), light)
    tinted = pixels * torch.tensor([1.2, 1.0, 0.8]).double()
    white = fit_light(albedo, normals, tinted, ridge=0.0, monochrome=True)
    assert (white == white[..., :1]).all()


def test_a_lamp_shines_from_where_it_is(rng):
    """Brightness is the cosine's projection: 17/16 in front, 1/16 behind, never off by more than 3/32."""
    direction, color = torch.tensor([[0.0, -3.0, -4.0]]).double(), torch.tensor([[1.0, 0.5, 0.2]]).double()
    lamp = directional_light(direction, color)
    towards = direction / 5
    normals = torch.cat([towards, -towards, random_normals(rng, 500)])[None]
    shown = shade(torch.ones_like(normals), normals, lamp) / color
    assert shown[0, :2, 0].tolist() == pytest.approx([17 / 16, 1 / 16])
    cosine = (normals @ towards[0]).clamp_min(0)[..., None]
    assert (shown - cosine).abs().max() <= 3 / 32 + 1e-12


def test_lamps_from_everywhere_are_ambient_light():
    """Lamps spread evenly over the sphere, each 4 times its share, are the same radiance from everywhere."""
    directions, weights = sphere_quadrature(8)
    color = (weights / np.pi)[:, None].expand(-1, 3)
    total = directional_light(directions, color).sum(dim=0, keepdim=True)
    torch.testing.assert_close(total, ambient_light().double(), rtol=0, atol=1e-6)


def test_orders_that_say_nothing_are_refused(rng):
    points = torch.zeros(1, 2, 3)
    with pytest.raises(ValueError, match="order must be 0, 1 or 2"):
        fit_light(points, points, points, order=3)
    with pytest.raises(ValueError, match="1, 4, 9 or 16 coefficients, got 8"):
        shade(points, points, torch.zeros(1, 8, 3))


def test_gradients_of_lamps_and_white_light(rng):
    direction = torch.from_numpy(rng.normal(size=(2, 3))).requires_grad_()
    color = torch.from_numpy(rng.uniform(size=(2, 3))).requires_grad_()
    assert gradcheck(lambda d, c: directional_light(d, c, 3), (direction, color))
    albedo = torch.from_numpy(rng.uniform(0.2, 0.8, (1, 12, 3))).requires_grad_()
    normals = random_normals(rng, 1, 12).requires_grad_()
    pixels = torch.from_numpy(rng.uniform(size=(1, 12, 3))).requires_grad_()
    weights = torch.from_numpy(rng.uniform(0.1, 1, size=(1, 12))).requires_grad_()

    def fitted(albedo, normals, pixels, weights):
        return fit_light(albedo, normals, pixels, weights, order=1, monochrome=True)

    assert gradcheck(fitted, (albedo, normals, pixels, weights))
    assert gradcheck(lambda n: shade(albedo.detach(), n, torch.ones(1, 16, 3).double()), normals)
