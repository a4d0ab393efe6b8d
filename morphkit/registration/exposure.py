"""Which parts of a surface a scanner could see: not the inner mouth or the nostrils' depth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.raster import rasterize
from morphkit.mesh import Mesh

_YAWS = np.deg2rad([-90, -45, 0, 45, 90, 180])
_PITCHES = np.deg2rad([-40, 0, 40])
_PIXELS = 384
_LIFT = 1.0
_TOLERANCE = 0.5
_MIN_FACING = 0.15


def exposed_vertices(mesh: Mesh) -> Bool[np.ndarray, "v"]:
    """Return which vertices, lifted a millimetre off the surface, can be seen from any of several sides.

    The lift makes vertices in narrow gaps (between closed lips) count as hidden.
    """
    normals = vertex_normals(mesh.vertices, mesh.faces)
    exposed = np.zeros(len(mesh.vertices), dtype=bool)
    for yaw in _YAWS:
        for pitch in _PITCHES:
            exposed |= _seen_from(mesh, normals, _view(yaw, pitch))
    return exposed


def _view(yaw: float, pitch: float) -> Float[np.ndarray, "3 3"]:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])


def _seen_from(mesh: Mesh, normals: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    centre = 0.5 * (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0))
    placed, facing = (mesh.vertices - centre) @ rotation.T, normals @ rotation.T
    lifted = placed + _LIFT * facing
    radius = 1.05 * np.linalg.norm(placed, axis=1).max() + _LIFT
    clip = np.column_stack([placed[:, :2], -placed[:, 2], np.full(len(placed), radius)]) / radius
    depth = rasterize(clip, mesh.faces, _PIXELS, _PIXELS).depth
    column, row = ((lifted[:, :2].T / radius + 1) / 2 * _PIXELS).astype(int)
    nearest = -depth[row, column] * radius
    return (facing[:, 2] > _MIN_FACING) & (lifted[:, 2] >= nearest - _TOLERANCE)
