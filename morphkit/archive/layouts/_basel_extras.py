"""What the Basel layout has no place for, under ``/morphkit`` of the same file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader, store, store_text
from morphkit.archive.layouts import _basel_landmarks
from morphkit.archive.layouts._json import load_json
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel, NamedDirections

_ROOT = "morphkit"
_BASEL_MODELS = {
    53490: "Basel Face Model 2009",
    53149: "Basel Face Model 2017",
    28588: "Basel Face Model 2017 (face12)",
    47439: "Basel Face Model 2019",
    58203: "Basel Face Model 2019 (full head)",
    27657: "Basel Face Model 2019 (face12)",
}
_EMPTY = "%"
FORMAT_VERSION = 1


def write(file: h5py.File, model: MorphableModel) -> None:
    """Write uv, mirror, masks, landmarks, expression units and provenance."""
    root = file.create_group(_ROOT)
    root.attrs["format_version"] = FORMAT_VERSION
    root.attrs["albedo_color_space"] = model.provenance.get("albedo_color_space", "linear")
    root.attrs["unit"] = "mm"
    store_text(root, "provenance", json.dumps(dict(model.provenance), ensure_ascii=False))
    if model.uv is not None:
        coordinates, indices = np.unique(model.uv.reshape(-1, 2), axis=0, return_inverse=True)
        store(root, "uv/coordinates", coordinates.astype(np.float32))
        store(root, "uv/indices", indices.reshape(-1, 3).astype(np.int32))
    if model.mirror is not None:
        store(root, "mirror", model.mirror.astype(np.int32))
    for name, mask in model.masks.items():
        store(root, f"masks/{_as_link(name)}", mask.astype(np.uint8))
    for name, embedding in model.landmarks.items():
        group = root.create_group(f"landmarks/{_as_link(name)}")
        _store_names(group, embedding.names)
        store(group, "face_indices", embedding.face_indices.astype(np.int32))
        store(group, "barycentrics", embedding.barycentrics.astype(np.float64))
    if model.expression_units is not None:
        group = root.create_group("expression_units")
        _store_names(group, model.expression_units.names)
        store(group, "coefficients", model.expression_units.coefficients.astype(np.float64))


def read(
    reader: Reader, model: MorphableModel, shape_path: str, kept: np.ndarray | None, notes: Sequence[str]
) -> MorphableModel:
    """Return `model` with what ``/morphkit`` adds; for others' files, with what they have in its stead.

    Parameters
    ----------
    reader : of the file.
    model : with the groups and the faces.
    shape_path : where the shape model lies.
    kept : which of the file's expression coefficients the model's are.
    notes : on what was mended or left out.
    """
    if not reader.has(_ROOT):
        return _read_foreign(reader, model, shape_path, notes)
    root = reader.file[_ROOT]
    version = int(root.attrs.get("format_version", 1))
    if version > FORMAT_VERSION:
        raise reader.bad(
            f"written by a newer morphkit (format {version} > {FORMAT_VERSION}): upgrade morphkit"
        )
    provenance = dict(load_json(reader.text(f"{_ROOT}/provenance").encode("utf-8", "replace")))
    vertex_count, face_count = model.n_vertices, len(model.faces)
    return replace(
        model,
        uv=_read_uv(reader, face_count),
        mirror=_read_mirror(reader, vertex_count),
        masks={_as_name(link): _read_mask(reader, link, vertex_count) for link in _members(root, "masks")},
        landmarks={
            _as_name(link): _read_landmarks(reader, link, face_count) for link in _members(root, "landmarks")
        },
        expression_units=_read_units(reader, model, kept),
        provenance=_with_notes(provenance, notes),
    )


def _read_foreign(
    reader: Reader, model: MorphableModel, shape_path: str, notes: Sequence[str]
) -> MorphableModel:
    landmarks, left_out = _basel_landmarks.read(reader, model.faces, shape_path, model.n_vertices)
    provenance = {
        "albedo_color_space": "sRGB, as Basel models usually are (not stated). Used as if it were linear.",
        **model.provenance,
    }
    if model.n_vertices in _BASEL_MODELS:
        name = _BASEL_MODELS[model.n_vertices]
        provenance["licence"] = (
            f"by its {model.n_vertices} vertices this is the {name}, whose licence is for research, "
            "non-commercial, and allows no redistribution"
        )
    return replace(model, landmarks=landmarks, provenance=_with_notes(provenance, [*notes, *left_out]))


def _with_notes(provenance: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """Add notes to those that were taken when an earlier file was read."""
    before = provenance.get("read_notes", [])
    all_notes = [*before, *(note for note in notes if note not in before)]
    return {**provenance, "read_notes": all_notes} if all_notes else provenance


def _members(root: h5py.Group, name: str) -> list[str]:
    return list(root[name]) if name in root else []


def _as_link(name: str) -> str:
    """Return a name as HDF5 can have it: "/" and a lone "." are paths there, and none may be empty."""
    if name == ".":
        return "%2E"
    return re.sub("[%/\0]", lambda found: f"%{ord(found[0]):02X}", name) or _EMPTY


def _as_name(link: str) -> str:
    """Return the name that a link stands for; other uses of "%" are older files' own."""
    if link == _EMPTY:
        return ""
    return re.sub("%(25|2F|2E|00)", lambda found: chr(int(found[1], 16)), link)


