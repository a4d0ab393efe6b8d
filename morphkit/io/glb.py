"""Binary glTF 2.0, written directly: a mesh, its texture or colours, and the ways it can move."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from morphkit.io.images import png_bytes
from morphkit.mesh import Mesh

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_VERTEX_DATA, _INDICES = 34962, 34963
_SPARSE_SHARE = 0.7  # of the vertices, up to which a list of those that move is shorter


@dataclass(frozen=True, eq=False)
class MorphTarget:
    """A way in which a mesh can move.

    Attributes
    ----------
    name : as other programs show it.
    offsets : (v, 3) how far each vertex goes at full strength, in the mesh's unit.
    weight : how far the mesh goes when the file is opened.
    """

    name: str
    offsets: Float[np.ndarray, "v 3"]
    weight: float = 0.0


def write_glb(
    path: Path,
    mesh: Mesh,
    *,
    targets: Sequence[MorphTarget] = (),
    scale: float = 1.0,
    picture: bytes | None = None,
    unlit: bool = False,
    extras: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a mesh with smooth normals, its texture or else linear vertex colours, and morph targets.

    A vertex on a texture seam is written once for each of its coordinates: glTF has one for a vertex. Targets
    move positions only; those that move few vertices list just these (sparse accessors).

    Parameters
    ----------
    path : the file, which is overwritten; for a file that appears whole, give an `atomic_path`.
    mesh : where all targets have weight zero.
    targets : of as many vertices.
    scale : metres in the mesh's unit, to follow glTF, whose unit is the metre; 1 keeps the numbers.
    picture : the texture as a PNG file's content, if it is at hand; None encodes ``mesh.texture``.
    unlit : the colours contain the light that fell on them, and viewers should add none
        (KHR_materials_unlit; a viewer that does not know it lights them once more).
    extras : what glTF has no place for, as JSON, under ``extras.morphkit`` of the document.
    arrays : likewise arrays of numbers, each in a buffer view of its own; ``extras.morphkit.arrays`` tells
        for each name its view, dtype and shape.

    Raises
    ------
    ValueError
        When a target has another number of vertices.
    """
    for target in targets:
        if target.offsets.shape != mesh.vertices.shape:
            raise ValueError(
                f"targets: {target.name!r} moves {target.offsets.shape[0]} vertices; "
                f"the mesh has {mesh.vertices.shape[0]}"
            )
    faces, vertex_of, uv = split_at_seams(mesh)
    document = _Document(unlit)
    attributes = {
        "POSITION": document.add_positions(scale * mesh.vertices[vertex_of]),
        "NORMAL": document.add_vectors(_vertex_normals(mesh)[vertex_of]),
    }
    textured = uv is not None and mesh.texture is not None
    if uv is not None:
        attributes["TEXCOORD_0"] = document.add_vectors(np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1))
    if mesh.colors is not None and not textured:
        colors = np.nan_to_num(mesh.colors).clip(0, 1)
        attributes["COLOR_0"] = document.add_vectors(colors[vertex_of])
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": document.add_indices(faces),
        "material": 0,
    }
    if targets:
        primitive["targets"] = [
            {"POSITION": document.add_moves(scale * t.offsets[vertex_of])} for t in targets
        ]
    if textured and mesh.texture is not None:
        document.add_texture(png_bytes(mesh.texture) if picture is None else picture)
    if extras is not None or arrays is not None:
        document.add_extras(extras or {}, arrays or {})
    path.write_bytes(document.container(primitive, targets))


def split_at_seams(
    mesh: Mesh,
) -> tuple[Int[np.ndarray, "f 3"], Int[np.ndarray, " s"], Float[np.ndarray, "s 2"] | None]:
    """Return faces, the original vertex of each new vertex, and uv for each, v up."""
    if mesh.uv is None:
        return mesh.faces, np.arange(len(mesh.vertices)), None
    uv = np.ascontiguousarray(mesh.uv.reshape(-1, 2), dtype=np.float32)
    corners = mesh.faces.reshape(-1)
    # Sorting one key after the other is many times faster than sorting rows.
    place = uv.view(np.int64)[:, 0]
    order = np.lexsort([place, corners])
    new = np.ones(len(order), bool)
    new[1:] = (corners[order][1:] != corners[order][:-1]) | (place[order][1:] != place[order][:-1])
    index = np.empty(len(order), np.int64)
    index[order] = np.cumsum(new) - 1
    first = order[new]
    return index.reshape(-1, 3), corners[first], uv[first]


