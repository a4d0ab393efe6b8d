"""Writes eos's binary archives field by field, versions 1 to 4, for tests of the reader and the writer."""

from __future__ import annotations

import struct

import numpy as np


def matrix(values: np.ndarray) -> bytes:
    columns = values.reshape(len(values), -1)
    return struct.pack("<ii", *columns.shape) + np.asfortranarray(columns, "<f4").tobytes(order="F")


def table(values: np.ndarray, dtype: str) -> bytes:
    return struct.pack("<Q", len(values)) + np.ascontiguousarray(values, dtype).tobytes()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pca(mean: np.ndarray, basis: np.ndarray, variances: np.ndarray, faces: np.ndarray) -> bytes:
    return matrix(mean.reshape(-1)) + matrix(basis) + matrix(variances) + table(faces, "<i4")


NO_PCA = struct.pack("<iiiiiiQ", 0, 1, 0, 0, 0, 1, 0)
NOTHING = b"\x01"


def there(content: bytes) -> bytes:
    return b"\x00" + content


def variant(kind: int, content: bytes) -> bytes:
    return struct.pack("<i", kind) + content


def blendshapes(offsets: dict[str, np.ndarray]) -> bytes:
    parts = [text(name) + matrix(offset.reshape(-1)) for name, offset in offsets.items()]
    return struct.pack("<Q", len(parts)) + b"".join(parts)


def landmarks(vertices: dict[str, int]) -> bytes:
    items = [text(name) + struct.pack("<i", vertex) for name, vertex in vertices.items()]
    return struct.pack("<Q", len(items)) + b"".join(items)


def archive(
    version: int,
    shape: bytes,
    color: bytes = NO_PCA,
    *,
    expression: bytes = NOTHING,
    named: bytes = NOTHING,
    uv: np.ndarray | None = None,
    uv_faces: np.ndarray | None = None,
) -> bytes:
    """Return a file's bytes; what a version lacks is left out."""
    parts = [struct.pack("<I", version), shape, color]
    parts += [expression] if version >= 2 else []
    parts += [named] if version >= 3 else []
    parts += [table(np.zeros((0, 2)) if uv is None else uv, "<f8")]
    parts += [table(np.zeros((0, 3)) if uv_faces is None else uv_faces, "<i4")] if version >= 4 else []
    return b"".join(parts)
