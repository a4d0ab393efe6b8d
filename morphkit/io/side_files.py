"""The files that a mesh file brings along: material libraries and pictures."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
_MATERIAL_PICTURE = re.compile(rb"^[ \t]*map_kd[ \t]+(.+?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_PLY_PICTURE = re.compile(rb"^comment TextureFile[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
_PLY_HEADER = 1 << 20  # bytes at most


def side_files(path: Path) -> tuple[Path, ...]:
    """Return the files besides itself that a mesh is read from, sorted, whether they exist or not.

    An OBJ has material libraries and their pictures, a PLY pictures, a glTF buffers and pictures; other
    formats keep all in one file. A file that cannot be read has none.
    """
    find = {".obj": _of_obj, ".ply": _of_ply, ".gltf": _of_gltf}.get(path.suffix.lower())
    if find is None:
        return ()
    with suppress(OSError, ValueError):
        return tuple(sorted(find(path)))
    return ()


def _of_obj(path: Path) -> set[Path]:
    found = set()
    for library in _named(_LIBRARY, path.read_bytes()):
        for material in _candidates(path, library):
            found.add(material)
            if material.is_file():
                for line in _named(_MATERIAL_PICTURE, material.read_bytes()):
                    found |= _candidates(path, line) | _candidates(path, line.split()[-1])
    return found


def _of_ply(path: Path) -> set[Path]:
    with path.open("rb") as file:
        header = file.read(_PLY_HEADER).partition(b"end_header")[0]
    return {place for name in _named(_PLY_PICTURE, header) for place in _candidates(path, name)}


def _of_gltf(path: Path) -> set[Path]:
    document = json.loads(path.read_text("utf-8"))
    entries = [*document.get("buffers", ()), *document.get("images", ())]
    names = [entry["uri"] for entry in entries if not entry.get("uri", "data:").startswith("data:")]
    return {place for name in names for place in _candidates(path, unquote(name))}


def _named(pattern: re.Pattern[bytes], data: bytes) -> list[str]:
    return [name.decode("utf-8", "replace").strip() for name in pattern.findall(data)]


def _candidates(path: Path, name: str) -> set[Path]:
    """Return where the readers look: as named, and by the bare name in the mesh's own folder."""
    relative = Path(name.replace("\\", "/"))
    places = {path.parent / relative.name}
    if not relative.is_absolute() and ".." not in relative.parts:
        places.add(path.parent / relative)
    return places
