"""One person's face from frame to frame: pose, expression and light, with identity and skin known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from morphkit.fitting.contour import LandmarkObserver, landmark_observer
from morphkit.fitting.dense import DenseModel, dense_model
from morphkit.fitting.frames import Frame
from morphkit.fitting.joint import PhotoComparison, descend
from morphkit.fitting.landmark import Face, FocalPrior, LandmarkEnergy, fit_landmarks
from morphkit.fitting.look import Look
from morphkit.fitting.photometric import Colors, face_pixels
from morphkit.fitting.pose import MIN_POINTS
from morphkit.fitting.seen import SeenLandmarks, seen_ibug68, seen_mediapipe478
from morphkit.fitting.settings import FitSettings, LandmarkSettings
from morphkit.fitting.sharing import Sharing
from morphkit.fitting.sparse import start_face
from morphkit.fitting.window import cut_window
from morphkit.landmarks.faces import detect_faces, landmarks_near
from morphkit.landmarks.ibug import to_ibug68
from morphkit.landmarks.pyramid import Pyramid
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel
from morphkit.rendering.rasterizer import Rasterizer

_HELD = 1e-3  # deviation of a logarithmic focal length that is known
_ROUNDS = 2  # of the landmark fit, once a face is being followed
_ITERATIONS = 4  # of the photometric fit in each frame
_LOST = 12.0  # millimetres that half the landmarks may be off before the face is called lost
_PRESENT = 0.5  # the landmark network's confidence, below which the face is sought anew


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame's own fit.

    Attributes
    ----------
    look : pose, expression and light; identity and albedo are empty, since they are the model's.
    precision : (n, n) of (pose without focal length, expression, light).
    landmark_error : median distance of the landmarks, mm on the face.
    """

    look: Look
    precision: Float[np.ndarray, "n n"]
    landmark_error: float


def person_model(
    model: MorphableModel, identity: Float[np.ndarray, " i"], albedo: Float[np.ndarray, " a"]
) -> MorphableModel:
    """Return the model of one person: their neutral face and skin as means, expressions as they are."""
    skin = model.albedo
    if skin is not None:
        skin = _fixed(skin, model.albedo_instance(albedo if len(albedo) else None))
    return replace(model, identity=_fixed(model.identity, model.identity.instance(identity)), albedo=skin)


def _fixed(group: LinearModel, mean: Float[np.ndarray, "v 3"]) -> LinearModel:
    basis = np.zeros((group.mean.size, 0), dtype=np.float32)
    return LinearModel(mean.astype(np.float32), np.asfortranarray(basis), np.zeros(0))


