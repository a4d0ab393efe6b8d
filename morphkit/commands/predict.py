"""`morphkit predict`, and `morphkit fit --init`: photos through a trained network, to files."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from morphkit.commands.predicted import initial_face, person_result, prediction_result
from morphkit.fitting import FitResult, FitSettings, SubjectFit, fit_batch, fit_image, write_fit
from morphkit.fitting.batch import FitFigures, FitPlan, PhotoFile, PhotoOutcome
from morphkit.fitting.batch.outcome import fit_figures
from morphkit.fitting.batch.task import ModelFile, load_once
from morphkit.fitting.output import FIT_FILES
from morphkit.fitting.threads import one_thread
from morphkit.io.files import file_hash
from morphkit.jobs import code_digest
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend
from morphkit.training.predict import Predictor
from morphkit.training.predict_set import load_c_net, predict_set

_ROOMS = ("training", "commands")  # whose code makes a prediction what it is, besides a fit's
_ALL = tuple(FIT_FILES)


def predict(
    photo: str | Path,
    weights: str | Path | Predictor,
    output: str | Path | None = None,
    *,
    model: MorphableModel | str | Path | None = None,
    landmarks: str | Path | None = None,
    files: Collection[str] = _ALL,
) -> FitResult:
    """Return the largest face of a photo as a trained network sees it; nothing is fitted.

    Parameters
    ----------
    photo : the image file.
    weights : that `morphkit train` wrote; or a `Predictor`, which has read them and its model.
    output : the folder that gets the files of `morphkit.fitting.write_fit`; None writes nothing.
    model : that the network was trained for, or its file; None for the embedded head.
    landmarks : a file with the 68 iBUG points in the photo's pixels, in place of detected ones.
    files : groups to write.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When a file cannot be used, or the weights are of another model.
    """
    predictor = weights if isinstance(weights, Predictor) else Predictor.load(weights, model)
    with one_thread():
        result = prediction_result(predictor(photo, landmarks), predictor)
    if output is not None:
        write_fit(result, output, files=files)
    return result


def predict_person(
    photos: Sequence[str | Path],
    weights: str | Path | Predictor,
    *,
    c_net: str | Path | None = None,
    model: MorphableModel | str | Path | None = None,
    landmarks: Sequence[str | Path | None] | None = None,
    names: Sequence[str] | None = None,
) -> SubjectFit:
    """Return one person as trained networks see them in several photos; nothing is fitted.

    Parameters
    ----------
    photos : image files; those that cannot be used are left out.
    weights, model : as of `predict`.
    c_net : weights of C-Net, which says how far to trust each photo; None for the plain mean.
    landmarks : for each photo, as of `predict`.
    names : what notes call each photo; its path if None.

    Returns
    -------
    For `morphkit.fitting.write_subject`. The most trusted photo counts 1, the others accordingly less.

    Raises
    ------
    BadInputError
        When a file cannot be used, or weights and model don't go together.
    MorphkitError
        The first photo's, when none can be used.
    """
    predictor = weights if isinstance(weights, Predictor) else Predictor.load(weights, model)
    weigher = None if c_net is None else load_c_net(c_net, predictor)
    with one_thread():
        person = predict_set(predictor, photos, landmarks, weigher)
    return person_result(person, predictor, [str(photo) for photo in photos] if names is None else names)


def predict_photos(
    photos: Sequence[PhotoFile],
    output: Path,
    weights: Path,
    *,
    model: Path | None = None,
    files: Collection[str] = _ALL,
    jobs: int | None = None,
    resume: bool = True,
    summary: bool = True,
) -> Generator[PhotoOutcome, None, None]:
    """Predict photos, and yield what became of each as it is done; files and all else as of `fit_batch`.

    Raises
    ------
    BadInputError
        At once, when the weights or the model cannot be used.
    """
    work = PredictPhoto(weights, _checked(weights, model))
    return fit_batch(
        photos,
        output,
        model=model,
        files=files,
        jobs=jobs,
        resume=resume,
        summary=summary,
        fit=work,
        made_by=_made_by(work.digest),
    )


def fit_photos_from(
    photos: Sequence[PhotoFile],
    output: Path,
    weights: Path,
    *,
    model: Path | None = None,
    settings: FitSettings,
    rasterizer: Backend = "numba",
    files: Collection[str] = _ALL,
    jobs: int | None = None,
    resume: bool = True,
    summary: bool = True,
) -> Generator[PhotoOutcome, None, None]:
    """Fit photos, each from what a network says of it; otherwise as `fit_batch`.

    Raises
    ------
    BadInputError
        At once, when the weights or the model cannot be used.
    """
    work = FitPredicted(weights, _checked(weights, model))
    return fit_batch(
        photos,
        output,
        model=model,
        settings=settings,
        rasterizer=rasterizer,
        files=files,
        jobs=jobs,
        resume=resume,
        summary=summary,
        fit=work,
        made_by=_made_by(work.digest),
    )


def fit_predicted(
    photo: str | Path,
    predictor: Predictor,
    *,
    landmarks: str | Path | None,
    settings: FitSettings,
    rasterizer: Backend = "numba",
) -> FitResult:
    """Fit a photo from what a network says of it.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When a file cannot be used.
    """
    with one_thread():
        init = initial_face(predictor(photo, landmarks), predictor)
    return fit_image(
        photo, predictor.model, landmarks=landmarks, settings=settings, rasterizer=rasterizer, init=init
    )


@dataclass(frozen=True)
class PredictPhoto:
    """Predicts a photo in a worker of `fit_batch`.

    Attributes
    ----------
    weights : of the network.
    digest : of that file.
    """

    weights: Path
    digest: str

    def __call__(self, photo: PhotoFile, plan: FitPlan, folder: Path) -> FitFigures:
        """Write what the plan asks for into a folder, and return the figures."""
        predictor = _loaded(self.weights, self.digest, plan.model)
        result = predict(photo.path, predictor, folder, landmarks=photo.landmarks, files=plan.files)
        return fit_figures(result)


@dataclass(frozen=True)
class FitPredicted:
    """Fits a photo from what a network says of it, in a worker of `fit_batch`; attributes as above."""

    weights: Path
    digest: str

    def __call__(self, photo: PhotoFile, plan: FitPlan, folder: Path) -> FitFigures:
        """Write what the plan asks for into a folder, and return the figures."""
        predictor = _loaded(self.weights, self.digest, plan.model)
        result = fit_predicted(
            photo.path,
            predictor,
            landmarks=photo.landmarks,
            settings=plan.settings,
            rasterizer=plan.rasterizer,
        )
        write_fit(result, folder, files=plan.files)
        return fit_figures(result)


def person_names(photos: Sequence[PhotoFile]) -> list[str]:
    """Return what a person's page calls photos: their places with their suffixes."""
    return [str(PurePosixPath(photo.name).with_name(photo.path.name)) for photo in photos]


@lru_cache(maxsize=1)
def _loaded(weights: Path, digest: str, model: ModelFile) -> Predictor:  # noqa: ARG001
    """Return a predictor, read once in a process; the digest is part of the key."""
    return Predictor.load(weights, load_once(model))


def _checked(weights: Path, model: Path | None) -> str:
    """Say what is wrong with weights now, and not ten thousand times; return their digest."""
    Predictor.load(weights, model)
    return file_hash(weights)


def _made_by(digest: str) -> str:
    return f"{digest} {code_digest(_ROOMS, ())}"
