"""The CPU rasterizer beside its peers, a whole shaded render, and what they take in memory.

New vertices every frame, as in fitting; two threads unless NUMBA_NUM_THREADS says otherwise. A peer that is
not installed is skipped; pyrender draws by OSMesa, with the depth only.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from raster_scene import DISTANCE, FAR, NEAR, VIEW, dense_head, shaded_batch, to_clip

from morphkit.geometry.raster import rasterize_batch
from morphkit.rendering import Renderer, get_rasterizer

SIZES = (224, 1024)


@pytest.fixture(scope="module")
def dense(head):
    return dense_head(head)


def moving(vertices: np.ndarray):
    """Return a function that gives slightly different vertices at each call."""
    steps = iter(range(10**9))
    return lambda: vertices + np.float32(0.001 * (next(steps) % 7))


@pytest.mark.parametrize("size", SIZES)
def test_rasterize(benchmark, dense, size):
    benchmark.group = f"rasterize 70k triangles, {size} pixels"
    vertices, faces = dense
    frame = moving(to_clip(vertices))
    benchmark.pedantic(
        lambda clip: rasterize_batch(clip[None], faces, size, size),
        setup=lambda: ((frame(),), {}),
        rounds=40,
        warmup_rounds=3,
    )


@pytest.mark.parametrize("size", SIZES)
def test_rasterize_pyrender(benchmark, dense, size):
    benchmark.group = f"rasterize 70k triangles, {size} pixels"
    os.environ.setdefault("PYOPENGL_PLATFORM", "osmesa")
    os.environ.setdefault("LP_NUM_THREADS", "2")
    np.inf = np.inf  # pyrender 0.1.45 still asks for it
    pyrender = pytest.importorskip("pyrender")
    vertices, faces = dense
    scene, pose = pyrender.Scene(), np.eye(4)
    pose[2, 3] = DISTANCE
    scene.add(pyrender.PerspectiveCamera(yfov=VIEW, znear=NEAR, zfar=FAR), pose=pose)
    renderer = pyrender.OffscreenRenderer(size, size)
    frame = moving(vertices)

    def draw(points):
        for node in list(scene.mesh_nodes):
            scene.remove_node(node)
        scene.add(pyrender.Mesh([pyrender.Primitive(positions=points, indices=faces, mode=4)]))
        return renderer.render(scene, flags=pyrender.RenderFlags.DEPTH_ONLY)

    seen = draw(vertices) > 0
    ours = rasterize_batch(to_clip(vertices)[None], faces, size, size)[0, ::-1, :, 3] > 0
    assert (seen == ours).mean() > 0.998  # the same picture
    benchmark.pedantic(draw, setup=lambda: ((frame(),), {}), rounds=20, warmup_rounds=2)
    renderer.delete()


def pinhole_rays(size: int) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + 0.5
    focal = size / 2 / np.tan(VIEW / 2)
    across, down = (columns - size / 2) / focal, -(rows - size / 2) / focal
    rays = np.stack([across, down, -np.ones_like(across)], axis=-1)
    return rays.reshape(-1, 3).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_rasterize_open3d(benchmark, dense, size):
    benchmark.group = f"rasterize 70k triangles, {size} pixels"
    o3d = pytest.importorskip("open3d")
    vertices, faces = dense
    origin = np.tile(np.float32([0, 0, DISTANCE]), (size * size, 1))
    rays = o3d.core.Tensor(np.concatenate([origin, pinhole_rays(size)], axis=1))
    frame = moving(vertices)

    def draw(points):
        scene = o3d.t.geometry.RaycastingScene(nthreads=2)
        scene.add_triangles(o3d.core.Tensor(points), o3d.core.Tensor(faces.astype(np.uint32)))
        return scene.cast_rays(rays, nthreads=2)["primitive_ids"].numpy()

    benchmark.pedantic(draw, setup=lambda: ((frame(),), {}), rounds=12, warmup_rounds=1)


@pytest.mark.parametrize("size", SIZES)
def test_rasterize_embree(benchmark, dense, size):
    benchmark.group = f"rasterize 70k triangles, {size} pixels"
    embree = pytest.importorskip("embreex")
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    assert embree
    vertices, faces = dense
    rays = pinhole_rays(size)
    origin = np.tile(np.float32([0, 0, DISTANCE]), (size * size, 1))
    frame = moving(vertices)

    def draw(points):
        scene = rtcore_scene.EmbreeScene()
        TriangleMesh(scene, points, faces)
        return scene.run(origin, rays)

    benchmark.pedantic(draw, setup=lambda: ((frame(),), {}), rounds=12, warmup_rounds=1)


@pytest.mark.benchmark(group="shaded render, 224 pixels, 35k vertices, batch of 8")
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward and backward"])
def test_shaded_render(benchmark, dense, backward):
    vertices, faces = dense
    leaves, camera = shaded_batch(vertices, 8)
    renderer = Renderer(torch.from_numpy(faces), get_rasterizer("numba"))
    weights = torch.randn(8, 224, 224, 3, generator=torch.Generator().manual_seed(1))

    def step():
        with torch.set_grad_enabled(backward):
            shapes, albedo, light = leaves
            picture = renderer(shapes, albedo, light, camera)
        if backward:
            torch.autograd.grad(
                (picture.image, picture.mask), leaves, (weights, weights[..., 0]), retain_graph=True
            )
        return picture

    benchmark.pedantic(step, rounds=12, warmup_rounds=2)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def reset_peak() -> int:
    """Give free memory back, start the high-water mark anew, and return what is resident."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return resident()


