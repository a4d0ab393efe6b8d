"""Every face of a photo with 478 and 68 landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.landmarks.detector import Detection, detect_boxes, detect_in
from morphkit.landmarks.ibug import to_ibug68
from morphkit.landmarks.network import load_network
from morphkit.landmarks.pyramid import Pyramid, Square

_SIZE = 256  # the landmark network's input, pixels
_MARGIN = 1.5  # its view of a face, over the face's box
_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners
_PASSES = 3  # at most, after the first
_STILL = 0.01  # mean movement that ends the passes, over the face's size
_CONFIRMING = 2.0  # the detector's view when it confirms a face, over the face's size
_SMALLEST_TURNED = 0.04  # a turned face must be at least this much of the photo
_SMALLEST_UNSURE = 0.15  # the same for a face that is looked for a second time
_NO_DOUBT = 0.99  # the landmark network's confidence that it needs
_TURNS = (np.pi, np.pi / 2, -np.pi / 2)  # tried when no face stands upright


@dataclass(frozen=True, eq=False)
class DetectedFace:
    """A face in a photo. Pixels: x right, y down, the photo's outer corner at (0, 0).

    Attributes
    ----------
    box : (x0, y0, x1, y1) pixels, the extent of the landmarks; it may reach beyond the photo.
    score : the detector's confidence in the face once framed upright, 0..1.
    presence : the landmark network's confidence that it saw a face, 0..1.
    points478 : (478, 3) pixels; MediaPipe's order, the irises last. z is a relative depth in pixels, smaller
        nearer to the camera.
    """

    box: Float[np.ndarray, "4"]
    score: float
    presence: float
    points478: Float[np.ndarray, "478 3"]

    @property
    def points68(self) -> Float[np.ndarray, "68 2"]:
        """The iBUG-68 points, pixels; the jaw line follows the visible outline, not the bone."""
        return to_ibug68(self.points478[:, :2])

    @property
    def size(self) -> float:
        """The longer side of the box, pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


@dataclass(frozen=True)
class FaceSettings:
    """How faces are sought.

    Attributes
    ----------
    smallest : the smallest face sought, its box over the photo's longer side.
    score : the least detector confidence.
    presence : the least landmark confidence.
    any_angle : whether to look for lying and upside-down faces when none stands upright.
    second_look : the least confidence with which a large face may first be noticed when no face is found
        otherwise: a grimace, a bare head, a painted one. Framed upright, it must convince as any other.
    """

    smallest: float = 0.01
    score: float = 0.5
    presence: float = 0.5
    any_angle: bool = True
    second_look: float = 0.3


def detect_faces(
    image: UInt8[np.ndarray, "h w 3"], settings: FaceSettings = FaceSettings()
) -> tuple[DetectedFace, ...]:
    """Find all faces of an sRGB photo, largest first; an empty tuple when there is none.

    The detector (BlazeFace, full range; Bazarevsky et al. 2019, arXiv:1907.05047) looks at the whole photo
    and at ever smaller tiles. Each candidate is turned upright by its eyes, and the landmark network
    (Attention Mesh; Grishchenko et al. 2020, arXiv:2006.10962) is run in the detector's box, then in its own
    until it stays. The detector must recognise the face so framed, which drops what only looked like one.
    """
    pyramid = Pyramid(image)
    faces = _faces_at(pyramid, 0.0, settings) or _second_look(pyramid, settings)
    if not faces and settings.any_angle:
        turned = [_faces_at(pyramid, angle, settings) for angle in _TURNS]
        faces = max(turned, key=lambda found: sum(face.score * face.size for face in found))
    return tuple(sorted(faces, key=lambda face: -face.size))


def find_landmarks(pyramid: Pyramid, detection: Detection) -> DetectedFace:
    """Place the 478 points on one detected face, whatever its presence."""
    right, left = detection.keypoints[:2]
    points, presence = _run(pyramid, _view(detection.center, detection.size, left - right))
    for _ in range(_PASSES):
        before = points
        points, presence = _run(pyramid, _view_of(points[:, :2]))
        if np.linalg.norm(points - before, axis=1).mean() < _STILL * np.ptp(points[:, :2], axis=0).max():
            break
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return DetectedFace(box, confirm(pyramid, points[:, :2]), presence, points)


