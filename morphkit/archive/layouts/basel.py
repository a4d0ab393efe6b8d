"""The Basel/statismo HDF5 layout, as in the Basel Face Models 2017 and 2019 and scalismo-faces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader, store, store_text
from morphkit.archive.layouts import _basel_extras as _extras
from morphkit.archive.source import ModelSource
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

_GROUPS = {"identity": "shape", "albedo": "color", "expression": "expression"}
_MODEL_TYPES = {
    "shape": "POLYGON_MESH_MODEL",
    "color": "POLYGON_MESH_DATA_MODEL",
    "expression": "POLYGON_MESH_DATA_MODEL",
}


# --- reading ---------------------------------------------------------------------------------------------


def recognises(source: ModelSource) -> bool:
    """Whether it is an HDF5 file with a shape model, at the root or not."""
    return bool(source.hdf5_names & {"shape", "model"})


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with h5py.File(source.path, "r") as file:
        return _read(Reader(file, source.path))


def _read(reader: Reader) -> MorphableModel:
    shape_path = _shape_path(reader)
    shape = _read_group(reader, shape_path)
    color = _read_group(reader, "color") if reader.has("color/model") else None
    expression = _read_group(reader, "expression") if reader.has("expression/model") else None
    vertex_count = len(shape.model.mean)
    named = {"shape": shape, "color": color, "expression": expression}
    for name, group in named.items():
        if group is not None and len(group.model.mean) != vertex_count:
            raise reader.bad(f"/{name} has {len(group.model.mean)} vertices, /shape {vertex_count}")
    model = MorphableModel(
        faces=_read_faces(reader, shape_path, vertex_count),
        identity=shape.model,
        expression=expression.model if expression else None,
        albedo=color.model if color else None,
    )
    notes = [f"{name}: {note}" for name, group in named.items() if group for note in group.notes]
    return _extras.read(reader, model, expression.coefficient_map if expression else None, notes)


def _shape_path(reader: Reader) -> str:
    """Return where the shape model lies: /shape, or the root for a plain shape model."""
    for path in ("shape", ""):
        if reader.has(f"{path}/model/mean".lstrip("/")):
            return path
    seen = ", ".join(sorted(reader.file)) or "nothing"
    raise reader.bad(
        f"no /shape/model and no /model, hence not a model in the Basel/statismo layout; it holds: {seen}"
    )


@dataclass(frozen=True)
class _ReadGroup:
    """A group, and the (r, k) map from the file's coefficients to the model's where the two differ."""

    model: LinearModel
    coefficient_map: np.ndarray | None
    notes: tuple[str, ...]


def _read_group(reader: Reader, path: str) -> _ReadGroup:
    """Read one of shape, color, expression, and bring it to an orthonormal basis of descending variance."""
    mean, basis, variances, noise = _read_arrays(reader, f"{path}/model/".lstrip("/"))
    notes = []
    order = np.argsort(-variances, kind="stable")
    order = order[variances[order] > 1e-12 * variances.max(initial=0.0)]
    if len(order) < len(variances):
        notes.append(f"{len(variances) - len(order)} components without variance were left out")
    columns: np.ndarray = np.asfortranarray(basis[:, order], dtype=np.float32)
    deviations = np.sqrt(variances[order])
    lengths = _column_lengths(reader, path, columns, deviations)
    if lengths is not None:
        columns = columns / lengths.astype(np.float32)
        notes.append("the basis was scaled by the standard deviations (version 0.8)")
    model = LinearModel(mean.reshape(-1, 3).astype(np.float32), columns, deviations, noise)
    coefficient_map: np.ndarray | None = None
    if not np.array_equal(order, np.arange(len(variances))):
        coefficient_map = np.eye(len(variances))[order]
    if not model.is_orthonormal:
        model, rotation = model.orthonormalized()
        coefficient_map = rotation if coefficient_map is None else rotation @ coefficient_map
        notes.append("the basis was not orthogonal and had to be turned: coefficients differ from the file's")
    return _ReadGroup(model, coefficient_map, tuple(notes))


def _read_arrays(reader: Reader, prefix: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return mean, basis, variances and noise variance after checking that they fit together."""
    mean = reader.array(prefix + "mean").reshape(-1)
    variances = reader.array(prefix + "pcaVariance").reshape(-1).astype(np.float64)
    basis = reader.array(prefix + "pcaBasis")
    noise = reader.number(prefix + "noiseVariance", 0.0)
    if not len(mean) or len(mean) % 3:
        raise reader.bad(f"/{prefix}mean has {len(mean)} values, not three for each vertex")
    if basis.shape != (len(mean), len(variances)):
        raise reader.bad(
            f"/{prefix}pcaBasis has the shape {basis.shape}; a mean of {len(mean)} values and "
            f"{len(variances)} variances need {(len(mean), len(variances))}"
        )
    if (variances < 0).any() or noise < 0:
        raise reader.bad(f"/{prefix}pcaVariance or noiseVariance is negative")
    return mean, basis, variances, noise