def _vertex_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Return area-weighted unit normals (io does not know the geometry room)."""
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    index = mesh.faces.reshape(-1)
    weights = np.repeat(normals, 3, axis=0)
    summed = np.stack([np.bincount(index, w, len(mesh.vertices)) for w in weights.T], axis=1)
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    return np.where(length > 0, summed / np.maximum(length, 1e-30), (0.0, 0.0, 1.0))


@dataclass
class _Document:
    """The parts of a file as they are added."""

    unlit: bool
    accessors: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    length: int = 0
    has_texture: bool = False
    image: int = -1
    extras: dict[str, Any] = field(default_factory=dict)

    def add_vectors(self, values: np.ndarray) -> int:
        view = self._add_view(values.astype(np.float32).tobytes(), _VERTEX_DATA)
        return self._add_accessor(len(values), f"VEC{values.shape[1]}", _FLOAT, bufferView=view)

    def add_positions(self, values: np.ndarray) -> int:
        return self._bounded(self.add_vectors(values), values)

    def add_moves(self, offsets: np.ndarray) -> int:
        """Add how far vertices move; only those that do are stored, if they are few."""
        moving = np.flatnonzero(offsets.any(axis=1))
        if len(moving) > _SPARSE_SHARE * len(offsets):
            return self.add_positions(offsets)
        number = self._add_accessor(len(offsets), "VEC3", _FLOAT)  # without a view, all values are zero
        if len(moving):
            short = len(offsets) <= np.iinfo(np.uint16).max
            indices = moving.astype(np.uint16 if short else np.uint32).tobytes()
            kind = _UNSIGNED_SHORT if short else _UNSIGNED_INT
            values = offsets[moving].astype(np.float32).tobytes()
            self.accessors[number]["sparse"] = {
                "count": len(moving),
                "indices": {"bufferView": self._add_view(indices), "componentType": kind},
                "values": {"bufferView": self._add_view(values)},
            }
        return self._bounded(number, offsets)

    def add_indices(self, faces: np.ndarray) -> int:
        view = self._add_view(faces.astype(np.uint32).tobytes(), _INDICES)
        return self._add_accessor(faces.size, "SCALAR", _UNSIGNED_INT, bufferView=view)

    def add_extras(self, extras: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        places = {}
        for name, values in arrays.items():
            stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            view = self._add_view(stored.tobytes())
            places[name] = {"bufferView": view, "dtype": stored.dtype.str, "shape": list(values.shape)}
        self.extras = {"morphkit": {**extras, "arrays": places}}

    def add_texture(self, png: bytes) -> None:
        self.image = self._add_view(png)
        self.has_texture = True

    def container(self, primitive: dict[str, Any], targets: Sequence[MorphTarget]) -> bytes:
        """Return the file's content."""
        mesh: dict[str, Any] = {"primitives": [primitive]}
        if targets:
            mesh["weights"] = [float(target.weight) for target in targets]
            mesh["extras"] = {"targetNames": [target.name for target in targets]}
        gltf: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "morphkit"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "name": "face"}],
            "meshes": [mesh],
            "materials": [self._material()],
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": self.length}],
        }
        if self.has_texture:
            gltf["images"] = [{"bufferView": self.image, "mimeType": "image/png"}]
            gltf["textures"] = [{"source": 0}]
        if self.extras:
            gltf["extras"] = self.extras
        if self.unlit:
            gltf["extensionsUsed"] = ["KHR_materials_unlit"]
        text = json.dumps(gltf, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = len(text).to_bytes(4, "little") + b"JSON" + text
        chunks += self.length.to_bytes(4, "little") + b"BIN\0" + b"".join(self.blobs)
        return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks

    def _material(self) -> dict[str, Any]:
        surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.9}
        if self.has_texture:
            surface["baseColorTexture"] = {"index": 0}
        material: dict[str, Any] = {"pbrMetallicRoughness": surface}
        if self.unlit:
            material["extensions"] = {"KHR_materials_unlit": {}}
        return material

    def _add_view(self, blob: bytes, target: int | None = None) -> int:
        padded = blob + b"\0" * (-len(blob) % 4)
        view = {"buffer": 0, "byteOffset": self.length, "byteLength": len(blob)}
        self.views.append(view if target is None else view | {"target": target})
        self.blobs.append(padded)
        self.length += len(padded)
        return len(self.views) - 1

    def _add_accessor(self, count: int, kind: str, component: int, **more: Any) -> int:
        self.accessors.append({"componentType": component, "count": count, "type": kind, **more})
        return len(self.accessors) - 1

    def _bounded(self, number: int, values: np.ndarray) -> int:
        stored = values.astype(np.float32)
        self.accessors[number] |= {"min": stored.min(axis=0).tolist(), "max": stored.max(axis=0).tolist()}
        return number
