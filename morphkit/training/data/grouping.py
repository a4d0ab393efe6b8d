"""Who is on which photo: by folder, by a list, or by how alike faces look to a recognition network."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morphkit.errors import BadInputError
from morphkit.io.files import natural_order

SAME_PERSON = 0.45
"""Root mean square distance of dlib's embeddings up to which two groups of faces are one person's."""

_UNKNOWN = -1
_BLOCK = 256  # faces that are compared with all at once
_EQUAL = 1e-12  # square distances nearer than rounding


def people_by_folder(sources: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """Return a number a folder, in natural order; -1 for photos that lie in none."""
    parents = [PurePosixPath(source).parent.as_posix() for source in sources]
    return _numbered([None if parent == "." else parent for parent in parents])


def people_by_list(
    path: str | os.PathLike[str], sources: Sequence[str], photos: Sequence[Path]
) -> Int64[np.ndarray, " n"]:
    """Return a number a person named in a CSV file with the columns ``photo`` and ``person``.

    Parameters
    ----------
    path : of the file. Its photos are told by their paths below the photo folder (`sources`), or by paths
        that start in the file's own folder.
    sources, photos : (n) of the faces; those that the list leaves out, or gives no person, get -1.

    Raises
    ------
    BadInputError
        When the file is missing or no such list, names a photo twice for two people, or knows none of the
        photos.
    """
    listed = _read_list(Path(path))
    folder = Path(path).parent
    by_path = {(folder / name).resolve(): person for name, person in listed.items()}
    resolved = {photo: photo.resolve() for photo in set(photos)}
    names = [
        listed.get(source) or by_path.get(resolved[photo]) or None
        for source, photo in zip(sources, photos, strict=True)
    ]
    if not any(names):
        raise BadInputError(
            f"{path} names none of the photos; give their paths below the photo folder, such as {sources[0]}."
        )
    return _numbered(names)


def cluster(embeddings: Float32[np.ndarray, "n d"], distance: float = SAME_PERSON) -> Int64[np.ndarray, " n"]:
    """Return a number a group of alike faces, in the order of their first faces.

    Average linkage of squared distances, cut where the mean is `distance`²: groups are joined, nearest first,
    while the root mean square distance between their faces is below. Groups that are joined hold two faces
    that are as near, so each set of faces that such pairs connect is grouped by itself, by chains of nearest
    neighbours (Murtagh 1983). The means are known from the groups' centres and spreads: memory grows with n
    only.

    Parameters
    ----------
    embeddings : of a face-recognition network.
    distance : root mean square between two groups of one person.
    """
    points = embeddings.astype(np.float64)
    roots = np.arange(len(points))
    connected = _connected(points, distance**2)
    order = np.argsort(connected, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(connected[order])) + 1):
        if len(rows) > 1:
            roots[rows] = rows[_Groups(points[rows], distance**2).joined()]
    return np.unique(roots, return_inverse=True)[1].reshape(-1)  # a root is the first of its group


def _connected(points: Float64[np.ndarray, "n d"], limit: float) -> Int64[np.ndarray, " n"]:
    """Return a number a set of points that pairs within a squared distance connect."""
    count = len(points)
    sets, norms = np.arange(count), (points**2).sum(axis=1)
    for start in range(0, count, _BLOCK):
        block = points[start : start + _BLOCK]
        squares = norms[start : start + _BLOCK, None] + norms - 2 * block @ points.T
        rows, columns = np.nonzero(squares <= limit + _EQUAL)
        ends = np.concatenate([rows + start, np.arange(count)]), np.concatenate([columns, sets])
        graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(count, count))
        labels = connected_components(graph, directed=False)[1]
        sets = np.unique(labels, return_index=True)[1][labels]
    return sets.astype(np.int64)


class _Groups:
    """Groups of faces while they are joined; a group's number is its first face's."""

    def __init__(self, points: Float64[np.ndarray, "n d"], limit: float) -> None:
        self._centres = points.copy()
        self._norms = (points**2).sum(axis=1)
        self._spreads = np.zeros(len(points))  # mean square distance to the centre
        self._counts = np.ones(len(points))
        self._alive = np.ones(len(points), dtype=bool)  # may still be joined
        self._limit = limit
        self._parents = np.arange(len(points))
        self._chain: list[int] = []

    def joined(self) -> Int64[np.ndarray, " n"]:
        """Join all that are near enough; return the group of each face."""
        while self._step():
            pass
        return np.array([self._root(row) for row in range(len(self._parents))], dtype=np.int64)

    def _step(self) -> bool:
        """Make one step along a chain of nearest neighbours; False when all are done."""
        if not self._chain:
            left = np.flatnonzero(self._alive)
            if not len(left):
                return False
            self._chain.append(int(left[0]))
        last = self._chain[-1]
        distances = self._distances(last)
        before = self._chain[-2] if len(self._chain) > 1 else None
        nearest = int(np.argmin(distances))
        if before is not None and distances[before] <= distances[nearest] + _EQUAL:
            nearest = before  # of equals the one before, or a chain might go round for ever
        if not distances[nearest] <= self._limit:  # then it is the chain's first
            self._alive[last] = False  # joining others never brings any nearer than the nearest is
            self._chain.clear()
        elif nearest == before:
            self._join(self._chain.pop(), self._chain.pop())
        else:
            self._chain.append(nearest)
        return True

    def _distances(self, group: int) -> Float64[np.ndarray, " n"]:
        """Return the mean square distances between a group's faces and those of each other group."""
        squares = self._norms + self._norms[group] - 2 * self._centres @ self._centres[group]
        means = squares.clip(0) + self._spreads + self._spreads[group]
        means[~self._alive] = np.inf
        means[group] = np.inf
        return means

    def _join(self, one: int, other: int) -> None:
        first, second = min(one, other), max(one, other)
        share = self._counts[[first, second]] / self._counts[[first, second]].sum()
        apart = self._centres[first] - self._centres[second]
        self._spreads[first] = share @ self._spreads[[first, second]] + share.prod() * (apart @ apart)
        self._centres[first] = share @ self._centres[[first, second]]
        self._norms[first] = self._centres[first] @ self._centres[first]
        self._counts[first] += self._counts[second]
        self._alive[second] = False
        self._parents[second] = first

    def _root(self, row: int) -> int:
        while self._parents[row] != row:
            row = int(self._parents[row])
        return row


def _numbered(names: Sequence[str | None]) -> Int64[np.ndarray, " n"]:
    known = sorted(
        {name for name in names if name is not None},
        key=lambda name: [natural_order(part) for part in name.split("/")],
    )
    numbers = {name: number for number, name in enumerate(known)}
    return np.array([_UNKNOWN if name is None else numbers[name] for name in names], dtype=np.int64)


def _read_list(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"photo", "person"} <= set(reader.fieldnames or ()):
                raise BadInputError(f"{path} needs the columns photo and person in its first line.")
            return _people(path, reader)
    except FileNotFoundError as error:
        raise BadInputError(f"There is no file {path}; check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} is no CSV file in UTF-8; export it again.") from error
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}.") from error


def _people(path: Path, reader: csv.DictReader[str]) -> dict[str, str]:
    people: dict[str, str] = {}
    for row in reader:
        photo, person = ((row[name] or "").strip() for name in ("photo", "person"))
        if not photo:
            continue
        name = PurePosixPath(photo.replace("\\", "/")).as_posix()
        if people.setdefault(name, person) != person:
            raise BadInputError(
                f"{path}, line {reader.line_num}: {photo} shows two people, {people[name]} and "
                f"{person}; leave one out."
            )
    return people
