"""What the numbers of any model file must be: finite, in range, and unit columns times deviations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from morphkit.errors import BadInputError
from morphkit.morphable import LinearModel

LARGEST = 1e15
"""Beyond this no coordinate or colour is meant, in any unit, and squares overflow in single precision."""
_UNIT = 1e-4  # a length this near to one is one, rounded; the columns then stay bit for bit
_NO_VARIANCE = 1e-6  # of the largest deviation: a column without direction

Complaint = Callable[[str], BadInputError]


def ensure_finite(values: np.ndarray, name: str, bad: Complaint) -> None:
    """Raise what `bad` makes of it when a float is NaN, infinite, or beyond `LARGEST`."""
    if values.dtype.kind != "f" or not values.size:
        return
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise bad(f"{name} holds NaN or infinite values")
    if max(-low, high) > LARGEST:
        raise bad(f"{name} holds {max(high, low, key=abs):.3g}, which is no length and no colour")


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


def column_lengths(columns: np.ndarray) -> np.ndarray:
    """Return the Euclidean length of each column, (k,) float64, summed in float64."""
    squares = [np.einsum("i,i", column, column, dtype=np.float64) for column in columns.T]
    return np.sqrt(np.array(squares, np.float64))


def divide_column(columns: np.ndarray, j: int, divisor: float) -> None:
    """Divide one column in place, in float64 and rounded once."""
    columns[:, j] = columns[:, j].astype(np.float64) / divisor


def scale_matrix(values: np.ndarray, factor: float) -> None:
    """Multiply in place, in float64 and rounded once, column by column."""
    for j in range(values.shape[1]):
        values[:, j] = values[:, j].astype(np.float64) * factor