@dataclass(frozen=True, eq=False)
class Tracker:
    """Follows one person.

    Attributes
    ----------
    model : of the person, from `person_model`.
    dense : the same, or None to leave colours out.
    focal : focal length, pixels.
    settings : as in a fit of a photo.
    rasterizer : draws.
    """

    model: MorphableModel
    dense: DenseModel | None
    focal: float
    settings: FitSettings
    rasterizer: Rasterizer

    @staticmethod
    def of(model: MorphableModel, focal: float, settings: FitSettings, rasterizer: Rasterizer) -> Tracker:
        """Return a person's tracker."""
        colored = settings.photometric is not None and model.albedo is not None
        return Tracker(model, dense_model(model) if colored else None, focal, settings, rasterizer)

    def follow(
        self,
        frames: Iterable[Frame],
        landmarks: Iterable[Float[np.ndarray, "68 2"] | None] | None = None,
    ) -> Iterator[TrackedFrame | None]:
        """Yield each frame's fit, or None where the face is not seen; each starts at the last one found.

        Parameters
        ----------
        frames : one after the other.
        landmarks : for each frame its 68 points, None where there are none; detected if not given.
        """
        last: TrackedFrame | None = None
        marks = None if landmarks is None else iter(landmarks)
        finder = _Finder(self.model, self.settings.landmark)
        for frame in frames:
            seen = finder.find(frame) if marks is None else self._given(next(marks, None))
            found = None if seen is None else self.fit(frame, seen, None if last is None else last.look)
            last = last if found is None else found
            yield found

    def _given(self, points: Float[np.ndarray, "68 2"] | None) -> SeenLandmarks | None:
        if points is None or np.isfinite(points).all(axis=1).sum() < MIN_POINTS:
            return None
        return seen_ibug68(points, self.settings.landmark.given_deviation, self.settings.landmark)

    def fit(self, frame: Frame, seen: SeenLandmarks, last: Look | None) -> TrackedFrame | None:
        """Return a frame's fit that starts at the `last` one, or None where it shows no such face."""
        height, width = frame.shape[:2]
        lens = FocalPrior(self.focal, _HELD)
        observer, settings = landmark_observer(self.model, seen), self.settings.landmark
        if last is None:
            start = start_face(observer, self.model, np.array([0.5 * width, 0.5 * height]), lens)
        else:
            start, settings = last.face, replace(settings, rounds=_ROUNDS)
        face = fit_landmarks(start, observer, lens, settings).face
        error = _landmark_error(observer, face)
        if not error < _LOST:
            return None if last is None else self.fit(frame, seen, None)
        light = np.zeros((9, 3)) if last is None else last.light
        return self._refined(frame, observer, Look(face, np.zeros(0), light), lens, error)

    def _refined(
        self, frame: Frame, observer: LandmarkObserver, look: Look, lens: FocalPrior, error: float
    ) -> TrackedFrame:
        sharing = Sharing(0, len(look.face.expression), 0, 1.0, 1.0, lens)
        comparison = self._comparison(frame, observer, look, sharing)
        if comparison.colors is not None and not look.light.any():
            look, _ = comparison.colors.lit(look, comparison.colors.draw(look))
        fine = self.settings.photometric
        tolerance = self.settings.landmark.tolerance if fine is None else fine.tolerance
        weights = np.ones(1)
        look = descend([comparison], [look], weights, iterations=_ITERATIONS, tolerance=tolerance).looks[0]
        picture = comparison.draw(look)
        quadratic = comparison.problem(look, picture).quadratic(look, picture)
        return TrackedFrame(look, quadratic.own, error)

    def _comparison(
        self, frame: Frame, observer: LandmarkObserver, look: Look, sharing: Sharing
    ) -> PhotoComparison:
        seen, fine = observer(look.face), self.settings.photometric
        lens = sharing.focal or FocalPrior(self.focal, _HELD)
        sparse = LandmarkEnergy(seen, lens, self.settings.landmark)
        if fine is None or self.dense is None:
            return PhotoComparison(sparse, sharing, None)
        weaker = replace(seen, whitening=seen.whitening * fine.landmark_share**0.5)
        window = cut_window(frame, face_pixels(self.dense, look.face), fine.sizes[0])
        colors = Colors(self.dense, window, fine, self.rasterizer)
        return PhotoComparison(replace(sparse, seen=weaker), sharing, colors)


@dataclass
class _Finder:
    """Finds the landmarks of one face: near its last place first, then anywhere."""

    model: MorphableModel
    settings: LandmarkSettings
    last: Float[np.ndarray, "478 2"] | None = None

    def find(self, frame: Frame) -> SeenLandmarks | None:
        points = self._near(frame)
        points = self._anywhere(frame) if points is None else points
        if points is None:
            return None
        self.last = points
        if "mediapipe478" in self.model.landmarks:
            return seen_mediapipe478(points, self.settings)
        return seen_ibug68(to_ibug68(points), self.settings.feature_deviation, self.settings)

    def _near(self, frame: Frame) -> Float[np.ndarray, "478 2"] | None:
        if self.last is None:
            return None
        points, presence = landmarks_near(Pyramid(frame), self.last)
        if presence >= _PRESENT:
            return points[:, :2]
        return None

    def _anywhere(self, frame: Frame) -> Float[np.ndarray, "478 2"] | None:
        faces = [face.points478[:, :2] for face in detect_faces(frame)]
        if not faces or self.last is None:
            return faces[0] if faces else None
        place = self.last.mean(axis=0)
        return min(faces, key=lambda points: float(np.linalg.norm(points.mean(axis=0) - place)))


def _landmark_error(observer: LandmarkObserver, face: Face) -> float:
    """Return the median distance of projected from seen landmarks, mm."""
    seen = observer(face)
    pixels = face.pose.project(seen.points.at(face.identity, face.expression))
    return float(np.median(np.linalg.norm(pixels - seen.pixels, axis=1))) / face.pose.scale
