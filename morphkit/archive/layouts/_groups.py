"""Groups and faces of the layouts that store unit columns beside variances or standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from morphkit.archive._numbers import Complaint
from morphkit.archive.layouts._columns import column_lengths
from morphkit.morphable import LinearModel

_UNIT = 1e-4  # a length this near to one is one, rounded; the columns then stay bit for bit
_NO_VARIANCE = 1e-6  # of the largest deviation: a column without direction


def checked_faces(corners: np.ndarray, vertex_count: int, name: str, bad: Complaint) -> np.ndarray:
    """Return (f, 3) int32 faces of indices that may be stored as floats; out of range ones are refused."""
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise bad(f"{name} has the shape {corners.shape}, not (m, 3): triangles are needed")
    if corners.size and not 0 <= corners.min() <= corners.max() < vertex_count:
        raise bad(f"{name} refer to vertices {corners.min():g}..{corners.max():g} of {vertex_count}")
    faces = np.ascontiguousarray(corners, dtype=np.int32)
    if corners.dtype.kind == "f" and not np.array_equal(faces, corners):
        raise bad(f"{name} hold fractions, not indices")
    return faces


@dataclass(frozen=True)
class Group:
    """A coefficient group as it was read.

    Attributes
    ----------
    model : on columns of unit length.
    kept : which of the file's coefficients the model's are.
    notes : what was mended or left out.
    """

    model: LinearModel
    kept: np.ndarray
    notes: tuple[str, ...]


def linear_group(
    mean: np.ndarray, columns: np.ndarray, deviations: np.ndarray, noise_variance: float = 0.0
) -> Group:
    """Return mean + columns · (deviations ⊙ c) as a group, for the same c.

    The file's order is kept, whether the variances descend or not, and columns that are not orthogonal stay
    so; only those that move nothing are left out, since they have no direction.

    Parameters
    ----------
    mean : (3v,) or (v, 3).
    columns : (3v, k) float32, the caller's to give away: brought to unit length in place.
    deviations : (k,) not negative.
    noise_variance : per coordinate.
    """
    notes = []
    scales = deviations.astype(np.float64)
    for j, length in enumerate(column_lengths(columns)):
        if length > 0 and abs(length - 1) > _UNIT:
            divide_column(columns, j, length)
            scales[j] *= length
        elif length == 0:
            scales[j] = 0.0
    kept = np.flatnonzero(scales > _NO_VARIANCE * scales.max(initial=0.0))
    if len(kept) < len(scales):
        columns = np.asfortranarray(columns[:, kept])
        moved = "" if len(kept) == kept.max(initial=-1) + 1 else ", so that later ones have lower numbers"
        notes.append(f"{len(scales) - len(kept)} components without variance were left out{moved}")
    if (np.diff(scales[kept]) > 1e-6 * scales.max(initial=0.0)).any():
        notes.append("the components are not in the order of their variances; the file's order was kept")
    points = np.ascontiguousarray(mean.reshape(-1, 3), dtype=np.float32)
    model = LinearModel(points, columns, scales[kept], float(noise_variance))
    return Group(model, kept, tuple(notes))


def divide_column(columns: np.ndarray, j: int, divisor: float) -> None:
    """Divide one column in place, in float64 and rounded once."""
    columns[:, j] = columns[:, j].astype(np.float64) / divisor
