"""A face in a video: one identity and skin, pose, expression and light of every frame, smooth in time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from morphkit.archive import load_default_model
from morphkit.errors import BadInputError, NoFaceError
from morphkit.export.camera import PhotoCamera
from morphkit.fitting.fit import Progress
from morphkit.fitting.frames import Frame, Video, open_video
from morphkit.fitting.landmark import Face
from morphkit.fitting.look import Look
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.settings import FitSettings
from morphkit.fitting.smoothing import left_jacobian, middle_rotation, rotation_vector, smoothed
from morphkit.fitting.subject import SubjectFit, fit_images
from morphkit.fitting.threads import one_thread
from morphkit.fitting.track import TrackedFrame, Tracker, person_model
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Backend, get_rasterizer

_DEFAULTS = FitSettings()
_POSE = 6  # rotation, offset, log scale
_SHARPNESS_SIDE = 256  # pixels; noise is not taken for detail
_FASTEST = 0.45  # cycles per frame


@dataclass(frozen=True)
class VideoSettings:
    """How a video is fitted.

    Attributes
    ----------
    keyframes : sharp frames, spread over the video, that tell identity and skin.
    motion : cycles per second up to which pose and expression follow the frames.
    light : the same for light.
    smooth : whether frames are smoothed in time at all.
    """

    keyframes: int = 6
    motion: float = 5.0
    light: float = 1.0
    smooth: bool = True


@dataclass(frozen=True, eq=False)
class VideoFit:
    """A person's face in every frame.

    Attributes
    ----------
    video : the frames' place.
    person : identity and skin, from the keyframes.
    model : of this person: neutral face and skin as means, expressions as they were.
    keyframes : their numbers.
    size : (height, width) of a frame.
    looks : of each frame, smooth in time; those between found ones are interpolated.
    raw : (t,) each frame's own fit, None where the face was not seen.
    notes : what the reader should know, one sentence each.
    """

    video: Video
    person: SubjectFit
    model: MorphableModel
    keyframes: tuple[int, ...]
    size: tuple[int, int]
    looks: tuple[Look, ...]
    raw: tuple[TrackedFrame | None, ...]
    notes: tuple[str, ...]

    @property
    def found(self) -> Bool[np.ndarray, " t"]:
        """Which frames show the face."""
        return np.array([frame is not None for frame in self.raw])

    def camera(self, frame: int) -> PhotoCamera:
        """Return a frame's camera."""
        pose, (height, width) = self.looks[frame].face.pose, self.size
        return PhotoCamera(pose.intrinsics, pose.rotation, pose.translation, width, height)

    def vertices(self, frame: int) -> Float[np.ndarray, "v 3"]:
        """Return a frame's face, millimetres, head frame."""
        expression = self.looks[frame].face.expression
        return self.model.instance(None, expression if len(expression) else None)


def fit_video(
    source: str | os.PathLike[str],
    model: MorphableModel | None = None,
    *,
    landmarks: Sequence[Float[np.ndarray, "68 2"] | None] | None = None,
    rate: float | None = None,
    settings: FitSettings = _DEFAULTS,
    video_settings: VideoSettings = VideoSettings(),
    rasterizer: Backend = "numba",
    progress: Progress | None = None,
) -> VideoFit:
    """Fit one person's face to a video.

    Identity, skin and focal length come from sharp frames spread over the video (`fit_images`). Then each
    frame is fitted in pose, expression and light, starting at the one before, and the frames' Gaussian
    posteriors are smoothed forwards and backwards at once (`morphkit.fitting.smoothing.smoothed`).

    Parameters
    ----------
    source : a file, or a folder of frames of one size in their natural order.
    model : the default head if None.
    landmarks : for each frame its 68 points, None where there are none; detected if not given.
    rate : frames per second, if the source does not say.
    settings : of the fits.
    video_settings : keyframes and smoothness.
    rasterizer : the backend that draws.
    progress : called with (stage, done, total).

    Raises
    ------
    ValueError
        When landmarks are not as many as the frames.
    NoFaceError
        When no keyframe shows a face.
    BadInputError
        When the source cannot be read, or its frames differ in size.
    MissingDependencyError
        When a file is given and imageio and PyAV are not installed.
    """
    video = open_video(source, rate)
    model = load_default_model() if model is None else model
    sharpness, size = _survey(video)
    count = len(sharpness)
    if landmarks is not None and len(landmarks) != count:
        raise ValueError(f"landmarks: expected one for each of {count} frames, got {len(landmarks)}")
    report = _silent if progress is None else progress
    keys = _keyframes(sharpness, video_settings.keyframes, landmarks)
    try:
        person = fit_images(
            _chosen(video, keys),
            model,
            landmarks=None if landmarks is None else [landmarks[key] for key in keys],
            settings=settings,
            shared_focal=True,
            names=[f"Frame {key + 1} ({key / video.rate:.2f} s)" for key in keys],
            rasterizer=rasterizer,
            progress=lambda _, done, total: report("Person", done, total),
        )
    except NoFaceError as error:
        raise NoFaceError(
            f"{video.path}: no face was found in {len(keys)} sharp frames spread over it; give a video in "
            "which a face is clearly visible"
        ) from error
    own = person_model(model, person.identity, person.albedo)
    with one_thread():
        focal = float(person.photos[0].camera.K[0, 0])
        tracker = Tracker.of(own, focal, settings.for_model(own), get_rasterizer(rasterizer))
        raw = []
        for tracked in tracker.follow(video, landmarks):
            raw.append(tracked)
            report("Frames", len(raw), count)
    looks = _smooth(raw, video.rate, video_settings)
    used = tuple(keys[index] for index in person.indices)
    return VideoFit(video, person, own, used, size, looks, tuple(raw), (*_notes(raw), *person.notes))


