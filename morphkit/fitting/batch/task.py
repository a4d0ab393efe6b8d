"""What a worker does with one photo: take an earlier result, or fit it; a failure is a result as well."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from morphkit.errors import MorphkitError, OutputError
from morphkit.export.contact_sheet import write_thumbnail
from morphkit.fitting.batch.outcome import FitFigures, PhotoOutcome, fit_figures
from morphkit.fitting.batch.store import (
    RECORD,
    Fingerprint,
    is_complete,
    read_record,
    remove_files,
    write_record,
)
from morphkit.fitting.fit import fit_image
from morphkit.fitting.models import model_to_fit
from morphkit.fitting.output import write_fit
from morphkit.fitting.settings import FitSettings
from morphkit.io.atomic_folder import filled_folder
from morphkit.io.files import file_hash
from morphkit.io.images import read_image
from morphkit.io.photos import PhotoFile
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend


@dataclass(frozen=True)
class ModelFile:
    """Where workers find a batch's model.

    Attributes
    ----------
    path : the file to read, or None for the embedded head.
    content : the hash of what it holds.
    source : the file that results name as their model's; None where there is none that lasts.
    """

    path: Path | None
    content: str
    source: Path | None


@dataclass(frozen=True)
class FitPlan:
    """What all photos of a batch have in common; small, since it travels with each of them.

    Attributes
    ----------
    model : that is fitted.
    settings : of the fit.
    rasterizer : what draws.
    files : groups of files to write, of `morphkit.fitting.output.FIT_FILES`.
    code : hash of what computes.
    network : hash of the file of face-network weights that the settings name, and of what else the fit
        depends on; empty where there is none of them.
    """

    model: ModelFile
    settings: FitSettings
    rasterizer: Backend
    files: tuple[str, ...]
    code: str
    network: str = ""


PhotoFit = Callable[[PhotoFile, FitPlan, Path], FitFigures]
"""Fits a photo, writes the result's files into a folder and returns the figures."""


@dataclass(frozen=True, eq=False)
class Task:
    """One photo to fit.

    Attributes
    ----------
    photo : its files.
    plan : what the batch shares.
    output : the folder that gets a folder for each photo.
    scratch : a folder of this task's alone, on the same disk, in one of this run's alone.
    reuse : take a result that is there if nothing that it depends on has changed.
    thumbnail : draw one for the contact sheet.
    fit : does it.
    """

    photo: PhotoFile
    plan: FitPlan
    output: Path
    scratch: Path
    reuse: bool
    thumbnail: bool
    fit: PhotoFit

    @property
    def folder(self) -> Path:
        """The folder that gets the result's files."""
        return self.output / self.photo.name

    @property
    def run(self) -> str:
        """What tells this run's results from those of others."""
        return self.scratch.parent.name


def fit_photo(photo: PhotoFile, plan: FitPlan, folder: Path) -> FitFigures:
    """Fit a photo and write what the plan asks for into a folder.

    Raises
    ------
    MorphkitError
        When the photo cannot be fitted, or the folder not be written to.
    """
    model = load_once(plan.model)
    result = fit_image(
        photo.path, model, landmarks=photo.landmarks, settings=plan.settings, rasterizer=plan.rasterizer
    )
    write_fit(result, folder, files=plan.files)
    return fit_figures(result)


@lru_cache(maxsize=1)
def load_once(model: ModelFile) -> MorphableModel:
    """Return a model, read once in a process: what is computed for it stays with it.

    Raises
    ------
    BadInputError
        When the file cannot be read.
    """
    return model_to_fit(model.path).read_from(model.source)


