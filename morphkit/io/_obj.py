"""Wavefront OBJ, read directly: vertices keep their number and order whatever the texture seams do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from morphkit.errors import BadInputError
from morphkit.io._parts import MeshParts, stack_pictures, triangulate
from morphkit.io.atomic import atomic_path
from morphkit.io.color import linear_to_srgb
from morphkit.io.images import read_image, write_image
from morphkit.mesh import Mesh

_BLOCK = 10_000  # rows that are formatted at once


@dataclass
class _Lines:
    """The file's lines by keyword, with what is needed to resolve relative indices and materials."""

    vertices: list[bytes] = field(default_factory=list)
    uvs: list[bytes] = field(default_factory=list)
    faces: list[bytes] = field(default_factory=list)
    materials: list[tuple[int, str]] = field(default_factory=list)  # (first face, name)
    libraries: list[str] = field(default_factory=list)


def read_obj(path: Path) -> MeshParts:
    """Read an OBJ file with its material library; ValueError says what is wrong with it."""
    lines = sort_lines(path.read_bytes())
    table = number_table(lines.vertices, "v")
    vertices, colors = table[:, :3], None
    if table.shape[1] in (6, 7):  # x y z r g b [a], MeshLab's habit
        colors = table[:, 3:6] / (255.0 if table[:, 3:6].max(initial=0.0) > 1.0 else 1.0)
    elif len(table) and table.shape[1] not in (3, 4):
        raise ValueError(f"its v lines have {table.shape[1]} numbers")
    position, uv_index, polygon = parse_faces(lines)
    faces, corners = triangulate(position)
    if not lines.uvs or not len(faces) or (uv_index < 0).any():
        return MeshParts(vertices, faces, colors)
    coordinates = number_table(lines.uvs, "vt")[:, :2].astype(np.float32)
    if uv_index.max() >= len(coordinates):
        raise ValueError(f"a face refers to texture coordinate {uv_index.max() + 1} of {len(coordinates)}")
    uv, texture = _material_texture(path, lines, coordinates[uv_index[corners]], polygon[corners[:, 0]])
    return MeshParts(vertices, faces, colors, uv if texture is not None else None, texture)


def write_obj(path: Path, mesh: Mesh, target: Path, picture: Path | None = None) -> None:
    """Write an OBJ at `path` (to become `target`), with .mtl and .png beside, or colours on the v lines.

    `picture` is the texture's file, if it is there already.
    """
    head = ["# morphkit"]
    values = mesh.vertices
    if mesh.texture is not None and mesh.uv is not None:
        if picture is None:
            picture = target.with_suffix(".png")
            write_image(picture, mesh.texture)
        _write_material(target.with_suffix(".mtl"), picture.name)
        head += [f"mtllib {target.with_suffix('.mtl').name}", "usemtl surface"]
    elif mesh.colors is not None:
        values = np.hstack([values, linear_to_srgb(np.nan_to_num(mesh.colors)).clip(0, 1)])
    with path.open("w", encoding="utf-8") as file:
        file.write("\n".join(head) + "\n")
        _write_rows(file, "v" + " %.9g" * 3 + " %.6g" * (values.shape[1] - 3), values)
        if mesh.uv is None:
            _write_rows(file, "f %d %d %d", mesh.faces + 1)
            return
        places = np.ascontiguousarray(mesh.uv.reshape(-1, 2), np.float32).view(np.int64)[:, 0]
        _, first, indices = np.unique(places, return_index=True, return_inverse=True)
        _write_rows(file, "vt %.8g %.8g", mesh.uv.reshape(-1, 2)[first])
        both = np.stack([mesh.faces, indices.reshape(-1, 3)], axis=2).reshape(-1, 6) + 1
        _write_rows(file, "f %d/%d %d/%d %d/%d", both)


def _write_rows(file: TextIO, form: str, rows: np.ndarray) -> None:
    """Write a line for each row: several times faster than numpy's savetxt, which formats them singly."""
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        file.write((form + "\n") * len(block) % tuple(block.ravel().tolist()))


def _write_material(path: Path, picture_name: str) -> None:
    text = f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture_name}\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sort_lines(data: bytes) -> _Lines:
    if b"\0" in data[:4096]:
        raise ValueError("it is not text")
    lines = _Lines()
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        key, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        if key == b"v":
            lines.vertices.append(rest)
        elif key == b"f":
            lines.faces.append(_absolute(rest, lines) if b"-" in rest else rest)
        elif key == b"vt":
            lines.uvs.append(rest)
        elif key == b"usemtl":
            lines.materials.append((len(lines.faces), rest.decode("utf-8", "replace").strip()))
        elif key == b"mtllib":
            lines.libraries.append(rest.decode("utf-8", "replace").strip())
    return lines


