"""The meshes of a glTF scene as one, with its morph targets by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from morphkit.archive.layouts._columns import real, triangles
from morphkit.archive.layouts._gltf_file import GltfFile

_TRIANGLES = 4
_MOST_NODES = 1000
_MOST_TARGETS = 2000


@dataclass
class Piece:
    """One primitive, in the scene's frame and unit.

    Attributes
    ----------
    positions : (v, 3) float64.
    faces : (f, 3) int32, counter-clockwise.
    offsets : name to (v, 3) float32.
    uv : (v, 2), v up, or None.
    colors : (v, 3) linear RGB, or None.
    """

    positions: np.ndarray
    faces: np.ndarray
    offsets: dict[str, np.ndarray]
    uv: np.ndarray | None
    colors: np.ndarray | None


@dataclass
class Scene:
    """All triangles of a scene.

    Attributes
    ----------
    pieces : in the order of the scene's nodes.
    notes : what was left out.
    """

    pieces: list[Piece] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_scene(file: GltfFile) -> Scene:
    """Return all triangles of the file's scene.

    Raises
    ------
    BadInputError
        If there are none, or something refers to what is not there.
    """
    scene = Scene()
    for node, matrix in _nodes(file):
        if "skin" in node:
            note = "skeletons are left out: the pose is the one at rest"
            scene.notes += [] if note in scene.notes else [note]
            matrix = np.eye(4)  # a skinned mesh stands where its skeleton puts it, whatever its node says
        if "mesh" in node:
            _add_mesh(file, file.item("meshes", node["mesh"]), matrix, scene)
    if not scene.pieces:
        raise file.source.bad("it holds no triangles")
    return scene


def _nodes(file: GltfFile) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Yield the scene's nodes, each with its matrix into the scene's frame."""
    nodes = file.items("nodes")
    scenes = file.items("scenes")
    if scenes:
        roots = file.item("scenes", file.document.get("scene", 0)).get("nodes", [])
    else:
        children = {c for node in nodes for c in node.get("children", []) if type(c) is int}
        roots = [i for i in range(len(nodes)) if i not in children]
    stack = [(index, np.eye(4)) for index in _reversed(file, roots)]
    for _ in range(_MOST_NODES):
        if not stack:
            return
        index, above = stack.pop()
        node = file.item("nodes", index)
        matrix = above @ _matrix(file, node)
        yield node, matrix
        stack += [(child, matrix) for child in _reversed(file, node.get("children", []))]
    raise file.source.bad("its nodes are far too many, or contain themselves")


def _reversed(file: GltfFile, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise file.source.bad("its nodes are no list: it is damaged")
    return values[::-1]


def _matrix(file: GltfFile, node: dict[str, Any]) -> np.ndarray:
    """Return a node's own matrix (column by column in the file), or its translation, rotation and scale."""
    if "matrix" in node:
        return _numbers(file, node, "matrix", [0.0] * 16).reshape(4, 4).T
    x, y, z, w = _numbers(file, node, "rotation", [0.0, 0.0, 0.0, 1.0])
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn * _numbers(file, node, "scale", [1.0, 1.0, 1.0])
    matrix[:3, 3] = _numbers(file, node, "translation", [0.0, 0.0, 0.0])
    return matrix


def _numbers(file: GltfFile, node: dict[str, Any], name: str, default: list[float]) -> np.ndarray:
    values = node.get(name, default)
    if (
        not isinstance(values, list)
        or len(values) != len(default)
        or not all(type(x) in (int, float) and -1e9 < x < 1e9 for x in values)
    ):
        raise file.source.bad(f"a node's {name} is damaged")
    return np.array(values, np.float64)


def _add_mesh(file: GltfFile, mesh: dict[str, Any], matrix: np.ndarray, scene: Scene) -> None:
    for primitive in file.dicts(mesh.get("primitives", []), "primitives"):
        if primitive.get("mode", _TRIANGLES) != _TRIANGLES:
            scene.notes.append("what is not drawn as plain triangles is left out")
            continue
        scene.pieces.append(_piece(file, mesh, primitive, matrix))


def _piece(file: GltfFile, mesh: dict[str, Any], primitive: dict[str, Any], matrix: np.ndarray) -> Piece:
    source = file.source
    (attributes,) = file.dicts([primitive.get("attributes")], "attributes")
    stored = file.accessor(attributes.get("POSITION"), ("VEC3",))
    count, linear = len(stored), matrix[:3, :3]
    file.spend(24 * count)
    with np.errstate(all="ignore"):
        positions = real(source, stored.copy(), "a position").astype(np.float64) @ linear.T + matrix[:3, 3]
    if "indices" in primitive:
        corners = file.accessor(primitive["indices"], ("SCALAR",))[:, 0]
    else:
        corners = np.arange(count, dtype=np.uint32)
    if len(corners) % 3:
        raise source.bad(f"it has {len(corners)} corners, not three for each triangle")
    file.spend(4 * len(corners))  # nodes may share what is packed into single bytes
    faces = triangles(source, corners.reshape(-1, 3), count, "a mesh")
    offsets = {}
    for name, target in _targets(file, mesh, primitive):
        if "POSITION" in target:
            moves = file.accessor(target["POSITION"], ("VEC3",), count)
            file.spend(12 * count)
            with np.errstate(all="ignore"):
                offsets[name] = (real(source, moves.copy(), "a morph target") @ linear.T).astype(np.float32)
    return Piece(
        positions,
        faces[:, ::-1] if np.linalg.det(linear) < 0 else faces,
        offsets,
        _uv(file, attributes, count),
        _colors(file, attributes, count),
    )


def _targets(
    file: GltfFile, mesh: dict[str, Any], primitive: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield morph targets with their names: by general habit they are in the mesh's extras."""
    targets = file.dicts(primitive.get("targets", []), "targets")
    if len(targets) > _MOST_TARGETS:
        raise file.source.bad(
            f"a mesh has {len(targets)} morph targets, more than the {_MOST_TARGETS} allowed"
        )
    names: Any = []
    for holder in (mesh, primitive):
        extras = holder.get("extras")
        if isinstance(extras, dict) and isinstance(extras.get("targetNames"), list):
            names = extras["targetNames"]
            break
    used: set[str] = set()
    for i, target in enumerate(targets):
        name = names[i] if i < len(names) and isinstance(names[i], str) else f"target_{i}"
        name = name if name not in used else f"{name}_{i}"
        used.add(name)
        yield name, target


def _uv(file: GltfFile, attributes: dict[str, Any], count: int) -> np.ndarray | None:
    if "TEXCOORD_0" not in attributes:
        return None
    uv = file.accessor(attributes["TEXCOORD_0"], ("VEC2",), count).astype(np.float32)
    uv = real(file.source, uv, "a texture coordinate")
    return np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1)


def _colors(file: GltfFile, attributes: dict[str, Any], count: int) -> np.ndarray | None:
    if "COLOR_0" not in attributes:
        return None
    colors = file.accessor(attributes["COLOR_0"], ("VEC3", "VEC4"), count).astype(np.float32)
    return np.ascontiguousarray(real(file.source, colors, "a colour")[:, :3])
