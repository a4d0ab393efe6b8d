"""A face from a photo: detection, landmark fit, photometric fit, one result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.archive import load_default_model
from morphkit.errors import BadInputError, NoFaceError
from morphkit.export.camera import PhotoCamera
from morphkit.fitting.assembling import PhotoFace, assembled
from morphkit.fitting.contour import LandmarkObserver, landmark_observer
from morphkit.fitting.dense import dense_model
from morphkit.fitting.gradient_fit import GradientFit
from morphkit.fitting.gradient_stage import ensure_can_polish, polish_look
from morphkit.fitting.initial import InitialFace
from morphkit.fitting.intrinsics import focal_prior
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkFit, fit_landmarks
from morphkit.fitting.photometric import PhotometricFit, fit_colors
from morphkit.fitting.result import FitResult
from morphkit.fitting.settings import FitSettings
from morphkit.fitting.sight import Sight, look_for_landmarks
from morphkit.fitting.sparse import start_face
from morphkit.fitting.threads import one_thread
from morphkit.fitting.uncertainty import face_posterior, vertex_deviations
from morphkit.io.images import read_image, rgb_pixels
from morphkit.landmarks.given import GivenPoints, as_points68
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend, Rasterizer, get_rasterizer

GivenPhoto = str | os.PathLike[str] | np.ndarray
"""A photo as a user gives it: a file, or pixels as `morphkit.io.images.rgb_pixels` takes them."""

Photo = UInt8[np.ndarray, "h w 3"]
Progress = Callable[[str, int, int], None]

_DEFAULTS = FitSettings()
_STAGES = ("landmarks", "shape", "colours")
_POLISH = "polish"
_NEAREST = 50.0  # millimetres from the camera's plane, which no point of a photographed head comes nearer
_FARTHEST_TURN = -0.2  # cosine between the camera's direction and the face's, below which it shows its back


def fit_image(
    image: GivenPhoto,
    model: MorphableModel | None = None,
    *,
    landmarks: GivenPoints | None = None,
    settings: FitSettings = _DEFAULTS,
    rasterizer: Backend = "numba",
    progress: Progress | None = None,
    init: InitialFace | None = None,
) -> FitResult:
    """Fit a morphable model to the largest face of a photo.

    Landmarks are found (or given); a camera, the pose, identity and expression are fitted to them; then all
    of these, with albedo and light, are refined by the photo's colours; then, if the settings ask for it, by
    the gradient of the paper's energy. The posterior is that of the refinement by colours in any case.

    Parameters
    ----------
    image : a file, or an array of sRGB codes with row 0 at the top: uint8, (h, w, 3), or grey or with opacity
        as `morphkit.io.images.rgb_pixels` takes them.
    model : the default head if None.
    landmarks : the 68 iBUG points (x, y) in the photo's pixels in place of detected ones, NaN where unknown;
        in an array or a list, or a file of them (`morphkit.landmarks.given.read_photo_landmarks`).
    settings : weights; ``photometric=None`` leaves the colours out, ``gradient=GradientSettings()`` adds the
        polish.
    rasterizer : the backend that draws, see `morphkit.rendering.get_rasterizer`.
    progress : called with (stage, done, total).
    init : what is known of the face, such as a network's prediction: the fit starts there, and is drawn to
        its identity as far as that is sure; None for the mean face and the model's own statistics.

    Raises
    ------
    NoFaceError
        When no face is found in the photo.
    BadInputError
        When a file or the landmarks cannot be used, or the model embeds no landmarks.
    MissingDependencyError
        When `rasterizer` is "nvdiffrast" and it or a GPU is missing, or the polish needs a face network that
        is not installed.
    ValueError
        When an array of pixels or points is of another shape or type, `settings` ask for the polish without
        the colours, or `init` has more coefficients than the model.
    """
    with one_thread():
        model = load_default_model() if model is None else model
        ensure_can_polish(settings, model)
        clock, drawer = Clock(progress, _stages(settings)), get_rasterizer(rasterizer)
        fitted = fit_single(image, model, landmarks, settings, drawer, clock, init)
        return fit_result(_polished(fitted, drawer, clock), clock)


def _stages(settings: FitSettings) -> tuple[str, ...]:
    return _STAGES if settings.gradient is None else (*_STAGES, _POLISH)


@dataclass(frozen=True, eq=False)
class SingleFit:
    """A photo's own fit and what it was made from, for fits that go on from here.

    Attributes
    ----------
    photo : (h, w, 3) sRGB, upright.
    source : its file, or None.
    model : the morphable model.
    sight : the landmarks.
    observer : gives the landmark observations for a face.
    focal_prior : what is known of the focal length.
    sparse : the landmark fit.
    colors : the photometric fit, or None where colours were left out.
    settings : that it was fitted with.
    timings : seconds by stage.
    polish : the gradient fit that went on from it, or None; then `colors` has its look.
    init : what was known of the face before, or None.
    """

    photo: Photo
    source: Path | None
    model: MorphableModel
    sight: Sight
    observer: LandmarkObserver
    focal_prior: FocalPrior
    sparse: LandmarkFit
    colors: PhotometricFit | None
    settings: FitSettings
    timings: Mapping[str, float]
    polish: GradientFit | None = None
    init: InitialFace | None = None

    @property
    def name(self) -> str:
        """What a sentence calls the photo."""
        return "the photo" if self.source is None else str(self.source)


def fit_single(
    image: GivenPhoto,
    model: MorphableModel,
    landmarks: GivenPoints | None,
    settings: FitSettings,
    rasterizer: Rasterizer,
    clock: Clock,
    init: InitialFace | None = None,
) -> SingleFit:
    """Fit one photo, see `fit_image`; `clock` is told of the stages."""
    settings = settings.for_model(model)
    init = None if init is None else init.for_model(model)
    given = None if landmarks is None else as_points68(landmarks)
    source = None if isinstance(image, np.ndarray) else Path(image)
    photo = rgb_pixels(image) if isinstance(image, np.ndarray) else read_image(image)
    with clock.stage("landmarks"):
        sight = look_for_landmarks(photo, source, model, given, settings.landmark)
    height, width = photo.shape[:2]
    with clock.stage("shape"):
        prior = focal_prior(source, width, height, settings.landmark)
        observer = landmark_observer(model, sight.seen)
        start = start_face(observer, model, np.array([0.5 * width, 0.5 * height]), prior, init)
        sparse = fit_landmarks(start, observer, prior, settings.landmark, init)
        _ensure_before_camera(model, sparse.face, source, given)
    with clock.stage("colours"):
        colors = _fit_colors(photo, model, sparse, observer, prior, settings, rasterizer, init)
    seconds = dict(clock.seconds)
    return SingleFit(
        photo, source, model, sight, observer, prior, sparse, colors, settings, seconds, init=init
    )


def _polished(fitted: SingleFit, rasterizer: Rasterizer, clock: Clock) -> SingleFit:
    """Go on from a photo's fit by the gradient, if its settings ask for it and its colours were compared."""
    gradient, colors = fitted.settings.gradient, fitted.colors
    if gradient is None or colors is None:
        return fitted
    with clock.stage(_POLISH):
        observed = fitted.observer(colors.look.face)
        polish = polish_look(
            fitted.photo, colors.look, fitted.model, observed, fitted.sight.points68, gradient, rasterizer
        )
    return replace(fitted, colors=replace(colors, look=polish.look), polish=polish)