def run(task: Task) -> PhotoOutcome | OutputError:
    """Fit a photo; every trouble becomes an outcome that names it, or an error that concerns all photos."""
    start = time.perf_counter()
    try:
        outcome = _done(task, start)
    except OutputError as error:
        return error if error.lasting else _failed(task, str(error), start)
    except MorphkitError as error:
        return _failed(task, str(error), start, error.exit_code)
    except OSError as error:  # a vanished drive
        place = error.filename or task.photo.path
        return _failed(task, f"{place}: {error.strerror or error}.", start)
    except MemoryError:
        return _failed(task, f"{task.photo.path}: there is too little memory to fit this photo.", start)
    except Exception as error:  # one photo's trouble must not end a night's run; it is named in every summary
        reason = f"{task.photo.path}: internal error, {type(error).__name__}: {error}"
        return replace(_failed(task, reason, start), trace=traceback.format_exc())
    _draw_thumbnail(task, outcome)
    return outcome


def give_up(task: Task) -> PhotoOutcome:
    """Return the outcome of a photo whose process died without a word, twice."""
    reason = f"{task.photo.path}: its process was ended from outside, as happens when memory runs out."
    return _failed(task, reason, time.perf_counter(), draw=False)


def thumbnail_path(output: Path, name: str) -> Path:
    """Return where a photo's picture for the contact sheet lies."""
    return output / "index_files" / f"{name}.jpg"


def fingerprint(photo: PhotoFile, plan: FitPlan) -> Fingerprint:
    """Return the hashes of everything that a fit depends on.

    Raises
    ------
    BadInputError
        When the photo or its landmarks cannot be read.
    """
    steering = repr((_nameless(plan.settings), plan.rasterizer, sorted(plan.files)))
    return {
        "photo": file_hash(photo.path),
        "landmarks": "detected" if photo.landmarks is None else file_hash(photo.landmarks),
        "model": plan.model.content,
        "network": plan.network,
        "settings": hashlib.sha256(steering.encode()).hexdigest(),
        "code": plan.code,
    }


def _nameless(settings: FitSettings) -> FitSettings:
    """Return the settings without the name of a file, whose content counts."""
    gradient = settings.gradient
    return settings if gradient is None else replace(settings, gradient=replace(gradient, network=None))


def _done(task: Task, start: float) -> PhotoOutcome:
    made_of, earlier = fingerprint(task.photo, task.plan), read_record(task.folder)
    outcome = PhotoOutcome(task.photo.name, task.photo.path, "fitted", task.folder)
    if earlier and earlier.fingerprint == made_of and is_complete(task.folder, earlier):
        done = replace(outcome, figures=earlier.figures, seconds=earlier.seconds)
        if earlier.run == task.run:  # its process died before it could tell
            return done
        if task.reuse:
            return replace(done, status="reused")
    with filled_folder(task.folder, task.scratch, last=RECORD) as folder:
        figures = task.fit(task.photo, task.plan, folder)
        seconds = time.perf_counter() - start
        write_record(folder, task.run, made_of, figures, seconds)
        new = frozenset(path.name for path in folder.iterdir())
    remove_files(task.folder, earlier, kept=new)
    return replace(outcome, figures=figures, seconds=seconds)


def _draw_thumbnail(task: Task, outcome: PhotoOutcome) -> None:
    """Draw the fit side by side or, failing that, the bare photo; a sheet can do without."""
    path = thumbnail_path(task.output, task.photo.name)
    if not task.thumbnail or (outcome.status == "reused" and path.is_file()):
        return
    strip = task.folder / "side_by_side.png"
    drawn = outcome.usable and strip.is_file()
    with suppress(MorphkitError, OSError):
        write_thumbnail(path, read_image(strip if drawn else task.photo.path))


def _failed(task: Task, reason: str, start: float, exit_code: int = 1, *, draw: bool = True) -> PhotoOutcome:
    outcome = PhotoOutcome(
        task.photo.name,
        task.photo.path,
        "failed",
        error=" ".join(reason.split()),
        seconds=time.perf_counter() - start,
        exit_code=exit_code,
    )
    with suppress(OSError):  # an older result would pass for this run's
        remove_files(task.folder, read_record(task.folder))
        thumbnail_path(task.output, task.photo.name).unlink(missing_ok=True)
    if draw:
        _draw_thumbnail(task, outcome)
    return outcome
