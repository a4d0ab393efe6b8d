"""Writes glTF files as other programs do, piece by piece, for tests of the reader."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

_COMPONENTS = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class Builder:
    """A document and its one buffer."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "somebody"},
            "accessors": [],
            "bufferViews": [],
            "meshes": [],
            "nodes": [],
        }
        self.data = b""

    def view(self, data: bytes) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.document["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        )
        self.data += data
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values: np.ndarray, **more: Any) -> int:
        rows = values.reshape(len(values), -1)
        view = self.view(np.ascontiguousarray(rows).tobytes())
        return self._accessor(bufferView=view, componentType=_COMPONENTS[str(values.dtype)], count=len(rows),
                              type=_KINDS[rows.shape[1]], **more)  # fmt: skip

    def sparse(self, count: int, rows: np.ndarray, values: np.ndarray) -> int:
        sparse = {
            "count": len(rows),
            "indices": {
                "bufferView": self.view(rows.tobytes()),
                "componentType": _COMPONENTS[str(rows.dtype)],
            },
            "values": {"bufferView": self.view(values.astype(np.float32).tobytes())},
        }
        return self._accessor(componentType=5126, count=count, type="VEC3", sparse=sparse)

    def interleaved(self, *columns: np.ndarray) -> list[int]:
        """Return accessors of columns that lie side by side in one view, with a stride."""
        rows = np.concatenate(columns, axis=1).astype(np.float32)
        view = self.view(rows.tobytes())
        self.document["bufferViews"][view]["byteStride"] = 4 * rows.shape[1]
        starts = np.cumsum([0, *(column.shape[1] for column in columns)])
        return [
            self._accessor(bufferView=view, byteOffset=4 * int(start), componentType=5126, count=len(rows),
                           type=_KINDS[column.shape[1]])
            for start, column in zip(starts[:-1], columns, strict=True)
        ]  # fmt: skip

    def _accessor(self, **item: Any) -> int:
        self.document["accessors"].append(item)
        return len(self.document["accessors"]) - 1

    def mesh(self, attributes: dict[str, int], indices: int | None, targets: dict[str, int | None]) -> int:
        primitive: dict[str, Any] = {"attributes": attributes}
        if indices is not None:
            primitive["indices"] = indices
        if targets:
            primitive["targets"] = [{} if t is None else {"POSITION": t} for t in targets.values()]
        mesh: dict[str, Any] = {"primitives": [primitive]}
        if targets:
            mesh["extras"] = {"targetNames": list(targets)}
        self.document["meshes"].append(mesh)
        return len(self.document["meshes"]) - 1

    def node(self, **item: Any) -> int:
        self.document["nodes"].append(item)
        return len(self.document["nodes"]) - 1

    def scene(self, *roots: int) -> None:
        self.document |= {"scene": 0, "scenes": [{"nodes": list(roots)}]}

    def glb(self, path: Path) -> Path:
        self.document["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.document).encode()
        text += b" " * (-len(text) % 4)
        data = self.data + b"\0" * (-len(self.data) % 4)
        chunks = (
            struct.pack("<I", len(text)) + b"JSON" + text + struct.pack("<I", len(data)) + b"BIN\0" + data
        )
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
        return path

    def gltf(self, path: Path, uri: str | None = None) -> Path:
        """Write JSON, its buffer within it, or at a uri."""
        inside = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        self.document["buffers"] = [{"byteLength": len(self.data), "uri": inside if uri is None else uri}]
        path.write_text(json.dumps(self.document, indent=1))
        return path
