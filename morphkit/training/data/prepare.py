"""From photos to a dataset: faces found, aligned, described, sorted out, and written in shards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import morphkit
from morphkit.archive import resolve_model
from morphkit.errors import BadInputError, MissingDependencyError, NoFaceError, OutputError
from morphkit.io.atomic import write_json
from morphkit.io.files import file_hash
from morphkit.io.photos import PhotoFile, find_photos
from morphkit.jobs import Workers, map_unordered
from morphkit.losses.face_network import load_face_network
from morphkit.training.data.alignment import PIXELS_PER_MM, STANDARD_SIZE, FaceFrame
from morphkit.training.data.dataset import Dataset, DatasetWriter
from morphkit.training.data.file_marks import files_digest
from morphkit.training.data.manifest import read_json
from morphkit.training.data.prepared_files import SUMMARY, SheetBuilder, write_report, write_table
from morphkit.training.data.preparing import (
    PartTask,
    PreparePlan,
    lose_part,
    parts_of,
    read_part,
    run_part,
    source_of,
)
from morphkit.training.data.shards import read_shard
from morphkit.training.data.skin import Attention
from morphkit.training.data.survey import Survey, survey

PARTS = "parts"
"""Folder of what is finished while a run lasts."""

_PHOTOS_IN_PART = 16
_SHARD = 512  # faces

Progress = Callable[[str, int, int], None]
People = str
"""\"folders\", \"cluster\", \"none\", or the path of a CSV file."""


@dataclass(frozen=True)
class PrepareSettings:
    """How photos become a dataset.

    Attributes
    ----------
    size : side of the crops, pixels.
    every_face : take all faces of a photo, not just the largest.
    smallest : side of the smallest face that is taken, pixels of the photo.
    attention : how pixels are weighed; see `morphkit.training.data.skin.face_attention`.
    people : who is on the photos: "folders" (one a person), "cluster" (by a face-recognition network, of the
        extra ``perceptual``), "none", or a CSV file with the columns photo and person.
    keep_duplicates : leave in what shows a photo again.
    """

    size: int = STANDARD_SIZE
    every_face: bool = False
    smallest: int = 64
    attention: Attention = "own"
    people: People = "none"
    keep_duplicates: bool = False

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 1024 or self.smallest < 1:
            raise ValueError(f"expected size 32..1024 and smallest from 1, got {self.size}, {self.smallest}")
        if self.attention not in ("own", "skin", "all"):
            raise ValueError(f'attention: expected "own", "skin" or "all", got {self.attention!r}')


@dataclass(frozen=True, eq=False)
class Prepared:
    """A dataset made from photos.

    Attributes
    ----------
    dataset : of the faces.
    photos : that were given.
    failed : photos without a usable face.
    duplicates : faces that show a photo again, whether left out or not.
    people : that are told apart.
    table, report : files that say more.
    """

    dataset: Dataset
    photos: int
    failed: int
    duplicates: int
    people: int
    table: Path
    report: Path


