"""The adapter to nvdiffrast, on a stand-in with its documented signatures that asks for what it asks for.

The stand-in computes on the CPU with the torch backend. What the adapter hands over, and what it makes of the
answers, is checked here; nvdiffrast itself in test_rendering_parity.py, where there is a GPU.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rendering_scenes as scenes
import torch
from torch import Tensor

from morphkit.errors import MissingDependencyError
from morphkit.rendering._nvdiffrast import NvdiffrastRasterizer
from morphkit.rendering._torch import TorchRasterizer

OURS = TorchRasterizer(silhouette_steps=1)


class StandIn(ModuleType):
    """`nvdiffrast.torch` as documented: float32, contiguous, int32 faces, int32 ranges on the CPU."""

    def __init__(self) -> None:
        super().__init__("nvdiffrast.torch")
        self.calls: list[str] = []
        self.received: list[Tensor] = []
        self.options: dict[str, Any] = {}

    class RasterizeCudaContext:
        def __init__(self, device=None) -> None:
            self.device = device

    def rasterize(self, glctx, pos, tri, resolution, ranges=None, grad_db=True):
        assert isinstance(glctx, self.RasterizeCudaContext)
        assert pos.ndim == (3 if ranges is None else 2)
        assert ranges is None or (ranges.dtype == torch.int32 and ranges.device.type == "cpu")
        self._note("rasterize", tri, pos)
        rast, by_pixel = OURS.rasterize_with_derivatives(pos, tri, resolution, ranges)
        return rast, by_pixel if grad_db else by_pixel.detach()

    def interpolate(self, attr, rast, tri, rast_db=None, diff_attrs=None):
        assert (rast_db is None) == (diff_attrs is None)
        assert diff_attrs is None or diff_attrs == "all" or isinstance(diff_attrs, list)
        self._note("interpolate", tri, attr, rast, *([] if rast_db is None else [rast_db]))
        if rast_db is None:
            return OURS.interpolate(attr, rast, tri), torch.empty(0)
        channels = None if diff_attrs == "all" else diff_attrs
        return OURS.interpolate_with_derivatives(attr, rast, tri, rast_db, channels)

    def texture(
        self,
        tex,
        uv,
        uv_da=None,
        mip_level_bias=None,
        mip=None,
        filter_mode="auto",
        boundary_mode="wrap",
        max_mip_level=None,
    ):
        self.options = {
            "mip": mip,
            "filter_mode": filter_mode,
            "boundary": boundary_mode,
            "max_mip_level": max_mip_level,
        }
        given = [part for part in (uv_da, mip_level_bias, *(mip or [])) if part is not None]
        self._note("texture", None, tex, uv, *given)
        return OURS.texture(tex, uv, uv_da, mip_level_bias, **self.options)

    def antialias_construct_topology_hash(self, tri):
        self._note("antialias_construct_topology_hash", tri)
        return ("hash of", tri)

    def antialias(self, color, rast, pos, tri, topology_hash=None, pos_gradient_boost=1.0):
        assert topology_hash is None or topology_hash[1] is tri
        assert pos_gradient_boost == 1.0
        self._note("antialias", tri, color, rast, pos)
        return OURS.antialias(color, rast, pos, tri)

    def _note(self, name: str, tri: Tensor | None, *values: Tensor) -> None:
        assert tri is None or (tri.dtype == torch.int32 and tri.is_contiguous())
        for value in values:
            assert value.dtype == torch.float32
            assert value.is_contiguous()
        self.calls.append(name)
        self.received = [*values] if tri is None else [tri, *values]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    package, module = ModuleType("nvdiffrast"), StandIn()
    package.torch = module
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    return module


@pytest.fixture
def adapter(stand_in: StandIn) -> NvdiffrastRasterizer:
    return NvdiffrastRasterizer(device="cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["soup", "ranges"])
def test_every_operation_and_its_gradients(adapter, name, dtype):
    """Strided views, int64 faces and double precision in; the caller's types out, gradients included."""
    scene = scenes.EVERYWHERE[name]()
    if name == "soup":
        scene = scenes.soup_in_front(40, (30, 44), batch=2)
    results = []
    for rasterizer in (adapter, OURS):
        vertices = scene.vertices.to(dtype).requires_grad_()
        attributes = noise((*scene.vertices.shape[:-1], 3)).to(dtype).requires_grad_()
        leaves = (vertices, attributes)
        strided = vertices.movedim(-1, 0).clone().movedim(0, -1)
        faces, ranges = scene.faces.long(), None if scene.ranges is None else scene.ranges.long()
        rast, by_pixel = rasterizer.rasterize_with_derivatives(strided, faces, scene.resolution, ranges)
        assert torch.equal(rasterizer.rasterize(strided, faces, scene.resolution, ranges), rast)
        values, derivatives = rasterizer.interpolate_with_derivatives(attributes, rast, faces, by_pixel, [2])
        assert torch.equal(rasterizer.interpolate(attributes, rast, faces), values)
        everything = rasterizer.interpolate_with_derivatives(attributes, rast, faces, by_pixel)[1]
        assert torch.equal(everything[..., 4:], derivatives)
        blended = rasterizer.antialias(values, rast, vertices, faces)
        out = (rast, by_pixel, values, derivatives, blended)
        sum((part * noise(part.shape)).sum() for part in out).backward()
        assert all(part.dtype == dtype for part in out)
        results.append([*out, *(leaf.grad for leaf in leaves)])
    scenes.assert_gradients_agree(*results, rtol=1e-5)


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize("filter_mode", ["auto", "nearest", "linear", "linear-mipmap-nearest"])
def test_texture(adapter, stand_in, filter_mode, boundary):
    leaves = [noise((1, 8, 12, 3)), noise((2, 5, 6, 2)), 0.2 * noise((2, 5, 6, 4)), noise((2, 5, 6))]
    results = []
    for rasterizer in (adapter, OURS):
        inputs = [leaf.double().requires_grad_() for leaf in leaves]
        out = rasterizer.texture(*inputs, filter_mode=filter_mode, boundary=boundary)
        out.sum().backward()
        grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in inputs]
        results.append([out, *grads])
    scenes.assert_gradients_agree(*results, rtol=1e-5)
    assert stand_in.options["boundary"] == boundary
    # 8 x 12, 4 x 6, 2 x 3: no further level has whole sides, and nvdiffrast is told so
    assert stand_in.options["max_mip_level"] == (2 if "mipmap" in stand_in.options["filter_mode"] else None)


