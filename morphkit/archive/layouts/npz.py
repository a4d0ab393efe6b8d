"""PCA models in numpy's ``.npz``: morphkit's own names, written and read; those of others, read.

Written are, without compression and hence readable with ``numpy.load`` one by one (groups: identity,
expression, albedo):

    morphkit_pca                 1, the version of this layout
    faces                        (f, 3) int32, from zero, counter-clockwise from outside
    <group>_mean                 (v, 3) float32; millimetres, or linear RGB in 0..1
    <group>_basis                (3v, k) float32, unit columns, xyz interleaved
    <group>_standard_deviations  (k,) float64
    <group>_noise_variance       float64
    expression_unit_names, expression_unit_coefficients    (n,) text, (n, k) float64
    uv                           (f, 3, 2) float32, v up
    mirror                       (v,) int32
    mask_names, masks            (m,) text, (m, v) booleans
    landmark_sets                names; landmarks_<i>_names, _face_indices, _barycentrics of each
    provenance                   JSON text

instance = mean + basis · (standard_deviations ⊙ c).

What others write is read by the names of the arrays: mean, mu, average; basis, components, eigenvectors, PC;
deviations are standard_deviations, std, sigma (and EV, as in the Basel Face Model), variances are
eigenvalues, variances, explained_variance; faces, triangles, trilist. A prefix names the group (shape_, exp_,
tex_); menpo's and scikit-learn's attributes fit as they are. Components may be columns, rows, (v, 3, k) or
(k, v, 3). Concluded, and noted, are the unit (millimetres, or by the size where that would be absurd, unless
``unit`` says it), indices from one, clockwise triangles, colours up to 255, and columns that are scaled
already. What stays ambiguous is refused with a sentence. An expression basis without deviations but with
expression_names is taken for blendshapes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive.layouts._columns import points, shown, triangles
from morphkit.archive.layouts._json import load_json
from morphkit.archive.layouts._npy import Arrays, open_arrays
from morphkit.archive.layouts._npz_foreign import read_foreign
from morphkit.archive.layouts._npz_groups import read_columns
from morphkit.archive.layouts._npz_names import GROUPS
from morphkit.archive.source import ModelSource
from morphkit.directions import NamedDirections
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

_VERSION = 1


def recognises(source: ModelSource) -> bool:
    """Whether it is a zip archive of numpy arrays."""
    return any(name.endswith(".npy") for name in source.zip_names)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    with open_arrays(source) as arrays:
        if "morphkit_pca" in arrays:
            return _read_own(arrays)
        return read_foreign(arrays)


def write(path: Path, model: MorphableModel) -> None:
    """Write a model under morphkit's names; see `morphkit.archive.save_model`."""
    with path.open("wb") as file:
        np.savez(file, **_named(model))


def _named(model: MorphableModel) -> dict[str, Any]:
    named: dict[str, Any] = {"morphkit_pca": np.int32(_VERSION), "faces": model.faces.astype(np.int32)}
    for name in GROUPS:
        group: LinearModel | None = getattr(model, name)
        if group is not None:
            named[f"{name}_mean"] = group.mean
            named[f"{name}_basis"] = group.basis
            named[f"{name}_standard_deviations"] = group.standard_deviations
            named[f"{name}_noise_variance"] = np.float64(group.noise_variance)
    if model.expression_units is not None:
        named["expression_unit_names"] = _text(model.expression_units.names)
        named["expression_unit_coefficients"] = model.expression_units.coefficients
    named |= {name: getattr(model, name) for name in ("uv", "mirror") if getattr(model, name) is not None}
    if model.masks:
        named["mask_names"] = _text(model.masks)
        named["masks"] = np.stack(list(model.masks.values()))
    if model.landmarks:
        named["landmark_sets"] = _text(model.landmarks)
    for i, embedding in enumerate(model.landmarks.values()):
        named[f"landmarks_{i}_names"] = _text(embedding.names)
        named[f"landmarks_{i}_face_indices"] = embedding.face_indices
        named[f"landmarks_{i}_barycentrics"] = embedding.barycentrics
    named["provenance"] = np.array(json.dumps(dict(model.provenance), ensure_ascii=False))
    return named


def _text(names: Any) -> np.ndarray:
    return np.array(list(names), dtype=np.str_)