def prepare(
    photos: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    settings: PrepareSettings = PrepareSettings(),
    recursive: bool = False,
    landmarks: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Make a dataset to train on from photos.

    `output` gets the shards, ``dataset.json``, ``prepared.csv`` (every face and every failure),
    ``report.html`` and contact sheets. A run that is cut short goes on where it stopped, to the same bytes,
    whatever the number of jobs; meanwhile it needs twice the space.

    Parameters
    ----------
    photos : image files, folders or patterns; see `morphkit.io.photos.find_photos`.
    output : the dataset's folder.
    model : the file of the model that faces are aligned to; None is the embedded head.
    settings : what is taken and how.
    recursive : look into the folders of folders.
    landmarks : a file or folder of 68 points, in place of detection; see `find_photos`.
    jobs : photos at once, in processes; None is one a core, at most 8.
    progress : called with a stage, how much of it is done, and how much there is.

    Raises
    ------
    BadInputError
        When there are no photos, the model or a list of people cannot be used, or the output holds another
        dataset or would lie among the photos.
    NoFaceError
        When no photo shows a usable face; ``prepared.csv`` says why.
    MissingDependencyError
        When people are to be told by a network that is not installed.
    OutputError
        When the output cannot be written to, or the disk is full.
    """
    inputs = [photos] if isinstance(photos, str | os.PathLike) else list(photos)
    found = find_photos(inputs, output, recursive=recursive, landmarks=landmarks)
    folder = Path(output)
    header = _header(found, model, settings)
    plan = _plan(model, settings)
    tasks = list(parts_of(found, plan, folder / PARTS, _PHOTOS_IN_PART))
    tell = progress or (lambda _stage, _done, _total: None)
    with DatasetWriter(folder, size=settings.size, shard_size=_SHARD, **header) as writer:
        if not writer.finished:
            _search(tasks, len(found), jobs, tell)
            _write(writer, tasks, settings, tell)
        dataset = writer.finish()
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return _result(dataset)


def _header(
    photos: Sequence[PhotoFile], model: str | os.PathLike[str] | None, settings: PrepareSettings
) -> dict[str, Any]:
    """Return what the dataset's manifest says of its making; a run goes on only where it is the same."""
    whole = resolve_model(model)
    FaceFrame.of(whole)
    people = settings.people
    if people not in ("folders", "cluster", "none"):
        people = file_hash(people)
    if people == "cluster":
        _ensure_network()
    name = "default head" if model is None else Path(model).stem
    made = {**asdict(settings), "people": people, "morphkit": morphkit.__version__}
    return {
        "model": {"name": name, "digest": whole.digest},
        "settings": {"photos": len(photos), "photos_digest": _photos_digest(photos), **made},
    }


def _ensure_network() -> None:
    try:
        load_face_network()
    except MissingDependencyError as error:
        raise MissingDependencyError(
            "Telling people apart needs a face-recognition network, which is not installed: install it with "
            '`pip install "morphkit-3dmm[perceptual]"`, or give folders or a list of people.'
        ) from error


def _photos_digest(photos: Sequence[PhotoFile]) -> str:
    return files_digest(
        (source_of(photo), [photo.path] if photo.landmarks is None else [photo.path, photo.landmarks])
        for photo in photos
    )


def _plan(model: str | os.PathLike[str] | None, settings: PrepareSettings) -> PreparePlan:
    return PreparePlan(
        None if model is None else Path(model),
        settings.size,
        settings.attention,
        settings.every_face,
        settings.smallest,
        settings.people == "cluster",
    )


def _search(tasks: Sequence[PartTask], photos: int, jobs: int | None, tell: Progress) -> None:
    """Finish the parts that an earlier run has not."""
    left = [task for task in tasks if read_part(task) is None]
    done = photos - sum(len(task.photos) for task in left)
    tell("Finding faces", done, photos)
    with closing(map_unordered(run_part, left, workers=Workers(jobs), lost=lose_part)) as results:
        for result in results:
            if isinstance(result, OutputError):
                raise result
            done += result
            tell("Finding faces", done, photos)


def _write(
    writer: DatasetWriter, tasks: Sequence[PartTask], settings: PrepareSettings, tell: Progress
) -> None:
    """Sort out what the parts hold, and write it."""
    tell("Comparing faces", 0, 1)
    scale = PIXELS_PER_MM * settings.size / STANDARD_SIZE
    found = survey(tasks, settings.people, settings.keep_duplicates, scale)
    tell("Comparing faces", 1, 1)
    write_table(writer.folder, found)
    if not found.kept.any():
        only = found.failures[0].reason if len(found.failures) == 1 else ""
        table = writer.folder / "prepared.csv"
        raise NoFaceError(only or f"No photo shows a usable face; {table} says why, one by one.")
    sheets = SheetBuilder(writer.folder, int(found.kept.sum()), settings.size)
    _copy(writer, tasks, found, sheets, tell)
    summary = _summary(found, sum(len(task.photos) for task in tasks))
    write_report(writer.folder, found, sheets.paths, summary)
    write_json(writer.folder / SUMMARY, summary)


def _copy(
    writer: DatasetWriter, tasks: Sequence[PartTask], found: Survey, sheets: SheetBuilder, tell: Progress
) -> None:
    """Write the kept faces into the dataset, and draw them; those of an earlier run are there already."""
    there, row, place, total = writer.count, 0, 0, int(found.kept.sum())
    for task in tasks:
        if not task.shard.is_file():
            continue
        faces = read_shard(task.shard)
        rows = np.arange(row, row + len(faces))
        row += len(faces)
        mine = faces.take(np.flatnonzero(found.kept[rows]))
        mine = replace(mine, people=found.people[rows][found.kept[rows]])
        sheets.add(mine.images, place)
        new = np.arange(max(0, there - place), len(mine))
        if len(new):
            writer.add(mine.take(new))
        place += len(mine)
        tell("Writing faces", place, total)


def _summary(found: Survey, photos: int) -> dict[str, int]:
    people = found.people[found.kept]
    return {
        "photos": photos,
        "faces": int(found.kept.sum()),
        "failed": len(found.failures),
        "duplicates": int((found.repeats >= 0).sum()),
        "people": len(np.unique(people[people >= 0])),
    }


def _result(dataset: Dataset) -> Prepared:
    folder = dataset.folder
    values: Mapping[str, Any] = read_json(folder / SUMMARY)
    try:
        counts = {name: int(values[name]) for name in ("photos", "failed", "duplicates", "people")}
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{folder / SUMMARY} is damaged; prepare the folder again.") from error
    return Prepared(dataset, **counts, table=folder / "prepared.csv", report=folder / "report.html")