def _read_uv(reader: Reader, face_count: int) -> np.ndarray | None:
    if not reader.has(f"{_ROOT}/uv"):
        return None
    coordinates = reader.array(f"{_ROOT}/uv/coordinates").astype(np.float32)
    indices = reader.array(f"{_ROOT}/uv/indices")
    if indices.shape != (face_count, 3) or not 0 <= indices.min() <= indices.max() < len(coordinates):
        raise reader.bad(f"/{_ROOT}/uv does not fit the {face_count} faces")
    uv: np.ndarray = coordinates[indices]
    return uv


def _read_mirror(reader: Reader, vertex_count: int) -> np.ndarray | None:
    if not reader.has(f"{_ROOT}/mirror"):
        return None
    mirror = reader.array(f"{_ROOT}/mirror").astype(np.int32)
    if mirror.shape != (vertex_count,) or not 0 <= mirror.min() <= mirror.max() < vertex_count:
        raise reader.bad(f"/{_ROOT}/mirror does not fit the {vertex_count} vertices")
    return mirror


def _read_mask(reader: Reader, name: str, vertex_count: int) -> np.ndarray:
    mask = reader.array(f"{_ROOT}/masks/{name}").astype(bool)
    if mask.shape != (vertex_count,):
        raise reader.bad(f"the mask {name!r} has the shape {mask.shape}, not {(vertex_count,)}")
    return mask


def _read_landmarks(reader: Reader, name: str, face_count: int) -> LandmarkEmbedding:
    path = f"{_ROOT}/landmarks/{name}"
    names = reader.texts(f"{path}/names")
    face_indices = reader.array(f"{path}/face_indices").astype(np.int32)
    barycentrics = reader.array(f"{path}/barycentrics").astype(np.float64)
    if face_indices.shape != (len(names),) or barycentrics.shape != (len(names), 3):
        raise reader.bad(f"/{path}: names, face_indices and barycentrics differ in length")
    if len(names) and not 0 <= face_indices.min() <= face_indices.max() < face_count:
        raise reader.bad(f"/{path} refers to faces beyond the {face_count} there are")
    return LandmarkEmbedding(names, face_indices, barycentrics)


def _read_units(reader: Reader, model: MorphableModel, kept: np.ndarray | None) -> NamedDirections | None:
    path = f"{_ROOT}/expression_units"
    if not reader.has(path) or model.expression is None:
        return None
    coefficients = reader.array(f"{path}/coefficients").astype(np.float64)
    if kept is not None and coefficients.ndim == 2 and coefficients.shape[1] > kept.max(initial=-1):
        coefficients = coefficients[:, kept]
    names = reader.texts(f"{path}/names")
    if coefficients.shape != (len(names), model.expression.n_components):
        raise reader.bad(f"/{path}/coefficients has the shape {coefficients.shape}, which does not fit")
    return NamedDirections(names, coefficients)


def _store_names(group: h5py.Group, names: Sequence[str]) -> None:
    group.create_dataset("names", data=list(names), dtype=h5py.string_dtype(), track_times=False)