def _absolute(rest: bytes, lines: _Lines) -> bytes:
    """Resolve negative indices, which count back from the lines read so far."""
    counts = (len(lines.vertices), len(lines.uvs))
    corners = []
    for corner in rest.split():
        parts = corner.split(b"/")[:2]
        for i, part in enumerate(parts):
            if part.startswith(b"-"):
                parts[i] = b"%d" % (counts[i] + 1 + int(part))
        corners.append(b"/".join(parts))
    return b" ".join(corners)


def number_table(lines: list[bytes], key: str) -> np.ndarray:
    """Return the numbers on lines that all have equally many."""
    if not lines:
        return np.zeros((0, 3))
    values = np.array(b" ".join(lines).split(), dtype=np.float64)
    width = len(lines[0].split())
    if not width or len(values) != width * len(lines):
        raise ValueError(f"its {key} lines have different numbers of values: it is truncated or damaged")
    return values.reshape(len(lines), width)


def parse_faces(lines: _Lines) -> tuple[list[np.ndarray] | np.ndarray, np.ndarray, np.ndarray]:
    """Return the polygons' vertex indices, and for each corner its uv index (-1: none) and polygon."""
    lengths = np.array([len(line.split()) for line in lines.faces], np.int64)
    tokens = b" ".join(lines.faces).split()
    parts = [token.split(b"/", 2) for token in tokens]
    position = np.array([part[0] for part in parts], dtype=np.int64) - 1 if parts else np.zeros(0, np.int64)
    uv_index = np.array([part[1] if len(part) > 1 and part[1] else 0 for part in parts], dtype=np.int64) - 1
    polygon = np.repeat(np.arange(len(lengths)), lengths)
    if len(lengths) and (lengths == lengths[0]).all():
        return position.reshape(len(lengths), lengths[0]), uv_index, polygon
    return np.split(position, np.cumsum(lengths)[:-1]), uv_index, polygon


# --- materials -------------------------------------------------------------------------------------------


def _material_texture(
    path: Path, lines: _Lines, uv: np.ndarray, polygon: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return uv and one picture; several textures are stacked into one."""
    pictures = _read_pictures(path, lines.libraries)
    if not pictures:
        return uv, None
    used = np.full(len(uv), -1)
    names = list(pictures)
    for first, name in lines.materials:
        used[polygon >= first] = names.index(name) if name in names else -1
    if not lines.materials:
        used[:] = 0
    present = np.unique(used[used >= 0])
    if len(present) == 0:
        return uv, None
    if len(present) == 1 and (used >= 0).all():
        return uv, pictures[names[present[0]]]
    return stack_pictures(uv, used, [pictures[name] for name in names])


def _read_pictures(path: Path, libraries: list[str]) -> dict[str, np.ndarray]:
    """Return the diffuse pictures by material name; what is missing is warned about, not fatal."""
    pictures: dict[str, np.ndarray] = {}
    for library in libraries:
        try:
            text = _beside(path, library).read_text("utf-8", "replace")
        except OSError:
            warnings.warn(
                f"{path}: its material file {library} is missing; read without texture", stacklevel=4
            )
            continue
        name = ""
        for line in text.splitlines():
            key, _, rest = line.strip().partition(" ")
            if key == "newmtl":
                name = rest.strip()
            elif key.lower() == "map_kd" and rest.strip():
                picture = _read_picture(path, rest.strip())
                if picture is not None:
                    pictures[name] = picture
    return pictures


def _read_picture(path: Path, rest: str) -> np.ndarray | None:
    """Read the picture that a map_Kd line names, which may have options before the name."""
    for name in (rest, rest.split()[-1]):
        if _beside(path, name).is_file():
            try:
                return read_image(_beside(path, name))
            except BadInputError as error:
                warnings.warn(f"{path}: {error} Read without texture.", stacklevel=5)
                return None
    warnings.warn(f"{path}: its texture {rest} is missing; read without it", stacklevel=5)
    return None


def _beside(path: Path, name: str) -> Path:
    """Return the file called `name` in the folder of `path`; paths of other machines lose their folders."""
    relative = Path(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or not (path.parent / relative).is_file():
        return path.parent / relative.name
    return path.parent / relative
