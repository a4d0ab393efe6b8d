"""glTF 2.0 with morph targets, ``.glb`` and ``.gltf``: written and read, and read from other programs.

Written is one mesh in metres: the mean, with vertex colours from the albedo's mean and texture coordinates;
morph targets "identity_000", "identity_001", ... at one standard deviation each, then the named expression
units at full strength ("jawOpen"), or "expression_000", ... where the model names none. Any viewer shows
them as sliders. What glTF has no place for lies in the same file: ``extras.morphkit`` holds deviations, names
and provenance, and says in which buffer views the further arrays are (mean, faces, bases of expression and
albedo, masks, landmarks). Read again, the model is the same; identity components, which are read from their
targets, to single precision.

Of files by others, all meshes of the scene become one, each vertex where its node puts it; vertices stay as
they are in the file, where seams are cut open. Each named target becomes an expression unit, of a group with
a Gaussian prior, zero being the neutral face; there is no identity, a group of no components.
glTF's unit is the metre, but many files are in another: a mesh of an absurd size in metres is taken to
be in the unit in which it is a head, which a note says. Skeletons and textures are left out. Draco and
meshopt are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive.layouts._blendshapes import ensure_few, unit_group
from morphkit.archive.layouts._columns import LARGEST, column_lengths
from morphkit.archive.layouts._gltf_file import GltfFile, json_bytes
from morphkit.archive.layouts._gltf_model import ARRAYS, KEY, read_own
from morphkit.archive.layouts._gltf_scene import Piece, Scene, read_scene
from morphkit.archive.layouts._units import UNITS, guess_unit
from morphkit.archive.source import ModelSource
from morphkit.directions import NamedDirections
from morphkit.io.glb import MorphTarget, split_at_seams, write_glb
from morphkit.mesh import Mesh
from morphkit.morphable import LinearModel, MorphableModel

_METRES = 0.001  # in a millimetre
_STILL = 1e-3  # millimetres


def recognises(source: ModelSource) -> bool:
    """Whether it is a glTF file with morph targets, or one that morphkit wrote as a model."""
    if source.is_folder or not (source.start[:4] == b"glTF" or source.start.lstrip()[:1] == b"{"):
        return False
    text = json_bytes(source)
    return b'"asset"' in text and (b'"targets"' in text or f'"{KEY}":'.encode() in text)


def read(source: ModelSource) -> MorphableModel:
    """Return the model; see `morphkit.archive.load_model`."""
    file = GltfFile(source)
    extras = file.document.get("extras")
    if isinstance(extras, dict) and isinstance(extras.get(KEY), dict) and ARRAYS in extras[KEY]:
        return read_own(file, extras[KEY])
    return _read_foreign(file)


# --- files by others -------------------------------------------------------------------------------------


def _read_foreign(file: GltfFile) -> MorphableModel:
    scene = read_scene(file)
    positions = np.concatenate([piece.positions for piece in scene.pieces])
    unit = guess_unit(positions, "metres")
    if unit != "metres":
        scene.notes.append(f"glTF's unit is the metre, but by its size the mesh is in {unit}")
    mean = (UNITS[unit] * positions).astype(np.float32)
    if not np.abs(mean).max(initial=0.0) <= LARGEST:
        raise file.source.bad("it is far larger than any head: a node's matrix is damaged")
    expression, units = _units(file, scene, UNITS[unit])
    return MorphableModel(
        faces=_faces(scene),
        identity=LinearModel.constant(mean),
        expression=expression,
        albedo=_albedo(scene),
        expression_units=units,
        uv=_uv(scene),
        provenance={
            "source": file.source.path.name,
            "layout": "gltf",
            "unit": unit,
            "albedo_color_space": "linear",
            "read_notes": ["there is no identity: a group of no components", *dict.fromkeys(scene.notes)],
        },
    )


def _faces(scene: Scene) -> np.ndarray:
    starts = np.cumsum([0, *(len(piece.positions) for piece in scene.pieces)])
    faces = [piece.faces + start for piece, start in zip(scene.pieces, starts[:-1], strict=True)]
    return np.concatenate(faces).astype(np.int32)


def _units(file: GltfFile, scene: Scene, scale: float) -> tuple[LinearModel | None, NamedDirections | None]:
    """Return the targets as units; those of the same name, on several meshes, are one."""
    names = list(dict.fromkeys(name for piece in scene.pieces for name in piece.offsets))
    count = sum(len(piece.positions) for piece in scene.pieces)
    if not names:
        return None, None
    ensure_few(file.source, len(names), 3 * count)
    file.spend(12 * count * len(names))
    offsets = np.zeros((len(names), count, 3), np.float32)
    row, start = {name: i for i, name in enumerate(names)}, 0
    for piece in scene.pieces:
        end = start + len(piece.positions)
        for name in list(piece.offsets):
            offsets[row[name], start:end] = piece.offsets.pop(name)
        start = end
    offsets *= np.float32(scale)
    if not -LARGEST <= offsets.min(initial=0.0) <= offsets.max(initial=0.0) <= LARGEST:
        raise file.source.bad("a morph target is far larger than any head: it is damaged")
    return unit_group(names, offsets.reshape(len(names), -1))


def _uv(scene: Scene) -> np.ndarray | None:
    """Return uv for each corner if all meshes have them."""
    if any(piece.uv is None for piece in scene.pieces):
        return None
    return np.concatenate([_at_corners(piece) for piece in scene.pieces])


def _at_corners(piece: Piece) -> np.ndarray:
    assert piece.uv is not None  # noqa: S101 - the caller has looked
    corners: np.ndarray = piece.uv[piece.faces]
    return corners


def _albedo(scene: Scene) -> LinearModel | None:
    colors = [piece.colors for piece in scene.pieces if piece.colors is not None]
    if len(colors) != len(scene.pieces):
        return None
    return LinearModel.constant(np.concatenate(colors))


# --- writing ---------------------------------------------------------------------------------------------


def write(path: Path, model: MorphableModel) -> None:
    """Write a model as ``.glb``; see `morphkit.archive.save_model`."""
    colors = None if model.albedo is None else model.albedo.mean.clip(0, 1)
    seams = model.uv is not None and len(np.unique(model.faces)) == model.n_vertices
    mesh = Mesh(model.instance(), model.faces, colors=colors, uv=model.uv if seams else None)
    extras, arrays = _own_parts(model)
    arrays["vertices"] = split_at_seams(mesh)[1].astype(np.int32)
    write_glb(path, mesh, targets=_targets(model), scale=_METRES, extras=extras, arrays=arrays)


def _targets(model: MorphableModel) -> list[MorphTarget]:
    targets = _components("identity", model.identity)
    group, units = model.expression, model.expression_units
    if group is None:
        return targets
    if units is None:
        return targets + _components("expression", group)
    named = zip(units.names, units.coefficients, strict=True)
    return targets + [MorphTarget(name, _moved(group, row)) for name, row in named]


def _components(name: str, group: LinearModel) -> list[MorphTarget]:
    eye = np.eye(group.n_components)
    return [MorphTarget(f"{name}_{i:03d}", group.offset(row).astype(np.float32)) for i, row in enumerate(eye)]


def _moved(group: LinearModel, coefficients: np.ndarray) -> np.ndarray:
    """Return how far a unit moves each vertex; those that hardly move stay, and need no room in the file."""
    offsets = group.offset(coefficients).astype(np.float32)
    offsets[np.abs(offsets).max(axis=1) < _STILL] = 0.0
    return offsets


def _own_parts(model: MorphableModel) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what glTF has no place for: small things as JSON, arrays for buffer views."""
    extras: dict[str, Any] = {"version": 1, "provenance": dict(model.provenance)}
    arrays: dict[str, np.ndarray] = {}
    for name in ("identity", "expression", "albedo"):
        group: LinearModel | None = getattr(model, name)
        if group is None:
            continue
        extras[name] = {
            "standard_deviations": group.standard_deviations.tolist(),
            "noise_variance": float(group.noise_variance),
            "lengths": column_lengths(group.basis).tolist(),  # one, but for a marginal
        }
        if name != "identity":
            arrays[f"{name}_mean"] = group.mean
            arrays[f"{name}_basis"] = group.basis.T  # a component is contiguous
    if model.expression_units is not None:
        extras["expression_units"] = list(model.expression_units.names)
        arrays["expression_units"] = model.expression_units.coefficients.astype(np.float64)
    if model.masks:
        extras["masks"] = list(model.masks)
        arrays["masks"] = np.stack([mask.astype(np.uint8) for mask in model.masks.values()])
    if model.landmarks:
        extras["landmarks"] = {name: list(e.names) for name, e in model.landmarks.items()}
    for i, embedding in enumerate(model.landmarks.values()):
        arrays[f"landmarks_{i}_faces"] = embedding.face_indices.astype(np.int32)
        arrays[f"landmarks_{i}_barycentrics"] = embedding.barycentrics.astype(np.float64)
    if model.uv is not None:
        arrays["uv"] = model.uv.astype(np.float32)
    if model.mirror is not None:
        arrays["mirror"] = model.mirror.astype(np.int32)
    arrays["faces"] = model.faces.astype(np.int32)
    arrays["mean"] = model.identity.mean
    return extras, arrays