def _column_lengths(
    reader: Reader, path: str, columns: np.ndarray, deviations: np.ndarray
) -> np.ndarray | None:
    """Return what to divide the columns by: version 0.8 scaled them by the standard deviations, 0.9 did not.

    The lengths themselves tell which; the version counts only where they do not, all deviations being near
    one, since files without any version exist in both kinds.
    """
    lengths = np.sqrt(np.einsum("ij,ij->j", columns, columns, dtype=np.float64))
    unit = np.allclose(lengths, 1.0, atol=0.02)
    scaled = np.allclose(lengths, deviations, rtol=0.02)
    if unit and not (scaled and _version(reader, path) < (0, 9)):
        return None
    if scaled:
        return lengths
    raise reader.bad(
        f"the basis in /{path} is neither of unit length nor scaled by the standard deviations: lengths "
        f"{lengths.min():.3g}..{lengths.max():.3g}, deviations {deviations.min():.3g}..{deviations.max():.3g}"
    )


def _version(reader: Reader, path: str) -> tuple[int, int]:
    """Return (major, minor); a file without one is of version 0.8."""
    for prefix in (f"{path}/version/".lstrip("/"), "version/"):
        if reader.has(prefix + "minorVersion"):
            major = reader.number(prefix + "majorVersion", 0.0)
            return int(major), int(reader.number(prefix + "minorVersion", 8.0))
    return 0, 8


def _read_faces(reader: Reader, path: str, vertex_count: int) -> np.ndarray:
    """Return the (f, 3) int32 faces of the representer."""
    representer = f"{path}/representer".lstrip("/")
    legacy = f"{representer}/reference-mesh/triangle-list"
    cells = reader.array(legacy if reader.has(legacy) else f"{representer}/cells")
    if cells.ndim != 2 or 3 not in cells.shape:
        raise reader.bad(
            f"/{representer}/cells has the shape {cells.shape}, not (3, m): triangles are needed"
        )
    rows_are_corners = cells.shape[0] == 3 and not reader.has(legacy)
    faces = (cells.T if rows_are_corners else cells).astype(np.int64)
    if faces.size and not 0 <= faces.min() <= faces.max() < vertex_count:
        raise reader.bad(
            f"{representer}/cells refer to vertices {faces.min()}..{faces.max()} of {vertex_count}"
        )
    return np.ascontiguousarray(faces, dtype=np.int32)


# --- writing ---------------------------------------------------------------------------------------------


def write(path: Path, model: MorphableModel) -> None:
    """Write a model, version 0.9; see `morphkit.archive.save_model`."""
    with h5py.File(path, "w") as file:
        _write(file, model)


def _write(file: h5py.File, model: MorphableModel) -> None:
    _write_version(file)
    for name, path in _GROUPS.items():
        group: LinearModel | None = getattr(model, name)
        if group is None:
            continue
        target = file.create_group(path)
        _write_group(target, group)
        _write_version(target)
        if name == "identity":
            _write_representer(target, model)
        else:  # the same mesh: a hard link, which every reader follows
            target["representer"] = file["shape/representer"]
        _write_catalog(file, f"MorphableModel.{path}", f"/{path}", _MODEL_TYPES[path])
    _write_catalog(file, "MorphableModel", "/", "CUSTOM_MODEL")
    if "ibug68" in model.landmarks:
        _write_landmarks(file, model, model.landmarks["ibug68"])
    _extras.write(file, model)


def _write_group(target: h5py.Group, group: LinearModel) -> None:
    store(target, "model/mean", group.mean.reshape(-1).astype(np.float32))
    # one component after the other: neighbours are alike, and reading the first k touches only those
    chunks = (min(group.mean.size, 1 << 15), 1)
    store(target, "model/pcaBasis", group.basis.astype(np.float32, copy=False), chunks)
    store(target, "model/pcaVariance", (group.standard_deviations**2).astype(np.float32))
    store(target, "model/noiseVariance", np.array([group.noise_variance], np.float32))
    store_text(target, "modelinfo/build-time", "")
    store(target, "modelinfo/scores", np.zeros((group.n_components, 0), np.float32))


def _write_version(target: h5py.Group) -> None:
    store(target, "version/majorVersion", np.array(0, np.int32))
    store(target, "version/minorVersion", np.array(9, np.int32))


def _write_representer(target: h5py.Group, model: MorphableModel) -> None:
    representer = target.create_group("representer")
    representer.attrs["name"] = "morphkit"
    representer.attrs["datasetType"] = "POLYGON_MESH"
    store(representer, "points", np.ascontiguousarray(model.identity.mean.T, dtype=np.float32))
    store(representer, "cells", np.ascontiguousarray(model.faces.T, dtype=np.int32))


def _write_catalog(file: h5py.File, name: str, path: str, kind: str) -> None:
    entry = file.create_group(f"catalog/{name}")
    store_text(entry, "modelPath", path)
    store_text(entry, "modelType", kind)


def _write_landmarks(file: h5py.File, model: MorphableModel, embedding: LandmarkEmbedding) -> None:
    """Write the landmarks on the mean face in scalismo's JSON."""
    landmarks = embedding.landmarks(model.instance(), model.faces)
    items = [
        {"id": name, "coordinates": [round(float(x), 4) for x in point]}
        for name, point in zip(landmarks.names, landmarks.points, strict=True)
    ]
    store_text(file.require_group("metadata/landmarks"), "json", json.dumps(items))
