"""Cameras: projection, rotation, crops, and agreement with the rasterizer to a hair of a pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from morphkit.rendering import Camera, OrthographicCamera, PerspectiveCamera, get_rasterizer, weak_perspective
from morphkit.rendering.crops import ImageTransform
from morphkit.rendering.rotations import (
    angles_to_matrix,
    axis_angle_to_matrix,
    facing,
    matrix_to_angles,
    matrix_to_axis_angle,
)


@pytest.fixture
def camera() -> PerspectiveCamera:
    return PerspectiveCamera.from_parameters(
        torch.tensor([900.0, 1200.0], dtype=torch.float64),
        torch.tensor([[0.1, -0.4, 0.2], [0.0, 0.0, 0.0]], dtype=torch.float64),
        torch.tensor([[10.0, -20.0, 700.0], [0.0, 0.0, 900.0]], dtype=torch.float64),
        width=320,
        height=240,
    )


def test_a_head_at_rest_looks_into_the_camera(camera):
    """Seen in the picture, the subject's left is on the right, up is up, and the nose is nearest."""
    points = torch.tensor([[0, 0, 0], [50.0, 0, 0], [0, 50, 0], [0, 0, 50]], dtype=torch.float64)
    pixels = camera.project(points[None])[1]
    assert pixels[0].tolist() == [160, 120]
    assert pixels[1].tolist() == pytest.approx([160 + 1200 * 50 / 900, 120])
    assert pixels[2].tolist() == pytest.approx([160, 120 - 1200 * 50 / 900])
    assert camera.to_camera(points[None])[1, 3].tolist() == [0, 0, 850]


def test_projection_and_rasterizer_agree(camera, rng):
    """The centre of every covered pixel is where the camera projects the surface point that it shows."""
    vertices = torch.from_numpy(rng.uniform(-60, 60, (2, 30, 3)))
    faces = torch.arange(30, dtype=torch.int32).reshape(-1, 3)
    cpu = get_rasterizer("numba")
    rast = cpu.rasterize(camera.to_clip(camera.to_camera(vertices)), faces, (240, 320))
    points = cpu.interpolate(vertices, rast, faces)
    for image in range(2):
        rows, columns = torch.nonzero(rast[image, ..., 3] > 0, as_tuple=True)
        pixels = camera.project(points[image, rows, columns][None])[image]
        centres = torch.stack([columns, rows], dim=1).double() + 0.5
        torch.testing.assert_close(pixels, centres, rtol=0, atol=1e-9)


def test_depth_range(camera):
    ahead = torch.tensor([[[0.0, 0, camera.near], [0, 0, camera.far]]], dtype=torch.float64).expand(2, -1, -1)
    clip = camera.to_clip(ahead)
    torch.testing.assert_close(clip[..., 2] / clip[..., 3], torch.tensor([[-1.0, 1]] * 2).double())


def test_project_gradient(rng):
    def pixels(focal, axis_angle, translation, points, centre):
        camera = PerspectiveCamera.from_parameters(focal, axis_angle, translation, 20, 10, centre)
        return camera.project(points), camera.to_clip(camera.to_camera(points))

    points, centre = rng.normal(size=(2, 5, 3)), [[1.0, 2], [3, 4]]
    values = [[90.0, 100], np.zeros((2, 3)), [[1.0, 2, 70], [0, 0, 50]], points, centre]
    assert gradcheck(pixels, [torch.tensor(np.array(v)).requires_grad_() for v in values])


def test_crop_and_resize_move_pixels_as_they_say(camera, rng):
    points = torch.from_numpy(rng.uniform(-60, 60, (2, 9, 3)))
    pixels = camera.project(points)
    cropped = camera.crop(30.0, 40.0, 100, 120)
    torch.testing.assert_close(cropped.project(points), pixels - torch.tensor([30.0, 40]).double())
    assert (cropped.width, cropped.height) == (100, 120)
    resized = cropped.resize(50, 60)
    torch.testing.assert_close(resized.project(points), 0.5 * cropped.project(points))


