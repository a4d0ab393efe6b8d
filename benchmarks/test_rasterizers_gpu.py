"""The GPU paths beside bare nvdiffrast: each operation forward and backward, 70,000 triangles.

Skipped without a CUDA GPU. MORPHKIT_BENCHMARK_DEVICE=cpu runs the torch backend beside the numba one instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from raster_scene import dense_head, to_clip

from morphkit.rendering._cpu import CpuRasterizer
from morphkit.rendering._nvdiffrast import NvdiffrastRasterizer
from morphkit.rendering._torch import TorchRasterizer

DEVICE = os.environ.get("MORPHKIT_BENCHMARK_DEVICE", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
SIZES = [(1, 224), (8, 224), (1, 1024), (8, 1024)]


class Bare:
    """nvdiffrast called as its own samples call it: what our adapter's overhead is measured against."""

    def __init__(self) -> None:
        self._dr = pytest.importorskip("nvdiffrast.torch")
        self._context = self._dr.RasterizeCudaContext()

    def rasterize(self, vertices: Any, faces: Any, resolution: Any) -> Any:
        return self._dr.rasterize(self._context, vertices, faces, resolution, grad_db=False)[0]

    def interpolate(self, attributes: Any, rast: Any, faces: Any) -> Any:
        return self._dr.interpolate(attributes, rast, faces)[0]

    def antialias(self, color: Any, rast: Any, vertices: Any, faces: Any) -> Any:
        return self._dr.antialias(color, rast, vertices, faces)


def adapter() -> NvdiffrastRasterizer:
    pytest.importorskip("nvdiffrast.torch")
    return NvdiffrastRasterizer()


ON_GPU: dict[str, Callable[[], Any]] = {
    "nvdiffrast, bare": Bare,
    "nvdiffrast, ours": adapter,
    "torch, 1 step": lambda: TorchRasterizer(silhouette_steps=1),
    "torch": TorchRasterizer,
}
ON_CPU: dict[str, Callable[[], Any]] = {"numba": CpuRasterizer, "torch": TorchRasterizer}
PATHS = ON_GPU if DEVICE == "cuda" else ON_CPU


@pytest.fixture(scope="module")
def dense(head):
    vertices, faces = dense_head(head)
    return torch.from_numpy(to_clip(vertices)).to(DEVICE), torch.from_numpy(faces).to(DEVICE)


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]} of {size[1]} pixels")
def scene(request, dense):
    """Vertices of a batch, faces and the picture's size."""
    (batch, size), (vertices, faces) = request.param, dense
    return vertices.repeat(batch, 1, 1).requires_grad_(), faces, (size, size)


def measure(benchmark, group: str, scene, forward: Callable[[], torch.Tensor]) -> None:
    vertices, _, (size, _) = scene
    benchmark.group = f"{group}, {len(vertices)} of {size} pixels, forward and backward"
    upstream = torch.ones_like(forward())

    def once() -> None:
        forward().backward(upstream)
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    benchmark.pedantic(once, rounds=30 if DEVICE == "cuda" else 5, warmup_rounds=3)


@pytest.mark.parametrize("path", PATHS)
def test_rasterize(benchmark, scene, path):
    (vertices, faces, resolution), rasterizer = scene, PATHS[path]()
    measure(benchmark, "rasterize", scene, lambda: rasterizer.rasterize(vertices, faces, resolution))


@pytest.mark.parametrize("path", PATHS)
def test_interpolate(benchmark, scene, path):
    (vertices, faces, resolution), rasterizer = scene, PATHS[path]()
    rast = TorchRasterizer().rasterize(vertices.detach(), faces, resolution).requires_grad_()
    attributes = vertices.detach().repeat(1, 1, 2)[..., :6].contiguous().requires_grad_()
    measure(benchmark, "interpolate", scene, lambda: rasterizer.interpolate(attributes, rast, faces))


@pytest.mark.parametrize("path", PATHS)
def test_antialias(benchmark, scene, path):
    (vertices, faces, resolution), rasterizer = scene, PATHS[path]()
    rast = TorchRasterizer().rasterize(vertices.detach(), faces, resolution)
    color = rast.clone().requires_grad_()
    measure(benchmark, "antialias", scene, lambda: rasterizer.antialias(color, rast, vertices, faces))