def test_texture_chooses_its_filter(adapter, stand_in):
    texture, uv = noise((1, 8, 8, 1)), noise((1, 3, 3, 2))
    adapter.texture(texture, uv)
    assert stand_in.options["filter_mode"] == "linear"
    adapter.texture(texture, uv, mip_level_bias=noise((1, 3, 3)), max_mip_level=1)
    assert stand_in.options["filter_mode"] == "linear-mipmap-linear"
    assert stand_in.options["max_mip_level"] == 1
    pyramid = [noise((1, 4, 4, 1)), noise((1, 2, 2, 1))]
    for most, given in ((None, 2), (1, 1)):
        adapter.texture(texture, uv, mip_level_bias=noise((1, 3, 3)), mip=pyramid, max_mip_level=most)
        assert len(stand_in.options["mip"]) == stand_in.options["max_mip_level"] == given
    adapter.texture(texture, uv, mip_level_bias=noise((1, 3, 3)), mip=pyramid, max_mip_level=0)
    assert stand_in.options["mip"] is None
    assert stand_in.options["max_mip_level"] == 0


def test_ready_tensors_are_handed_over_as_they_are(adapter, stand_in):
    """No copies of what is contiguous float32 there already: what a call costs is the call."""
    scene = scenes.soup_in_front(9, (8, 8))
    rast = adapter.rasterize(scene.vertices, scene.faces, (8, 8))
    assert [part.data_ptr() for part in stand_in.received] == pointers(scene.faces, scene.vertices)
    attributes = noise((1, 27, 3))
    color = adapter.interpolate(attributes, rast, scene.faces)
    assert [part.data_ptr() for part in stand_in.received] == pointers(scene.faces, attributes, rast)
    adapter.antialias(color, rast, scene.vertices, scene.faces)
    assert [part.data_ptr() for part in stand_in.received] == pointers(
        scene.faces, color, rast, scene.vertices
    )


def test_faces_are_converted_and_hashed_once(adapter, stand_in):
    scene = scenes.soup_in_front(9, (8, 8))
    faces = scene.faces.long()
    for _ in range(3):
        rast = adapter.rasterize(scene.vertices, faces, (8, 8))
        adapter.antialias(rast[..., :1], rast, scene.vertices, faces)
    first = stand_in.received[0]
    assert stand_in.calls.count("antialias_construct_topology_hash") == 1
    faces[0] = faces[0].flip(0)  # written into: another topology
    adapter.antialias(rast[..., :1], rast, scene.vertices, faces)
    assert stand_in.calls.count("antialias_construct_topology_hash") == 2
    assert stand_in.received[0] is not first
    assert torch.equal(stand_in.received[0], faces.int())
    with torch.inference_mode():
        adapter.antialias(rast[..., :1], rast, scene.vertices, faces.clone())


def test_a_missing_gpu_or_package_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingDependencyError, match=r"needs an NVIDIA GPU.*choose 'torch' or 'numba'"):
        NvdiffrastRasterizer()
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install diffrp-nvdiffrast.*choose 'torch'"):
        NvdiffrastRasterizer(device="cpu")


def pointers(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def noise(shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=tuple(shape)).astype(np.float32))
