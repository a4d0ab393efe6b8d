"""Crops: a group of maps, the same for pixels, cameras and pictures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from morphkit.rendering import PerspectiveCamera, get_rasterizer, render
from morphkit.rendering.crops import ImageTransform, sample_image
from morphkit.rendering.lighting import ambient_light

numbers = st.floats(-50, 50)
sizes = st.integers(1, 90)
steps = st.one_of(
    st.tuples(st.just("crop"), numbers, numbers, sizes, sizes),
    st.tuples(st.just("window"), numbers, numbers, st.floats(0.3, 3), sizes, sizes),
    st.tuples(st.just("resize"), sizes, sizes),
    st.tuples(st.just("flip")),
    st.tuples(st.just("rotate"), st.floats(-3, 3)),
)


def chained(start: ImageTransform, names) -> ImageTransform:
    for name, *arguments in names:
        start = getattr(start, name)(*arguments)
    return start


WHOLE = ImageTransform.identity(64, 48)
CORNERS = torch.tensor([[[0.0, 0], [64, 0], [0, 48], [64, 48], [12.5, 30]]], dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=4), st.lists(steps, max_size=4))
def test_transforms_compose_and_invert(first, second):
    one = chained(WHOLE, first)
    two = chained(ImageTransform.identity(*one.target), second)
    both = two @ one
    torch.testing.assert_close(both.affine, chained(one, second).affine, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(both.apply(CORNERS), two.apply(one.apply(CORNERS)), rtol=1e-9, atol=1e-6)
    assert (both.source, both.target) == (one.source, two.target)
    back = both.inverse()
    assert (back.source, back.target) == (both.target, both.source)
    torch.testing.assert_close(back.apply(both.apply(CORNERS)), CORNERS, rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=5))
def test_projecting_into_a_crop_is_transforming_the_projection(names):
    camera = PerspectiveCamera.from_parameters(
        torch.tensor([300.0]).double(),
        torch.tensor([[0.3, 0.5, -0.2]]).double(),
        torch.tensor([[5.0, -9, 500]]).double(),
        64,
        48,
    )
    points = torch.linspace(-40, 40, 15, dtype=torch.float64).reshape(1, 5, 3).sin() * 50
    transform = chained(WHOLE, names)
    expected = transform.apply(camera.project(points))
    torch.testing.assert_close(camera.through(transform).project(points), expected, rtol=1e-9, atol=1e-6)
    back = camera.through(transform).through(transform.inverse())
    torch.testing.assert_close(back.project(points), camera.project(points), rtol=0, atol=1e-5)


def test_what_each_step_does():
    point = torch.tensor([[[10.0, 20.0]]], dtype=torch.float64)

    def moved(transform):
        return transform.apply(point)[0, 0].tolist()

    assert moved(WHOLE.crop(4, 5, 30, 30)) == [6, 15]
    assert moved(WHOLE.window(4, 5, 2.0, 30, 30)) == [12, 30]
    assert moved(WHOLE.resize(128, 12)) == [20, 5]
    assert moved(WHOLE.flip()) == [54, 20]
    # a quarter turn, clockwise: what was right of the centre is below it
    quarter = WHOLE.rotate(math.pi / 2)
    right_of_centre = quarter.apply(torch.tensor([[[32.0 + 7, 24]]], dtype=torch.float64))
    torch.testing.assert_close(right_of_centre, torch.tensor([[[32.0, 24 + 7]]], dtype=torch.float64))


def test_a_batch_of_numbers_is_a_batch_of_transforms():
    left = torch.tensor([1.0, 2.0])
    batch = WHOLE.window(left, 3, torch.tensor([1.0, 2.0]), 10, 10).rotate(0.1).flip()
    for k in range(2):
        single = WHOLE.window(float(left[k]), 3, 1.0 + k, 10, 10).rotate(0.1).flip()
        torch.testing.assert_close(batch.affine[k : k + 1], single.affine)


def test_sizes_must_meet():
    with pytest.raises(ValueError, match="64 × 48 by one from 63 × 48"):
        ImageTransform.identity(63, 48).flip() @ WHOLE
    with pytest.raises(ValueError, match="image must be 64 × 48 pixels, got 48 × 64"):
        sample_image(torch.zeros(1, 64, 48, 3), WHOLE)


@pytest.fixture
def image(rng) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(size=(2, 48, 64, 3)))


def test_sampling_moves_whole_pixels_unchanged(image):
    torch.testing.assert_close(sample_image(image, WHOLE), image, rtol=0, atol=1e-12)
    torch.testing.assert_close(sample_image(image, WHOLE.flip()), image.flip(2), rtol=0, atol=1e-12)
    part = sample_image(image, WHOLE.crop(5, 7, 20, 10))
    torch.testing.assert_close(part, image[:, 7:17, 5:25], rtol=0, atol=1e-12)
    square = sample_image(image, WHOLE.crop(8, 0, 48, 48).rotate(math.pi / 2))
    torch.testing.assert_close(square, image[:, :, 8:56].rot90(-1, (1, 2)), rtol=0, atol=1e-12)


def test_outside_lies_nothing_or_the_border(image):
    outside = sample_image(image, WHOLE.crop(-10, 0, 10, 48))
    assert outside.abs().max() == 0
    carried = sample_image(image, WHOLE.crop(-10, 0, 10, 48), padding="border")
    torch.testing.assert_close(carried, image[:, :, :1].expand(-1, -1, 10, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_averages(image, factor):
    """An even shrinking factor gives the mean of the pixels that a pixel covers; else it samples."""
    smaller = WHOLE.resize(64 // factor, 48 // factor)
    means = image.reshape(2, 48 // factor, factor, 64 // factor, factor, 3).mean(dim=(2, 4))
    torch.testing.assert_close(sample_image(image, smaller), means, rtol=0, atol=1e-12)
    if factor == 4:
        assert (sample_image(image, smaller, antialias=False) - means).abs().max() > 0.1


def test_a_linear_ramp_is_sampled_exactly(rng):
    """Colour = position: so the colour of each sampled pixel is where it came from."""
    y, x = torch.meshgrid(torch.arange(48.0) + 0.5, torch.arange(64.0) + 0.5, indexing="ij")
    ramp = torch.stack([x, y], dim=-1)[None].double()
    transform = WHOLE.rotate(0.3).window(20, 15, torch.tensor([0.4, 1.7]).double(), 8, 7)
    sampled = sample_image(ramp, transform)
    rows, columns = torch.meshgrid(torch.arange(7.0) + 0.5, torch.arange(8.0) + 0.5, indexing="ij")
    centres = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).double()
    came_from = transform.inverse().apply(centres).reshape(2, 7, 8, 2)
    torch.testing.assert_close(sampled, came_from, rtol=0, atol=1e-10)


def test_a_picture_of_a_crop_is_the_crop_of_the_picture(rng):
    """Rendering through a transform and sampling the render agree where the surface is smooth."""
    vertices = torch.tensor([[[-90.0, -80, 0], [90, -80, 0], [0, 90, 0]]])
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    albedo = torch.eye(3)[None]
    camera = PerspectiveCamera.from_parameters(
        torch.tensor([300.0]), torch.tensor([[0.1, 0.4, 0.0]]), torch.tensor([[0.0, 0, 1000]]), 64, 48
    )
    turned = WHOLE.flip().rotate(0.2).window(16, 8, 0.8, 32, 32)

    def drawn(camera):
        return render(vertices, faces, albedo, ambient_light(), camera, get_rasterizer("numba"))

    sampled = sample_image(torch.cat([drawn(camera).image, drawn(camera).mask[..., None]], dim=-1), turned)
    direct = drawn(camera.through(turned))
    inside = sampled[..., 3] > 1 - 1e-6
    assert inside.sum() > 100
    torch.testing.assert_close(direct.image[inside], sampled[inside][:, :3], rtol=0, atol=2e-3)
    assert (direct.mask - sampled[..., 3]).abs().mean() < 0.01


def test_gradients(rng):
    def sampled(image, left, zoom, angle):
        start = ImageTransform.identity(6, 5)
        return sample_image(image, start.rotate(angle).window(left, 0.3, zoom, 3, 3))

    image = torch.from_numpy(rng.uniform(size=(1, 5, 6, 2))).requires_grad_()
    values = [np.array([0.21, 0.33]), np.array([0.9, 1.3]), np.array([0.13, -0.2])]
    assert gradcheck(sampled, [image, *(torch.from_numpy(v).requires_grad_() for v in values)])
