"""What a finished search through photos has found, face by face, before anything is chosen or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from morphkit.errors import BadInputError
from morphkit.training.data.duplicates import details, find_duplicates, fingerprint
from morphkit.training.data.grouping import cluster, people_by_folder, people_by_list
from morphkit.training.data.preparing import Failure, PartTask, read_part, source_of
from morphkit.training.data.shards import Shard


@dataclass(frozen=True, eq=False)
class Survey:
    """All faces that were found, in the photos' order, and the photos without one.

    Attributes
    ----------
    sources : (n) of the photos.
    numbers : (n,) which face of its photo.
    people : (n,) who it is, -1 where unknown.
    repeats : (n,) which face it repeats, -1 for those that are no duplicates.
    kept : (n,) whether the face goes into the dataset.
    poses : (n, 3) pitch, yaw and roll, radians.
    tones : (n,) degrees, NaN where unknown.
    scales : (n,) photo pixels to a millimetre of the face.
    failures : in the photos' order.
    """

    sources: tuple[str, ...]
    numbers: Int64[np.ndarray, " n"]
    people: Int64[np.ndarray, " n"]
    repeats: Int64[np.ndarray, " n"]
    kept: Bool[np.ndarray, " n"]
    poses: Float64[np.ndarray, "n 3"]
    tones: Float64[np.ndarray, " n"]
    scales: Float64[np.ndarray, " n"]
    failures: tuple[Failure, ...]


def survey(tasks: Sequence[PartTask], people: str, keep_duplicates: bool, pixels_per_mm: float) -> Survey:
    """Return what finished parts hold, with duplicates told and people named.

    Of each face it keeps about a kilobyte, and half of one more for its embedding.

    Parameters
    ----------
    tasks : of the parts.
    people : "folders", "cluster", "none", or a CSV file; see `morphkit.training.data.grouping`.
    keep_duplicates : leave them in.
    pixels_per_mm : of the crops.

    Raises
    ------
    BadInputError
        When the list of people cannot be used, or a part is damaged.
    """
    tables: list[dict[str, Sequence[Any]]] = []
    failures: list[Failure] = []
    for task in tasks:
        record = read_part(task)
        if record is None:
            raise BadInputError(f"{task.path} is damaged; remove it and run the same command again.")
        failures += record.failures
        if record.faces:
            tables.append(_columns(task.shard))
    columns = {name: [value for table in tables for value in table[name]] for name in _NAMES}
    scales = pixels_per_mm / np.array(columns["zooms"], dtype=np.float64)
    repeats = _repeats(columns, scales)
    photos = {source_of(photo): photo.path for task in tasks for photo in task.photos}
    return Survey(
        tuple(columns["sources"]),
        np.array(columns["numbers"], dtype=np.int64),
        _people(people, columns, photos),
        repeats,
        np.full(len(repeats), True) if keep_duplicates else repeats < 0,
        np.array(columns["poses"], dtype=np.float64).reshape(-1, 3),
        np.array(columns["tones"], dtype=np.float64),
        scales,
        tuple(failures),
    )


_NAMES = ("sources", "numbers", "poses", "tones", "zooms", "prints", "patterns", "embeddings")


def _columns(path: Path) -> dict[str, Sequence[Any]]:
    """Return what the survey needs of a part's faces."""
    with Shard(path) as shard:
        faces = shard.read(np.arange(len(shard)))
    embeddings = faces.embeddings
    return {
        "sources": faces.sources,
        "numbers": list(faces.numbers),
        "poses": list(faces.poses),
        "tones": list(faces.tones),
        "zooms": list(np.sqrt(np.abs(np.linalg.det(faces.crops[:, :, :2])))),
        "prints": [fingerprint(image) for image in faces.images],
        "patterns": [details(image) for image in faces.images],
        "embeddings": [] if embeddings is None else list(embeddings),
    }


def _repeats(columns: dict[str, list[Any]], scales: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Return which face, of those that are photographed larger, each repeats."""
    if not len(scales):
        return np.zeros(0, dtype=np.int64)
    prints = np.array(columns["prints"], dtype=np.uint64)
    return find_duplicates(prints, np.stack(columns["patterns"]), scales)


def _people(how: str, columns: dict[str, list[Any]], photos: dict[str, Path]) -> Int64[np.ndarray, " n"]:
    sources = [str(source) for source in columns["sources"]]
    if how == "none" or not sources:
        return np.full(len(sources), -1, dtype=np.int64)
    if how == "folders":
        return people_by_folder(sources)
    if how == "cluster":
        return cluster(np.stack(columns["embeddings"]).astype(np.float32))
    return people_by_list(how, sources, [photos[source] for source in sources])
