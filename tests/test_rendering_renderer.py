"""Whole pictures: shading laws, orientation, depth, and gradients through everything."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.geometry import normals as numpy_normals
from morphkit.rendering import PerspectiveCamera, TexturedAlbedo, get_rasterizer, render, weak_perspective
from morphkit.rendering.lighting import ambient_light, directional_light, reflection_basis, shade
from morphkit.rendering.normals import summed_area_vectors, unit, vertex_normals

CPU = get_rasterizer("numba")


@pytest.fixture
def icosphere() -> tuple[torch.Tensor, torch.Tensor]:
    """A sphere of radius 50 mm."""
    import trimesh

    mesh = trimesh.creation.icosphere(subdivisions=4, radius=50.0)
    return torch.from_numpy(np.asarray(mesh.vertices))[None], torch.from_numpy(mesh.faces.astype(np.int32))


def looking(
    size: int = 64, dtype: torch.dtype = torch.float64, axis_angle=(0.0, 0.0, 0.0)
) -> PerspectiveCamera:
    return PerspectiveCamera.from_parameters(
        torch.tensor([4.0 * size], dtype=dtype),
        torch.tensor([axis_angle], dtype=dtype),
        torch.tensor([[0.0, 0, 500]], dtype=dtype),
        size,
        size,
    )


def test_constant_light_gives_constant_shading(icosphere):
    vertices, faces = icosphere
    color = torch.tensor([0.2, 0.5, 0.7]).double()
    albedo = color.expand(1, vertices.shape[1], 3)
    picture = render(
        vertices, faces, albedo, ambient_light().double(), looking(), CPU, color.expand(1, 64, 64, 3)
    )
    torch.testing.assert_close(picture.image, color.expand(1, 64, 64, 3), rtol=0, atol=1e-7)


def test_a_sphere_has_its_own_normals_and_depth(icosphere):
    vertices, faces = icosphere
    camera = looking()
    picture = render(vertices, faces, torch.ones_like(vertices), ambient_light().double(), camera, CPU)
    rows, columns = torch.nonzero(picture.face_ids[0] >= 0, as_tuple=True)
    pixels = torch.stack([columns + 0.5, rows + 0.5, torch.ones(len(rows))], dim=1).double()
    depth = picture.depth[0, rows, columns]
    points = pixels @ torch.linalg.inv(camera.K[0]).T * depth[:, None] - camera.t[0]
    torch.testing.assert_close(points.norm(dim=1), torch.full_like(depth, 50), rtol=0, atol=0.1)
    cosine = (picture.normals[0, rows, columns] * points / 50).sum(dim=1)
    assert cosine.min() > 0.995
    assert not picture.depth[picture.face_ids < 0].any()
    area = np.pi * (4 * 64 * np.tan(np.arcsin(50 / 500))) ** 2
    assert picture.mask.sum().item() == pytest.approx(area, rel=0.005)


def test_light_from_above_and_the_left_is_there(icosphere):
    """Row 0 is the top; light comes in camera coordinates, y down."""
    vertices, faces = icosphere
    light = ambient_light().double()
    light[:, 1], light[:, 3] = -1.5, -0.7
    image = render(vertices, faces, torch.ones_like(vertices), light, looking(), CPU).image[0, ..., 0]
    assert image[16, 32] > image[48, 32] + 0.5
    assert image[32, 16] > image[32, 48] + 0.2


def test_turning_the_head_leaves_the_light_in_place(icosphere):
    vertices, faces = icosphere
    light = ambient_light().double()
    light[:, 1:4] = 0.6
    straight, turned = (
        render(vertices, faces, torch.ones_like(vertices), light, looking(axis_angle=a), CPU).image
        for a in ((0.0, 0.0, 0.0), (0.2, 0.9, -0.4))
    )
    assert (straight - turned).abs()[:, 16:48, 16:48].max() < 0.01


def test_gradients_of_a_whole_picture(rng):
    """Coarse triangles that fill the picture: no visibility changes within the finite differences."""
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-80, 80, 4).double()] * 2, indexing="xy"), dim=-1)
    vertices = torch.cat([grid, torch.from_numpy(rng.uniform(-15, 15, (4, 4, 1)))], dim=-1).reshape(1, -1, 3)
    index = np.arange(16).reshape(4, 4)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = torch.from_numpy(np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]))
    albedo = torch.from_numpy(rng.uniform(size=(1, 16, 3)))
    light = torch.from_numpy(rng.normal(size=(1, 9, 3)))

    def picture(v, alb, sh, focal, axis_angle, translation):
        camera = PerspectiveCamera.from_parameters(focal, axis_angle, translation, 9, 8)
        rendering = render(v, faces, alb, sh, camera, CPU)
        return rendering.image, rendering.depth, rendering.mask

    camera = torch.tensor([40.0]), torch.tensor([[0.05, 0.1, -0.1]]), torch.tensor([[1.0, 2, 300]])
    inputs = [t.double().requires_grad_() for t in (vertices, albedo, light, *camera)]
    assert gradcheck(picture, inputs, eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_an_outline_can_be_followed_home(icosphere):
    """Gradient descent on the mask alone moves a displaced sphere back, in single precision."""
    vertices, faces = (icosphere[0].float(), icosphere[1])
    camera, light = looking(32, dtype=torch.float32), ambient_light()
    target = render(vertices, faces, torch.ones_like(vertices), light, camera, CPU).mask
    offset = torch.tensor([8.0, -6.0, 0.0], requires_grad=True)
    for step in 1.2 * 0.9 ** np.arange(40):
        mask = render(vertices + offset, faces, torch.ones_like(vertices), light, camera, CPU).mask
        (gradient,) = torch.autograd.grad((mask - target).square().mean(), offset)
        offset = (offset - step * gradient / gradient.norm()).detach().requires_grad_()
    assert offset[:2].abs().max() < 0.4  # a tenth of a pixel


def test_vertex_normals_on_every_path(icosphere, rng):
    vertices, faces = icosphere
    vertices = vertices + torch.from_numpy(rng.normal(size=vertices.shape))
    expected = numpy_normals.vertex_normals(vertices[0].numpy(), faces.numpy())
    np.testing.assert_allclose(vertex_normals(vertices, faces)[0].numpy(), expected, atol=1e-12)
    torch.testing.assert_close(unit(summed_area_vectors(vertices, faces)), vertex_normals(vertices, faces))
    few = torch.from_numpy(rng.normal(size=(2, 5, 3))).requires_grad_()
    triangles = torch.tensor([[0, 1, 2], [2, 1, 3], [0, 2, 3]])  # vertex 4 has no face
    assert gradcheck(lambda v: vertex_normals(v, triangles)[:, :4], few)
    assert not vertex_normals(few, triangles)[:, 4].any()


def test_one_pass_of_shading_is_the_formula(rng):
    """The CPU's loops and the harmonics written out agree, forward and back, at every order."""
    albedo = torch.from_numpy(rng.uniform(size=(2, 5, 7, 3))).requires_grad_()
    normals = unit(torch.from_numpy(rng.normal(size=(2, 5, 7, 3)))).detach().requires_grad_()
    weights = torch.from_numpy(rng.normal(size=(2, 5, 7, 3)))
    for order in range(4):
        light = torch.from_numpy(rng.normal(size=(2, (order + 1) ** 2, 3))).requires_grad_()
        written_out = albedo * torch.einsum("bhwk,bkc->bhwc", reflection_basis(normals, order), light)
        looped = shade(albedo, normals, light)
        torch.testing.assert_close(looped, written_out)
        leaves = albedo, normals, light
        for ours, theirs in zip(
            torch.autograd.grad(looped, leaves, weights),
            torch.autograd.grad(written_out, leaves, weights, materialize_grads=True),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


def test_one_light_serves_a_batch(icosphere):
    vertices, faces = icosphere
    camera = PerspectiveCamera.from_parameters(
        torch.full((2,), 256.0).double(),
        torch.zeros(2, 3).double(),
        torch.tensor([[0.0, 0, 500]] * 2).double(),
        64,
        64,
    )
    light = directional_light(
        torch.tensor([[1.0, 0, -1]]).double(), torch.ones(1, 3).double()
    ).requires_grad_()
    picture = render(vertices.expand(2, -1, -1), faces, torch.ones_like(vertices), light, camera, CPU)
    assert torch.equal(picture.image[0], picture.image[1])
    (gradient,) = torch.autograd.grad(picture.image.sum(), light)
    single = render(vertices, faces, torch.ones_like(vertices), light, looking(), CPU)
    (of_one,) = torch.autograd.grad(single.image.sum(), light)
    torch.testing.assert_close(gradient, 2 * of_one)


def textured_square(texture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, TexturedAlbedo]:
    """Return a square of 100 mm that faces the camera, its texture upright."""
    corners = torch.tensor([[-50.0, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]]).double()
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)
    uv = (corners[:, :2] / 100 + 0.5)[faces.long()]
    return corners[None], faces, TexturedAlbedo(texture, uv)


