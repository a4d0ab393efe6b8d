"""The Basel/statismo HDF5 layout: Basel Face Models 2017 and 2019, scalismo-faces, statismo; and ours.

A group each for ``shape``, ``color`` and ``expression`` (additive offsets), with ``model/mean`` (xyz
interleaved), ``model/pcaBasis``, ``model/pcaVariance`` and ``model/noiseVariance``. Version 0.9: instance =
mean + U (√λ ⊙ c); version 0.8, and files without a version, store U √λ. What the columns' lengths say
counts more than the version. Millimetres (a model that cannot be is taken for metres or micrometres, which
a note tells) and colours of 0..1, or 0..255 where their mean says so. A plain statismo model has its
``model`` at the root.

Triangles are those of the ``representer``: ``cells``, the older ``reference-mesh/triangle-list``, or
statismo 0.8's VTK file in ``reference``. Landmarks (``metadata/landmarks/json`` or ``text``) lie on the
representer's points, not on the mean, and become the set "basel", or "ibug68" where their names are iBUG's
numbers; those more than half a percent of the mesh's size off it are left out, with a note. The catalogue,
``modelinfo`` and the landmarks' uncertainties are left out. Coefficients keep the file's order, whether the
variances descend or not; components without variance are left out.

Written is version 0.9 (``basel``), or 0.8 for old statismo (``basel-0.8``: the shape model is at the root
too, and its mesh a VTK file as well). What the layout has no place for (texture coordinates, masks, mirror
map, all landmark sets, expression units, provenance) is under ``/morphkit``, which other readers pass over.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader, store, store_text
from morphkit.archive.layouts import _basel_extras as _extras
from morphkit.archive.layouts import _representer
from morphkit.archive.layouts._columns import column_lengths
from morphkit.archive.layouts._groups import Group, divide_column, linear_group
from morphkit.archive.layouts._units import in_millimetres
from morphkit.archive.source import ModelSource
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

_GROUPS = {"identity": "shape", "albedo": "color", "expression": "expression"}
_BRIGHT = 8  # no mean colour in 0..1 is so bright; those of 0..255 are
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
        return read_groups(Reader(file, source.path), "color", "basel")


def read_groups(reader: Reader, albedo: str, layout: str) -> MorphableModel:
    """Return the model of an open file.

    Parameters
    ----------
    reader : of the file.
    albedo : the group that holds the colours.
    layout : the layout's key, for the provenance.
    """
    shape_path = _shape_path(reader)
    groups = {"shape": read_group(reader, shape_path)}
    for name in (albedo, "expression"):
        if reader.has(f"{name}/model/mean"):
            groups[name] = read_group(reader, name)
    color, expression = groups.get(albedo), groups.get("expression")
    shape = groups["shape"].model
    for name, group in groups.items():
        if len(group.model.mean) != len(shape.mean):
            raise reader.bad(f"/{name} has {len(group.model.mean)} vertices, /shape {len(shape.mean)}")
    model = MorphableModel(
        faces=_representer.read_faces(reader, shape_path, len(shape.mean)),
        identity=shape,
        expression=expression.model if expression else None,
        albedo=color.model if color else None,
        provenance={"source": reader.source.name, "layout": layout, "unit": "millimetres"},
    )
    named = {"identity": groups["shape"], "expression": expression, "albedo": color}
    notes = [f"{name}: {note}" for name, group in named.items() if group for note in group.notes]
    if not reader.has("morphkit"):
        model, others = _in_our_units(model)
        notes += others
    kept = expression.kept if expression else None
    return _extras.read(reader, model, shape_path, kept, notes)


def _shape_path(reader: Reader) -> str:
    """Return where the shape model lies: /shape, or the root for a plain shape model."""
    for path in ("shape", ""):
        if reader.has(f"{path}/model/mean".lstrip("/")):
            return path
    seen = ", ".join(sorted(map(str, reader.file))) or "nothing"
    raise reader.bad(
        f"no /shape/model and no /model, hence not a model in the Basel/statismo layout; it holds: {seen}"
    )


def read_group(reader: Reader, path: str) -> Group:
    """Read one of shape, color, expression; its coefficients stay those of the file."""
    prefix = f"{path}/model/".lstrip("/")
    mean, variances, noise = _read_vectors(reader, prefix)
    columns = reader.matrix(prefix + "pcaBasis")
    deviations = np.sqrt(variances)
    scaled = _scaled_lengths(reader, path, columns, deviations)
    if scaled is None:
        return linear_group(mean, columns, deviations, noise)
    for j, length in enumerate(scaled):
        if length > 0:
            divide_column(columns, j, length)
    return linear_group(mean, columns, scaled, noise)


def _in_our_units(model: MorphableModel) -> tuple[MorphableModel, list[str]]:
    """Return the model in millimetres and colours of 0..1, with a note on what was neither.

    Only what cannot be a face in millimetres is taken for another unit: one of ten metres and more for
    micrometres, one of two millimetres and less for metres.
    """
    notes = []
    size = float(np.linalg.norm(np.ptp(model.identity.mean.astype(np.float64), axis=0)))
    if size >= 1e4 or 0.05 < size <= 2:
        unit = "micrometres" if size >= 1e4 else "metres"
        model = replace(
            model,
            identity=in_millimetres(model.identity, unit),
            expression=None if model.expression is None else in_millimetres(model.expression, unit),
            provenance={**model.provenance, "unit": unit},
        )
        notes.append(f"by its size the model is in {unit}, and was brought to millimetres")
    if model.albedo is not None and model.albedo.mean.max() > _BRIGHT:
        model = replace(model, albedo=_in_unit_range(model.albedo))
        notes.append("albedo: colours of 0..255 were brought to 0..1")
    return model, notes


def _in_unit_range(colors: LinearModel) -> LinearModel:
    return replace(
        colors,
        mean=colors.mean / np.float32(255),
        standard_deviations=colors.standard_deviations / 255,
        noise_variance=colors.noise_variance / 255**2,
    )


def _read_vectors(reader: Reader, prefix: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return mean, variances and noise variance after checking that they fit the basis."""
    mean = reader.array(prefix + "mean").reshape(-1)
    variances = reader.array(prefix + "pcaVariance").reshape(-1).astype(np.float64)
    shape = reader.shape(prefix + "pcaBasis")
    noise = reader.number(prefix + "noiseVariance", 0.0)
    if not len(mean) or len(mean) % 3:
        raise reader.bad(f"/{prefix}mean has {len(mean)} values, not three for each vertex")
    if shape != (len(mean), len(variances)):
        raise reader.bad(
            f"/{prefix}pcaBasis has the shape {shape}; a mean of {len(mean)} values and "
            f"{len(variances)} variances need {(len(mean), len(variances))}"
        )
    if (variances < 0).any() or noise < 0:
        raise reader.bad(f"/{prefix}pcaVariance or noiseVariance is negative")
    return mean, variances, noise


