"""Hair, neck and clothes: simple surfaces around a head, which models leave bald and cut off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int

from morphkit.rendering import PerspectiveCamera
from morphkit.rendering.lighting import shade
from morphkit.rendering.normals import unit, vertex_normals
from morphkit.training.synthesis.body import Body
from morphkit.training.synthesis.fields import Layer, Picture
from morphkit.training.synthesis.hair import Hair
from morphkit.training.synthesis.head import Head
from morphkit.training.synthesis.surfaces import lathe_faces


@dataclass(frozen=True, eq=False)
class DrawnProps:
    """What is seen of hair and body where the head is not in front.

    Attributes
    ----------
    image : (h, w, 3) linear RGB.
    opacity : (h, w) 0..1.
    depth : (h, w) millimetres; infinite where nothing is.
    """

    image: Picture
    opacity: Layer
    depth: Float[np.ndarray, "h w"]


def draw_props(
    head: Head,
    surfaces: list[Hair | Body],
    light: Float[np.ndarray, "9 3"],
    camera: PerspectiveCamera,
) -> DrawnProps | None:
    """Draw surfaces in one pass; None if there are none."""
    if not surfaces:
        return None
    parts = [surface.surface() for surface in surfaces]
    faces = _faces(tuple(part.shape for part in parts))
    points = torch.from_numpy(np.concatenate([part.points for part in parts]).astype(np.float32))[None]
    labels = [np.full((len(part.uv), 1), number) for number, part in enumerate(parts)]
    uv = np.concatenate([np.hstack([part.uv, label]) for part, label in zip(parts, labels, strict=True)])
    normals = vertex_normals(points, faces)
    attributes = torch.cat([points[..., 2:], normals, torch.from_numpy(uv.astype(np.float32))[None]], dim=2)
    device = head.model.faces.device
    rasterizer, seen = head.renderer.rasterizer, faces.to(device)
    rast = rasterizer.rasterize(
        camera.to_clip(points.to(device)).contiguous(), seen, (camera.height, camera.width)
    )
    found = rasterizer.interpolate(attributes.to(device), rast, seen)[0].cpu()
    hit = rast[0, ..., 3].cpu().numpy() > 0
    return _colored(found, hit, surfaces, light)


def _colored(
    found: torch.Tensor, hit: np.ndarray, surfaces: list[Hair | Body], light: np.ndarray
) -> DrawnProps:
    """Return the surfaces' colours under a light, given depth, normal, u, v and number at each pixel."""
    values = found.numpy()[hit]
    albedo, opaque = np.zeros((len(values), 3), np.float32), np.zeros(len(values), np.float32)
    normals = unit(torch.from_numpy(np.ascontiguousarray(values[:, 1:4])))
    numbers, toward = np.rint(values[:, 6]), -normals.numpy()[:, 2]
    for number, surface in enumerate(surfaces):
        mine = np.flatnonzero(numbers == number)
        if len(mine):
            albedo[mine], opaque[mine] = surface.look(values[mine, 4], values[mine, 5], toward[mine])
    sh = torch.from_numpy(light.astype(np.float32))[None]
    shown = shade(torch.from_numpy(albedo)[None], normals[None], sh)[0].clamp_min(0).numpy()
    image, opacity = np.zeros((*hit.shape, 3), np.float32), np.zeros(hit.shape, np.float32)
    depth = np.full(hit.shape, np.inf, np.float32)
    image[hit], opacity[hit] = shown, opaque
    depth[hit] = np.where(opaque > 0, values[:, 0], np.inf)
    return DrawnProps(image, opacity, depth)


@cache
def _faces(shapes: tuple[tuple[int, int], ...]) -> Int[torch.Tensor, "f 3"]:
    """Return the triangles of several grids of points, one after the other."""
    starts = np.cumsum([0, *(rows * columns for rows, columns in shapes)])
    parts = [lathe_faces(*shape) + start for shape, start in zip(shapes, starts, strict=False)]
    return torch.from_numpy(np.concatenate(parts).astype(np.int32))
