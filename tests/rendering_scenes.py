"""Scenes that every rasterizer draws, and how two pictures of one are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

import morphkit
from morphkit.rendering import PerspectiveCamera, Rasterizer


@dataclass(frozen=True, eq=False)
class Scene:
    """Triangles in clip space, float32; `ranges` for range mode."""

    vertices: Tensor
    faces: Tensor
    resolution: tuple[int, int]
    ranges: Tensor | None = None

    def rasterize(self, rasterizer: Rasterizer, dtype: torch.dtype = torch.float32) -> Tensor:
        return rasterizer.rasterize(self.vertices.to(dtype), self.faces, self.resolution, self.ranges)


def soup(
    count: int, resolution: tuple[int, int], batch: int = 1, seed: int = 0, w_from: float = -0.5
) -> Scene:
    """Random triangles of all sizes, that cross w = 0 and both planes, or lie behind the camera."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.02, 1, (1, count, 1, 1)) ** 2
    points = rng.uniform(-1.1, 1.1, (batch, count, 1, 4)) + size * rng.normal(size=(batch, count, 3, 4))
    points[..., 3] = rng.uniform(w_from, 2, (batch, count, 1)) + 0.5 * size[..., 0] * rng.uniform(
        size=(1, 1, 3)
    )
    points[..., 3] += (points[..., 3] * (w_from < 0)) * size[..., 0] * rng.normal(size=(batch, count, 3))
    return Scene(tensor(points.reshape(batch, -1, 4)), corners(3 * count), resolution)


def soup_in_front(count: int, resolution: tuple[int, int], batch: int = 1) -> Scene:
    return soup(count, resolution, batch, w_from=0.5)


def soup_in_ranges() -> Scene:
    """Four images of one soup: ranges that overlap, that repeat, and one that is empty."""
    scene = soup(120, (48, 40))
    ranges = torch.tensor([[0, 80], [50, 70], [7, 0], [50, 70]], dtype=torch.int32)
    return Scene(scene.vertices[0], scene.faces, scene.resolution, ranges)


def grid_through_centres(size: int = 64, scale: float = 1.0) -> Scene:
    """A grid of triangles whose corners and edges lie exactly on pixel centres, drawn in random order."""
    rng = np.random.default_rng(1)
    at = (2 * np.arange(2, size - 2, 4) + 1) / size - 1
    x, y = np.meshgrid(at, at)
    points = scale * np.stack([x, y, 0.25 * x, np.ones_like(x)], axis=-1)
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    halves = [np.stack(three, axis=1) for three in ((a, b, c), (a, c, d), (b, c, d), (b, d, a))]
    falling = (np.arange(len(a)) % 2 == 0)[:, None]
    triangles = np.concatenate(
        [np.where(falling, halves[0], halves[2]), np.where(falling, halves[1], halves[3])]
    )
    turned = np.where(rng.uniform(size=(len(triangles), 1)) < 0.5, triangles, triangles[:, ::-1])
    return Scene(tensor(points.reshape(1, -1, 4)), faces(rng.permutation(turned)), (size, size))


def slivers() -> Scene:
    """A fan of needles around a pixel centre, each far thinner than a pixel, and thin strips."""
    angles = np.sort(np.random.default_rng(2).uniform(0, 2 * np.pi, 400))
    rim = 0.9 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.zeros((401, 4))
    points[1:, :2], points[:, 3] = rim, np.linspace(1, 3, 401)
    points[:, :2] = (points[:, :2] + 1 / 64) * points[:, 3:]
    ring = np.arange(400)
    return Scene(
        tensor(points[None]), faces(np.stack([ring * 0, ring + 1, (ring + 1) % 400 + 1], 1)), (64, 64)
    )


def degenerate() -> Scene:
    """What is no triangle, or no number, among what is; and triangles twice in the same place."""
    scene = soup_in_front(30, (40, 56))
    points = scene.vertices[0].clone()
    points[0] = points[1]  # no area
    points[3:6, 3] = 0.0  # all on the camera's plane
    points[6, 0], points[9, 3], points[12, 2] = torch.nan, torch.inf, torch.nan
    points[15:18] = torch.tensor([[0.0, 0, 0, 1], [0.5, 0.5, 0, 1], [1, 1, 0, 1]])  # on a line
    points[18] *= 1e30
    twice = torch.cat([scene.faces, scene.faces.flip(0), torch.tensor([[4, 4, 9]], dtype=torch.int32)])
    return Scene(points[None], twice, scene.resolution)


