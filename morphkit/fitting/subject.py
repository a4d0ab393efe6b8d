"""Several photos of one person: shared identity and albedo, own pose, expression and light."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from morphkit.archive import load_default_model
from morphkit.errors import MorphkitError
from morphkit.fitting.album import Album, Knowledge, same_person
from morphkit.fitting.consensus import pooled
from morphkit.fitting.fit import Clock, GivenPhoto, Progress, SingleFit, fit_result, fit_single
from morphkit.fitting.joint import Joint, descend
from morphkit.fitting.landmark import POSE
from morphkit.fitting.look import Look
from morphkit.fitting.result import FitResult
from morphkit.fitting.settings import FitSettings
from morphkit.fitting.sharing import Sharing
from morphkit.fitting.threads import one_thread
from morphkit.fitting.uncertainty import FacePosterior, vertex_deviations
from morphkit.fitting.verdict import FailedPhoto, Verdict
from morphkit.io.images import rgb_pixels
from morphkit.landmarks.given import GivenPoints, as_points68
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend, Rasterizer, get_rasterizer

_DEFAULTS = FitSettings()
_ROUNDS = 2  # windows and contours are renewed between them
_ITERATIONS = 8  # in each
_TOGETHER = "together"  # the stage of the joint fit


@dataclass(frozen=True, eq=False)
class SubjectFit:
    """One person fitted to several photos.

    Attributes
    ----------
    photos : a fit for each usable photo, in their order; `identity` and `albedo` are the same in all (where a
        network predicted them, each has its own albedo, and `albedo` is their mean, weighted). Their timings
        end with "together": the seconds of the joint fit over the number of photos.
    indices : (p,) places of these photos among the given ones.
    identity, albedo : coefficients in standard deviations.
    neutral : (v, 3) the person's face without expression, millimetres, head frame.
    neutral_deviations : (v,) of each of its points along the surface's normal, mm, as in `FitResult`; NaN
        where unknown.
    weights : (p,) how far each photo counted, in (0, 1].
    disagreements : (p,) of each photo's identity and albedo with those of the others that count: 1 on average
        where all errors are as believed, many times that for someone else; NaN where unknown.
    failures : the photos that could not be fitted.
    notes : what the reader should know, one sentence each.
    converged : whether the joint optimisation settled (`morphkit.fitting.joint.Joint`).
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
    names: Sequence[str] | None = None,
    rasterizer: Backend = "numba",
    progress: Progress | None = None,
) -> SubjectFit:
    """Fit one person to several photos.

    Each photo is fitted by itself; the fits' Gaussian information about identity tells who agrees with whom
    and, with the prior counted once, where the joint descent starts. That minimises the sum of the photos'
    energies, each by its weight, in everything at once: one identity and albedo, and for every photo its own
    pose, expression, light and focal length. A photo whose identity and skin contradict the others' counts
    little and is named in the notes: for that it takes three photos, and four are surer. Where the photos do
    not agree and none of them stands out, a note says so.

    Parameters
    ----------
    images : files, or sRGB pixels as in `fit_image`. Photos that cannot be used are left out.
    model : the default head if None.
    landmarks : for each photo as in `fit_image`; None to detect them.
    settings : weights; ``photometric=None`` leaves the colours out.
    shared_focal : whether one lens took all photos; None to believe so when they are of one size and their
        EXIF names the same focal length.
    names : what notes call each photo, as a sentence's first words; "Photo 1" and so on if None.
    rasterizer : the backend that draws.
    progress : called with (stage, done, total).

    Raises
    ------
    ValueError
        Without images, when `landmarks` or `names` are not as many, or an array is of another shape or type
        than `fit_image` takes, when `shared_focal` is True for photos of different sizes, or when `settings`
        ask for the polish, which is for single photos.
    MorphkitError
        The first photo's, when none can be used.
    """
    if len(images) == 0:
        raise ValueError("images: expected at least one photo, got none")
    if landmarks is not None and len(landmarks) != len(images):
        raise ValueError(f"landmarks: expected one for each of {len(images)} photos, got {len(landmarks)}")
    if names is not None and len(names) != len(images):
        raise ValueError(f"names: expected one for each of {len(images)} photos, got {len(names)}")
    if settings.gradient is not None:
        raise ValueError(
            "settings: gradient is for single photos; several are fitted without it, expected None"
        )
    images = [rgb_pixels(image) if isinstance(image, np.ndarray) else image for image in images]
    points = [None] * len(images) if landmarks is None else landmarks
    given = [None if one is None else as_points68(one) for one in points]
    called = _numbers(len(images)) if names is None else tuple(names)
    with one_thread():
        model = load_default_model() if model is None else model
        settings = settings.for_model(model)
        drawer, steps = get_rasterizer(rasterizer), _Steps(progress, len(images) + _ROUNDS)
        singles, failures = _fit_each(images, called, model, given, settings, drawer, steps)
        return fit_together(singles, settings, drawer, failures, shared_focal, called, steps.done)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(f"Photo {number}" for number in range(1, count + 1))