def _ensure_before_camera(
    model: MorphableModel,
    face: Face,
    source: Path | None,
    landmarks: str | os.PathLike[str] | Float[np.ndarray, "68 2"] | None,
) -> None:
    """Refuse a pose that no photo shows: around the camera, or turned away from it."""
    pose = face.pose
    vertices = model.instance(face.identity, None if model.expression is None else face.expression)
    depth = vertices @ pose.rotation[2] + pose.translation[2]
    camera = -pose.rotation.T @ pose.translation
    if depth.min() >= _NEAREST and camera[2] >= _FARTHEST_TURN * np.linalg.norm(camera):
        return
    if landmarks is None:
        name = "the photo" if source is None else str(source)
        raise NoFaceError(f"{name}: no face fits the landmarks found in it; try another photo of the face")
    name = "the landmarks" if isinstance(landmarks, np.ndarray) else str(landmarks)
    raise BadInputError(
        f"{name}: no face fits these points; give the 68 iBUG points in their order, in the photo's pixels, "
        "x right and y down"
    )


def _fit_colors(
    photo: Photo,
    model: MorphableModel,
    sparse: LandmarkFit,
    observer: LandmarkObserver,
    prior: FocalPrior,
    settings: FitSettings,
    rasterizer: Rasterizer,
    init: InitialFace | None,
) -> PhotometricFit | None:
    if settings.photometric is None or model.albedo is None:
        return None
    dense = dense_model(model)
    return fit_colors(
        photo, dense, sparse.face, observer, prior, settings, settings.photometric, rasterizer, init
    )


