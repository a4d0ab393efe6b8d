"""Binary glTF 2.0 with vertex colours that keep their precision and their meaning."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.geometry.normals import vertex_normals
from morphkit.io.atomic import atomic_path
from morphkit.mesh import Mesh

_FLOAT, _UNSIGNED = 5126, 5125  # component types
_ARRAY, _ELEMENT = 34962, 34963  # buffer view targets


def write_glb(path: Path | str, mesh: Mesh, *, generator: str = "morphkit") -> None:
    """Write a mesh as .glb, atomically; vertices stay in their order and in millimetres.

    Colours go out as float32, linear as glTF wants them, under ``KHR_materials_unlit``: they are a photo's,
    whose light a viewer must not apply twice. NaN colours (unknown) become mid grey.
    """
    attributes = {
        "POSITION": mesh.vertices.astype("<f4"),
        "NORMAL": vertex_normals(mesh.vertices, mesh.faces).astype("<f4"),
    }
    if mesh.colors is not None:
        attributes["COLOR_0"] = np.nan_to_num(mesh.colors, nan=0.2).clip(0.0, 1.0).astype("<f4")
    indices = mesh.faces.astype("<u4")
    binary = b"".join(array.tobytes() for array in (*attributes.values(), indices))
    text = json.dumps(_document(attributes, indices, generator), separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, 28 + len(text) + len(binary)))
        stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
        stream.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def _document(attributes: dict[str, np.ndarray], indices: np.ndarray, generator: str) -> dict[str, Any]:
    arrays = [*attributes.values(), indices.ravel()]
    sizes = [array.nbytes for array in arrays]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    views = [
        {"buffer": 0, "byteOffset": int(start), "byteLength": size, "target": _ARRAY}
        for start, size in zip(starts, sizes, strict=False)
    ]
    views[-1]["target"] = _ELEMENT
    accessors = [_accessor(i, array) for i, array in enumerate(arrays)]
    points = attributes["POSITION"]
    accessors[0] |= {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    primitive = {
        "attributes": {name: i for i, name in enumerate(attributes)},
        "indices": len(arrays) - 1,
        "material": 0,
    }
    return {
        "asset": {"version": "2.0", "generator": generator, "extras": {"unit": "millimetre"}},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "face"}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [_material()],
        "buffers": [{"byteLength": int(starts[-1])}],
        "bufferViews": views,
        "accessors": accessors,
    }


def _accessor(view: int, array: np.ndarray) -> dict[str, Any]:
    kind = "SCALAR" if array.ndim == 1 else "VEC3"
    component = _UNSIGNED if array.dtype.kind == "u" else _FLOAT
    return {"bufferView": view, "componentType": component, "count": len(array), "type": kind}


def _material() -> dict[str, Any]:
    surface = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.9}
    return {"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}}
