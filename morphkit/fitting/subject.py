"""Several photos of one person: shared identity and albedo, own pose, expression and light."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from morphkit.archive import load_default_model
from morphkit.errors import MorphkitError
from morphkit.fitting.album import Album, Knowledge, same_person
from morphkit.fitting.consensus import DISAGREE, DOUBTED, photo_weights, pooled
from morphkit.fitting.fit import Clock, GivenPhoto, Progress, SingleFit, fit_result, fit_single
from morphkit.fitting.joint import Joint, Sharing, descend
from morphkit.fitting.landmark import POSE
from morphkit.fitting.look import Look
from morphkit.fitting.result import FitResult
from morphkit.fitting.seen import GivenPoints, as_points68
from morphkit.fitting.settings import FitSettings
from morphkit.fitting.threads import one_thread
from morphkit.fitting.uncertainty import FacePosterior, vertex_deviations
from morphkit.io.images import rgb_pixels
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend, Rasterizer, get_rasterizer

_DEFAULTS = FitSettings()
_ROUNDS = 2  # windows and contours are renewed between them
_ITERATIONS = 8  # in each


@dataclass(frozen=True, eq=False)
class FailedPhoto:
    """A photo that could not be fitted, and why."""

    index: int
    error: MorphkitError


@dataclass(frozen=True, eq=False)
class SubjectFit:
    """One person fitted to several photos.

    Attributes
    ----------
    photos : a fit for each usable photo, in their order; `identity` and `albedo` are the same in all.
    indices : (p,) places of these photos among the given ones.
    identity, albedo : coefficients in standard deviations.
    neutral : (v, 3) the person's face without expression, millimetres, head frame.
    neutral_deviations : (v,) of each of its points along the surface's normal, mm, as in `FitResult`.
    weights : (p,) how far each photo counted, in (0, 1].
    disagreements : (p,) of each photo's identity with that of the others: 1 on average where all errors are
        as believed, many times that for someone else.
    failures : the photos that could not be fitted.
    notes : what the reader should know, one sentence each.
    converged : whether the joint optimisation settled.
    """

    photos: tuple[FitResult, ...]
    indices: tuple[int, ...]
    identity: Float[np.ndarray, " i"]
    albedo: Float[np.ndarray, " a"]
    neutral: Float[np.ndarray, "v 3"]
    neutral_deviations: Float[np.ndarray, " v"]
    weights: Float[np.ndarray, " p"]
    disagreements: Float[np.ndarray, " p"]
    failures: tuple[FailedPhoto, ...]
    notes: tuple[str, ...]
    converged: bool


def fit_images(
    images: Sequence[GivenPhoto],
    model: MorphableModel | None = None,
    *,
    landmarks: Sequence[GivenPoints | None] | None = None,
    settings: FitSettings = _DEFAULTS,
    shared_focal: bool | None = None,
    rasterizer: Backend = "numba",
    progress: Progress | None = None,
) -> SubjectFit:
    """Fit one person to several photos.

    Each photo is fitted by itself; the fits' Gaussian information about identity tells who agrees with whom
    and, with the prior counted once, where the joint descent starts. That minimises the sum of the photos'
    energies, each by its weight, in everything at once: one identity and albedo, and for every photo its own
    pose, expression, light and focal length. A photo whose identity contradicts the others' counts little.

    Parameters
    ----------
    images : files, or sRGB pixels as in `fit_image`. Photos that cannot be used are left out.
    model : the default head if None.
    landmarks : for each photo as in `fit_image`; None to detect them.
    settings : weights; ``photometric=None`` leaves the colours out.
    shared_focal : whether one lens took all photos; None to believe so when they are of one size and their
        EXIF names the same focal length.
    rasterizer : the backend that draws.
    progress : called with (stage, done, total).

    Raises
    ------
    ValueError
        Without images, when `landmarks` are not as many, or an array is of another shape or type than
        `fit_image` takes, when `shared_focal` is True for photos of different sizes, or when `settings` ask
        for the polish, which is for single photos.
    MorphkitError
        The first photo's, when none can be used.
    """
    if len(images) == 0:
        raise ValueError("images: expected at least one photo, got none")
    if landmarks is not None and len(landmarks) != len(images):
        raise ValueError(f"landmarks: expected one for each of {len(images)} photos, got {len(landmarks)}")
    if settings.gradient is not None:
        raise ValueError(
            "settings: gradient is for single photos; several are fitted without it, expected None"
        )
    images = [rgb_pixels(image) if isinstance(image, np.ndarray) else image for image in images]
    points = [None] * len(images) if landmarks is None else landmarks
    given = [None if one is None else as_points68(one) for one in points]
    with one_thread():
        model = load_default_model() if model is None else model
        settings = settings.for_model(model)
        drawer, steps = get_rasterizer(rasterizer), _Steps(progress, len(images) + _ROUNDS)
        singles, failures = _fit_each(images, model, given, settings, drawer, steps)
        return fit_together(singles, settings, drawer, failures, shared_focal, steps.done)


def _fit_each(
    images: Sequence[GivenPhoto],
    model: MorphableModel,
    landmarks: Sequence[GivenPoints | None],
    settings: FitSettings,
    rasterizer: Rasterizer,
    steps: _Steps,
) -> tuple[dict[int, SingleFit], tuple[FailedPhoto, ...]]:
    singles: dict[int, SingleFit] = {}
    failures: list[FailedPhoto] = []
    for index, (image, points) in enumerate(zip(images, landmarks, strict=True)):
        try:
            singles[index] = fit_single(image, model, points, settings, rasterizer, Clock(None))
        except MorphkitError as error:
            failures.append(FailedPhoto(index, error))
        steps.done()
    if not singles:
        raise failures[0].error
    return singles, tuple(failures)


def fit_together(
    singles: dict[int, SingleFit],
    settings: FitSettings,
    rasterizer: Rasterizer,
    failures: tuple[FailedPhoto, ...] = (),
    shared_focal: bool | None = None,
    done: Callable[[], None] = lambda: None,
) -> SubjectFit:
    """Fit one person, given the photos' own fits; see `fit_images`.

    Parameters
    ----------
    singles : by place among the given photos.
    settings, rasterizer, shared_focal : as there.
    failures : photos that were left out.
    done : called after each round.
    """
    album = Album.of(tuple(singles.values()), settings, rasterizer, shared_focal)
    alone = album.knowledge(album.start())
    # Only the photos' own fits tell people apart: fitted together, each photo bends to the shared identity.
    weights, off = photo_weights(alone.evidence)
    joint = Joint(alone.agreed(weights), (), True)
    for _ in range(_ROUNDS):
        joint = descend(
            album.comparisons(joint.looks),
            joint.looks,
            weights,
            iterations=_ITERATIONS,
            tolerance=album.tolerance,
        )
        done()
    return _subject(album, tuple(singles), joint, _Verdict(weights, off), failures)


@dataclass(frozen=True, eq=False)
class _Verdict:
    """How far each photo counts, and how far it disagrees with the others."""

    weights: Float[np.ndarray, " p"]
    disagreements: Float[np.ndarray, " p"]


def _subject(
    album: Album,
    indices: tuple[int, ...],
    joint: Joint,
    verdict: _Verdict,
    failures: tuple[FailedPhoto, ...],
) -> SubjectFit:
    knowledge = album.knowledge(joint.looks)
    _, whole = pooled(knowledge.evidence, verdict.weights)
    looks = tuple(same_person(look, joint.looks[0], album.sharing) for look in joint.looks)
    photos = tuple(
        _photo_result(single, looks[i], joint, _with_others(single, album.sharing, knowledge, verdict, i))
        for i, single in enumerate(album.singles)
    )
    identity = looks[0].face.identity
    covariance = whole[: len(identity), : len(identity)] / album.sharing.identity_weight
    return SubjectFit(
        photos=photos,
        indices=indices,
        identity=identity,
        albedo=looks[0].albedo,
        neutral=photos[0].neutral,
        neutral_deviations=_neutral_deviations(album.singles[0], photos[0].neutral, covariance),
        weights=verdict.weights,
        disagreements=verdict.disagreements,
        failures=failures,
        notes=(*_failures(failures, len(indices)), *_doubts(verdict, indices)),
        converged=joint.converged,
    )


def _with_others(
    single: SingleFit, sharing: Sharing, knowledge: Knowledge, verdict: _Verdict, own: int
) -> Float[np.ndarray, "p p"]:
    """Return a photo's precision with what the other photos say of the shared parameters."""
    precision = (single.sparse if single.colors is None else single.colors).precision.copy()
    others = [
        weight * evidence.precision
        for i, (weight, evidence) in enumerate(zip(verdict.weights, knowledge.evidence, strict=True))
        if i != own
    ]
    scale = sharing.roots
    precision[np.ix_(sharing.shared, sharing.shared)] += scale[:, None] * sum(others) * scale
    return precision


