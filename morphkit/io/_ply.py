"""PLY files, ascii and binary, in the order and precision that they are stored in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.io._parts import MeshParts, triangulate
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.mesh import Mesh

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2",
    "ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class _Property:
    name: str
    dtype: str
    count_dtype: str | None = None  # set for a list


@dataclass
class _Element:
    name: str
    count: int
    properties: list[_Property] = field(default_factory=list)

    def dtype(self, order: str, lengths: list[int]) -> np.dtype[Any]:
        """Return the structured type of a row whose lists have these lengths."""
        fields: list[Any] = []
        remaining = iter(lengths)
        for index, prop in enumerate(self.properties):
            if prop.count_dtype is None:
                fields.append((f"p{index}", order + prop.dtype))
            else:
                fields.append((f"n{index}", order + prop.count_dtype))
                fields.append((f"p{index}", order + prop.dtype, (next(remaining),)))
        return np.dtype(fields)

    @property
    def list_indices(self) -> list[int]:
        return [i for i, prop in enumerate(self.properties) if prop.count_dtype is not None]


@dataclass
class _Header:
    order: str
    elements: list[_Element]
    textures: list[str]
    size: int


Columns = dict[str, Any]  # property name -> (count,) array, (count, n) array, or a list of arrays


def read_ply(path: Path) -> MeshParts:
    """Read a PLY file; ValueError says what is wrong with it."""
    data = path.read_bytes()
    header = _read_header(data)
    tables = dict(_read_tables(data, header))
    if "vertex" not in tables:
        raise ValueError("it has no vertex element")
    vertex, face = tables["vertex"], tables.get("face", {})
    missing = [axis for axis in "xyz" if axis not in vertex]
    if missing:
        raise ValueError(f"its vertices have no {', '.join(missing)}")
    vertices = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64)
    rows = face.get("vertex_indices", face.get("vertex_index", np.zeros((0, 3), np.int32)))
    faces, corners = triangulate(rows)
    uv = _vertex_uv(vertex, faces) if "texcoord" not in face else _face_uv(face["texcoord"], rows, corners)
    return MeshParts(vertices, faces, _colors(vertex), uv, header.textures[0] if header.textures else None)


def write_ply(path: Path, mesh: Mesh) -> None:
    """Write a binary little-endian PLY: double vertices, uchar sRGB colours (alpha 0: unknown)."""
    fields: list[Any] = [("x", "<f8"), ("y", "<f8"), ("z", "<f8")]
    if mesh.colors is not None:
        unknown = np.isnan(mesh.colors).any(axis=1)
        names = ["red", "green", "blue"] + ["alpha"] * bool(unknown.any())
        fields += [(name, "u1") for name in names]
    table = np.zeros(len(mesh.vertices), np.dtype(fields))
    for axis, name in enumerate("xyz"):
        table[name] = mesh.vertices[:, axis]
    if mesh.colors is not None:
        codes = linear_to_srgb_uint8(np.nan_to_num(mesh.colors))
        for channel, name in enumerate(("red", "green", "blue")):
            table[name] = codes[:, channel]
        if "alpha" in names:
            table["alpha"] = np.where(unknown, 0, 255)
    rows = np.zeros(len(mesh.faces), np.dtype([("n", "u1"), ("i", "<i4", (3,))]))
    rows["n"], rows["i"] = 3, mesh.faces
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    kinds = {"<f8": "double", "u1": "uchar"}
    lines += [f"property {kinds[kind]} {name}" for name, kind in fields]
    lines += [f"element face {len(rows)}", "property list uchar int vertex_indices", "end_header"]
    with path.open("wb") as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))
        file.write(table.tobytes())
        file.write(rows.tobytes())


def _read_header(data: bytes) -> _Header:
    if not data.startswith(b"ply"):
        raise ValueError("it does not begin with 'ply'")
    end = data.find(b"end_header", 0, 1 << 20)
    newline = data.find(b"\n", end)
    if end < 0 or newline < 0:
        raise ValueError("its header has no end")
    header = _Header("", [], [], newline + 1)
    known = False
    for line in data[:end].decode("ascii", "replace").splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "format":
            if len(words) < 2 or words[1] not in _FORMATS:
                raise ValueError(f"its format is unknown: {line.strip()!r}")
            header.order, known = _FORMATS[words[1]], True
        elif words[0] == "element":
            header.elements.append(_parse_element(words))
        elif words[0] == "property":
            if not header.elements:
                raise ValueError("a property comes before any element")
            header.elements[-1].properties.append(_parse_property(words))
        elif words[:2] == ["comment", "TextureFile"]:
            header.textures.append(line.split(None, 2)[2].strip())
    if not known:
        raise ValueError("its header names no format")
    return header


def _parse_element(words: list[str]) -> _Element:
    try:
        name, count = words[1], int(words[2])
    except (IndexError, ValueError):
        raise ValueError(f"its header has a broken line: {' '.join(words)!r}") from None
    if count < 0:
        raise ValueError(f"its header claims {count} of {name}")
    return _Element(name, count)


def _parse_property(words: list[str]) -> _Property:
    try:
        if words[1] == "list":
            return _Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
        return _Property(words[2], _TYPES[words[1]])
    except (IndexError, KeyError):
        raise ValueError(f"its header has a broken line: {' '.join(words)!r}") from None


def _read_tables(data: bytes, header: _Header) -> Iterator[tuple[str, Columns]]:
    if header.order:
        offset = header.size
        for element in header.elements:
            columns, offset = _read_binary(data, offset, element, header.order)
            yield element.name, columns
        return
    values = np.array(data[header.size :].split(), dtype=np.float64)
    start = 0
    for element in header.elements:
        columns, start = _read_ascii(values, start, element)
        yield element.name, columns


def _columns(element: _Element, table: np.ndarray) -> Columns:
    return {prop.name: table[f"p{i}"] for i, prop in enumerate(element.properties)}


def _truncated(element: _Element) -> ValueError:
    return ValueError(f"it ends before its {element.count} {element.name} entries do: it is truncated")


def _read_binary(data: bytes, offset: int, element: _Element, order: str) -> tuple[Columns, int]:
    """Read one element, all rows alike if they are, one by one if not."""
    dtype = element.dtype(order, [0] * len(element.list_indices))
    if element.count == 0:
        return _columns(element, np.zeros(0, dtype)), offset
    if element.count * dtype.itemsize > len(data) - offset:  # before anything is allocated
        raise _truncated(element)
    lengths = [len(values) for values in _binary_row(data, offset, element, order)[0].values()]
    dtype = element.dtype(order, lengths)
    end = offset + element.count * dtype.itemsize
    if end <= len(data):
        table = np.frombuffer(data, dtype, element.count, offset)
        if all((table[f"n{i}"] == n).all() for i, n in zip(element.list_indices, lengths, strict=True)):
            return _columns(element, table), end
    if not element.list_indices:
        raise _truncated(element)
    lists: dict[str, list[np.ndarray]] = {element.properties[i].name: [] for i in element.list_indices}
    for _ in range(element.count):
        row, offset = _binary_row(data, offset, element, order)
        for name, values in row.items():
            lists[name].append(values)
    return dict(lists), offset


def _binary_row(data: bytes, offset: int, element: _Element, order: str) -> tuple[dict[str, np.ndarray], int]:
    """Return the lists of the row at `offset`, and where the next row begins."""
    lists = {}
    for prop in element.properties:
        count = 1
        if prop.count_dtype is not None:
            kind = np.dtype(order + prop.count_dtype)
            if offset + kind.itemsize > len(data):
                raise _truncated(element)
            count = int(np.frombuffer(data, kind, 1, offset)[0])
            offset += kind.itemsize
        kind = np.dtype(order + prop.dtype)
        if count < 0 or offset + count * kind.itemsize > len(data):
            raise _truncated(element)
        if prop.count_dtype is not None:
            lists[prop.name] = np.frombuffer(data, kind, count, offset)
        offset += count * kind.itemsize
    return lists, offset


def _read_ascii(values: np.ndarray, start: int, element: _Element) -> tuple[Columns, int]:
    """Read one element from the flat sequence of numbers."""
    if element.count * len(element.properties) > len(values) - start:
        raise _truncated(element)
    if not element.list_indices:
        width = len(element.properties)
        end = start + element.count * width
        table = values[start:end].reshape(element.count, width)
        return {prop.name: _typed(table[:, i], prop) for i, prop in enumerate(element.properties)}, end
    lists: dict[str, list[np.ndarray]] = {element.properties[i].name: [] for i in element.list_indices}
    for _ in range(element.count):
        for prop in element.properties:
            count = 1
            if prop.count_dtype is not None:
                count = int(values[start]) if start < len(values) else -1
                start += 1
            if count < 0 or start + count > len(values):
                raise _truncated(element)
            if prop.count_dtype is not None:
                lists[prop.name].append(_typed(values[start : start + count], prop))
            start += count
    return dict(lists), start


def _typed(values: np.ndarray, prop: _Property) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return values.astype(prop.dtype)


def _colors(vertex: Columns) -> np.ndarray | None:
    """Return the sRGB codes (v, 3), uint8 or float 0..1, with NaN where alpha says unknown."""
    names = next(
        (
            n
            for n in (
                ("red", "green", "blue"),
                ("diffuse_red", "diffuse_green", "diffuse_blue"),
                ("r", "g", "b"),
            )
            if n[0] in vertex
        ),
        None,
    )
    if names is None or not all(name in vertex for name in names):
        return None
    codes = np.stack([vertex[name] for name in names], axis=1)
    alpha = vertex.get("alpha")
    if codes.dtype == np.uint16:
        codes = codes.astype(np.float32) / 65535
    if alpha is None or not (alpha == 0).any() or (alpha == 0).all():
        return codes
    values = codes / np.float32(255) if codes.dtype == np.uint8 else codes.astype(np.float32)
    return np.where((alpha == 0)[:, None], np.float32(np.nan), values)


def _vertex_uv(vertex: Columns, faces: np.ndarray) -> np.ndarray | None:
    for names in (("texture_u", "texture_v"), ("s", "t"), ("u", "v")):
        if all(name in vertex for name in names):
            return np.stack([vertex[name] for name in names], axis=1).astype(np.float32)[faces]
    return None


def _face_uv(texcoord: Any, rows: Any, corners: np.ndarray) -> np.ndarray | None:
    """Return (f, 3, 2) from per-face lists of u, v pairs (MeshLab's wedges)."""
    if isinstance(texcoord, list) or isinstance(rows, list):
        lengths = np.array([len(row) for row in rows])
        if any(len(uv) != 2 * n for uv, n in zip(texcoord, lengths, strict=True)):
            return None
        flat = np.concatenate([np.asarray(uv, np.float32) for uv in texcoord]).reshape(-1, 2)
        return flat[corners]
    if texcoord.shape[1] != 2 * rows.shape[1]:
        return None
    uv: np.ndarray = texcoord.astype(np.float32).reshape(-1, 2)[corners]
    return uv
