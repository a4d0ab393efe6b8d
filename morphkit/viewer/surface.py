"""A face as the bytes that a browser draws: binary glTF, written anew for every movement."""

from __future__ import annotations

import json
import struct

import numpy as np
from jaxtyping import Float, Int

_VERTICES, _INDICES = 34962, 34963
_FLOAT, _SHORT, _INT = 5126, 5123, 5125


class SurfaceWriter:
    """Writes faces of one topology as binary glTF: what changes is copied, nothing is computed.

    Normals are left to the browser, which makes them smooth; they would cost as many bytes as the vertices.

    Parameters
    ----------
    faces : (f, 3).
    n_vertices : v.
    scale : of the vertices in the scene.
    """

    def __init__(self, faces: Int[np.ndarray, "f 3"], n_vertices: int, scale: float = 1.0) -> None:
        short = n_vertices <= 0xFFFF
        indices = np.ascontiguousarray(faces, "<u2" if short else "<u4").tobytes()
        self._indices = indices + bytes(-len(indices) % 4)
        self._count, self._n_vertices, self._scale = faces.size, n_vertices, scale
        self._index_type = _SHORT if short else _INT

    def __call__(
        self,
        vertices: Float[np.ndarray, "v 3"],
        colors: Float[np.ndarray, "v 3"],
        *,
        unlit: bool = False,
        roughness: float = 0.75,
        opacity: float = 1.0,
    ) -> bytes:
        """Return the file.

        Parameters
        ----------
        vertices : (v, 3).
        colors : (v, 3) linear RGB.
        unlit : whether the colours are shown as they are, whatever the lights.
        roughness : 0 mirrors, 1 is matte.
        opacity : 1 hides what is behind.
        """
        points, tints = (np.ascontiguousarray(values, "<f4") for values in (vertices, colors))
        length = points.nbytes + tints.nbytes + len(self._indices)
        head = self._head(points, _material(unlit, roughness, opacity), length)
        header = struct.pack("<4sII", b"glTF", 2, 28 + len(head) + length)
        chunks = struct.pack("<I4s", len(head), b"JSON"), head, struct.pack("<I4s", length, b"BIN\0")
        return b"".join([header, *chunks, points.data, tints.data, self._indices])  # the only copy

    def _head(self, points: np.ndarray, material: dict[str, object], length: int) -> bytes:
        size = points.nbytes
        views = [(0, size, _VERTICES), (size, size, _VERTICES), (2 * size, len(self._indices), _INDICES)]
        floats = {"componentType": _FLOAT, "count": len(points), "type": "VEC3"}
        indices = {"componentType": self._index_type, "count": self._count, "type": "SCALAR"}
        low = [float(axis.min()) for axis in points.T]  # numpy is ten times slower at min(axis=0)
        high = [float(axis.max()) for axis in points.T]
        # A surface without normals would be drawn in facets. An accessor without a buffer is all zeros and
        # takes no bytes; the browser writes smooth normals into it.
        attributes = {"POSITION": 0, "COLOR_0": 1, "NORMAL": 3}
        primitive = {"attributes": attributes, "indices": 2, "material": 0}
        document = {
            "asset": {"version": "2.0", "generator": "morphkit"},
            "extensionsUsed": ["KHR_materials_unlit"],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, "scale": [self._scale] * 3}],
            "meshes": [{"primitives": [primitive]}],
            "materials": [material],
            "accessors": [
                {"bufferView": 0, **floats, "min": low, "max": high},
                {"bufferView": 1, **floats},
                {"bufferView": 2, **indices},
                floats,
            ],
            "bufferViews": [
                {"buffer": 0, "byteOffset": offset, "byteLength": count, "target": target}
                for offset, count, target in views
            ],
            "buffers": [{"byteLength": length}],
        }
        head = json.dumps(document, separators=(",", ":")).encode()
        return head + b" " * (-len(head) % 4)


def _material(unlit: bool, roughness: float, opacity: float) -> dict[str, object]:
    base = {"metallicFactor": 0.0, "roughnessFactor": roughness, "baseColorFactor": [1.0, 1.0, 1.0, opacity]}
    material: dict[str, object] = {"pbrMetallicRoughness": base}
    if opacity < 1.0:
        material["alphaMode"] = "BLEND"
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
    return material
