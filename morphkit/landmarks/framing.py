"""One face framed upright for the landmark network: its 478 points, and whether it looks like a face."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from morphkit.landmarks.canonical import canonical_face
from morphkit.landmarks.detector import Detection, detect_in
from morphkit.landmarks.ibug import to_ibug68
from morphkit.landmarks.network import load_network
from morphkit.landmarks.pyramid import Pyramid, Square

_SIZE = 256  # the landmark network's input, pixels
_MARGIN = 1.5  # its view of a face, over the face's box
_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners
_PASSES = 3  # at most, after the first
_STILL = 0.01  # mean movement that ends the passes, over the face's size
_CONFIRMING = 2.0  # the detector's view when it confirms a face, over the face's size
_FRAMINGS = (2.0, 2.7, 3.6)  # the same where one score is not enough
_MIRRORED_IRISES = [473, 476, 475, 474, 477, 468, 471, 470, 469, 472]


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


def face_at(points: Float[np.ndarray, "478 3"], score: float, presence: float) -> DetectedFace:
    """Return the face of 478 points."""
    box = np.concatenate([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    return DetectedFace(box, score, presence, points)


def find_landmarks(pyramid: Pyramid, detection: Detection, *, mirrored: bool = False) -> DetectedFace:
    """Place the 478 points on one detected face, whatever its presence; `mirrored`, see `landmarks_near`."""
    right, left = detection.keypoints[:2]
    points, presence = _run(pyramid, _view(detection.center, detection.size, left - right), mirrored)
    return _settle(pyramid, points, presence, mirrored=mirrored)


def landmarks_near(
    pyramid: Pyramid, expected: Float[np.ndarray, "478 2"], *, mirrored: bool = False
) -> tuple[Float[np.ndarray, "478 3"], float]:
    """Run the landmark network once, where a face is expected; return its points and its presence.

    With `mirrored`, it is shown the mirror image; points are told in the photo and by their names, as ever.
    """
    return _run(pyramid, _view_of(expected), mirrored)


def restart(pyramid: Pyramid, face: DetectedFace, angle: float) -> DetectedFace:
    """Place the points anew from a face's place turned by `angle`, beginning with the mirror image."""
    view = _view_of(face.points478[:, :2])
    turned = Square(view.center, view.side, view.angle + angle)
    start = _settle(pyramid, *_run(pyramid, turned, mirrored=True), mirrored=True)
    return _settle(pyramid, start.points478, start.presence, mirrored=False)


def confirm(
    pyramid: Pyramid,
    points: Float[np.ndarray, "478 2"],
    *,
    mirrored: bool = False,
    framing: float = _CONFIRMING,
) -> float:
    """Return the detector's score for a face that its landmarks have framed and turned upright.

    `framing` is the side of what it is shown, over the face's size; with `mirrored`, the mirror image of it.
    """
    view = _view_of(points)
    wider = Square(view.center, view.side * framing / _MARGIN, view.angle)
    found = detect_in(pyramid, wider, threshold=0.1, mirrored=mirrored)
    near = [d.score for d in found if np.linalg.norm(d.center - view.center) < 0.2 * view.side]
    return max(near, default=0.0)


def confirm_thoroughly(pyramid: Pyramid, points: Float[np.ndarray, "478 2"]) -> float:
    """Return the detector's mean score over framings of a face and their mirror images."""
    looks = itertools.product(_FRAMINGS, (False, True))
    return float(np.mean([confirm(pyramid, points, mirrored=m, framing=framing) for framing, m in looks]))


@functools.cache
def mirrored_order() -> Int[np.ndarray, "478"]:
    """Return, for each of the 478 points, which of a mirrored face's points it is."""
    vertices = canonical_face().vertices
    twins = cKDTree(vertices).query(vertices * (-1, 1, 1))[1]
    return np.concatenate([twins, _MIRRORED_IRISES])


def _settle(
    pyramid: Pyramid, points: Float[np.ndarray, "478 3"], presence: float, mirrored: bool
) -> DetectedFace:
    """Run the network in the view of its own points until they stay."""
    for _ in range(_PASSES):
        before = points
        points, presence = _run(pyramid, _view_of(points[:, :2]), mirrored)
        if np.linalg.norm(points - before, axis=1).mean() < _STILL * np.ptp(points[:, :2], axis=0).max():
            break
    return face_at(points, confirm(pyramid, points[:, :2], mirrored=mirrored), presence)


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


def _run(pyramid: Pyramid, square: Square, mirrored: bool) -> tuple[Float[np.ndarray, "478 3"], float]:
    """Run the landmark network in a square: points in photo pixels, and the presence of a face."""
    picture = pyramid.crop(square, _SIZE, replicate=True)
    network = load_network("face_landmarks_detector.tflite")
    points, presence, _ = network(picture[:, ::-1] if mirrored else picture)
    table = points.reshape(478, 3).astype(np.float64) / _SIZE
    if mirrored:
        table = table[mirrored_order()] * (-1, 1, 1) + (1, 0, 0)
    in_photo = np.column_stack([square.to_photo(table[:, :2]), table[:, 2] * square.side])
    return in_photo, float(1 / (1 + np.exp(-presence.item())))
