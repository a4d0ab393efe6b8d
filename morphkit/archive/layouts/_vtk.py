"""Triangle meshes as VTK's legacy files, which old statismo keeps inside its model files."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_SECTION = re.compile(rb"(?:^|\n)\s*(POINTS|POLYGONS)\s+(\d{1,9})\s+(\w+)[ \t\r]*\n", re.IGNORECASE)
_KINDS = {b"float": ">f4", b"double": ">f8"}


@dataclass(frozen=True, eq=False)
class VtkMesh:
    """Points (v, 3) and triangles (f, 3), as they are in the file."""

    points: np.ndarray
    triangles: np.ndarray


def parse(data: bytes) -> VtkMesh:
    """Read points and triangles of a legacy file, text or binary; everything else in it is passed over.

    Raises
    ------
    ValueError
        If it is no legacy VTK file, is cut off, or holds other polygons than triangles.
    """
    head = data[:512].upper()
    if not data.startswith(b"# vtk DataFile") or b"POLYDATA" not in head:
        raise ValueError("it is no VTK file of polygons")
    binary = b"\nBINARY" in head
    point_count, kind, begin = _section(data, b"POINTS", 0)
    points = _values(data, begin, 3 * point_count, _KINDS.get(kind.lower(), ""), binary)
    face_count, size, begin = _section(data, b"POLYGONS", begin)
    if not size.isdigit() or int(size) != 4 * face_count:
        raise ValueError("its polygons are no triangles")
    polygons = _values(data, begin, 4 * face_count, ">i4", binary).reshape(-1, 4)
    if (polygons[:, 0] != 3).any():
        raise ValueError("its polygons are no triangles")
    return VtkMesh(points.reshape(-1, 3), polygons[:, 1:])


def text_of(points: np.ndarray, triangles: np.ndarray) -> bytes:
    """Return a binary legacy file."""
    corners = np.empty((len(triangles), 4), ">i4")
    corners[:, 0], corners[:, 1:] = 3, triangles
    return b"".join(
        (
            b"# vtk DataFile Version 3.0\nreference\nBINARY\nDATASET POLYDATA\n",
            b"POINTS %d float\n" % len(points),
            np.ascontiguousarray(points, ">f4").tobytes(),
            b"\nPOLYGONS %d %d\n" % (len(triangles), corners.size),
            corners.tobytes(),
            b"\n",
        )
    )


def _section(data: bytes, name: bytes, begin: int) -> tuple[int, bytes, int]:
    """Return the count, the word after it and the first byte of a section's values."""
    for found in _SECTION.finditer(data, begin):
        if found[1].upper() == name:
            return int(found[2]), found[3], found.end()
    raise ValueError(f"its {name.decode().lower()} are missing")


def _values(data: bytes, begin: int, count: int, kind: str, binary: bool) -> np.ndarray:
    if not kind:
        raise ValueError("its points are of an unknown type")
    if not binary:
        values = np.array(data[begin:].split(None, count)[:count], np.float64)
    else:
        available = (len(data) - begin) // np.dtype(kind).itemsize
        values = np.frombuffer(data, kind, min(count, available), begin)
    if len(values) != count:
        raise ValueError("it is cut off")
    native: np.ndarray = values.astype(values.dtype.newbyteorder("="))
    return native
