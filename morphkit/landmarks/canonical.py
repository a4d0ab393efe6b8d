"""MediaPipe's canonical face mesh, read from the metadata file that travels with its landmark network."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.resources import files

import numpy as np

from morphkit.mesh import Mesh

_METADATA = "geometry_pipeline_metadata_landmarks.binarypb"
_MILLIMETRES_PER_UNIT = 10.0  # the file is in centimetres

# Field numbers of the messages GeometryPipelineMetadata and Mesh3d.
_CANONICAL_MESH, _VERTEX_BUFFER, _INDEX_BUFFER = 1, 3, 4
_VERTEX_WIDTH = 5  # x, y, z, u, v

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf wire types


@functools.cache
def canonical_face() -> Mesh:
    """Return the mean face that the first 468 of the 478 landmarks belong to.

    468 vertices in millimetres, x = the subject's left, y up, z out of the face; 898 triangles, a disc: eyes
    and mouth are closed. UVs as in MediaPipe's face atlas, v up. The ten iris points (468..477) have none.
    """
    data = (files("morphkit") / "data" / _METADATA).read_bytes()
    mesh = next(value for number, value in _fields(data) if number == _CANONICAL_MESH)
    return _parse_mesh(mesh)


def _parse_mesh(message: bytes) -> Mesh:
    numbers: list[float] = []
    indices: list[int] = []
    for number, value in _fields(message):
        if number == _VERTEX_BUFFER:
            numbers.extend(np.frombuffer(value, "<f4").tolist())
        elif number == _INDEX_BUFFER:
            indices.append(int.from_bytes(value, "little"))
    table = np.array(numbers).reshape(-1, _VERTEX_WIDTH)
    faces = np.array(indices, np.int32).reshape(-1, 3)
    uv = table[:, 3:] * (1, -1) + (0, 1)  # stored with v down
    return Mesh(table[:, :3] * _MILLIMETRES_PER_UNIT, faces, uv=uv[faces].astype(np.float32))


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a protobuf message: (field number, raw value) pairs; varints come as 8 little-endian bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value.to_bytes(8, "little")
            continue
        if wire_type == _BYTES:
            length, position = _varint(message, position)
        else:
            length = {_FIXED32: 4, _FIXED64: 8}[wire_type]
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
