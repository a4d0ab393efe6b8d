"""Textures and attributes at 224 x 224, eight images at once: divide by 8 for one image."""

import pytest
import torch

from morphkit.rendering._cpu import CpuRasterizer

BATCH, SIZE = 8, 224
CPU = CpuRasterizer()


@pytest.fixture(scope="module")
def view(head):
    """Return the default head's faces, rast and its derivatives, seen along z."""
    vertices = torch.from_numpy(head.identity.mean).float()
    centred = (vertices - vertices.mean(dim=0)) / 160
    clip = torch.cat([centred * torch.tensor([1, -1, -1]), torch.ones(len(vertices), 1)], dim=1)
    faces = torch.from_numpy(head.faces).int()
    clip = clip.expand(BATCH, -1, -1).contiguous()
    return faces, *CPU.rasterize_with_derivatives(clip, faces, (SIZE, SIZE))


@pytest.mark.benchmark(group="texture of 1024 x 1024, 8 x 224 x 224")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("filter_mode", ["nearest", "linear", "linear-mipmap-linear"])
def test_texture(benchmark, head, view, filter_mode, backward):
    _, rast, derivatives = view
    corners = torch.arange(3 * len(head.faces), dtype=torch.int32).reshape(-1, 3)
    uv_of_corners = torch.from_numpy(head.uv).float().reshape(-1, 2)
    uv, footprint = CPU.interpolate_with_derivatives(uv_of_corners, rast, corners, derivatives)
    inputs = [t.requires_grad_(backward) for t in (torch.rand(1, 1024, 1024, 3), uv, footprint)]
    benchmark(step, lambda: CPU.texture(*inputs, filter_mode=filter_mode), inputs, rast[..., 3:] > 0)


@pytest.mark.benchmark(group="interpolate, 8 x 224 x 224")
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("channels", [3, 7])
def test_interpolate(benchmark, head, view, channels, backward):
    faces, rast, _ = view
    inputs = [torch.rand(1, head.n_vertices, channels), rast.clone()]
    inputs = [t.requires_grad_(backward) for t in inputs]
    benchmark(step, lambda: CPU.interpolate(*inputs, faces), inputs, rast[..., 3:] > 0)


def step(forward, inputs, seen):
    result = forward()
    if result.requires_grad:
        torch.autograd.grad(result, inputs, seen.to(result).expand_as(result), allow_unused=True)
