"""ICT-FaceKit's folder ``FaceXModel`` (Li et al. 2020), of a clone or by itself.

    generic_neutral_mesh.obj
    identity000.obj, identity001.obj, ...: the neutral face moved by one standard deviation of each mode
    jawOpen.obj, ...: all others are expressions at full strength, on the neutral face
    vertex_indices.json: landmarks, and vertices to fit and to align with

Centimetres, y up, the face towards +z; polygons, mostly quads, here cut into triangles in their order. The
formula is ``neutral + Σ cᵢ (identityᵢ − neutral) + Σ wⱼ (expressionⱼ − neutral)``. Identity coefficients are
the layout's own; the modes are not orthogonal. Strengths w are between 0 and 1: the expressions are named
units of a group with a Gaussian prior, zero being the neutral face, and
``expression_units.combine({"jawOpen": 1.0})`` gives the layout's shape.

Of the full mesh, with 26,719 vertices, the parts are known by their ranges, as listed in the kit's README;
they become masks. Four of them are transparent in a renderer of eyes (the film of tears, the lashes' cards,
two sheets that shade the eyes); drawn opaque they hide the eyes, so their triangles are left out and their
vertices kept. The sixty-eight landmarks are in Multi-PIE's order, which is iBUG's.

R. Li et al., "Learning formation of physically-based face attributes", CVPR 2020.
"""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive.layouts._blendshapes import ensure_few, unit_group
from morphkit.archive.layouts._columns import points, real, scaled_group, triangles, vertex_embedding
from morphkit.archive.source import ModelSource
from morphkit.io import _obj
from morphkit.io._parts import triangulate
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel

_NEUTRAL = "generic_neutral_mesh.obj"
_INDICES = "vertex_indices.json"
_MODE = re.compile(r"identity(\d+)\.obj")
_CENTIMETRES = 10.0
_MOST_INDICES = 16 << 20  # bytes
_FULL, _FULL_TRIANGLES = 26719, 52220
_PARTS = {
    "face": [(0, 9409)],
    "narrow_face": [(0, 6706)],
    "skin": [(0, 11248)],
    "head_and_neck": [(9409, 11248)],
    "mouth_socket": [(11248, 13294)],
    "eye_sockets": [(13294, 14062)],
    "gums_and_tongue": [(14062, 17039)],
    "teeth": [(17039, 21451)],
    "eyes": [(21451, 24591)],
    "left_eye": [(21451, 23021)],
    "right_eye": [(23021, 24591)],
    "irises": [(22221, 23021), (23791, 24591)],
    "lacrimal_fluid": [(24591, 24999)],
    "eye_blend": [(24999, 25047)],
    "eye_occlusion": [(25047, 25351)],
    "eyelashes": [(25351, 26719)],
}
_TRANSPARENT = ("lacrimal_fluid", "eye_blend", "eye_occlusion", "eyelashes")
_LEFT_OUT = f"{{}} triangles of {', '.join(_TRANSPARENT)} were left out: drawn opaque they hide the eyes"
_LICENCE = "ICT-FaceKit: MIT, (c) 2020 USC Institute for Creative Technologies"


def recognises(source: ModelSource) -> bool:
    """Whether the folder, or its FaceXModel, has the neutral mesh."""
    return _folder(source) is not None


