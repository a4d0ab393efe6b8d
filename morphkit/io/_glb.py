"""Binary glTF: read through trimesh with the scene flattened, written directly."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from morphkit.io._parts import MeshParts, stack_pictures
from morphkit.mesh import Mesh

_FLOAT, _UNSIGNED_INT = 5126, 5125


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


def write_glb(path: Path, mesh: Mesh) -> None:
    """Write a mesh with smooth normals, linear float colours or its texture. Units are kept."""
    faces, vertex_of, uv = _split_at_seams(mesh)
    arrays: list[tuple[str, np.ndarray]] = [
        ("POSITION", mesh.vertices[vertex_of].astype(np.float32)),
        ("NORMAL", _vertex_normals(mesh)[vertex_of]),
    ]
    if uv is not None:
        arrays.append(("TEXCOORD_0", np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32)))
    textured = uv is not None and mesh.texture is not None
    if mesh.colors is not None and not textured:
        arrays.append(("COLOR_0", np.nan_to_num(mesh.colors).clip(0, 1).astype(np.float32)[vertex_of]))
    gltf, blobs = _document(arrays, faces)
    if textured and mesh.texture is not None:
        _add_texture(gltf, blobs, mesh.texture)
    path.write_bytes(_container(gltf, blobs))


def _split_at_seams(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return faces, the original vertex of each new vertex, and uv for each; glTF has one uv for a vertex."""
    if mesh.uv is None:
        return mesh.faces, np.arange(len(mesh.vertices)), None
    uv = np.ascontiguousarray(mesh.uv.reshape(-1, 2), dtype=np.float32)
    codes = np.stack([mesh.faces.reshape(-1).astype(np.int64), uv.view(np.int64)[:, 0]], axis=1)
    _, first, inverse = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return inverse.reshape(-1, 3), mesh.faces.reshape(-1)[first], uv[first]


def _vertex_normals(mesh: Mesh) -> np.ndarray:
    """Return area-weighted unit normals (io does not know the geometry room)."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = mesh.faces.reshape(-1)
    weights = np.repeat(normals, 3, axis=0)
    summed = np.stack([np.bincount(index, w, len(mesh.vertices)) for w in weights.T], axis=1)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.where(length > 0, summed / np.maximum(length, 1e-30), (0.0, 0.0, 1.0)).astype(np.float32)


def _document(arrays: list[tuple[str, np.ndarray]], faces: np.ndarray) -> tuple[dict[str, Any], list[bytes]]:
    gltf: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "morphkit"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "accessors": [],
        "bufferViews": [],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9}}],
    }
    blobs: list[bytes] = []
    attributes = {}
    for name, values in arrays:
        attributes[name] = _add_accessor(gltf, blobs, values, f"VEC{values.shape[1]}", _FLOAT, 34962)
    positions = arrays[0][1]
    gltf["accessors"][0] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    indices = _add_accessor(gltf, blobs, faces.reshape(-1).astype(np.uint32), "SCALAR", _UNSIGNED_INT, 34963)
    gltf["meshes"] = [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}]
    return gltf, blobs


def _add_accessor(
    gltf: dict[str, Any], blobs: list[bytes], values: np.ndarray, kind: str, component: int, target: int
) -> int:
    view = _add_view(gltf, blobs, values.tobytes())
    gltf["bufferViews"][view]["target"] = target
    gltf["accessors"].append(
        {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
    )
    return len(gltf["accessors"]) - 1


def _add_view(gltf: dict[str, Any], blobs: list[bytes], blob: bytes) -> int:
    offset = sum(len(b) for b in blobs)
    blobs.append(blob + b"\0" * (-len(blob) % 4))
    gltf["bufferViews"].append({"buffer": 0, "byteOffset": offset, "byteLength": len(blob)})
    return len(gltf["bufferViews"]) - 1


def _add_texture(gltf: dict[str, Any], blobs: list[bytes], texture: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(texture).save(buffer, "PNG")
    gltf["images"] = [{"bufferView": _add_view(gltf, blobs, buffer.getvalue()), "mimeType": "image/png"}]
    gltf["textures"] = [{"source": 0}]
    gltf["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"] = {"index": 0}


def _container(gltf: dict[str, Any], blobs: list[bytes]) -> bytes:
    binary = b"".join(blobs)
    gltf["buffers"] = [{"byteLength": len(binary)}]
    text = json.dumps(gltf, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = len(text).to_bytes(4, "little") + b"JSON" + text
    chunks += len(binary).to_bytes(4, "little") + b"BIN\0" + binary
    return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks
