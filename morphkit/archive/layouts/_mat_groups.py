"""What the .mat layouts have in common: groups scaled to millimetres, faces counted from one, the unit."""

from __future__ import annotations

import numpy as np

from morphkit.archive.layouts._groups import Group, checked_faces, linear_group
from morphkit.archive.layouts._mat import MatReader
from morphkit.archive.layouts._units import UNITS, guess_unit

_CLEARLY = (
    0.3  # of all volumes: what is left when a third of them is of the other sign, as in ears and mouths
)


def read_mean(mat: MatReader, path: str) -> np.ndarray:
    """Return a mean as a vector, three values for each vertex."""
    mean = mat.vector(path)
    if not len(mean) or len(mean) % 3:
        raise mat.bad(f"{path} has {len(mean)} values, not three for each vertex")
    return mean


def read_group(
    mat: MatReader, mean: np.ndarray, columns: str, spread: str, *, variances: bool, scale: float = 1.0
) -> Group:
    """Read a group; its coefficients stay those of the file.

    Parameters
    ----------
    mat : the file.
    mean : (3v,) in the file's unit.
    columns, spread : paths of the basis, and of variances or standard deviations, at least one a column.
    variances : which of the two.
    scale : what a number of the file is in ours.
    """
    spreads = mat.vector(spread)
    if (spreads < 0).any():
        raise mat.bad(f"{spread} has negative values")
    basis = mat.columns(columns, len(mean))
    if basis.shape[1] > len(spreads):
        raise mat.bad(f"{columns} has {basis.shape[1]} columns, {spread} only {len(spreads)} values")
    deviations = np.sqrt(spreads) if variances else spreads
    return linear_group(mean * scale, basis, deviations[: basis.shape[1]] * scale)


def read_faces(mat: MatReader, path: str, vertex_count: int, *, first: int, swap: bool) -> np.ndarray:
    """Return (f, 3) int32 faces, counter-clockwise from outside.

    Parameters
    ----------
    mat, path : where they are.
    vertex_count : how many vertices they may refer to.
    first : what the first vertex is called.
    swap : whether the file has them clockwise.
    """
    corners = mat.table(path).astype(np.float64) - first
    faces = checked_faces(corners, vertex_count, path, mat.bad)
    return np.ascontiguousarray(faces[:, [0, 2, 1]]) if swap else faces


def outward(faces: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return faces whose volume, seen from the mean's middle, is not clearly inside out, and a note if so.

    A face or a head is convex enough for that; the authors' words on winding are few, and files that others
    made of theirs differ.
    """
    middle = mean.reshape(-1, 3)
    corners = (middle - middle.mean(axis=0))[faces].astype(np.float64)
    volumes = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    total, inside_out = np.abs(volumes).sum(), volumes.sum() < 0
    if not inside_out or -volumes.sum() < _CLEARLY * total:
        return faces, []
    return np.ascontiguousarray(faces[:, [0, 2, 1]]), ["the triangles were inside out and have been turned"]


def unit_of(mean: np.ndarray, usual: str) -> tuple[str, float, list[str]]:
    """Return the unit, its millimetres, and a note where it is not the usual one; see `guess_unit`."""
    unit = guess_unit(mean.reshape(-1, 3), usual)
    notes = [] if unit == usual else [f"by its size the model is in {unit}, not {usual} as is usual"]
    return unit, UNITS[unit], notes