def test_a_textured_square_shows_its_texture(rng):
    """A square of 64 by 64 pixels with as many texels shows them, the right way up, in its own place."""
    texture = torch.from_numpy(rng.uniform(size=(1, 64, 64, 3)))
    vertices, faces, albedo = textured_square(texture)
    camera = PerspectiveCamera.from_parameters(
        torch.tensor([640.0]).double(),
        torch.zeros(1, 3).double(),
        torch.tensor([[0.0, 0, 1000]]).double(),
        80,
        72,
    )
    picture = render(vertices, faces, albedo, ambient_light().double(), camera, CPU)
    torch.testing.assert_close(picture.image[:, 4:68, 8:72], texture, rtol=0, atol=1e-6)
    assert not picture.image[:, :3].any()


def test_a_far_texture_is_averaged_and_has_gradients(rng):
    texture = torch.from_numpy(rng.uniform(size=(1, 64, 64, 3))).requires_grad_()
    vertices, faces, albedo = textured_square(texture)
    camera = PerspectiveCamera.from_parameters(
        torch.tensor([80.0]).double(),
        torch.zeros(1, 3).double(),
        torch.tensor([[0.0, 0, 1000]]).double(),
        12,
        12,
    )
    picture = render(vertices, faces, albedo, ambient_light().double(), camera, CPU)
    inside = picture.image[0, 3:9, 3:9]
    expected = texture[0].unfold(0, 8, 8).unfold(1, 8, 8).mean(dim=(3, 4))[1:7, 1:7]
    torch.testing.assert_close(inside, expected, rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(inside.sum(), texture)
    assert gradient.sum().item() == pytest.approx(3 * 36)


def test_an_orthographic_picture_is_that_from_far_away(icosphere):
    vertices, faces = icosphere
    albedo, light = (
        torch.full_like(vertices, 0.5),
        directional_light(torch.tensor([[0.3, -0.5, -1]]).double(), torch.ones(1, 3).double()),
    )
    depth = torch.tensor([20_000.0]).double()
    far = PerspectiveCamera.from_parameters(
        40 * 50 / 100 * depth / 50,
        torch.tensor([[0.2, 0.1, 0]]).double(),
        torch.tensor([[3.0, 2, 20_000]]).double(),
        64,
        64,
    )
    seen = render(vertices, faces, albedo, light, far, CPU)
    flat = render(vertices, faces, albedo, light, weak_perspective(far, depth), CPU)
    assert (seen.mask > 0).sum() > 1000
    torch.testing.assert_close(flat.image, seen.image, rtol=0, atol=0.01)
    torch.testing.assert_close(flat.depth, seen.depth, rtol=0, atol=1.0)