def test_a_fit_in_a_crop_returns_to_its_photo(camera):
    crop = ImageTransform.identity(320, 240).window(31.5, -12.25, 0.7, 224, 224)
    back = camera.through(crop).through(crop.inverse())
    torch.testing.assert_close(back.K, camera.K)
    assert (back.width, back.height) == (camera.width, camera.height)
    with pytest.raises(ValueError, match="224 × 224 pixels, got 320 × 240"):
        camera.through(crop).through(crop)


@pytest.fixture
def orthographic() -> OrthographicCamera:
    return OrthographicCamera.from_parameters(
        torch.tensor([1.5, 2.5], dtype=torch.float64),
        torch.tensor([[0.1, -0.4, 0.2], [0.0, 0.0, 0.0]], dtype=torch.float64),
        torch.tensor([[150.0, 130.0], [160.0, 120.0]], dtype=torch.float64),
        width=320,
        height=240,
    )


def test_renderers_may_rely_on_every_camera(camera, orthographic):
    assert isinstance(camera, Camera)
    assert isinstance(orthographic, Camera)


def test_orthographic_pixels(orthographic, rng):
    """Pixel = scale · (R X)_xy + translation, whatever the depth."""
    points = torch.from_numpy(rng.uniform(-60, 60, (2, 9, 3)))
    expected = orthographic.to_camera(points)[..., :2] * torch.tensor([1.5, 2.5]).double()[:, None, None]
    expected = expected + torch.tensor([[[150.0, 130]], [[160, 120]]]).double()
    torch.testing.assert_close(orthographic.project(points), expected)
    assert orthographic.project(torch.tensor([[[4.0, 2, 900]]]).double())[1].tolist() == [[170, 115]]


def test_orthographic_rasterization(orthographic, rng):
    """Pixel centres, depths and order in depth are the surface's; interpolation is affine."""
    vertices = torch.from_numpy(rng.uniform(-60, 60, (2, 30, 3)))
    faces = torch.arange(30, dtype=torch.int32).reshape(-1, 3)
    clip = orthographic.to_clip(orthographic.to_camera(vertices))
    assert (clip[..., 3] == 1).all()
    cpu = get_rasterizer("numba")
    rast = cpu.rasterize(clip, faces, (240, 320))
    points = cpu.interpolate(vertices, rast, faces)
    for image in range(2):
        rows, columns = torch.nonzero(rast[image, ..., 3] > 0, as_tuple=True)
        seen = points[image, rows, columns][None].expand(2, -1, -1)
        centres = torch.stack([columns, rows], dim=1).double() + 0.5
        torch.testing.assert_close(orthographic.project(seen)[image], centres, rtol=0, atol=1e-9)
        depth = orthographic.to_camera(seen)[image, :, 2]
        torch.testing.assert_close(
            rast[image, rows, columns, 2], depth / orthographic.far, rtol=0, atol=1e-12
        )


def test_weak_perspective_is_exact_at_its_depth(camera, rng):
    depth = torch.tensor([650.0, 880.0]).double()
    weak = weak_perspective(camera, depth)
    flat = torch.from_numpy(rng.uniform(-80, 80, (2, 9, 3)))
    flat[..., 2] = depth[:, None]
    world = (flat - camera.t[:, None]) @ camera.R
    torch.testing.assert_close(weak.project(world), camera.project(world))
    torch.testing.assert_close(weak.to_camera(world), camera.to_camera(world))
    behind = world + camera.R[:, None, 2] * 44.0
    axis = torch.tensor([160.0, 120]).double()
    share = (1 + 44.0 / depth)[:, None, None]
    torch.testing.assert_close(weak.project(behind) - axis, (camera.project(behind) - axis) * share)
    drawn = weak.to_clip(weak.to_camera(behind))[..., 2]
    span = camera.far - camera.near
    torch.testing.assert_close(
        (drawn + 1) / 2 * span + camera.near, (depth + 44)[:, None].expand(2, 9), rtol=1e-12, atol=0
    )


