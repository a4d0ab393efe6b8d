"""What every landmark format holds, whatever its syntax: a list of points that have a name each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from morphkit.mesh import Landmarks

_LARGEST = 1e9


@dataclass(frozen=True)
class Entry:
    """One point of a file, not yet checked.

    Attributes
    ----------
    name : what the file calls it.
    position : should be three numbers; None, or a None or non-finite number among them: the point is missing.
    covariance : (3, 3) nested, square units of the file, or None.
    deviation : standard deviation, units of the file, or None.
    """

    name: str
    position: Any
    covariance: Any = None
    deviation: Any = None


def numbered(positions: Iterable[object]) -> list[Entry]:
    """Return entries for points that have no names: "0", "1", ..."""
    return [Entry(str(number), position) for number, position in enumerate(positions)]


def to_landmarks(entries: Iterable[Entry]) -> Landmarks:
    """Check entries and return those that are not missing; uncertainties are NaN where only others have one.

    Raises
    ------
    ValueError
        When there is none, a name is given twice, or a number is not what it should be.
    """
    present = [entry for entry in entries if not _is_missing(entry.position)]
    if not present:
        raise ValueError("there is no point in it")
    names = tuple(entry.name for entry in present)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is given twice")
    points = np.array([_position(entry) for entry in present], dtype=np.float64)
    if np.abs(points).max() > _LARGEST:
        raise ValueError("its coordinates are too large to be a face's")
    landmarks = Landmarks(names, points, _deviations(present))
    covariances = _covariances(present)
    return landmarks if covariances is None else landmarks.with_covariances(covariances)


def to_entries(landmarks: Landmarks) -> list[Entry]:
    """Return the entries of landmarks; rows of NaN are missing points."""
    entries = []
    for index, (name, point) in enumerate(zip(landmarks.names, landmarks.points, strict=True)):
        covariance, deviation = None, None
        if landmarks.covariances is not None and np.isfinite(landmarks.covariances[index]).all():
            covariance = landmarks.covariances[index].tolist()
        elif landmarks.standard_deviations is not None and np.isfinite(landmarks.standard_deviations[index]):
            deviation = float(landmarks.standard_deviations[index])
        position = point.tolist() if np.isfinite(point).all() else None
        entries.append(Entry(name, position, covariance, deviation))
    return entries


def positions_in_order(entries: Sequence[Entry], suffix: str) -> list[list[Any]]:
    """Return positions for a format without names, NaN where missing.

    Raises
    ------
    ValueError
        When the names are not "0", "1", ... in order, and would be lost.
    """
    if [entry.name for entry in entries] != [str(number) for number in range(len(entries))]:
        raise ValueError(
            f"{suffix} files keep no names, only points called 0, 1, ... in order; write .json instead"
        )
    return [coordinates(entry) for entry in entries]


def coordinates(entry: Entry) -> list[Any]:
    """Return an entry's coordinates, NaN when it is missing."""
    return [np.nan] * 3 if entry.position is None else list(entry.position)


def _is_missing(position: Any) -> bool:
    """Whether a point is null, or any coordinate of it null or not finite."""
    if position is None:
        return True
    if not isinstance(position, list | tuple):
        raise ValueError(f"a point is {position!r}, not [x, y, z]")
    return any(value is None or not np.isfinite(float(value)) for value in position)


def _position(entry: Entry) -> list[float]:
    values = coordinates(entry)
    if len(values) != 3:
        raise ValueError(f"{entry.name!r} has {len(values)} coordinates, not 3")
    return [float(value) for value in values]


def _deviations(entries: Sequence[Entry]) -> Float[np.ndarray, " n"] | None:
    if all(entry.deviation is None for entry in entries):
        return None
    values = [np.nan if entry.deviation is None else float(entry.deviation) for entry in entries]
    for entry, value in zip(entries, values, strict=True):
        if value < 0 or np.isinf(value):
            raise ValueError(f"the standard deviation of {entry.name!r} is {value}")
    return np.array(values, np.float64)


def _covariances(entries: Sequence[Entry]) -> Float[np.ndarray, "n 3 3"] | None:
    """Return covariances if any entry has one; a lone standard deviation means the same in all directions."""
    if all(entry.covariance is None for entry in entries):
        return None
    covariances = np.full((len(entries), 3, 3), np.nan)
    for index, entry in enumerate(entries):
        if entry.covariance is not None:
            covariances[index] = _covariance(entry.name, np.array(entry.covariance, np.float64))
        elif entry.deviation is not None:
            covariances[index] = float(entry.deviation) ** 2 * np.eye(3)
    return covariances


def _covariance(name: str, matrix: np.ndarray) -> Float[np.ndarray, "3 3"]:
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
        raise ValueError(f"the covariance of {name!r} is not a symmetric 3 x 3 matrix")
    if np.linalg.eigvalsh(matrix)[0] < -1e-9 * max(np.trace(matrix), 1e-300):
        raise ValueError(f"the covariance of {name!r} has a negative eigenvalue")
    return matrix