def fit_result(fitted: SingleFit, clock: Clock) -> FitResult:
    """Return what a photo's fit found, in the terms of its user."""
    sparse, colors, model = fitted.sparse, fitted.colors, fitted.model
    result = assembled(_photo_face(fitted), fitted.sight.notes, clock.seconds)
    precision = sparse.precision if colors is None else colors.precision
    posterior = face_posterior(
        precision, len(result.identity), len(result.expression), fitted.settings.inflation
    )
    return replace(
        result,
        landmark_energies=sparse.energies,
        photometric_energies=() if colors is None else colors.energies,
        polish_energies={} if fitted.polish is None else fitted.polish.energies,
        notes=result.notes + _remarks(fitted),
        converged=sparse.converged if colors is None else colors.converged,
        posterior=posterior,
        attention=None if colors is None else colors.attention,
        vertex_deviations=vertex_deviations(
            model, result.vertices, posterior, fitted.settings.model_deviation
        ),
    )


def _photo_face(fitted: SingleFit) -> PhotoFace:
    colors, sight = fitted.colors, fitted.sight
    face = fitted.sparse.face if colors is None else colors.look.face
    pose, height, width = face.pose, *fitted.photo.shape[:2]
    return PhotoFace(
        photo=fitted.photo,
        source=fitted.source,
        model=fitted.model,
        seen=sight.seen,
        points68=sight.points68,
        camera=PhotoCamera(pose.intrinsics, pose.rotation, pose.translation, width, height),
        identity=face.identity,
        expression=face.expression,
        albedo=None if colors is None else colors.look.albedo,
        light=None if colors is None else colors.look.light,
    )


def _remarks(fitted: SingleFit) -> tuple[str, ...]:
    """Return where the fit came from, and what became of the photo's colours."""
    begun = "" if fitted.init is None else fitted.init.note
    return tuple(remark for remark in (begun, _on_colors(fitted)) if remark)


def _on_colors(fitted: SingleFit) -> str:
    """Return why colours say little or may mislead; empty if they don't, or were not asked for."""
    if fitted.model.albedo is None:
        unpolished = "" if fitted.settings.gradient is None else ", and the fit was not polished"
        return f"The model has no albedo; the photo's colours were not used for the shape{unpolished}."
    if fitted.settings.photometric is None:
        return ""
    if fitted.colors is None:
        return (
            "Next to nothing of the face is exposed well enough (burnt out, or outside the photo); only its "
            "landmarks were fitted."
        )
    if fitted.model.albedo_is_linear:
        return ""
    return (
        "The model's colours are not stored as linear light, and were used as if they were; morphkit convert "
        "--linear-albedo carries them over."
    )


@dataclass
class Clock:
    """Times the stages, and tells the caller of them."""

    progress: Progress | None
    stages: tuple[str, ...] = _STAGES
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside under a stage's name."""
        begun = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begun
        if self.progress is not None:
            self.progress("Fitting", self.stages.index(name) + 1, len(self.stages))
