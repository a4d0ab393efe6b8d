"""Raw scans of a known head: what a scanner would deliver, with the truth kept, for demos and tests."""

from __future__ import annotations

from dataclasses import dataclass, replace

import fast_simplification
import numpy as np
import trimesh.remesh
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.raster import rasterize
from morphkit.geometry.similarity import Similarity
from morphkit.mesh import Mesh

_CAMERAS = ((0, 0), (-25, 0), (20, 0), (0, 45), (0, -45), (0, 80), (0, -80))  # pitch, yaw in degrees
_PIXELS = 640
_WAVES = 30


@dataclass(frozen=True)
class ScannerSettings:
    """What the simulated scanner does to a surface. Lengths in millimetres, ranges are (low, high).

    Attributes
    ----------
    radius : the border's mean distance from the middle of the face.
    faces : triangles of the scan.
    surface_noise : standard deviation of smooth noise along the normal.
    vertex_noise : standard deviation of independent noise along the normal.
    color_noise : standard deviation of noise on linear colours.
    holes, hole_radius : how many holes, and how large.
    spikes, spike_height : vertices that stick out, and how far.
    max_rotation : degrees about a random axis.
    max_translation : millimetres.
    """

    radius: tuple[float, float] = (112.0, 135.0)
    faces: tuple[int, int] = (14_000, 36_000)
    surface_noise: float = 0.12
    vertex_noise: float = 0.06
    color_noise: float = 0.008
    holes: tuple[int, int] = (2, 6)
    hole_radius: tuple[float, float] = (3.0, 7.0)
    spikes: tuple[int, int] = (3, 8)
    spike_height: tuple[float, float] = (3.0, 12.0)
    max_rotation: float = 25.0
    max_translation: float = 150.0


@dataclass(frozen=True, eq=False)
class SyntheticScan:
    """A simulated raw scan.

    Attributes
    ----------
    mesh : the scan: its own tessellation, noisy, with holes, in a random pose.
    pose : head frame to scan frame.
    """

    mesh: Mesh
    pose: Similarity


def scan_head(
    head: Mesh,
    center: Float[np.ndarray, "3"],
    rng: np.random.Generator,
    settings: ScannerSettings | None = None,
) -> SyntheticScan:
    """Simulate a raw scan of `head`.

    Only what seven cameras in front and at the sides see is kept, within a wavy border around `center`. The
    surface is subdivided and made noisy *before* it is decimated, so the head's own triangles leave no trace.

    Parameters
    ----------
    head : millimetres, y up, face towards +z; with vertex colours or without.
    center : (3,) the middle of the face.
    rng : makes every choice.
    settings : what the scanner does; the default is a good hand-held scanner.
    """
    settings = settings or ScannerSettings()
    piece = _submesh(
        head, _seen_faces(head) & _inside_border(head, center, rng, settings)[head.faces].all(axis=1)
    )
    piece = _retessellate(_roughen(_subdivide(piece), rng, settings), rng, settings)
    piece = _punch_holes(_raise_spikes(piece, rng, settings), rng, settings)
    pose = _random_pose(rng, settings)
    return SyntheticScan(_shuffle(replace(piece, vertices=pose.apply(piece.vertices)), rng), pose)


def _seen_faces(mesh: Mesh) -> Bool[np.ndarray, " f"]:
    middle = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    extent = np.linalg.norm(mesh.vertices - middle, axis=1).max()
    seen = np.zeros(len(mesh.faces), dtype=bool)
    for pitch, yaw in _CAMERAS:
        turn = Rotation.from_euler("xy", [pitch, yaw], degrees=True).as_matrix()
        x, y, z = ((mesh.vertices - middle) @ turn.T / extent).T
        index = rasterize(
            np.column_stack([x, y, -z, np.ones_like(x)]), mesh.faces, _PIXELS, _PIXELS
        ).face_index
        seen[index[index >= 0]] = True
    return seen


def _inside_border(
    mesh: Mesh, center: np.ndarray, rng: np.random.Generator, settings: ScannerSettings
) -> Bool[np.ndarray, " v"]:
    offset = mesh.vertices - center
    angle = np.arctan2(offset[:, 1], offset[:, 0])
    waves = sum(rng.uniform(1, 5) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5, 9))
    return np.linalg.norm(offset, axis=1) < rng.uniform(*settings.radius) + waves