OPERATIONS = ("rasterize", "interpolate", "antialias")


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's high-water mark")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("batch", [1, 8])
def test_memory(dense, operation, batch):
    """At most three times the output, and the same after 1,000 calls, give or take a few large pages."""
    vertices, faces = dense
    faces, cpu = torch.from_numpy(faces), get_rasterizer("numba")
    clip = torch.from_numpy(to_clip(vertices)).repeat(batch, 1, 1)
    rast = cpu.rasterize(clip, faces, (224, 224))
    color = cpu.interpolate(clip, rast, faces)
    run = {
        "rasterize": lambda: cpu.rasterize(clip, faces, (224, 224)),
        "interpolate": lambda: cpu.interpolate(clip, rast, faces),
        "antialias": lambda: cpu.antialias(color, rast, clip, faces),
    }[operation]
    out = run()
    size = out.numel() * out.element_size()
    del out
    before = reset_peak()
    kept = run()
    ratio = (peak() - before) / size
    del kept
    for _ in range(20):
        run()
    early = reset_peak()
    for _ in range(1000):
        run()
    growth = reset_peak() - early
    grown = f"{growth / 1e6:+.2f} MB after 1,000 calls"
    print(f"\n{operation}, batch {batch}: peak {ratio:.2f} x output, {grown}")
    assert ratio <= 3.0
    assert growth < 8e6


FIRST_CALL = """
import time, torch, morphkit
from raster_scene import dense_head, shaded_batch
from morphkit.rendering import Renderer, get_rasterizer
vertices, faces = dense_head(morphkit.load_default_model())
leaves, camera = shaded_batch(vertices, 1)
start = time.perf_counter()
picture = Renderer(torch.from_numpy(faces), get_rasterizer("numba"))(*leaves, camera)
(picture.image.sum() + picture.mask.sum()).backward()
print(time.perf_counter() - start)
"""


def test_first_call():
    """How long the first shaded render takes in a new process, kernels from numba's cache."""
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", FIRST_CALL]
    seconds = [
        float(subprocess.run(command, check=True, capture_output=True, text=True, env=paths).stdout)
        for _ in range(3)
    ]
    print(f"\nfirst shaded render, forward and backward: {np.median(seconds):.2f} s")
    assert min(seconds) < 1.0
