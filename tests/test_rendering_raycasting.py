"""Coverage and face ids against Embree's ray casting: another algorithm, by other people."""

import numpy as np
import pytest
import torch
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

import morphkit
from morphkit.rendering import PerspectiveCamera, get_rasterizer

CPU = get_rasterizer("numba")
SIZE = 300


def cast(camera: PerspectiveCamera, vertices: torch.Tensor, faces: torch.Tensor) -> np.ndarray:
    """Return the face that the ray through each pixel's centre meets first, -1 for none."""
    corners = camera.to_camera(vertices)[0].numpy()
    rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).reshape(-1, 3)
    rays = (pixels @ np.linalg.inv(camera.K[0].numpy()).T).astype(np.float32)
    scene = rtcore_scene.EmbreeScene(robust=True)
    TriangleMesh(scene, corners.astype(np.float32), faces.numpy())
    return scene.run(np.zeros_like(rays), rays).reshape(camera.height, camera.width)


def drawn(camera: PerspectiveCamera, vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    return CPU.rasterize(camera.to_clip(camera.to_camera(vertices)), faces, (camera.height, camera.width))[0]


def looking(axis_angle) -> PerspectiveCamera:
    return PerspectiveCamera.from_parameters(
        torch.tensor([1000.0]).double(),
        torch.tensor([axis_angle]).double(),
        torch.tensor([[3.3, 20.1, 900.0]]).double(),
        SIZE,
        SIZE,
    )


def assert_same_but_at_edges(camera, vertices, faces, least: float) -> None:
    rast, seen = drawn(camera, vertices, faces).numpy(), cast(camera, vertices, faces)
    ours = rast[..., 3].astype(np.int64) - 1
    different = ours != seen
    assert different.mean() <= 1 - least
    # Where they differ, ours or theirs passes within a thousandth of a pixel of the pixel's centre.
    pixels = camera.project(vertices)[0].numpy()
    for row, column in np.argwhere(different):
        centre = np.array([column, row]) + 0.5
        near = [
            edge_distance(pixels[faces[face].numpy()], centre)
            for face in (ours[row, column], seen[row, column])
            if face >= 0
        ]
        assert min(near) < 1e-3


def edge_distance(corners: np.ndarray, point: np.ndarray) -> float:
    along = np.roll(corners, -1, axis=0) - corners
    offset = point - corners
    part = np.clip((offset * along).sum(1) / np.maximum((along**2).sum(1), 1e-30), 0, 1)
    return np.linalg.norm(offset - part[:, None] * along, axis=1).min()


@pytest.mark.parametrize("axis_angle", [(0, 0, 0), (0.1, 0.9, 0), (-0.4, -0.5, 0.3), (0, 3.1, 0)])
def test_the_default_head(axis_angle):
    model = morphkit.load_default_model()
    vertices = torch.from_numpy(model.identity.mean)[None].double()
    camera = looking(axis_angle)
    faces = torch.from_numpy(np.ascontiguousarray(model.faces, np.int32))
    assert (cast(camera, vertices, faces) >= 0).mean() > 0.2
    assert_same_but_at_edges(camera, vertices, faces, least=0.999)


def test_random_triangles(rng):
    centre = rng.uniform(-140, 140, (400, 1, 3))
    vertices = torch.from_numpy((centre + rng.uniform(-40, 40, (400, 3, 3))).reshape(1, -1, 3))
    faces = torch.arange(1200, dtype=torch.int32).reshape(-1, 3)
    camera = looking((0.1, 0.2, 0.3))
    assert (cast(camera, vertices, faces) >= 0).mean() > 0.7
    assert_same_but_at_edges(camera, vertices, faces, least=0.999)