def test_orthographic_gradients(rng):
    def pixels(scale, axis_angle, translation, points, depth):
        camera = OrthographicCamera.from_parameters(scale, axis_angle, translation, 20, 10)
        pinhole = PerspectiveCamera(camera.K, camera.R, camera.t, 20, 10)
        weak = weak_perspective(pinhole, depth)
        return camera.project(points), camera.to_clip(camera.to_camera(points)), weak.project(points)

    values = [[1.5, 2.0], rng.normal(size=(2, 3)), rng.normal(size=(2, 2)), rng.normal(size=(2, 5, 3))]
    inputs = [torch.tensor(np.array(v)).requires_grad_() for v in [*values, [3.0, 4.0]]]
    assert gradcheck(pixels, inputs)


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_ndc_is_where_the_pixel_is(kind, camera, orthographic, rng):
    """The rasterizer's law of pixel centres: NDC = 2 pixel / size - 1, after any transform of the picture."""
    camera = {"perspective": camera, "orthographic": orthographic}[kind]
    transform = ImageTransform.identity(320, 240).rotate(0.4).crop(-7.5, 11, 90, 70).flip()
    camera = camera.through(transform)
    points = torch.from_numpy(rng.uniform(-60, 60, (2, 9, 3)))
    clip = camera.to_clip(camera.to_camera(points))
    expected = 2 * camera.project(points) / torch.tensor([90.0, 70]).double() - 1
    torch.testing.assert_close(clip[..., :2] / clip[..., 3:], expected)


def test_one_camera_serves_many_transforms(camera, rng):
    points = torch.from_numpy(rng.uniform(-60, 60, (1, 9, 3)))
    one = PerspectiveCamera(camera.K[:1], camera.R[:1], camera.t[:1], 320, 240)
    left = torch.tensor([1.0, 2, 3]).double()
    cropped = one.crop(left, 0, 100, 100)
    expected = one.project(points) - torch.stack([left, 0 * left], dim=1)[:, None]
    torch.testing.assert_close(cropped.project(points), expected)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 9.9e-4, 1.1e-3, 0.3, 2.0, np.pi - 1e-6])
def test_rotation_matrices(rng, angle):
    axis = rng.normal(size=3)
    vector = torch.from_numpy(angle * axis / np.linalg.norm(axis))[None]
    matrix = axis_angle_to_matrix(vector)
    np.testing.assert_allclose(
        matrix[0].numpy(), Rotation.from_rotvec(vector[0].numpy()).as_matrix(), atol=1e-14
    )
    np.testing.assert_allclose(matrix_to_axis_angle(matrix).numpy(), vector.numpy(), atol=1e-9)
    assert gradcheck(axis_angle_to_matrix, vector.clone().requires_grad_(), eps=1e-7, atol=1e-6)


def test_rotation_has_a_gradient_at_zero_in_single_precision():
    vector = torch.zeros(1, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(axis_angle_to_matrix(vector)[0, 2, 1], vector)
    assert gradient.tolist() == [[1, 0, 0]]


def test_facing_is_a_rotation():
    assert torch.linalg.det(facing()) == 1


angles = st.floats(-1.5, 1.5)


@settings(deadline=None)
@given(angles, angles, angles)
def test_angles_and_back(x, y, z):
    vector = torch.tensor([[2 * x, y, 2 * z]], dtype=torch.float64)
    matrix = angles_to_matrix(vector)
    torch.testing.assert_close(matrix_to_angles(matrix), vector, rtol=0, atol=1e-12)
    expected = Rotation.from_euler("xyz", vector[0].numpy()).as_matrix()
    np.testing.assert_allclose(matrix[0].numpy(), expected, rtol=0, atol=1e-14)


def test_angles_gradient(rng):
    vector = torch.from_numpy(rng.uniform(-1, 1, (3, 3))).requires_grad_()
    assert gradcheck(angles_to_matrix, vector)
    assert gradcheck(matrix_to_angles, angles_to_matrix(vector).detach().requires_grad_())