def _photo_result(
    single: SingleFit, look: Look, joint: Joint, precision: Float[np.ndarray, "p p"]
) -> FitResult:
    if single.colors is None:
        sparse = replace(single.sparse, face=look.face, converged=joint.converged, precision=precision)
        return fit_result(replace(single, sparse=sparse), Clock(None))
    colors = replace(single.colors, look=look, converged=joint.converged, precision=precision)
    return fit_result(replace(single, colors=colors), Clock(None))


def _neutral_deviations(
    single: SingleFit, neutral: Float[np.ndarray, "v 3"], covariance: Float[np.ndarray, "i i"]
) -> Float[np.ndarray, " v"]:
    """Return the deviations of a face without expression, as a photo's are counted."""
    count, settings = len(covariance), single.settings
    whole = np.zeros((POSE + count, POSE + count))
    whole[POSE:, POSE:] = settings.inflation**2 * covariance
    posterior = FacePosterior(whole, count, 0)
    still = replace(single.model, expression=None, expression_units=None)
    return vertex_deviations(still, neutral, posterior, settings.model_deviation)


def _failures(failures: tuple[FailedPhoto, ...], usable: int) -> tuple[str, ...]:
    total = usable + len(failures)
    return tuple(f"Photo {one.index + 1} of {total} is left out. {one.error}" for one in failures)


def _doubts(verdict: _Verdict, indices: tuple[int, ...]) -> tuple[str, ...]:
    """Return what speaks against single photos."""
    if len(indices) == 2 and verdict.disagreements.max() > DISAGREE:
        return (
            "The two photos hardly look like one person, and two have no majority: both count fully. Look at "
            "them, or add a third photo.",
        )
    return tuple(
        f"Photo {index + 1} looks like someone else, or its fit went wrong: counted {100.0 * weight:.0f} %."
        for index, weight in zip(indices, verdict.weights, strict=True)
        if weight < DOUBTED
    )


@dataclass
class _Steps:
    """Counts what is done, and tells the caller."""

    progress: Progress | None
    total: int
    count: int = 0

    def done(self) -> None:
        self.count += 1
        if self.progress is not None:
            self.progress("Fitting", self.count, self.total)