def _fit_each(
    images: Sequence[GivenPhoto],
    names: Sequence[str],
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
            failures.append(FailedPhoto(index, names[index], error))
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
    names: Sequence[str] | None = None,
    done: Callable[[], None] = lambda: None,
) -> SubjectFit:
    """Fit one person, given the photos' own fits; see `fit_images`.

    Parameters
    ----------
    singles : by place among the given photos.
    settings, rasterizer, shared_focal, names : as there.
    failures : photos that were left out.
    done : called after each round.
    """
    begun, called = time.perf_counter(), _numbers(max(singles) + 1) if names is None else names
    album = Album.of(tuple(singles.values()), settings, rasterizer, shared_focal)
    alone = album.knowledge(album.start())
    # Only the photos' own fits tell people apart: fitted together, each photo bends to the shared identity.
    verdict = Verdict.of([called[index] for index in singles], alone.evidence)
    joint = Joint(alone.agreed(verdict.weights), (), True)
    for _ in range(_ROUNDS):
        joint = descend(
            album.comparisons(joint.looks),
            joint.looks,
            verdict.weights,
            iterations=_ITERATIONS,
            tolerance=album.tolerance,
        )
        done()
    seconds = time.perf_counter() - begun
    return _subject(album, tuple(singles), joint, verdict, failures, seconds)


def _subject(
    album: Album,
    indices: tuple[int, ...],
    joint: Joint,
    verdict: Verdict,
    failures: tuple[FailedPhoto, ...],
    seconds: float,
) -> SubjectFit:
    knowledge = album.knowledge(joint.looks)
    _, whole = pooled(knowledge.evidence, verdict.weights)
    looks = tuple(same_person(look, joint.looks[0], album.sharing) for look in joint.looks)
    share = seconds / len(indices)
    photos = tuple(
        _photo_result(
            single, looks[i], joint, _with_others(single, album.sharing, knowledge, verdict, i), share
        )
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
        notes=(*(failure.note for failure in failures), *verdict.notes),
        converged=joint.converged,
    )


def _with_others(
    single: SingleFit, sharing: Sharing, knowledge: Knowledge, verdict: Verdict, own: int
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
    single: SingleFit, look: Look, joint: Joint, precision: Float[np.ndarray, "p p"], seconds: float
) -> FitResult:
    clock = Clock(None, seconds={**single.timings, _TOGETHER: seconds})
    if single.colors is None:
        sparse = replace(single.sparse, face=look.face, converged=joint.converged, precision=precision)
        return fit_result(replace(single, sparse=sparse), clock)
    colors = replace(single.colors, look=look, converged=joint.converged, precision=precision)
    return fit_result(replace(single, colors=colors), clock)


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
