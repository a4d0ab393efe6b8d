"""A head of 70,000 triangles before the peers' camera, and the batch of shaded heads."""

from __future__ import annotations

import numpy as np
import torch

from morphkit.rendering import PerspectiveCamera
from morphkit.rendering.lighting import ambient_light

DISTANCE, VIEW = 600.0, np.deg2rad(25.0)  # millimetres, radians
NEAR, FAR = 100.0, 2000.0


def dense_head(head) -> tuple[np.ndarray, np.ndarray]:
    """Return the embedded mean head with about 35,000 vertices, its box around the origin."""
    import fast_simplification
    import trimesh

    vertices, faces = trimesh.remesh.subdivide_loop(head.identity.mean.astype(np.float64), head.faces, 1)
    vertices, faces = fast_simplification.simplify(
        vertices.astype(np.float32), faces.astype(np.int32), target_count=70_000
    )
    middle = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    return (vertices - middle).astype(np.float32), np.ascontiguousarray(faces, np.int32)


def to_clip(vertices: np.ndarray) -> np.ndarray:
    """Return clip coordinates, y up, float32."""
    depth, scale = DISTANCE - vertices[:, 2], 1 / np.tan(VIEW / 2)
    z = depth * (FAR + NEAR) / (FAR - NEAR) - 2 * FAR * NEAR / (FAR - NEAR)
    return np.stack([vertices[:, 0] * scale, vertices[:, 1] * scale, z, depth], axis=1).astype(np.float32)


def shaded_batch(vertices: np.ndarray, batch: int) -> tuple[tuple[torch.Tensor, ...], PerspectiveCamera]:
    """Return vertices, albedo and light of a batch, each with gradients, and a camera (224 pixels)."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    shapes = torch.from_numpy(vertices) + 0.05 * noise(batch, *vertices.shape)
    albedo = torch.rand(batch, *vertices.shape, generator=generator)
    light = ambient_light(batch) + 0.1 * noise(batch, 9, 3)
    turn = (0.2 * noise(batch, 3)).requires_grad_()
    place = torch.tensor([[0.0, 0, 1000]]).repeat(batch, 1).requires_grad_()
    camera = PerspectiveCamera.from_parameters(torch.full((batch,), 1015.0), turn, place, 224, 224)
    return (shapes.requires_grad_(), albedo.requires_grad_(), light.requires_grad_()), camera
