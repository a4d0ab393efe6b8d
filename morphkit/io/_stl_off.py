"""STL (triangle soup, welded on reading) and OFF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphkit.io._parts import MeshParts, triangulate
from morphkit.mesh import Mesh

_STL_ROW = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> MeshParts:
    """Read a binary or ascii STL; corners at exactly the same place become one vertex."""
    data = path.read_bytes()
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    if count >= 0 and len(data) == 84 + 50 * count:
        corners = np.frombuffer(data, _STL_ROW, count, 84)["corners"]
    elif data.lstrip()[:5].lower() == b"solid" and b"facet" in data:
        corners = _ascii_corners(data)
    elif count >= 0 and len(data) > 84 + 50 * count:  # some writers append to the file
        corners = np.frombuffer(data, _STL_ROW, count, 84)["corners"]
    elif count >= 0:
        raise ValueError(f"it ends before its {count} triangles do: it is truncated")
    else:
        raise ValueError("it is too short for an STL file")
    points = corners.reshape(-1, 3) + np.float32(0)  # -0 and 0 are one place
    _, first, inverse = np.unique(
        points.view([("", points.dtype)] * 3), return_index=True, return_inverse=True
    )
    order = np.argsort(first)  # in order of first appearance, so that reading is stable
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return MeshParts(points[first[order]].astype(np.float64), rank[inverse.reshape(-1, 3)])


def _ascii_corners(data: bytes) -> np.ndarray:
    words = data.split()
    rows = [words[i + 1 : i + 4] for i, word in enumerate(words) if word == b"vertex"]
    if not rows or len(rows) % 3 or len(rows[-1]) != 3:
        raise ValueError("it is truncated: its last triangle is incomplete")
    return np.array(rows, dtype=np.float64).astype(np.float32).reshape(-1, 3, 3)


def write_stl(path: Path, mesh: Mesh) -> None:
    """Write a binary STL (float32)."""
    rows = np.zeros(len(mesh.faces), _STL_ROW)
    corners = mesh.vertices[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    rows["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    rows["corners"] = corners
    with path.open("wb") as file:
        file.write(b"morphkit".ljust(80, b"\0") + len(rows).to_bytes(4, "little") + rows.tobytes())


def read_off(path: Path) -> MeshParts:
    """Read an ascii OFF or COFF file."""
    text = path.read_text("ascii", "replace")
    lines = [line for line in (raw.split("#", 1)[0].strip() for raw in text.splitlines()) if line]
    first = lines[0].split() if lines else []
    if not first or not first[0].endswith("OFF") or "BINARY" in first:
        raise ValueError("it does not begin with OFF, or is a binary one")
    counts, body = (first[1:], lines[1:]) if len(first) > 1 else (lines[1].split(), lines[2:])
    vertex_count, face_count = int(counts[0]), int(counts[1])
    if vertex_count < 0 or face_count < 0 or vertex_count + face_count > len(body):
        raise ValueError("it ends before its vertices and faces do: it is truncated")
    table = [line.split() for line in body[:vertex_count]]
    widths = {len(row) for row in table}
    if len(widths) > 1 or (table and min(widths) < 3):
        raise ValueError("its vertex lines have different numbers of values: it is damaged")
    numbers = np.array(table, dtype=np.float64).reshape(vertex_count, -1 if table else 3)
    colors = _off_colors(numbers, first[0])
    rows = [_off_face(line) for line in body[vertex_count : vertex_count + face_count]]
    return MeshParts(numbers[:, :3].copy(), triangulate(rows)[0], colors)


def _off_face(line: str) -> np.ndarray:
    words = line.split()
    count = int(words[0])
    if count < 0 or len(words) < count + 1:
        raise ValueError(f"a face line is incomplete: {line[:60]!r}")
    return np.array(words[1 : count + 1], dtype=np.int64)


def _off_colors(numbers: np.ndarray, kind: str) -> np.ndarray | None:
    if not kind.startswith("COFF") or numbers.shape[1] < 6:
        return None
    colors = numbers[:, 3:6]
    return colors / (255.0 if colors.max(initial=0.0) > 1.0 else 1.0)


def write_off(path: Path, mesh: Mesh) -> None:
    """Write an ascii OFF file, without colours."""
    with path.open("w", encoding="ascii") as file:
        file.write(f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0\n")
        np.savetxt(file, mesh.vertices, fmt="%.9g")
        np.savetxt(file, mesh.faces, fmt="3 %d %d %d")