def _scaled_lengths(
    reader: Reader, path: str, columns: np.ndarray, deviations: np.ndarray
) -> np.ndarray | None:
    """Return what to divide the columns by: version 0.8 scaled them by the standard deviations, 0.9 did not.

    The lengths themselves tell which, since files without any version, and with a wrong one, exist in both
    kinds. Where they do not, the version counts: all deviations may be near one, and the columns of a model
    cut to a part of its vertices are shorter than one.
    """
    lengths = column_lengths(columns)
    moving = deviations > 1e-6 * deviations.max(initial=0.0)
    unit = np.allclose(lengths[moving], 1.0, atol=0.02)
    scaled = np.allclose(lengths[moving], deviations[moving], rtol=0.02)
    version = _version(reader, path)
    if scaled and (version < (0, 9) or not unit):
        exact = np.isclose(lengths, deviations, rtol=1e-5)  # so that what was written comes back
        return np.where(exact, deviations, lengths)
    if unit or version >= (0, 9):
        return None
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


# --- writing ---------------------------------------------------------------------------------------------


def write(path: Path, model: MorphableModel) -> None:
    """Write a model, version 0.9; see `morphkit.archive.save_model`."""
    with h5py.File(path, "w") as file:
        _write(file, model, minor_version=9)


def write_08(path: Path, model: MorphableModel) -> None:
    """Write a model, version 0.8: the basis scaled by the standard deviations, the shape model at the root.

    The shape model is at /shape as well, where scalismo-faces looks for it; both are the same data.
    """
    with h5py.File(path, "w") as file:
        _write(file, model, minor_version=8)
        for name in ("model", "modelinfo", "representer"):
            file[name] = file[f"shape/{name}"]
        for name in ("dataInfo", "builderInfo"):  # of which statismo wants to list the contents
            file.create_group(f"modelinfo/{name}")


