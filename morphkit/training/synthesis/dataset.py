"""A folder of rendered faces with their truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import morphkit
from morphkit.archive import resolve_model
from morphkit.errors import BadInputError, MorphkitError
from morphkit.io.images import write_image
from morphkit.jobs import Workers, map_unordered
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend
from morphkit.training.data.dataset import Dataset, DatasetWriter
from morphkit.training.data.faces import Faces
from morphkit.training.data.file_marks import files_digest
from morphkit.training.data.manifest import MANIFEST
from morphkit.training.synthesis.backgrounds import Backgrounds
from morphkit.training.synthesis.head import checked
from morphkit.training.synthesis.photos import write_photos
from morphkit.training.synthesis.settings import SynthesisSettings
from morphkit.training.synthesis.sheet import FACES, contact_sheet
from morphkit.training.synthesis.studio import BLOCK, Studio

SHARD = 512  # faces; a multiple of `BLOCK`
CONTACT_SHEET, PHOTOS = "contact_sheet.jpg", "photos"
PARTIAL = "dataset.partial.json"  # what an unfinished dataset has in the place of its manifest
USUAL = SynthesisSettings()
_STAGE = "Rendering photos"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class RenderedDataset:
    """What was rendered.

    Attributes
    ----------
    dataset : the faces.
    contact_sheet : the first of them beside their truth.
    photos : the folder of whole photos, if they were asked for.
    rendered : how many faces this run rendered; the others were there.
    """

    dataset: Dataset
    contact_sheet: Path
    photos: Path | None
    rendered: int


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a worker needs to know."""

    model: MorphableModel | Path | None
    digest: str
    settings: SynthesisSettings
    seed: int
    people: int | None
    backgrounds: Backgrounds
    photos: Path | None
    rasterizer: Backend
    count: int

    def studio(self) -> Studio:
        return Studio.of(
            resolve_model(self.model),
            self.settings,
            seed=self.seed,
            people=self.people,
            backgrounds=self.backgrounds,
            with_photos=self.photos is not None,
            rasterizer=self.rasterizer,
        )


@dataclass(frozen=True, eq=False)
class _Drawn:
    start: int
    faces: Faces | None
    error: Exception | None = None


def render_dataset(
    output: str | os.PathLike[str],
    count: int,
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    settings: SynthesisSettings = USUAL,
    people: int | None = None,
    photos: bool = False,
    backgrounds: str | os.PathLike[str] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    rasterizer: Backend = "numba",
    progress: Progress | None = None,
) -> RenderedDataset:
    """Render photos of a model's faces, with their truth, as a dataset to train on.

    A face is a function of the seed and its number: any number of jobs gives the same files, a run that was
    cut short goes on where it stopped, and a longer run extends a shorter one.

    Parameters
    ----------
    output : the folder: shards, ``dataset.json`` and ``contact_sheet.jpg``.
    count : how many faces.
    model : a model, its file, or None for the embedded head; with albedo and the 68 iBUG landmarks.
    settings : how photos vary.
    people : how many persons the photos show, in turn; None: each photo another.
    photos : also write whole photos to ``photos``, with landmarks and truth; crops are cut from them then,
        which takes several times as long.
    backgrounds : a folder of pictures to cut backgrounds from; made up if None.
    seed : the same seed gives the same faces.
    jobs : processes; None is one a core, at most 8. One with a GPU.
    rasterizer : see `morphkit.rendering.get_rasterizer`.
    progress : called with a stage, how much of it is done, and how much there is.

    Raises
    ------
    BadInputError
        When the model has no albedo or lacks landmarks, or the folder holds another dataset.
    OutputError
        When the folder cannot be written to.
    """
    if count < 1 or (people is not None and people < 1) or seed < 0:
        raise ValueError(f"count and people must be 1 or more, seed 0 or more, got {count}, {people}, {seed}")
    folder, source = Path(output), _source(model)
    whole = resolve_model(source)
    name = {"name": _name(source, whole), "digest": whole.digest}
    places = None if backgrounds is None else Path(backgrounds)
    plan = _Plan(
        source, name["digest"], settings, seed, people, Backgrounds.of(places),
        folder / PHOTOS if photos else None, rasterizer, count,
    )  # fmt: skip
    checked(whole)
    values = {
        "rendered": True, "seed": seed, "people": people, "photos": photos,
        "backgrounds": None if places is None else str(places),
        "backgrounds_digest": None if places is None else _pictures_digest(places, plan.backgrounds),
        **settings.values(), "morphkit": morphkit.__version__,
    }  # fmt: skip
    with _writer(folder, count, settings.size, name, values) as writer:
        start = writer.count
        _render(writer, plan, 1 if rasterizer == "nvdiffrast" else jobs, progress)
        dataset = writer.finish()
    sheet = folder / CONTACT_SHEET
    if start < count or not sheet.exists():
        first = dataset.read(np.arange(min(count, FACES)))
        write_image(sheet, contact_sheet(_studio(plan.digest, plan).head, first))
    return RenderedDataset(dataset, sheet, plan.photos, count - start)


