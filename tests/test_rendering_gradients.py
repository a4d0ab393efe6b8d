"""Every operation, and the whole shaded render, against finite differences on random scenes, in float64."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from morphkit.rendering import PerspectiveCamera, get_rasterizer, render
from morphkit.rendering.normals import unit, vertex_normals

CPU = get_rasterizer("numba")
SEEDS = st.integers(0, 2**32 - 1)
RELATIVE = 1e-4
SIZE = (13, 17)


def random_triangles(rng: np.random.Generator, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a sheet with folds and some loose triangles, a few of them reaching behind the camera."""
    side = 4
    grid = np.stack(np.meshgrid(*[np.linspace(-0.8, 0.8, side)] * 2), axis=-1).reshape(1, -1, 2)
    sheet = grid + rng.normal(scale=0.25, size=(batch, side * side, 2))
    loose = rng.uniform(-1, 1, (batch, 9, 2))
    xy = np.concatenate([sheet, loose], axis=1)
    w = rng.uniform(0.8, 3, (batch, xy.shape[1], 1))
    w[:, -1] = -0.3
    z = rng.uniform(-0.9, 0.9, (batch, xy.shape[1], 1))
    corner = np.arange(side * (side - 1)).reshape(-1, side)[:, :-1].ravel()
    squares = [[corner, corner + 1, corner + side], [corner + 1, corner + side + 1, corner + side]]
    faces = np.concatenate([np.stack(square, axis=1) for square in squares])
    faces = np.concatenate([faces, side * side + np.arange(9).reshape(3, 3)])
    vertices = np.concatenate([xy * np.abs(w), z * np.abs(w), w], axis=-1)
    return torch.from_numpy(vertices), torch.from_numpy(faces.astype(np.int32))


def assert_slope(
    function: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    at: torch.Tensor,
    rng: np.random.Generator,
    step: float = 1e-6,
) -> None:
    """Compare the gradient of a random sum of `function`'s first output, along a random direction.

    The second output is what must not change for a derivative to exist: the visible faces, say.
    """
    direction = torch.from_numpy(rng.normal(size=at.shape))
    leaf = at.clone().requires_grad_()
    value, fixed = function(leaf)
    weights = torch.from_numpy(rng.normal(size=value.shape))
    (gradient,) = torch.autograd.grad((weights * value).sum(), leaf)
    ahead, behind = function(at + step * direction), function(at - step * direction)
    assume(torch.equal(ahead[1], fixed) and torch.equal(behind[1], fixed))
    slope = (weights * (ahead[0] - behind[0])).sum().item() / (2 * step)
    scale = (weights * (ahead[0] - behind[0])).abs().sum().item() / (2 * step)
    assert abs((gradient * direction).sum().item() - slope) <= RELATIVE * abs(slope) + 1e-6 * scale


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_rasterize(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = random_triangles(rng)

    def barycentrics(v):
        rast = CPU.rasterize(v, faces, SIZE)
        return rast[..., :2], rast[..., 3].detach()

    assert_slope(barycentrics, vertices, rng, 1e-7)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_derivatives_by_the_pixel(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = random_triangles(rng)

    def derivatives(v):
        rast, slopes = CPU.rasterize_with_derivatives(v, faces, SIZE)
        return slopes, rast[..., 3].detach()

    assert_slope(derivatives, vertices, rng, 1e-7)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_interpolate(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = random_triangles(rng)
    attributes = torch.from_numpy(rng.normal(size=(*vertices.shape[:2], 3)))
    rast, slopes = CPU.rasterize_with_derivatives(vertices, faces, SIZE)

    def by_attributes(a):
        return torch.cat(CPU.interpolate_with_derivatives(a, rast, faces, slopes, (2, 0)), dim=-1), rast

    def by_rast(r):
        seen = torch.cat([r[..., :2], rast[..., 2:]], dim=-1)
        return torch.cat(CPU.interpolate_with_derivatives(attributes, seen, faces, r[..., 2:]), dim=-1), rast

    assert_slope(by_attributes, attributes, rng)
    assert_slope(by_rast, torch.cat([rast[..., :2], slopes], dim=-1), rng)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_antialias(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = random_triangles(rng)
    rast = CPU.rasterize(vertices, faces, SIZE)
    color = torch.from_numpy(rng.normal(size=(2, *SIZE, 3)))

    def by_vertices(v):
        # What blends with what, and by more or less than a half, must stay.
        smooth = CPU.antialias(color, rast, v, faces)
        return smooth, torch.stack([(smooth != color).any(dim=-1), (smooth > color).any(dim=-1)])

    assert_slope(lambda c: (CPU.antialias(c, rast, vertices, faces), rast), color, rng)
    assert_slope(by_vertices, vertices, rng, 1e-7)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_whole_render(seed):
    """Shape, albedo, light and pose at once, through normals, shading and silhouettes."""
    rng = np.random.default_rng(seed)
    clip, faces = random_triangles(rng, batch=1)
    points = 60 * torch.cat([clip[..., :2], clip[..., 2:3]], dim=-1)[:, :-9]
    faces = faces[:-3]
    count = points.shape[1]
    values = torch.cat(
        [points.reshape(-1), torch.from_numpy(rng.uniform(size=3 * count + 27)), torch.zeros(6).double()]
    )

    def picture(x):
        shape, albedo, light, pose = x.split([3 * count, 3 * count, 27, 6])
        camera = PerspectiveCamera.from_parameters(
            torch.tensor([60.0]).double(),
            pose[None, :3],
            pose[None, 3:] + torch.tensor([0.0, 0, 400]).double(),
            *SIZE[::-1],
        )
        seen = render(
            shape.reshape(1, -1, 3), faces, albedo.reshape(1, -1, 3), light.reshape(1, 9, 3), camera, CPU
        )
        out = torch.cat([seen.image, seen.mask[..., None], seen.depth[..., None], seen.normals], dim=-1)
        partly = (seen.mask > 0) & (seen.mask < 1)
        return out, torch.stack([seen.face_ids, partly.long()])

    assert_slope(picture, values, rng, 1e-7)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_normals(seed):
    rng = np.random.default_rng(seed)
    clip, faces = random_triangles(rng)
    nothing = torch.zeros(())
    assert_slope(lambda v: (vertex_normals(v, faces), nothing), clip[..., :3], rng)
    assert_slope(lambda v: (unit(v), nothing), clip[..., :3], rng)
