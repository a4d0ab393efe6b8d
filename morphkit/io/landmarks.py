"""Named 3D points from files and back, in the formats that landmarking tools write."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Int

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path, write_json
from morphkit.mesh import LandmarkEmbedding, Landmarks

Point = tuple[str, Any]  # a name, and what should be three numbers


def read_landmarks(path: str | os.PathLike[str]) -> Landmarks:
    """Read named 3D points.

    Parameters
    ----------
    path : ``.json`` (``{"name": [x, y, z], ...}``, as in a scan's sidecar; ``{"points": [...]}``; scalismo's
        list), ``.mrk.json`` and ``.fcsv`` (3D Slicer), ``.ljson`` (menpo), ``.pp`` (MeshLab), ``.pts``,
        ``.csv`` (``x,y,z`` with an optional name before or after), ``.tlms`` or ``.npy`` (n, 3). Points
        without names are called "0", "1", ...

    Returns
    -------
    Landmarks
        In the file's units and frame (Slicer's are brought to LPS as its scans are). Points marked as
        missing, invisible or inactive are left out.

    Raises
    ------
    BadInputError
        If the file is missing, damaged, of an unknown format, or without any point.
    """
    source = Path(path)
    reader = _reader(source)
    if reader is None:
        raise BadInputError(f"{source}: landmarks are read from {', '.join(LANDMARK_SUFFIXES)} files.")
    try:
        points = list(reader(source))
        return _to_landmarks(points)
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except OSError as error:
        raise BadInputError(f"{source} cannot be opened: {error.strerror or error}.") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ElementTree.ParseError) as error:
        raise BadInputError(f"{source} cannot be read as landmarks: {_reason(error)}.") from error


def write_landmarks(path: str | os.PathLike[str], landmarks: Landmarks) -> None:
    """Write named 3D points, atomically: ``.json`` (a sidecar), ``.csv`` (x,y,z,name) or ``.pts``.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    MorphkitError
        If the file cannot be written.
    """
    target = Path(path)
    rows = list(zip(landmarks.names, landmarks.points.tolist(), strict=True))
    if target.suffix.lower() == ".json":
        write_json(target, dict(rows))
        return
    if target.suffix.lower() == ".csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([*point, name] for name, point in rows)
        text = buffer.getvalue()
    elif target.suffix.lower() == ".pts":
        lines = [" ".join(repr(x) for x in point) for _, point in rows]
        text = "\n".join(["version: 1", f"n_points: {len(rows)}", "{", *lines, "}"]) + "\n"
    else:
        raise ValueError(f"path must end in .json, .csv or .pts, got {target.name}")
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_landmark_indices(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read which vertices of a template are landmarks.

    Parameters
    ----------
    path : a ``.json`` with ``{"landmarks68": [vertex, ...]}`` (named "0".."67", iBUG's order) or
        ``{"name": vertex, ...}``.

    Returns
    -------
    dict
        Vertex index by landmark name.

    Raises
    ------
    BadInputError
        If the file is missing or holds nothing of the kind.
    """
    source = Path(path)
    try:
        content = _load_json(source)
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"{source} cannot be read as landmark indices: {_reason(error)}.") from error
    if isinstance(content, dict):
        values = content.get("landmarks68", content)
        if isinstance(values, list):
            values = dict(enumerate(values))
        indices = {str(k): v for k, v in values.items()} if isinstance(values, dict) else {}
        if indices and all(type(value) is int and value >= 0 for value in indices.values()):
            return indices
    raise BadInputError(
        f"{source} holds no vertex indices; "
        'write {"landmarks68": [68 vertex numbers]} or {"name": vertex, ...}.'
    )