def _render(writer: DatasetWriter, plan: _Plan, jobs: int | None, progress: Progress | None) -> None:
    """Render what is missing, and add it in order."""
    if writer.finished:
        return
    starts = range(writer.count, plan.count, BLOCK)
    report = progress or (lambda _stage, _done, _total: None)
    report(_STAGE, writer.count, plan.count)
    lost = partial(_lost, plan)
    drawn = map_unordered(partial(_draw, plan), starts, workers=Workers(jobs), lost=lost)
    with closing(drawn) as results:
        for faces in _in_order(results, starts):
            writer.add(faces)
            report(_STAGE, writer.count, plan.count)


def _in_order(results: Iterator[_Drawn], starts: range) -> Iterator[Faces]:
    early: dict[int, Faces] = {}
    wanted = iter(starts)
    due = next(wanted, None)
    for drawn in results:
        if drawn.error is not None:
            raise drawn.error
        if drawn.faces is not None:
            early[drawn.start] = drawn.faces
        while due in early:
            yield early.pop(due)
            due = next(wanted, None)


def _draw(plan: _Plan, start: int) -> _Drawn:
    """Draw a block of faces, and write their photos; what goes wrong is handed back."""
    try:
        studio = _studio(plan.digest, plan)
        faces, photos = studio.block(start, min(BLOCK, plan.count - start))
        if plan.photos is not None:
            write_photos(plan.photos, studio.head, faces, photos)
    except Exception as error:
        return _Drawn(start, None, error)
    return _Drawn(start, faces)


def _lost(_: _Plan, start: int) -> _Drawn:
    message = f"A process died rendering faces {start} to {start + BLOCK - 1}; run again with fewer --jobs."
    return _Drawn(start, None, MorphkitError(message))


class _Studios:
    """The last studio of this process: making one takes as long as several faces."""

    last: tuple[tuple[object, ...], Studio] | None = None


def _studio(digest: str, plan: _Plan) -> Studio:
    key = (digest, plan.settings, plan.seed, plan.people, plan.backgrounds, plan.photos, plan.rasterizer)
    if _Studios.last is None or _Studios.last[0] != key:
        _Studios.last = (key, plan.studio())
    return _Studios.last[1]


def _writer(
    folder: Path, count: int, size: int, model: Mapping[str, Any], settings: Mapping[str, Any]
) -> DatasetWriter:
    """Return a writer for so many faces, also into a finished dataset of fewer made alike."""
    writer = DatasetWriter(folder, size=size, model=model, settings=settings, shard_size=SHARD)
    if writer.count > count:
        raise BadInputError(
            f"{folder} holds {writer.count} faces already; choose another folder for {count}."
        )
    if not writer.finished or writer.count == count:
        return writer
    os.replace(folder / MANIFEST, folder / PARTIAL)
    return DatasetWriter(folder, size=size, model=model, settings=settings, shard_size=SHARD)


def _pictures_digest(folder: Path, backgrounds: Backgrounds) -> str:
    return files_digest((path.relative_to(folder).as_posix(), [path]) for path in backgrounds.pictures)


def _source(model: MorphableModel | str | os.PathLike[str] | None) -> MorphableModel | Path | None:
    return model if model is None or isinstance(model, MorphableModel) else Path(model)


def _name(source: MorphableModel | Path | None, model: MorphableModel) -> str:
    return source.name if isinstance(source, Path) else str(model.provenance.get("name", "unnamed"))
