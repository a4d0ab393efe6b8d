"""The same scenes through every rasterizer at hand, forward and gradient, against the numba one.

On a CPU torch and numba draw the same picture, bit for bit; nvdiffrast rounds vertices to fractions of a
pixel, and so decides otherwise on some pixels along edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import rendering_scenes as scenes
import torch
from rendering_scenes import Scene, assert_close_with_boundary_band, assert_gradients_agree, boundary_band
from torch import Tensor
from torch.autograd import gradcheck

from morphkit.rendering import Rasterizer, get_rasterizer, render
from morphkit.rendering._cpu import CpuRasterizer
from morphkit.rendering._torch import TorchRasterizer
from morphkit.rendering._torch_edges import edge_neighbours


@dataclass(frozen=True)
class Peer:
    """A rasterizer, the one that it is compared with, and how closely."""

    rasterizer: Rasterizer
    reference: Rasterizer
    device: str
    exact: bool


def torch_on(device: str) -> Peer:
    return Peer(TorchRasterizer(), CpuRasterizer(), device, exact=True)


def nvdiffrast() -> Peer:
    pytest.importorskip("nvdiffrast.torch")
    from morphkit.rendering._nvdiffrast import NvdiffrastRasterizer

    return Peer(NvdiffrastRasterizer(), CpuRasterizer(silhouette_steps=1), "cuda", exact=False)


PEERS: dict[str, Callable[[], Peer]] = {
    "torch on cpu": lambda: torch_on("cpu"),
    "torch on cuda": lambda: torch_on("cuda"),
    "nvdiffrast": nvdiffrast,
}


@pytest.fixture(
    params=[pytest.param(n, marks=() if n == "torch on cpu" else pytest.mark.cuda) for n in PEERS]
)
def peer(request: pytest.FixtureRequest) -> Peer:
    if request.param != "torch on cpu" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    return PEERS[request.param]()


def moved(scene: Scene, device: str) -> Scene:
    return Scene(scene.vertices.to(device), scene.faces.to(device), scene.resolution, scene.ranges)


@pytest.mark.parametrize("name", scenes.EVERYWHERE)
def test_rasterize(peer, name):
    scene = scenes.EVERYWHERE[name]()
    expected = scene.rasterize(peer.reference)
    actual = moved(scene, peer.device).rasterize(peer.rasterizer).cpu()
    if peer.exact:
        assert torch.equal(actual[..., 3], expected[..., 3])
        torch.testing.assert_close(actual, expected, rtol=0, atol=0 if peer.device == "cpu" else 1e-6)
        return
    if name in ("slivers", "degenerate", "grid through centres", "grid through centres, w = 3"):
        pytest.skip("nvdiffrast moves vertices to fractions of a pixel")
    band = boundary_band(expected[..., 3])
    assert (actual[..., 3] == expected[..., 3]).double().mean() > 0.9995
    assert_close_with_boundary_band(actual[..., :3], expected[..., :3], band, atol=1e-3)


@pytest.mark.parametrize("name", [n for n in scenes.EVERYWHERE if n != "large"])
def test_rasterize_in_double(name):
    scene = scenes.EVERYWHERE[name]()
    ours, numbas = (scene.rasterize(r, torch.float64) for r in (TorchRasterizer(), CpuRasterizer()))
    assert torch.equal(ours, numbas)


@pytest.mark.parametrize("name", ["soup", "ranges", "head"])
def test_derivatives_of_rasterize_and_interpolate(peer, name):
    """Gradients of all that comes out of both, by all that goes in."""
    scene = scenes.EVERYWHERE[name]()
    if name == "soup":
        scene = scenes.soup_in_front(30, (40, 50), batch=2)
    results, gradients = [], []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        here = moved(scene, device)
        vertices = here.vertices.clone().requires_grad_()
        attributes = noise((*scene.vertices.shape[:-1], 3), 1).to(device).requires_grad_()
        rast, by_pixel = rasterizer.rasterize_with_derivatives(
            vertices, here.faces, here.resolution, here.ranges
        )
        out = rasterizer.interpolate_with_derivatives(attributes, rast, here.faces, by_pixel, channels=[2, 0])
        out = (rast, *out)
        sum((part * noise(part.shape, 2).to(device)).sum() for part in out).backward()
        results.append([part.detach().cpu() for part in out])
        gradients.append([vertices.grad.cpu(), attributes.grad.cpu()])
    band = boundary_band(results[0][0][..., 3])
    for expected, actual in zip(*results, strict=True):
        scale = max(1.0, expected.abs().max().item())
        if peer.exact:
            torch.testing.assert_close(actual, expected, rtol=0, atol=2e-6 * scale)
        else:
            assert_close_with_boundary_band(actual, expected, band, atol=1e-3 * scale)
    assert_gradients_agree(gradients[1], gradients[0], 1e-5 if peer.exact else 1e-2)


def test_one_instance_of_attributes_serves_all(peer):
    scene = scenes.EVERYWHERE["soup"]()
    rast = scene.rasterize(peer.reference)
    results = []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        attributes = noise((1, scene.vertices.shape[1], 3), 1).to(device).requires_grad_()
        out = rasterizer.interpolate(attributes, rast.to(device), scene.faces.to(device))
        (out * noise(out.shape, 2).to(device)).sum().backward()
        results.append([out.detach().cpu(), attributes.grad.cpu()])
    assert_gradients_agree(results[1], results[0], 1e-5 if peer.exact else 1e-2)


@pytest.mark.parametrize("boundary", ["wrap", "clamp", "zero"])
@pytest.mark.parametrize(
    "filter_mode", ["nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear"]
)
def test_texture(peer, filter_mode, boundary):
    results = []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        inputs = [
            noise((1, 16, 32, 3), 0),
            2 * noise((2, 19, 23, 2), 1),
            0.1 * noise((2, 19, 23, 4), 2),
            0.5 * noise((2, 19, 23), 3),
        ]
        leaves = [part.to(device).requires_grad_() for part in inputs]
        out = rasterizer.texture(*leaves, filter_mode=filter_mode, boundary=boundary)
        (out * noise(out.shape, 4).to(device)).sum().backward()
        grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
        results.append([part.detach().cpu() for part in (out, *grads)])
    if peer.exact or filter_mode != "linear-mipmap-nearest":
        assert_gradients_agree(results[1], results[0], 1e-5 if peer.exact else 1e-2)


def test_texture_with_levels_of_its_own(peer):
    """Levels given, fewer used than given, one instance each, and a level by bias alone."""
    results = []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        pyramid = [noise((2, 32 >> k, 16 >> k, 2), k).to(device).requires_grad_() for k in range(4)]
        uv, bias = noise((2, 9, 7, 2), 5).to(device), (3 * noise((2, 9, 7), 6)).to(device)
        out = rasterizer.texture(pyramid[0], uv, None, bias, mip=pyramid[1:], max_mip_level=2)
        (out * noise(out.shape, 4).to(device)).sum().backward()
        grads = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in pyramid]
        results.append([part.detach().cpu() for part in (out, *grads)])
    assert_gradients_agree(results[1], results[0], 1e-5 if peer.exact else 1e-2)


@pytest.mark.parametrize("name", ["soup", "ranges", "head", "slivers", "camera inside"])
def test_antialias(peer, name):
    scene = scenes.EVERYWHERE[name]()
    if not peer.exact and name in ("slivers", "camera inside"):
        pytest.skip("nvdiffrast moves vertices to fractions of a pixel")
    rast = scene.rasterize(peer.reference)
    color = noise((*rast.shape[:3], 3), 1)
    results = []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        leaves = [part.to(device).clone().requires_grad_() for part in (color, scene.vertices)]
        out = rasterizer.antialias(leaves[0], rast.to(device), leaves[1], scene.faces.to(device))
        (out * noise(out.shape, 2).to(device)).sum().backward()
        results.append([part.detach().cpu() for part in (out, *(leaf.grad for leaf in leaves))])
    assert ((results[0][0] - color).abs() > 1e-3).any(dim=-1).sum() > 20
    if peer.exact:
        torch.testing.assert_close(results[1][0], results[0][0], rtol=0, atol=1e-5)
        assert_gradients_agree(results[1], results[0], 1e-5)
    else:
        band = boundary_band(rast[..., 3])
        assert_close_with_boundary_band(results[1][0], results[0][0], band, atol=1e-2, within_band=0.05)


@pytest.mark.parametrize("size", [48, 128])
def test_a_shaded_picture_and_all_its_gradients(peer, size):
    """Normals, light, interpolation and antialiasing of the default head, in one."""
    points, faces = scenes.head_points()
    results = []
    for rasterizer, device in ((peer.reference, "cpu"), (peer.rasterizer, peer.device)):
        leaves = [points.repeat(2, 1, 1), 0.5 + 0.2 * noise((1, len(points), 3), 1), noise((2, 9, 3), 2)]
        vertices, albedo, light = leaves = [part.to(device).requires_grad_() for part in leaves]
        camera = scenes.head_camera(size, 2, device)
        picture = render(vertices, faces.to(device), albedo, light, camera, rasterizer)
        out = torch.cat([picture.image, picture.mask[..., None], picture.normals], dim=-1)
        (out * noise(out.shape, 3).to(device)).sum().backward()
        results.append([part.detach().cpu() for part in (out, *(leaf.grad for leaf in leaves))])
    assert results[0][0].abs().amax() > 0.5
    assert_gradients_agree(results[1], results[0], 1e-5 if peer.exact else 1e-2)


def test_the_torch_backend_by_name():
    rasterizer = get_rasterizer("torch")
    assert isinstance(rasterizer, TorchRasterizer)
    assert isinstance(rasterizer, Rasterizer)


def test_list_length_changes_nothing():
    scene = scenes.soup(60, (33, 47), batch=2)
    whole, pieces = (TorchRasterizer(list_length=n) for n in (None, 101))
    rast = scene.rasterize(whole)
    assert torch.equal(scene.rasterize(pieces), rast)
    blended = (r.antialias(rast, rast, scene.vertices, scene.faces) for r in (whole, pieces, CpuRasterizer()))
    one, other, expected = blended
    assert torch.equal(one, other)
    torch.testing.assert_close(one, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="list_length"):
        TorchRasterizer(list_length=0)


def test_everything_stays_on_the_tensors_device():
    """With another default device, whatever forgot to say where it belongs would be made there."""
    scene, rasterizer = scenes.soup_in_front(20, (12, 14), batch=2), TorchRasterizer()
    vertices, attributes = scene.vertices.requires_grad_(), noise((2, 60, 3), 0).requires_grad_()
    picture, bias = noise((2, 8, 8, 3), 1), noise((2, 12, 14), 2)
    with torch.device("meta"):
        rast, by_pixel = rasterizer.rasterize_with_derivatives(vertices, scene.faces, (12, 14))
        values = rasterizer.interpolate_with_derivatives(attributes, rast, scene.faces, by_pixel)
        colors = [
            rasterizer.texture(picture, values[0][..., :2], values[1][..., :4], bias, boundary=boundary)
            for boundary in ("wrap", "clamp", "zero")
        ]
        nearest = rasterizer.texture(picture[:1], values[0][..., :2], filter_mode="nearest")
        blended = rasterizer.antialias(values[0], rast, vertices, scene.faces)
        (sum(colors) + nearest + blended).sum().backward()
    every = (rast, by_pixel, *values, *colors, blended, vertices.grad, attributes.grad)
    assert {part.device.type for part in every} == {"cpu"}


def test_gradients_of_torch_rasterizer():
    scene = scenes.soup_in_front(6, (7, 9))

    def both(vertices: Tensor) -> tuple[Tensor, Tensor]:
        rast, by_pixel = TorchRasterizer().rasterize_with_derivatives(vertices, scene.faces, scene.resolution)
        return rast[..., :2], by_pixel

    vertices = scene.vertices.double().requires_grad_()
    for part in (both, lambda v: both(v)[0], lambda v: both(v)[1]):
        assert gradcheck(part, vertices, eps=1e-7, rtol=1e-4, atol=1e-5)


def test_no_gradient_through_depth_or_index():
    scene = scenes.soup(6, (7, 9))
    vertices = scene.vertices.clone().requires_grad_()
    TorchRasterizer().rasterize(vertices, scene.faces, (7, 9))[..., 2:].sum().backward()
    assert not vertices.grad.any()


def test_topology_matches():
    from morphkit.geometry.topology import edge_neighbours as expected

    head = scenes.head().faces
    fan = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]], dtype=torch.int32)
    for triangles in (head, fan, fan[:1], fan[:0]):
        np.testing.assert_array_equal(edge_neighbours(triangles).numpy(), expected(triangles.numpy()))


def test_a_topology_that_changes_in_place_is_seen():
    scene, rasterizer = scenes.grid_through_centres(16), TorchRasterizer()
    rast, color = scene.rasterize(rasterizer), noise((1, 16, 16, 1), 0)
    before = rasterizer.antialias(color, rast, scene.vertices, scene.faces)
    first = scene.faces[0].clone()
    scene.faces[0] = first[[0, 0, 0]]
    after = rasterizer.antialias(color, rast, scene.vertices, scene.faces)
    scene.faces[0] = first
    assert not torch.equal(before, after)
    assert torch.equal(before, rasterizer.antialias(color, rast, scene.vertices, scene.faces))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"faces": torch.tensor([[0, 1, 3]])},
            r"faces must index the 3 vertices of vertices_clip, got 0\.\.3",
        ),
        (
            {"faces": torch.tensor([[0, -1, 2]])},
            r"faces must index the 3 vertices of vertices_clip, got -1\.\.2",
        ),
        (
            {"faces": torch.tensor([[0, 1, 2]], device="meta")},
            "faces must be on cpu like vertices_clip, got meta",
        ),
        ({"vertices_clip": torch.zeros(1, 3, 4).half()}, "must be float32 or float64, got torch.float16"),
        ({"resolution": (0, 4)}, r"resolution must be 1\.\.32767 a side"),
        ({"ranges": torch.tensor([[0, 1]])}, r"\(v, 4\) with ranges, got \(1, 3, 4\)"),
        ({"vertices_clip": torch.zeros(3, 4)}, r"\(batch, v, 4\), got \(3, 4\)"),
        (
            {"vertices_clip": torch.zeros(3, 4), "ranges": torch.tensor([[0, 2]])},
            r"ranges must be .* within 1 faces",
        ),
        (
            {"vertices_clip": torch.zeros(3, 4), "ranges": torch.tensor([[-1, 1]])},
            r"ranges must be .* within 1 faces",
        ),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {
        "vertices_clip": torch.zeros(1, 3, 4),
        "faces": torch.tensor([[0, 1, 2]]),
        "resolution": (4, 4),
    }
    with pytest.raises(ValueError, match=message):
        TorchRasterizer().rasterize(**(arguments | change))


def test_bad_attributes_are_named():
    scene = scenes.soup(6, (7, 9), batch=2)
    rast, attributes = scene.rasterize(TorchRasterizer()), noise((3, 18, 2), 0)
    with pytest.raises(ValueError, match="1 or 2 instances, got 3"):
        TorchRasterizer().interpolate(attributes, rast, scene.faces)
    with pytest.raises(ValueError, match=r"channels must lie in 0\.\.1, got \(2,\)"):
        TorchRasterizer().interpolate_with_derivatives(attributes[:1], rast, scene.faces, rast, channels=[2])


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=tuple(shape)).astype(np.float32))
