"""PCA models in ``.npz`` archives of others, by the names that people give to their arrays.

What is understood is listed in `morphkit.archive.layouts.npz`, the names in `_npz_names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from morphkit.archive.layouts._blendshapes import ensure_few, unit_group
from morphkit.archive.layouts._columns import points, real, shown, triangles, vertex_embedding
from morphkit.archive.layouts._npy import Arrays
from morphkit.archive.layouts._npz_groups import read_columns, read_group
from morphkit.archive.layouts._npz_names import Names, find_names
from morphkit.archive.layouts._units import UNITS, guess_unit, in_millimetres
from morphkit.directions import NamedDirections
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

_ABBREVIATIONS = {"mm": "millimetres", "cm": "centimetres", "m": "metres", "um": "micrometres"}
_CLOCKWISE = -0.05  # of what all triangles facing outwards would give


def read_foreign(arrays: Arrays) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    source, names = arrays.source, find_names(arrays.names)
    if names.twice:
        raise source.bad("{} and {} could both be the same: leave one out".format(*names.twice[0]))
    if not names.groups["identity"]:
        raise source.bad(
            f"it holds {shown(*arrays.names)}, none of which is the mean or basis of a PCA model"
        )
    identity, notes = read_group(arrays, names.groups["identity"], "identity")
    faces, turned = _faces(arrays, names, identity, notes)
    unit = _unit(arrays, names, identity, notes)
    expression, units = _expression(arrays, names.groups["expression"], identity, notes)
    uv = _foreign_uv(arrays, names, faces.shape[0])
    return MorphableModel(
        faces=faces[:, ::-1] if turned else faces,
        identity=in_millimetres(identity, unit),
        expression=None if expression is None else in_millimetres(expression, unit),
        albedo=_albedo(arrays, names.groups["albedo"], identity, notes),
        expression_units=units,
        uv=uv if uv is None or not turned else uv[:, ::-1],
        landmarks=_foreign_landmarks(arrays, names, faces[:, ::-1] if turned else faces, len(identity.mean)),
        provenance={
            "source": source.path.name,
            "layout": "npz",
            "unit": unit,
            "albedo_color_space": "not stated; used as if it were linear",
            "read_notes": notes,
        },
    )


def _faces(arrays: Arrays, names: Names, identity: LinearModel, notes: list[str]) -> tuple[np.ndarray, bool]:
    """Return the faces from zero, and whether they are clockwise seen from outside."""
    if "faces" not in names.shared:
        raise arrays.source.bad(
            f"it has no triangles (faces, triangles, trilist); it holds {shown(*arrays.names)}"
        )
    name = names.shared["faces"]
    values = arrays.array(name)
    if values.ndim == 2 and values.shape[0] == 3 != values.shape[1]:
        values = values.T
    if values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.rint(values)).all():
        values = np.clip(values, -1, 1 << 40).astype(np.int64)
    v = len(identity.mean)
    if values.dtype.kind in "iu" and values.size and int(values.min()) == 1 and int(values.max()) == v:
        values = values.astype(np.int64) - 1
        notes.append(f"{name} counts vertices from one")
    faces = triangles(arrays.source, values, v, name)
    turned = _clockwise(identity.mean, faces)
    if turned:
        notes.append(f"{name} were clockwise seen from outside and have been turned over")
    return faces, turned


def _clockwise(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether triangles clearly face the middle of all vertices, rather than away from it."""
    corners = vertices[faces].astype(np.float64) - vertices.mean(axis=0, dtype=np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middles = corners.mean(axis=1)
    facing = np.einsum("fd,fd->", middles, normals)
    most = np.linalg.norm(middles, axis=1) @ np.linalg.norm(normals, axis=1)
    return bool(facing < _CLOCKWISE * most)


def _unit(arrays: Arrays, names: Names, identity: LinearModel, notes: list[str]) -> str:
    if "unit" in names.shared:
        told = "".join(arrays.texts(names.shared["unit"])).strip().lower()
        unit = _ABBREVIATIONS.get(told, told.replace("meter", "metre"))
        if unit not in UNITS:
            raise arrays.source.bad(f"its unit is {shown(told)}; known are {', '.join(UNITS)}")
        return unit
    unit = guess_unit(identity.mean, "millimetres")
    notes.append(
        f"the file does not name its unit; taken for {unit} by the size of the mean; if that is wrong, add "
        "an array unit, such as 'cm'"
    )
    return unit


def _expression(
    arrays: Arrays, names: Mapping[str, str], identity: LinearModel, notes: list[str]
) -> tuple[LinearModel | None, NamedDirections | None]:
    """Return PCA expressions, or blendshapes where there are names and no deviations."""
    if "basis" not in names:
        return None, None
    size = identity.mean.size
    told = {"deviations", "variances", "singular_values"} & set(names)
    if "unit_names" in names and not told:
        units = arrays.texts(names["unit_names"])
        ensure_few(arrays.source, len(units), size)
        columns = read_columns(arrays, names["basis"], size, len(units))
        if len(set(units)) != len(units):
            raise arrays.source.bad(f"{names['unit_names']} has the same name twice")
        return unit_group(units, np.ascontiguousarray(columns.T))
    group, said = read_group(arrays, dict(names), "expression", size)
    if len(group.mean) != len(identity.mean):
        raise arrays.source.bad(f"its expressions have {len(group.mean)} vertices, not {len(identity.mean)}")
    notes.extend(said)
    return group, None


def _albedo(
    arrays: Arrays, names: Mapping[str, str], identity: LinearModel, notes: list[str]
) -> LinearModel | None:
    if "mean" not in names:
        return None
    if "basis" in names:
        group, said = read_group(arrays, dict(names), "albedo")
        notes.extend(said)
    else:
        mean = points(arrays.source, arrays.array(names["mean"]), names["mean"])
        group = LinearModel.constant(mean)
    if len(group.mean) != len(identity.mean):
        raise arrays.source.bad(f"its colours have {len(group.mean)} vertices, not {len(identity.mean)}")
    if group.mean.max(initial=0.0) > 1.5:
        notes.append("albedo: colours up to 255 were divided by 255")
        mean, deviations = group.mean / np.float32(255), group.standard_deviations / 255
        return replace(group, mean=mean, standard_deviations=deviations)
    return group


def _foreign_uv(arrays: Arrays, names: Names, face_count: int) -> np.ndarray | None:
    """Return uv for each corner, from corners, from indices of their own, or from vertices."""
    if "uv" not in names.shared:
        return None
    values = real(arrays.source, arrays.array(names.shared["uv"]), names.shared["uv"])
    if values.shape == (face_count, 3, 2):
        return values
    index = names.shared.get("uv_faces", names.shared["faces"])
    corners = arrays.array(index)
    corners = corners.T if corners.ndim == 2 and corners.shape[0] == 3 != corners.shape[1] else corners
    if values.ndim != 2 or values.shape[1] != 2:
        raise arrays.source.bad(f"{names.shared['uv']} has the shape {values.shape}, not (n, 2)")
    if corners.size and corners.dtype.kind in "iu" and corners.min() == 1 and corners.max() == len(values):
        corners = corners.astype(np.int64) - 1
    corners = triangles(arrays.source, corners, len(values), index)
    if len(corners) != face_count:
        raise arrays.source.bad(f"{index} has {len(corners)} triangles, not {face_count}")
    uv: np.ndarray = values[corners]
    return uv


def _foreign_landmarks(
    arrays: Arrays, names: Names, faces: np.ndarray, vertex_count: int
) -> dict[str, LandmarkEmbedding]:
    """Return landmarks where they are vertices; 68 are taken to be iBUG's."""
    if "landmarks" not in names.shared:
        return {}
    values = arrays.array(names.shared["landmarks"])
    if values.ndim != 1 or values.dtype.kind not in "iu" or not len(values):
        return {}
    if not 0 <= int(values.min()) <= int(values.max()) < vertex_count:
        raise arrays.source.bad(f"{names.shared['landmarks']} refers to vertices beyond {vertex_count}")
    name = "ibug68" if len(values) == 68 else "landmarks"
    return {name: vertex_embedding(tuple(str(i) for i in range(len(values))), values.astype(np.int64), faces)}