def _write(file: h5py.File, model: MorphableModel, minor_version: int) -> None:
    _write_version(file, minor_version)
    for name, path in _GROUPS.items():
        group: LinearModel | None = getattr(model, name)
        if group is None:
            continue
        target = file.create_group(path)
        _write_group(target, group, scaled=minor_version < 9)
        _write_version(target, minor_version)
        if name == "identity":
            _representer.write(target, model, vtk=minor_version < 9)
        else:  # the same mesh: a hard link, which every reader follows
            target["representer"] = file["shape/representer"]
        _write_catalog(file, f"MorphableModel.{path}", f"/{path}", _MODEL_TYPES[path])
    _write_catalog(file, "MorphableModel", "/", "CUSTOM_MODEL")
    if "ibug68" in model.landmarks:
        _write_landmarks(file, model, model.landmarks["ibug68"])
    _extras.write(file, model)


def _write_group(target: h5py.Group, group: LinearModel, scaled: bool) -> None:
    variances = (group.standard_deviations**2).astype(np.float32)
    basis = group.basis.astype(np.float32, copy=False)
    if scaled:  # by what a reader takes from the file, so that reading gives the basis back
        basis = (basis * np.sqrt(variances.astype(np.float64))).astype(np.float32)
    store(target, "model/mean", group.mean.reshape(-1).astype(np.float32))
    # one component after the other: neighbours are alike, and reading the first k touches only those
    chunks = (min(group.mean.size, 1 << 15), 1)
    store(target, "model/pcaBasis", basis, chunks)
    store(target, "model/pcaVariance", variances)
    store(target, "model/noiseVariance", np.array([group.noise_variance], np.float32))
    store_text(target, "modelinfo/build-time", "")
    # statismo's way to say that there are none
    store(target, "modelinfo/scores", np.zeros((1, 1), np.float32))


def _write_version(target: h5py.Group, minor_version: int) -> None:
    store(target, "version/majorVersion", np.array(0, np.int32))
    store(target, "version/minorVersion", np.array(minor_version, np.int32))


def _write_catalog(file: h5py.File, name: str, path: str, kind: str) -> None:
    entry = file.create_group(f"catalog/{name}")
    store_text(entry, "modelPath", path)
    store_text(entry, "modelType", kind)


def _write_landmarks(file: h5py.File, model: MorphableModel, embedding: LandmarkEmbedding) -> None:
    """Write the landmarks on the reference mesh, which is the mean, in scalismo's JSON."""
    landmarks = embedding.landmarks(model.identity.mean.astype(np.float64), model.faces)
    items = [
        {"id": name, "coordinates": [round(float(x), 4) for x in point]}
        for name, point in zip(landmarks.names, landmarks.points, strict=True)
    ]
    store_text(file.require_group("metadata/landmarks"), "json", json.dumps(items))