def vertex_embedding(indices: Mapping[str, int], faces: Int[np.ndarray, "f 3"]) -> LandmarkEmbedding:
    """Return landmarks that lie on vertices as an embedding: a triangle at that vertex, weight one.

    Raises
    ------
    ValueError
        If a vertex belongs to no triangle.
    """
    flat = faces.reshape(-1)
    order = np.argsort(flat, kind="stable")
    wanted = np.array(list(indices.values()), np.int64)
    place = np.searchsorted(flat, wanted, sorter=order)
    found = place < len(flat)
    found[found] = flat[order[place[found]]] == wanted[found]
    if not found.all():
        name = list(indices)[int(np.argmin(found))]
        raise ValueError(f"landmark {name!r} is at vertex {indices[name]}, which belongs to no triangle")
    corner = order[place]
    return LandmarkEmbedding(tuple(indices), (corner // 3).astype(np.int32), np.eye(3)[corner % 3])


# --- formats ---------------------------------------------------------------------------------------------


def _load_json(source: Path) -> Any:
    return json.loads(source.read_text("utf-8-sig"))


def _read_json(source: Path) -> Iterable[Point]:
    content = _load_json(source)
    if isinstance(content, dict) and "markups" in content:
        return _slicer_markups(content)
    if isinstance(content, dict) and "groups" in content and "version" in content:
        return _menpo_points(content)
    if isinstance(content, list):  # scalismo
        return [(str(item["id"]), item["coordinates"]) for item in content]
    if isinstance(content.get("points"), list):
        return [(str(i), point) for i, point in enumerate(content["points"])]
    return [(str(name), point) for name, point in content.items()]


def _slicer_markups(content: dict[str, Any]) -> Iterable[Point]:
    points = []
    for markup in content["markups"]:
        sign = _slicer_sign(str(markup.get("coordinateSystem", "LPS")))
        for number, point in enumerate(markup["controlPoints"]):
            if point.get("positionStatus", "defined") == "defined":
                name = str(point.get("label") or number)
                points.append((name, [s * float(x) for s, x in zip(sign, point["position"], strict=True)]))
    return points


def _slicer_sign(system: str) -> tuple[float, float, float]:
    """Return the signs that bring Slicer's coordinates to LPS, in which it stores meshes."""
    return (-1.0, -1.0, 1.0) if system.upper() in ("RAS", "0") else (1.0, 1.0, 1.0)


def _menpo_points(content: dict[str, Any]) -> Iterable[Point]:
    groups = content["groups"]
    if isinstance(groups, list):  # version 1: a list of groups with points of their own
        rows = [item["point"] for group in groups for item in group["landmarks"]]
    else:
        if len(groups) != 1:
            raise ValueError(f"it has {len(groups)} groups ({', '.join(groups)}); keep one")
        rows = next(iter(groups.values()))["landmarks"]["points"]
    return [(str(i), row) for i, row in enumerate(rows)]


def _read_ljson(source: Path) -> Iterable[Point]:
    content = _load_json(source)
    if "groups" not in content and "landmarks" in content:  # version 2: one group, not named
        content = {"groups": {"LJSON": content}}
    return _menpo_points(content)


def _read_picked_points(source: Path) -> Iterable[Point]:
    text = source.read_text("utf-8", "replace")
    if "<!ENTITY" in text:
        raise ValueError("it defines XML entities, which no landmark file needs")
    root = ElementTree.fromstring(text)  # noqa: S314 -- entities are refused above
    points = []
    for number, node in enumerate(root.iter("point")):
        if node.get("active", "1") != "0":
            points.append((node.get("name") or str(number), [float(node.attrib[axis]) for axis in "xyz"]))
    return points


def _read_fcsv(source: Path) -> Iterable[Point]:
    system, points = "LPS", []
    for number, line in enumerate(source.read_text("utf-8").splitlines()):
        if line.startswith("#"):
            if "CoordinateSystem" in line:
                system = line.split("=")[-1].strip()
            continue
        row = next(csv.reader([line]), [])
        if row:
            sign = _slicer_sign(system)
            name = row[11] if len(row) > 11 and row[11] else str(number)
            points.append((name, [s * float(x) for s, x in zip(sign, row[1:4], strict=True)]))
    return points


def _read_pts(source: Path) -> Iterable[Point]:
    rows = []
    for line in source.read_text("utf-8").splitlines():
        words = line.replace(",", " ").split()
        if words and words[0] not in ("version:", "n_points:", "{", "}") and not line.startswith("#"):
            rows.append([float(word) for word in words])
    return [(str(i), row) for i, row in enumerate(rows)]


def _read_csv(source: Path) -> Iterable[Point]:
    points: list[Point] = []
    with source.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            cells = [cell.strip() for cell in row if cell.strip()]
            numbers = [value for cell in cells if (value := _number(cell)) is not None]
            names = [cell for cell in cells if _number(cell) is None]
            if (
                len(numbers) == 4 and not names
            ):  # a numeric name after the point, as `write_landmarks` puts it
                names, numbers = [cells[3]], numbers[:3]
            if not cells or (len(numbers) < 3 and not points):
                continue  # a blank line, or a header
            points.append((names[0] if names else str(len(points)), numbers))
    return points


def _read_tlms(source: Path) -> Iterable[Point]:
    rows = [line.split() for line in source.read_text("utf-8").splitlines() if line.strip()]
    return [(row[0], [float(x) for x in row[2:5]]) for row in rows if row[1] != "0"]


def _read_npy(source: Path) -> Iterable[Point]:
    values = np.load(source, allow_pickle=False)
    if values.ndim != 2:
        raise ValueError(f"it holds an array of shape {values.shape}, not (n, 3)")
    return [(str(i), row) for i, row in enumerate(values.astype(np.float64).tolist())]


_READERS: dict[str, Callable[[Path], Iterable[Point]]] = {
    ".json": _read_json,
    ".ljson": _read_ljson,
    ".pp": _read_picked_points,
    ".fcsv": _read_fcsv,
    ".pts": _read_pts,
    ".csv": _read_csv,
    ".tlms": _read_tlms,
    ".npy": _read_npy,
}
LANDMARK_SUFFIXES = tuple(_READERS)


def _reader(source: Path) -> Callable[[Path], Iterable[Point]] | None:
    return _READERS.get(source.suffix.lower())


# --- checks ----------------------------------------------------------------------------------------------


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _to_landmarks(points: list[Point]) -> Landmarks:
    present = [(name, point) for name, point in points if not _is_missing(point)]
    if not present:
        raise ValueError("there is no point in it")
    names = tuple(name for name, _ in present)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is given twice")
    for name, point in present:
        if len(point) != 3:
            raise ValueError(f"{name!r} has {len(point)} coordinates, not 3")
    array = np.array([point for _, point in present], dtype=np.float64)
    if np.abs(array).max() > 1e9:
        raise ValueError("its coordinates are too large to be a face's")
    return Landmarks(names, array)


def _is_missing(point: object) -> bool:
    """Whether a point is null, or any coordinate of it null or not finite."""
    if point is None:
        return True
    if not isinstance(point, list | tuple):
        raise ValueError(f"a point is {point!r}, not [x, y, z]")
    return any(value is None or not np.isfinite(float(value)) for value in point)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"it lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__