def _read_own(arrays: Arrays) -> MorphableModel:
    source = arrays.source
    if arrays.number("morphkit_pca", 0.0) > _VERSION:
        raise source.bad("written by a newer morphkit: upgrade morphkit")
    groups = {name: _own_group(arrays, name) for name in GROUPS if f"{name}_mean" in arrays}
    if "identity" not in groups:
        raise source.bad(f"identity_mean is missing; it holds {shown(*arrays.names)}")
    identity = groups["identity"]
    v = len(identity.mean)
    if any(len(group.mean) != v for group in groups.values()):
        raise source.bad("its groups have different numbers of vertices: it is damaged")
    faces = triangles(source, arrays.array("faces"), v)
    units = None
    if "expression_unit_names" in arrays and "expression" in groups:
        names = arrays.texts("expression_unit_names")
        units = _own_units(arrays, names, groups["expression"])
    return MorphableModel(
        faces,
        identity,
        groups.get("expression"),
        groups.get("albedo"),
        expression_units=units,
        uv=_fitting(arrays, "uv", (len(faces), 3, 2), np.float32) if "uv" in arrays else None,
        landmarks=_own_landmarks(arrays, len(faces)),
        masks=_own_masks(arrays, v),
        mirror=_own_mirror(arrays, v),
        provenance=_own_provenance(arrays),
    )


def _fitting(arrays: Arrays, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array that must have this shape and hold finite numbers."""
    values = arrays.array(name)
    if values.shape != shape or values.dtype.kind not in "fiub":
        raise arrays.source.bad(f"{name} has the shape {values.shape} of {values.dtype}, not {shape} numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise arrays.source.bad(f"{name} has numbers that are not finite")
    return values.astype(dtype, copy=False)


def _own_group(arrays: Arrays, name: str) -> LinearModel:
    mean = points(arrays.source, arrays.array(f"{name}_mean"), f"{name}_mean")
    columns = read_columns(arrays, f"{name}_basis", mean.size, None)
    deviations = _fitting(arrays, f"{name}_standard_deviations", (columns.shape[1],), np.float64)
    noise = arrays.number(f"{name}_noise_variance", 0.0)
    if (deviations < 0).any() or noise < 0:
        raise arrays.source.bad(f"{name}_standard_deviations or noise_variance is negative")
    return LinearModel(mean, np.asfortranarray(columns), deviations, noise)


def _own_units(arrays: Arrays, names: tuple[str, ...], group: LinearModel) -> NamedDirections:
    shape = (len(names), group.n_components)
    return NamedDirections(names, _fitting(arrays, "expression_unit_coefficients", shape, np.float64))


def _own_landmarks(arrays: Arrays, face_count: int) -> dict[str, LandmarkEmbedding]:
    found = {}
    for i, name in enumerate(arrays.texts("landmark_sets") if "landmark_sets" in arrays else ()):
        names = arrays.texts(f"landmarks_{i}_names")
        faces = _fitting(arrays, f"landmarks_{i}_face_indices", (len(names),), np.int32)
        weights = _fitting(arrays, f"landmarks_{i}_barycentrics", (len(names), 3), np.float64)
        if len(faces) and not 0 <= faces.min() <= faces.max() < face_count:
            raise arrays.source.bad(f"landmarks_{i}_face_indices refers to faces beyond {face_count}")
        found[name] = LandmarkEmbedding(names, faces, weights)
    return found


def _own_masks(arrays: Arrays, vertex_count: int) -> dict[str, np.ndarray]:
    if "mask_names" not in arrays:
        return {}
    names = arrays.texts("mask_names")
    masks = _fitting(arrays, "masks", (len(names), vertex_count), bool)
    return dict(zip(names, masks, strict=True))


def _own_mirror(arrays: Arrays, vertex_count: int) -> np.ndarray | None:
    if "mirror" not in arrays:
        return None
    mirror = _fitting(arrays, "mirror", (vertex_count,), np.int32)
    if not 0 <= mirror.min() <= mirror.max() < vertex_count:
        raise arrays.source.bad(f"mirror refers to vertices beyond {vertex_count}")
    return mirror


def _own_provenance(arrays: Arrays) -> dict[str, Any]:
    try:
        (text,) = arrays.texts("provenance")
        found = load_json(text.encode())
    except (ValueError, RecursionError) as error:
        raise arrays.source.bad("its provenance is no JSON: it is damaged") from error
    if not isinstance(found, dict):
        raise arrays.source.bad("its provenance is no table: it is damaged")
    return found