def _roughen(mesh: Mesh, rng: np.random.Generator, settings: ScannerSettings) -> Mesh:
    noise = settings.surface_noise * _smooth_noise(mesh.vertices, rng)
    noise += settings.vertex_noise * rng.standard_normal(len(noise))
    normals = vertex_normals(mesh.vertices, mesh.faces)
    colors = mesh.colors
    if colors is not None:
        colors = np.clip(colors + settings.color_noise * rng.standard_normal(colors.shape), 0, 1).astype(
            np.float32
        )
    return replace(mesh, vertices=mesh.vertices + noise[:, None] * normals, colors=colors)


def _smooth_noise(points: Float[np.ndarray, "n 3"], rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Return noise of unit variance: plane waves, 8 to 40 mm long, in random directions."""
    directions = rng.standard_normal((_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    frequency = 2 * np.pi / rng.uniform(8, 40, _WAVES)
    phase = (points @ directions.T) * frequency + rng.uniform(0, 2 * np.pi, _WAVES)
    return np.cos(phase).sum(axis=1) * np.sqrt(2 / _WAVES)


def _subdivide(mesh: Mesh) -> Mesh:
    attributes = None if mesh.colors is None else {"colors": mesh.colors}
    result = trimesh.remesh.subdivide(mesh.vertices, mesh.faces, vertex_attributes=attributes)
    colors = None if attributes is None else result[2]["colors"].astype(np.float32)
    return Mesh(result[0], result[1].astype(np.int32), colors)


def _retessellate(mesh: Mesh, rng: np.random.Generator, settings: ScannerSettings) -> Mesh:
    target = min(int(rng.integers(*settings.faces)), len(mesh.faces))
    vertices, faces = fast_simplification.simplify(
        mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), target_count=target
    )
    colors = None if mesh.colors is None else mesh.colors[cKDTree(mesh.vertices).query(vertices)[1]]
    return Mesh(np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int32), colors)


def _raise_spikes(mesh: Mesh, rng: np.random.Generator, settings: ScannerSettings) -> Mesh:
    chosen = rng.choice(len(mesh.vertices), rng.integers(*settings.spikes), replace=False)
    vertices = mesh.vertices.copy()
    heights = rng.uniform(*settings.spike_height, (len(chosen), 1))
    vertices[chosen] += heights * vertex_normals(mesh.vertices, mesh.faces)[chosen]
    return replace(mesh, vertices=vertices)


def _punch_holes(mesh: Mesh, rng: np.random.Generator, settings: ScannerSettings) -> Mesh:
    lost = np.zeros(len(mesh.vertices), dtype=bool)
    for middle in mesh.vertices[rng.choice(len(mesh.vertices), rng.integers(*settings.holes))]:
        lost |= np.linalg.norm(mesh.vertices - middle, axis=1) < rng.uniform(*settings.hole_radius)
    return _submesh(mesh, ~lost[mesh.faces].any(axis=1))


def _random_pose(rng: np.random.Generator, settings: ScannerSettings) -> Similarity:
    axis, way = rng.standard_normal((2, 3))
    turn = np.deg2rad(rng.uniform(0, settings.max_rotation)) * axis / np.linalg.norm(axis)
    shift = rng.uniform(0, settings.max_translation) * way / np.linalg.norm(way)
    return Similarity(1.0, Rotation.from_rotvec(turn).as_matrix(), shift)


def _shuffle(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    """Reorder vertices and triangles, so that their order carries nothing."""
    order = rng.permutation(len(mesh.vertices))
    position = np.empty(len(order), dtype=np.int32)
    position[order] = np.arange(len(order), dtype=np.int32)
    faces = position[mesh.faces][rng.permutation(len(mesh.faces))]
    return Mesh(mesh.vertices[order], faces, None if mesh.colors is None else mesh.colors[order])


def _submesh(mesh: Mesh, keep: Bool[np.ndarray, " f"]) -> Mesh:
    used, faces = np.unique(mesh.faces[keep], return_inverse=True)
    compact: Int[np.ndarray, "f 3"] = faces.reshape(-1, 3).astype(np.int32)
    return Mesh(mesh.vertices[used], compact, None if mesh.colors is None else mesh.colors[used])
