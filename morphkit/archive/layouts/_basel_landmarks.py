"""Landmarks of Basel/statismo models: points on the reference mesh, as JSON or in scalismo's older text."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from morphkit.archive._hdf5 import Reader
from morphkit.archive.layouts import _representer
from morphkit.mesh import LandmarkEmbedding, Mesh

_ROOT = "metadata/landmarks"
_ON_SURFACE = 0.005  # of the mesh's size, a millimetre of a face: points farther away are on none of it
_LONGEST = 1 << 18  # characters; a hundred landmarks with their uncertainties are a tenth of it
_IBUG = {str(number) for number in range(68)}


def read(
    reader: Reader, faces: np.ndarray, shape_path: str, vertex_count: int
) -> tuple[dict[str, LandmarkEmbedding], list[str]]:
    """Return the landmark sets that lie on the reference mesh, and notes on what was left out.

    The set is called "ibug68" if its names are iBUG's numbers, else "basel".
    """
    points = _representer.read_points(reader, shape_path, vertex_count)
    found = _entries(reader)
    if found is None:
        return {}, []
    if not found:
        return {}, ["the landmarks could not be understood and were left out"]
    if points is None or not len(faces):
        return {}, ["there is no reference mesh that the landmarks lie on: they were left out"]
    embedding = _embedded(found, Mesh(points, faces))
    notes = []
    if len(embedding.names) < len(found):
        missing = len(found) - len(embedding.names)
        notes.append(f"{missing} of {len(found)} landmarks are off the reference mesh and were left out")
    if not embedding.names:
        return {}, notes
    return {"ibug68" if set(embedding.names) <= _IBUG else "basel": embedding}, notes


def _embedded(points: dict[str, np.ndarray], mesh: Mesh) -> LandmarkEmbedding:
    from morphkit.geometry.closest_point import closest_points  # most files need none: it compiles kernels

    closest = closest_points(mesh, np.array(list(points.values())))
    size = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    near = np.flatnonzero(closest.distances <= _ON_SURFACE * size)
    names = list(points)
    return LandmarkEmbedding(
        tuple(names[i] for i in near), closest.face_indices[near], closest.barycentrics[near]
    )


def _entries(reader: Reader) -> dict[str, np.ndarray] | None:
    """Return positions by name; None if the file has no landmarks, nothing if they make no sense."""
    for kind, parse in (("json", _from_json), ("text", _from_text)):
        if reader.has(f"{_ROOT}/{kind}"):
            try:
                text = reader.text(f"{_ROOT}/{kind}")
                return _checked(parse(text)) if len(text) <= _LONGEST else {}
            except (ValueError, LookupError, TypeError):
                return {}
    return None


def _from_json(text: str) -> list[tuple[str, Sequence[float]]]:
    return [(str(item["id"]), item["coordinates"]) for item in json.loads(text)]


def _from_text(text: str) -> list[tuple[str, Sequence[float]]]:
    """Read ``name visible x y z`` lines."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return [(row[0], [float(word) for word in row[2:]]) for row in rows if row[1] != "0"]


def _checked(entries: Sequence[tuple[str, Sequence[float]]]) -> dict[str, np.ndarray]:
    points = {name: np.array(position, np.float64) for name, position in entries}
    if any(p.shape != (3,) or not (np.abs(p) < 1e6).all() for p in points.values()):
        raise ValueError("a landmark is not three coordinates")
    return points
