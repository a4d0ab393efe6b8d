"""Many photos, several at once, with every failure named and survived."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from morphkit.archive import load_model, save_model
from morphkit.errors import OutputError
from morphkit.fitting.batch.outcome import PhotoOutcome
from morphkit.fitting.batch.summary import Summary
from morphkit.fitting.batch.task import FitPlan, ModelFile, PhotoFit, Task, fit_photo, give_up, load_once, run
from morphkit.fitting.output import FIT_FILES
from morphkit.fitting.settings import FitSettings
from morphkit.io.atomic import ensure_writable
from morphkit.io.atomic_folder import scratch_folder
from morphkit.io.files import file_hash
from morphkit.io.photos import PhotoFile, ensure_distinct, find_photos
from morphkit.jobs import Workers, code_digest, map_unordered
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend, get_rasterizer

_ROOMS = (  # whose code makes a fit what it is
    *("mesh.py", "morphable.py", "linear.py", "gaussian.py", "data"),
    *("io", "geometry", "landmarks", "archive", "registration", "transfer"),
    *("model", "rendering", "losses", "export", "fitting"),
)
_PACKAGES = ("numpy", "scipy", "numba", "torch", "ai-edge-litert", "pillow")


def fit_folder(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    recursive: bool = False,
    landmarks: str | os.PathLike[str] | None = None,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    settings: FitSettings | None = None,
    rasterizer: Backend = "numba",
    files: Collection[str] = tuple(FIT_FILES),
    jobs: int | None = None,
    resume: bool = True,
) -> Generator[PhotoOutcome, None, None]:
    """Fit all photos of a folder: `find_photos`, then `fit_batch`, whose parameters these are.

    Raises
    ------
    BadInputError
        When the folder holds no photos, results would lie among them, or the model cannot be used.
    """
    photos = find_photos([folder], output, recursive=recursive, landmarks=landmarks)
    return fit_batch(
        photos,
        output,
        model=model,
        settings=settings,
        rasterizer=rasterizer,
        files=files,
        jobs=jobs,
        resume=resume,
    )


def fit_batch(
    photos: Sequence[PhotoFile],
    output: str | os.PathLike[str],
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    settings: FitSettings | None = None,
    rasterizer: Backend = "numba",
    files: Collection[str] = tuple(FIT_FILES),
    jobs: int | None = None,
    resume: bool = True,
    summary: bool = True,
    fit: PhotoFit = fit_photo,
    made_by: str = "",
) -> Generator[PhotoOutcome, None, None]:
    """Fit photos, and yield what became of each as it is done.

    ``OUTPUT/<name>/`` gets a photo's files, all of them or none. A photo that fails is an outcome; one that
    takes its process down is tried once more by itself. What a run that was cut short has finished is there
    for the next one, which takes a result again if photo, landmarks, model, settings and code are the same.
    With one job all runs in this process.

    Parameters
    ----------
    photos : from `find_photos`, with distinct names.
    output : the folder that gets a folder a photo.
    model : a model, its file, or None for the embedded head.
    settings : weights; the default ones if None.
    rasterizer : what draws.
    files : groups of files to write, see `write_fit`; the sheet shows a fit where "overlay" is among them.
    jobs : photos at once, in processes; None is one a core, at most 8.
    resume : take an earlier result if nothing that it depends on has changed.
    summary : also write ``summary.csv``, ``summary.json`` and ``index.html`` (whose pictures lie in
        ``index_files``) into `output`: in the end, however it comes, and every minute before.
    fit : does the work in a worker; must be picklable.
    made_by : hash of what else `fit` depends on.

    Returns
    -------
    generator of PhotoOutcome
        In the order in which they finish; closing it early ends the workers and removes what is half done.

    Raises
    ------
    ValueError
        At once, when a group of files is unknown.
    BadInputError
        At once, when two photos have one name or the model cannot be used.
    MissingDependencyError
        At once, when the rasterizer cannot be used.
    OutputError
        When the disk is full or, at once, when `output` cannot be written to.
    """
    ensure_distinct(photos)
    _ensure_known(files)
    get_rasterizer(rasterizer)
    folder = Path(output)
    if summary:
        ensure_writable(folder / "summary.csv")
    if model is not None and not isinstance(model, MorphableModel) and Path(model).is_dir():
        model = load_model(model)  # once, not in every worker
    if not isinstance(model, MorphableModel):
        _ensure_model(model)
    chosen = settings or FitSettings()
    return _outcomes(
        _Batch(
            tuple(photos),
            folder,
            model,
            chosen,
            rasterizer,
            tuple(files),
            Workers(jobs),
            resume,
            summary,
            fit,
            made_by,
        )
    )


def _ensure_known(files: Collection[str]) -> None:
    unknown = sorted(set(files) - set(FIT_FILES))
    if unknown:
        raise ValueError(f"files: expected some of {', '.join(FIT_FILES)}, got {', '.join(unknown)}")


@dataclass(frozen=True, eq=False)
class _Batch:
    """The arguments of `fit_batch`, found good."""

    photos: tuple[PhotoFile, ...]
    output: Path
    model: MorphableModel | str | os.PathLike[str] | None
    settings: FitSettings
    rasterizer: Backend
    files: tuple[str, ...]
    workers: Workers
    resume: bool
    summary: bool
    fit: PhotoFit
    made_by: str


def _outcomes(batch: _Batch) -> Generator[PhotoOutcome, None, None]:
    summary = Summary(batch.photos, batch.output) if batch.summary else None
    with scratch_folder(batch.output) as scratch, _completed(summary):
        tasks = _tasks(batch, scratch)
        if batch.workers.at_once(len(tasks)) > 1:
            load_once.cache_clear()  # not needed in this process
        with closing(map_unordered(run, tasks, workers=batch.workers, lost=give_up)) as results:
            for result in results:
                if isinstance(result, OutputError):
                    raise result
                if summary is not None:
                    summary.add(result)
                yield result


def _tasks(batch: _Batch, scratch: Path) -> list[Task]:
    model = _model_file(batch.model, scratch)
    code = code_digest(_ROOMS, _PACKAGES)
    network = _network_hash(batch.settings) + batch.made_by
    plan = FitPlan(model, batch.settings, batch.rasterizer, batch.files, code, network)
    return [
        Task(photo, plan, batch.output, scratch / str(number), batch.resume, batch.summary, batch.fit)
        for number, photo in enumerate(batch.photos)
    ]


def _network_hash(settings: FitSettings) -> str:
    """Return the hash of the face network's file that the settings name, if they name one and need it."""
    gradient = settings.gradient
    if gradient is None or gradient.network is None or not gradient.recognizes:
        return ""
    return file_hash(gradient.network)


def _ensure_model(model: str | os.PathLike[str] | None) -> None:
    """Say what is wrong with a model now, and not ten thousand times."""
    load_once(_model_file(model, Path()))


def _model_file(model: MorphableModel | str | os.PathLike[str] | None, scratch: Path) -> ModelFile:
    """Return where workers find the model."""
    if model is None:
        with resources.as_file(resources.files("morphkit") / "data" / "default_head.h5") as path:
            return ModelFile(None, file_hash(path), None)
    if not isinstance(model, MorphableModel):
        return ModelFile(Path(model), file_hash(model), Path(model))
    path = scratch / "model.npz"  # holds bases that are not orthonormal, too
    save_model(path, model)
    return ModelFile(path, file_hash(path), model.source)


@contextmanager
def _completed(summary: Summary | None) -> Iterator[None]:
    """Write the summary however the batch ends; a disk that is full has been named already."""
    try:
        yield
    except BaseException:
        if summary is not None:
            with suppress(OutputError):
                summary.write()
        raise
    if summary is not None:
        summary.write()
