"""`morphkit sample` and `morphkit info`: heads out of a model, words about a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.archive import holds_model, load_model, resolve_model
from morphkit.archive.formats import recognise
from morphkit.archive.source import ModelSource
from morphkit.export.facts import fact_rows
from morphkit.geometry.topology import boundary_edges, connected_components
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Mesh
from morphkit.morphable import LinearModel, MorphableModel

_LAST = ("left_out", "scans")  # of the provenance; they may fill many lines


@dataclass(frozen=True)
class Description:
    """What a file holds.

    Attributes
    ----------
    title : its name and kind.
    entries : what there is to say, by name, in words.
    provenance : (key, text) of all that a model file says of where it comes from, the scans last.
    values : the same for programs: numbers in millimetres, JSON-serialisable.
    """

    title: str
    entries: Mapping[str, str]
    provenance: tuple[tuple[str, str], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


def sample(
    output: str | Path,
    *,
    model: MorphableModel | str | Path | None = None,
    count: int = 10,
    seed: int = 0,
    suffix: str = "ply",
    expression: bool = False,
) -> tuple[Path, ...]:
    """Write random heads of a model as meshes, and return their paths.

    Parameters
    ----------
    output : the folder; heads are called ``head_000.ply`` and so on.
    model : a model, its file, or None for the embedded head.
    count : how many; a longer run extends a shorter one.
    seed : the same seed gives the same heads.
    suffix : "ply", "obj", "stl", "off" or "glb".
    expression : vary the expression too, else all are neutral.
    """
    drawn_from = resolve_model(model)
    paths = tuple(Path(output) / f"head_{i:03d}.{suffix}" for i in range(count))
    for i, path in enumerate(paths):
        write_mesh(path, _draw(drawn_from, np.random.default_rng([seed, i]), expression))
    return paths


def info(path: str | Path) -> Description:
    """Describe a model, in any layout that `morphkit.load_model` reads, or a mesh.

    Raises
    ------
    BadInputError
        If it is neither, or damaged.
    """
    path = Path(path)
    if not holds_model(path):
        mesh = read_mesh(path)
        return Description(f"{path.name}: a mesh", _mesh_entries(mesh), values=_mesh_values(mesh))
    model = load_model(path)  # says what is wrong if it is no model
    layout = recognise(ModelSource(path))
    title = f"{path.name}: a morphable model ({layout.title})"
    rows = fact_rows(_scans_last(model.provenance))
    return Description(title, _model_entries(model), tuple(rows), _model_values(model, layout.key))


def _draw(model: MorphableModel, rng: np.random.Generator, expression: bool) -> Mesh:
    groups = (model.identity, model.albedo, model.expression if expression else None)
    identity, albedo, mimic = (
        None if group is None else rng.standard_normal(group.n_components) for group in groups
    )
    return model.mesh(identity, mimic, albedo)


def _model_entries(model: MorphableModel) -> dict[str, str]:
    entries = {"vertices": f"{model.n_vertices:,}", "triangles": f"{len(model.faces):,}"}
    for name in ("identity", "expression", "albedo"):
        group = getattr(model, name)
        entries[name] = "none" if group is None else _group(group, "mm" if name != "albedo" else "linear RGB")
    if model.expression_units is not None:
        entries["named expressions"] = ", ".join(model.expression_units.names)
    sets = ", ".join(f"{name} ({len(points.names)})" for name, points in model.landmarks.items())
    masks = ", ".join(f"{name} ({int(mask.sum()):,})" for name, mask in model.masks.items())
    entries |= {"landmarks": sets or "none", "masks": masks or "none"}
    entries["size, mm"] = _size(model.instance())
    return entries


def _scans_last(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the provenance in the order of `info`."""
    first = {key: value for key, value in provenance.items() if key not in _LAST}
    return first | {key: provenance[key] for key in _LAST if key in provenance}


def _group(group: LinearModel, unit: str) -> str:
    if group.n_components == 0:
        return "0 components"
    spread = np.sqrt(np.sum(group.standard_deviations**2) / len(group.mean))
    noise = f", noise {np.sqrt(group.noise_variance):.3g} {unit}" if group.noise_variance else ""
    return f"{group.n_components} components, {spread:.3g} {unit} a vertex (root mean square){noise}"


def _model_values(model: MorphableModel, layout: str) -> dict[str, Any]:
    groups = {"identity": model.identity, "expression": model.expression, "albedo": model.albedo}
    units = model.expression_units
    return {
        "kind": "model",
        "layout": layout,
        "vertices": model.n_vertices,
        "triangles": len(model.faces),
        "groups": {name: None if group is None else _group_values(group) for name, group in groups.items()},
        "named_expressions": [] if units is None else units.names,
        "landmarks": {name: len(points.names) for name, points in model.landmarks.items()},
        "masks": {name: int(mask.sum()) for name, mask in model.masks.items()},
        "size_mm": np.ptp(model.instance(), axis=0),
        "provenance": model.provenance,
    }


def _group_values(group: LinearModel) -> dict[str, Any]:
    return {
        "components": group.n_components,
        "standard_deviations": group.standard_deviations,
        "noise_variance": group.noise_variance,
    }


def _mesh_values(mesh: Mesh) -> dict[str, Any]:
    parts = connected_components(mesh.faces, len(mesh.vertices))
    return {
        "kind": "mesh",
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.faces),
        "size": np.ptp(mesh.vertices, axis=0),
        "connected_parts": len(np.unique(parts[np.unique(mesh.faces)])),
        "border_edges": len(boundary_edges(mesh.faces)),
        "vertex_colors": mesh.colors is not None,
        "texture": None if mesh.texture is None else mesh.texture.shape[:2],
        "uv": mesh.uv is not None,
    }


def _mesh_entries(mesh: Mesh) -> dict[str, str]:
    parts = connected_components(mesh.faces, len(mesh.vertices))
    used = np.unique(mesh.faces)
    textured = mesh.texture is not None
    return {
        "vertices": f"{len(mesh.vertices):,}",
        "triangles": f"{len(mesh.faces):,}",
        "size": _size(mesh.vertices),
        "connected parts": f"{len(np.unique(parts[used])):,}",
        "border edges": f"{len(boundary_edges(mesh.faces)):,}",
        "vertex colours": "yes" if mesh.colors is not None else "no",
        "texture": f"{mesh.texture.shape[1]} x {mesh.texture.shape[0]}" if mesh.texture is not None else "no",
        "texture coordinates": "yes" if mesh.uv is not None or textured else "no",
    }


def _size(vertices: np.ndarray) -> str:
    return " x ".join(f"{extent:.4g}" for extent in np.ptp(vertices, axis=0))