def _folder(source: ModelSource) -> Path | None:
    if source.is_folder:
        for folder in (source.path, source.path / "FaceXModel"):
            if (folder / _NEUTRAL).is_file():
                return folder
    return None


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    folder = _folder(source)
    if folder is None:
        raise source.bad(f"{_NEUTRAL} is missing")
    neutral, faces, uv, polygons = _read_neutral(folder / _NEUTRAL)
    modes, expressions = _listed(folder)
    if not modes:
        raise ModelSource(folder).bad("there is no identity000.obj: the clone is incomplete")
    mean = points(ModelSource(folder / _NEUTRAL), neutral, "the neutral mesh", _CENTIMETRES)
    units, group = None, None
    if expressions:
        ensure_few(ModelSource(folder), len(expressions), neutral.size)
        offsets = _offsets(expressions, neutral, polygons)
        group, units = unit_group([path.stem for path in expressions], offsets.T)
    parts, indices = _parts(len(mean)), _read_indices(folder / _INDICES)
    opaque = _opaque(faces, parts)
    faces, left_out = faces[opaque], int(np.count_nonzero(~opaque))
    return MorphableModel(
        faces=faces,
        identity=scaled_group(mean, _offsets(modes, neutral, polygons)),
        expression=group,
        expression_units=units,
        uv=None if uv is None else uv[opaque],
        landmarks=_landmarks(folder, indices, faces, len(mean)),
        masks={**parts, **_index_masks(folder, indices, len(mean))},
        provenance={
            "source": source.path.name,
            "layout": "ict",
            "unit": "centimetres",
            "licence": _LICENCE,
            **({"read_notes": [_LEFT_OUT.format(left_out)]} if left_out else {}),
        },
    )


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of the modes, by number without gaps, and of the expressions, by name."""
    numbered = {int(m[1]): path for path in folder.iterdir() if (m := _MODE.fullmatch(path.name))}
    gaps = sorted(set(range(len(numbered))) - set(numbered))
    if gaps:
        raise ModelSource(folder).bad(f"identity{gaps[0]:03d}.obj is missing: the clone is incomplete")
    others = [p for p in folder.iterdir() if p.suffix == ".obj" and not _MODE.fullmatch(p.name)]
    expressions = sorted(path for path in others if path.name != _NEUTRAL)
    return [numbered[i] for i in range(len(numbered))], expressions


def _read_neutral(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int]:
    """Return neutral vertices in the file's unit, triangles, uv for each corner, the polygons' count."""
    source = ModelSource(path)
    try:
        lines = _obj.sort_lines(_whole_lines(path))
        if any(len(line.split()) < 3 for line in lines.faces):
            raise source.bad("it has a face of fewer than three corners: it is damaged or truncated")
        vertices = _obj.number_table(lines.vertices, "v")[:, :3]
        position, uv_index, _ = _obj.parse_faces(lines)
        cut, corners = triangulate(position)
        coordinates = _obj.number_table(lines.uvs, "vt")[:, :2]
    except (ValueError, OverflowError) as error:
        raise source.bad(f"it is damaged ({' '.join(str(error).split())[:120]})") from error
    faces = triangles(source, cut, len(vertices))
    if not len(faces):
        raise source.bad("it has no faces: it is truncated")
    if len(vertices) == _FULL and len(faces) != _FULL_TRIANGLES:
        raise source.bad(
            f"it has {len(faces)} triangles; the full mesh of {_FULL} vertices has {_FULL_TRIANGLES}: it is "
            "truncated; clone or copy it again"
        )
    if not len(coordinates) or (uv_index < 0).all():
        return vertices, faces, None, len(lines.faces)
    texture_faces = triangles(source, uv_index[corners], len(coordinates), "the texture coordinates")
    uv: np.ndarray = real(source, coordinates, "the texture coordinates")[texture_faces]
    return vertices, faces, uv, len(lines.faces)


def _whole_lines(path: Path) -> bytes:
    """Return a file's bytes, if its last line is whole."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        raise ModelSource(path).bad("its last line has no end: it is truncated; clone or copy it again")
    return data


