"""Cameras: projection, rotation, crops, and agreement with the rasterizer to a hair of a pixel."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from morphkit.rendering import PerspectiveCamera, get_rasterizer
from morphkit.rendering.camera import axis_angle_to_matrix, crop_matrix, facing, matrix_to_axis_angle


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
    matrix = crop_matrix(31.5, -12.25, 0.7)
    back = camera.through(matrix, 224, 224).through(torch.linalg.inv(matrix), camera.width, camera.height)
    torch.testing.assert_close(back.K, camera.K)
    assert (back.width, back.height) == (camera.width, camera.height)


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
