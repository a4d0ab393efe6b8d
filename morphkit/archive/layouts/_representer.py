"""The reference mesh of a Basel/statismo model: its triangles, and where landmarks are given."""

from __future__ import annotations

import h5py
import numpy as np

from morphkit.archive._hdf5 import Reader, store, store_label
from morphkit.archive._numbers import ensure_finite
from morphkit.archive.layouts import _vtk
from morphkit.archive.layouts._groups import checked_faces
from morphkit.morphable import MorphableModel

_NOT_ALIGNED = 999  # statismo's number for it


def read_faces(reader: Reader, path: str, vertex_count: int) -> np.ndarray:
    """Return the (f, 3) int32 faces, from whichever of the three places representers have them in."""
    representer = f"{path}/representer".lstrip("/")
    legacy, cells = f"{representer}/reference-mesh/triangle-list", f"{representer}/cells"
    if reader.has(legacy):
        corners, name = reader.array(legacy), legacy
    elif reader.has(cells) or not reader.has(f"{representer}/reference"):
        corners, name = reader.array(cells), cells
        corners = corners.T if corners.ndim == 2 and corners.shape[0] == 3 else corners
    else:
        name = f"{representer}/reference"
        corners = _vtk_mesh(reader, name).triangles
    return checked_faces(corners, vertex_count, f"/{name}", reader.bad)


def read_points(reader: Reader, path: str, vertex_count: int) -> np.ndarray | None:
    """Return the reference mesh's (v, 3) float64 points, which are not the mean; None if there are none."""
    representer = f"{path}/representer".lstrip("/")
    legacy, points = f"{representer}/reference-mesh/vertex-coordinates", f"{representer}/points"
    found: np.ndarray | None = None
    if reader.has(points):
        found = reader.array(points).T
    elif reader.has(legacy):
        found = reader.array(legacy)
    elif reader.has(f"{representer}/reference"):
        found = _vtk_mesh(reader, f"{representer}/reference").points
        ensure_finite(found, "the reference mesh", reader.bad)
    if found is None or found.shape != (vertex_count, 3):
        return None
    return np.ascontiguousarray(found, dtype=np.float64)


def write(target: h5py.Group, model: MorphableModel, *, vtk: bool = False) -> None:
    """Write the mean as the reference mesh; `vtk` adds the file that statismo 0.8 wants."""
    points = np.asarray(model.identity.mean, dtype=np.float32)
    representer = target.create_group("representer")
    store_label(representer, "name", "vtkPolyDataRepresenter" if vtk else "morphkit")
    store_label(representer, "datasetType", "POLYGON_MESH")
    store(representer, "points", np.ascontiguousarray(points.T))
    store(representer, "cells", np.ascontiguousarray(model.faces.T, dtype=np.int32))
    if vtk:
        store(representer, "alignment", np.array(_NOT_ALIGNED, np.int32))
        store(representer, "reference", np.frombuffer(_vtk.text_of(points, model.faces), np.int8))


def _vtk_mesh(reader: Reader, path: str) -> _vtk.VtkMesh:
    try:
        return _vtk.parse(reader.array(path).tobytes())
    except ValueError as error:
        raise reader.bad(f"the mesh in /{path} cannot be used: {error}") from error