def _offsets(paths: list[Path], neutral: np.ndarray, polygons: int) -> np.ndarray:
    """Return how far each file's vertices are from the neutral ones, (3v, n) float32, millimetres."""
    offsets = np.empty((neutral.size, len(paths)), np.float32, order="F")
    for j, path in enumerate(paths):
        vertices, more = _read_vertices(path)
        if more > polygons:
            raise ModelSource(path.with_name(_NEUTRAL)).bad(
                f"it has {polygons} faces, {path.name} has {more}: it is truncated; clone or copy it again"
            )
        if vertices.shape != neutral.shape:
            raise ModelSource(path).bad(
                f"it has {len(vertices)} vertices, {_NEUTRAL} has {len(neutral)}: it is truncated"
            )
        with np.errstate(all="ignore"):
            moved = _CENTIMETRES * (vertices - neutral)
        offsets[:, j] = real(ModelSource(path), moved.reshape(-1), "a vertex")
    return offsets


def _read_vertices(path: Path) -> tuple[np.ndarray, int]:
    """Return an OBJ's vertices, and how many faces it has."""
    data = _whole_lines(path)
    return _vertex_block(path, data), data.count(b"\nf ")


def _vertex_block(path: Path, data: bytes) -> np.ndarray:
    """Return an OBJ's vertices: those lines are one block, which numpy reads at once."""
    first, last = data.find(b"\nv "), data.rfind(b"\nv ")
    end = data.find(b"\n", last + 1)
    block = data[first : end if end > 0 else len(data)]
    try:
        if first >= 0 and block.count(b"\nv ") == block.count(b"\n"):
            with warnings.catch_warnings(action="error"):  # numpy warns of what is no number
                return np.fromstring(block.replace(b"\nv ", b" ").decode("ascii"), sep=" ").reshape(-1, 3)
        table = _obj.number_table(_obj.sort_lines(data).vertices, "v")
        return table[:, :3]
    except (ValueError, DeprecationWarning) as error:
        raise ModelSource(path).bad(
            "its vertices are damaged or truncated; clone or copy it again"
        ) from error


def _read_indices(path: Path) -> dict[str, Any]:
    """Return the content of vertex_indices.json; nothing where it is not there."""
    if not path.is_file():
        return {}
    source = ModelSource(path)
    if source.size > _MOST_INDICES:
        raise source.bad("it is far larger than any list of vertices")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise source.bad("it is no JSON: damaged or truncated; clone or copy it again") from error
    if not isinstance(content, dict):
        raise source.bad("it holds no lists of vertices")
    return content


def _vertices(folder: Path, indices: dict[str, Any], key: str, count: int) -> np.ndarray:
    values = indices.get(key, [])
    if not isinstance(values, list) or not all(type(i) is int and 0 <= i < count for i in values):
        raise ModelSource(folder / _INDICES).bad(f"{key} is no list of vertices of the {count} there are")
    return np.array(values, np.int64)


def _landmarks(
    folder: Path, indices: dict[str, Any], faces: np.ndarray, count: int
) -> dict[str, LandmarkEmbedding]:
    vertices = _vertices(folder, indices, "idx_to_landmark_verts", count)
    if len(vertices) != 68:
        return {}
    return {"ibug68": vertex_embedding(tuple(str(i) for i in range(68)), vertices, faces)}


def _index_masks(folder: Path, indices: dict[str, Any], count: int) -> dict[str, np.ndarray]:
    masks = {}
    for name, key in (("fitting", "idx_to_fitting_verts"), ("rigid", "idx_to_rigid_verts")):
        vertices = _vertices(folder, indices, key, count)
        if len(vertices):
            masks[name] = np.zeros(count, bool)
            masks[name][vertices] = True
    return masks


def _opaque(faces: np.ndarray, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Return which triangles may be drawn opaque."""
    hidden = [parts[name][faces].any(axis=1) for name in _TRANSPARENT if name in parts]
    return ~np.logical_or.reduce([np.zeros(len(faces), bool), *hidden])


def _parts(count: int) -> dict[str, np.ndarray]:
    """Return the parts of the full mesh as masks; another mesh has other ranges, which are not known."""
    if count != _FULL:
        return {}
    index = np.arange(count)
    return {
        name: np.logical_or.reduce([(first <= index) & (index < end) for first, end in ranges])
        for name, ranges in _PARTS.items()
    }