def landmarks_near(
    pyramid: Pyramid, expected: Float[np.ndarray, "478 2"]
) -> tuple[Float[np.ndarray, "478 3"], float]:
    """Run the landmark network once, where a face is expected; return its points and its presence."""
    return _run(pyramid, _view_of(expected))


def confirm(pyramid: Pyramid, points: Float[np.ndarray, "478 2"]) -> float:
    """Return the detector's score for a face that its landmarks have framed and turned upright."""
    view = _view_of(points)
    wider = Square(view.center, view.side * _CONFIRMING / _MARGIN, view.angle)
    found = detect_in(pyramid, wider, threshold=0.1)
    near = [d.score for d in found if np.linalg.norm(d.center - view.center) < 0.2 * view.side]
    return max(near, default=0.0)


def _faces_at(pyramid: Pyramid, angle: float, settings: FaceSettings) -> list[DetectedFace]:
    """Find faces upright in the photo turned by `angle`."""
    smallest = settings.smallest if angle == 0 else max(settings.smallest, _SMALLEST_TURNED)
    detections = detect_boxes(pyramid, smallest=smallest, threshold=settings.score, angle=angle)
    faces = [find_landmarks(pyramid, detection) for detection in detections]
    sure = [face for face in faces if face.presence >= settings.presence and face.score >= settings.score]
    return list(_without_twins(sure))


def _second_look(pyramid: Pyramid, settings: FaceSettings) -> list[DetectedFace]:
    """Find large upright faces that the detector hardly noticed, if the landmark network has no doubt."""
    smallest = max(settings.smallest, _SMALLEST_UNSURE)
    detections = detect_boxes(pyramid, smallest=smallest, threshold=settings.second_look)
    longest = max(pyramid.width, pyramid.height)
    large = [detection for detection in detections if detection.size >= smallest * longest]
    faces = [find_landmarks(pyramid, detection) for detection in large]
    presence = max(settings.presence, _NO_DOUBT)
    sure = [face for face in faces if face.presence >= presence and face.score >= settings.score]
    return list(_without_twins(sure))


def _without_twins(faces: list[DetectedFace]) -> Iterator[DetectedFace]:
    """Keep one of several detections that ended on the same face: the surest."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -face.presence * face.score):
        middles = np.array([other.points478[:, :2].mean(axis=0) for other in kept]).reshape(-1, 2)
        distances = np.linalg.norm(middles - face.points478[:, :2].mean(axis=0), axis=1)
        if not any(distance < 0.3 * other.size for distance, other in zip(distances, kept, strict=True)):
            kept.append(face)
            yield face


def _view(center: Float[np.ndarray, "2"], size: float, across: Float[np.ndarray, "2"]) -> Square:
    """Return what the landmark network looks at, upright for a face whose eyes lie along `across`."""
    return Square(
        (float(center[0]), float(center[1])), size * _MARGIN, float(np.arctan2(across[1], across[0]))
    )


def _view_of(points: Float[np.ndarray, "478 2"]) -> Square:
    across = points[_LEFT_EYE] - points[_RIGHT_EYE]
    along = across / np.linalg.norm(across)
    axes = np.array([[along[0], -along[1]], [along[1], along[0]]])  # columns: the face's right and down
    upright = points @ axes
    low, high = upright.min(axis=0), upright.max(axis=0)
    return _view(axes @ ((low + high) / 2), float((high - low).max()), across)


def _run(pyramid: Pyramid, square: Square) -> tuple[Float[np.ndarray, "478 3"], float]:
    """Run the landmark network in a square: points in photo pixels, and the presence of a face."""
    points, presence, _ = load_network("face_landmarks_detector.tflite")(
        pyramid.crop(square, _SIZE, replicate=True)
    )
    table = points.reshape(478, 3).astype(np.float64) / _SIZE
    in_photo = np.column_stack([square.to_photo(table[:, :2]), table[:, 2] * square.side])
    return in_photo, float(1 / (1 + np.exp(-presence.item())))