@cache
def head_points() -> tuple[Tensor, Tensor]:
    """Return vertices (v, 3) and faces of the default head, about its middle."""
    model = morphkit.load_default_model()
    points = tensor(model.instance())
    return points - points.mean(0), faces(model.faces)


def head_camera(size: int, batch: int, device: str = "cpu") -> PerspectiveCamera:
    """A head from several sides."""
    turn = torch.linspace(-0.9, 0.9, batch + 2, device=device)[1:-1]
    axis_angle = torch.stack([0.3 * turn.flip(0), turn, 0.2 * turn], dim=1)
    away = torch.tensor([[0.0, 0.0, 900.0]], device=device).expand(batch, -1)
    return PerspectiveCamera.from_parameters(torch.full_like(turn, 3.0 * size), axis_angle, away, size, size)


@cache
def head(size: int = 96, batch: int = 2) -> Scene:
    """The default head, closed but for its eyes and neck, its triangles about the size of pixels."""
    points, triangles = head_points()
    camera = head_camera(size, batch)
    clip = camera.to_clip(camera.to_camera(points.expand(batch, -1, -1)))
    return Scene(clip, triangles, (size, size))


def camera_inside() -> Scene:
    """A head around the camera: welded triangles before it, behind it, and through w = 0."""
    points, triangles = head_points()
    turns = np.linspace(0, 2 * np.pi, 4, endpoint=False)
    x, y, z = (points / points.abs().max()).T.double().numpy()
    clip = []
    for turn in turns:
        across, ahead = np.cos(turn) * x - np.sin(turn) * z, np.sin(turn) * x + np.cos(turn) * z
        clip.append(np.stack([across, y, 0.8 * ahead - 0.1, ahead + 0.1], axis=1))
    return Scene(tensor(np.stack(clip)), triangles, (72, 60))


EVERYWHERE = {
    "camera inside": camera_inside,
    "soup": lambda: soup(300, (61, 83), batch=2),
    "one pixel": lambda: soup(40, (1, 1), batch=64),
    "one row": lambda: soup(60, (1, 33), batch=3, seed=5),
    "one column": lambda: soup(60, (33, 1), batch=3, seed=6),
    "batch of 64": lambda: soup(12, (16, 24), batch=64, seed=7),
    "large": lambda: soup(40, (2048, 2048), seed=8),
    "ranges": soup_in_ranges,
    "grid through centres": grid_through_centres,
    "grid through centres, w = 3": lambda: grid_through_centres(scale=3.0),
    "slivers": slivers,
    "degenerate": degenerate,
    "head": head,
    "head, 224": lambda: head(224, 1),
    "nothing": lambda: Scene(torch.zeros(2, 3, 4), torch.zeros(0, 3, dtype=torch.int32), (4, 5)),
}


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def faces(index: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(index, np.int32))


def corners(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.int32).reshape(-1, 3)


def boundary_band(ids: Tensor, width: int = 1) -> Tensor:
    """Return which pixels (batch, h, w) lie within `width` of another face's pixels."""
    padded = torch.nn.functional.pad(ids[:, None].double(), [width] * 4, mode="replicate")
    most = torch.nn.functional.max_pool2d(padded, 2 * width + 1, stride=1)
    least = -torch.nn.functional.max_pool2d(-padded, 2 * width + 1, stride=1)
    return (most != least)[:, 0]


def assert_close_with_boundary_band(
    actual: Tensor,
    expected: Tensor,
    band: Tensor,
    *,
    atol: float,
    within_band: float = 0.01,
) -> None:
    """Assert that pictures agree to `atol` outside a band of pixels, and on nearly all of those in it."""
    differs = ((actual - expected).abs() > atol).reshape(*band.shape, -1).any(dim=-1)
    outside, inside = (differs & ~band).sum().item(), (differs & band).sum().item()
    assert outside == 0, f"{outside} pixels differ by more than {atol} outside the band"
    allowed = within_band * max(1, band.sum().item())
    assert inside <= allowed, f"{inside} pixels differ by more than {atol} in the band, {allowed:.0f} may"


def assert_gradients_agree(actual: list[Tensor], expected: list[Tensor], rtol: float) -> None:
    """Assert that gradients differ by at most `rtol` of the largest entry of each."""
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rtol * max(other.abs().max().item(), 1e-30))