def _silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


def _survey(video: Video) -> tuple[Float[np.ndarray, " t"], tuple[int, int]]:
    """Return each frame's sharpness, and the frames' size."""
    sharpness, sizes = [], set()
    for frame in video:
        sharpness.append(_sharpness(frame))
        sizes.add(frame.shape[:2])
        if len(sizes) > 1:
            raise BadInputError(f"{video.path}: frames are of one size, got {sorted(sizes)}.")
    if not sizes:
        raise BadInputError(f"{video.path} holds no frames.")
    height, width = sizes.pop()
    return np.array(sharpness), (int(height), int(width))


def _sharpness(frame: Frame) -> float:
    """Return how much detail a frame has: the variance of its Laplacian (Pech-Pacheco et al. 2000)."""
    step = max(1, max(frame.shape[:2]) // _SHARPNESS_SIDE)
    grey = frame[::step, ::step].mean(axis=2)
    return float(ndimage.laplace(grey).var())


def _keyframes(
    sharpness: Float[np.ndarray, " t"],
    count: int,
    landmarks: Sequence[Float[np.ndarray, "68 2"] | None] | None,
) -> list[int]:
    """Return the sharpest frame in each of `count` equal parts; one without landmarks is passed over."""
    usable = np.array([landmarks is None or landmarks[i] is not None for i in range(len(sharpness))])
    worth = np.where(usable, sharpness, -np.inf)
    parts = np.array_split(np.arange(len(sharpness)), min(count, len(sharpness)))
    keys = [int(part[np.argmax(worth[part])]) for part in parts]
    return [key for key in keys if usable[key]] or keys[:1]


def _chosen(video: Video, keys: Sequence[int]) -> list[Frame]:
    wanted = set(keys)
    return [frame for i, frame in enumerate(itertools.islice(video, max(wanted) + 1)) if i in wanted]


def _smooth(raw: Sequence[TrackedFrame | None], rate: float, settings: VideoSettings) -> tuple[Look, ...]:
    """Return every frame's look; frames in which the face was not seen are bridged."""
    found = [frame for frame in raw if frame is not None]
    if not found:
        raise NoFaceError("The video's frames show no face that could be followed.")
    known = np.array([frame is not None for frame in raw])
    nearest = _nearest(known)
    frames = [raw[i] for i in nearest]
    whole = [frame for frame in frames if frame is not None]
    states = _States.of([frame.look for frame in whole])
    if len(raw) < 3 or (known.all() and not settings.smooth):
        return tuple(frame.look for frame in whole)
    precisions = np.array([frame.precision for frame in whole])
    moving = states.moving(precisions)
    lighting = precisions[:, -27:, -27:]
    fast, slow = (min(hertz / rate, _FASTEST) for hertz in (settings.motion, settings.light))
    if not settings.smooth:
        fast = slow = _FASTEST
    motion = smoothed(states.motion, moving, known, fast)
    light = smoothed(states.light, lighting, known, slow)
    if not settings.smooth:
        motion[known], light[known] = states.motion[known], states.light[known]
    return tuple(states.look(*pair) for pair in zip(motion, light, strict=True))


def _nearest(known: Bool[np.ndarray, " t"]) -> list[int]:
    """Return, for each frame, the nearest known one."""
    places = np.flatnonzero(known)
    return [int(places[np.abs(places - i).argmin()]) for i in range(len(known))]


@dataclass(frozen=True, eq=False)
class _States:
    """Frames as rows of numbers that may be added: rotation vector, offset, log scale, expression; light."""

    middle: Float[np.ndarray, "3 3"]
    example: Pose
    motion: Float[np.ndarray, "t n"]
    light: Float[np.ndarray, "t 27"]

    @staticmethod
    def of(looks: Sequence[Look]) -> _States:
        faces = [look.face for look in looks]
        middle = middle_rotation([face.pose.rotation for face in faces])
        rows = [
            np.concatenate(
                [
                    rotation_vector(face.pose.rotation @ middle.T),
                    face.pose.offset,
                    [np.log(face.pose.scale)],
                    face.expression,
                ]
            )
            for face in faces
        ]
        light = np.array([look.light.ravel() for look in looks])
        return _States(middle, faces[0].pose, np.array(rows), light)

    def moving(self, precisions: Float[np.ndarray, "t p p"]) -> Float[np.ndarray, "t n n"]:
        """Return the precision of each row of `motion`, the light marginalised out."""
        n = self.motion.shape[1]
        moving = np.empty((len(precisions), n, n))
        for row, whole, out in zip(self.motion, precisions, moving, strict=True):
            across, light = whole[:n, n:], whole[n:, n:]
            out[:] = whole[:n, :n] - across @ np.linalg.solve(light, across.T)
            turn = np.eye(n)
            turn[:3, :3] = left_jacobian(row[:3])
            out[:] = turn.T @ out @ turn
        return moving

    def look(self, motion: Float[np.ndarray, " n"], light: Float[np.ndarray, "27"]) -> Look:
        pose = Pose(
            rotation_matrix(motion[:3]) @ self.middle,
            motion[3:5],
            float(np.exp(motion[5])),
            self.example.focal,
            self.example.centre,
        )
        return Look(Face(pose, np.zeros(0), motion[_POSE:]), np.zeros(0), light.reshape(9, 3))


def _notes(raw: Sequence[TrackedFrame | None]) -> tuple[str, ...]:
    lost = sum(frame is None for frame in raw)
    if not lost:
        return ()
    first = next(i for i, frame in enumerate(raw) if frame is None)
    return (
        f"{lost} of {len(raw)} frames show no face that could be followed, frame {first + 1} the first; "
        "they are bridged, and marked in the results.",
    )
