"""Binary glTF, read through trimesh with the scene flattened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh

from morphkit.io._parts import MeshParts, stack_pictures


def read_glb(path: Path) -> MeshParts:
    """Read a .glb or .gltf, all meshes of its scene as one; ValueError says what is wrong with it."""
    scene = trimesh.load_scene(path, process=False, merge_primitives=False)
    pieces = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        geometry = scene.geometry[name]
        if isinstance(geometry, trimesh.Trimesh) and len(geometry.faces):
            pieces.append(_piece(geometry, matrix))
    if not pieces:
        raise ValueError("it holds no triangles")
    return _joined(pieces)


def _piece(mesh: trimesh.Trimesh, matrix: np.ndarray) -> MeshParts:
    """Return one node's mesh in the scene's frame."""
    vertices = np.asarray(mesh.vertices, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    faces = np.asarray(mesh.faces, np.int64)
    if np.linalg.det(matrix[:3, :3]) < 0:  # a mirroring node turns triangles over
        faces = faces[:, ::-1]
    parts = MeshParts(vertices, faces, colors_are_linear=True)
    visual = mesh.visual
    if visual.kind == "vertex":
        parts.colors = _normalised(np.asarray(visual.vertex_colors))
    elif visual.kind == "texture":
        attributes = visual.vertex_attributes
        if "color" in attributes.data:
            parts.colors = _normalised(np.asarray(attributes["color"]))
        picture = getattr(visual.material, "baseColorTexture", None)
        if picture is not None and visual.uv is not None:
            parts.uv = np.asarray(visual.uv, np.float32)[faces]
            parts.texture = np.asarray(picture.convert("RGB"))
    return parts


def _joined(pieces: list[MeshParts]) -> MeshParts:
    """Return several meshes as one; colours and texture of those that have them."""
    counts = [len(piece.vertices) for piece in pieces]
    offsets = np.cumsum([0, *counts[:-1]])
    joined = MeshParts(
        np.concatenate([piece.vertices for piece in pieces]),
        np.concatenate([piece.faces + offset for piece, offset in zip(pieces, offsets, strict=True)]),
        colors_are_linear=True,
    )
    if any(piece.colors is not None for piece in pieces):
        unknown = [np.full((n, 3), np.nan, np.float32) for n in counts]
        colors = [p.colors if p.colors is not None else u for p, u in zip(pieces, unknown, strict=True)]
        joined.colors = np.concatenate(colors)
    pictures = [piece.texture for piece in pieces if isinstance(piece.texture, np.ndarray)]
    if len(pictures) == len(pieces) == 1:
        joined.uv, joined.texture = pieces[0].uv, pictures[0]
    elif pictures:
        has_picture = np.array([piece.texture is not None for piece in pieces])
        index = np.where(has_picture, np.cumsum(has_picture) - 1, -1)
        used = np.repeat(index, [len(piece.faces) for piece in pieces])
        blank = [np.zeros((len(piece.faces), 3, 2), np.float32) for piece in pieces]
        uv = [p.uv if p.uv is not None else b for p, b in zip(pieces, blank, strict=True)]
        joined.uv, joined.texture = stack_pictures(np.concatenate(uv), used, pictures)
    return joined


def _normalised(colors: np.ndarray) -> np.ndarray:
    """Return linear RGB 0..1; glTF's COLOR_0 is linear."""
    top = float(np.iinfo(colors.dtype).max) if colors.dtype.kind == "u" else 1.0
    return (colors[:, :3] / top).astype(np.float32)
