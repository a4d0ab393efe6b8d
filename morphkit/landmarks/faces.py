"""Every face of a photo with 478 and 68 landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.landmarks.detector import Detection, detect_boxes
from morphkit.landmarks.framing import (
    DetectedFace,
    confirm,
    confirm_thoroughly,
    face_at,
    find_landmarks,
    landmarks_near,
    restart,
)
from morphkit.landmarks.pyramid import Pyramid

__all__ = ["DetectedFace", "FaceSettings", "confirm", "detect_faces", "find_landmarks", "landmarks_near"]

_SMALLEST_TURNED = 0.04  # a turned face must be at least this much of the photo
_SMALLEST_UNSURE = 0.15  # the same for a face that is looked for a second time
_NO_DOUBT = 0.99  # the landmark network's confidence that it needs
_TURNS = (np.pi, np.pi / 2, -np.pi / 2)  # tried when no face stands upright
_AGREED = 0.02  # how far a look at the mirror image may see the points, over the face's size
_PROFILE = 0.065  # the same for a face that the landmark network doubts
_FARTHEST = 0.1  # beyond which it is no face
_PRICE = 5.0  # of that distance, in scores, where several looks compete


@dataclass(frozen=True)
class FaceSettings:
    """How faces are sought.

    Attributes
    ----------
    smallest : the smallest face sought, its box over the photo's longer side.
    score : the least detector confidence.
    presence : the least landmark confidence; of a large profile, which the landmark network doubts as a rule,
        it is not asked where the photo's mirror image shows the same face.
    any_angle : whether to look for lying and upside-down faces when none stands upright.
    second_look : the least confidence with which a large face may first be noticed when no face is found
        otherwise: a grimace, a bare head, a painted one, a profile. Framed upright, it must convince as any
        other, or in the photo and its mirror image alike.
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
    until it stays. The detector must recognise the face so framed, and the landmark network see the same
    points in its mirror image, which drops what only looked like a face and rights what was seen upside down.
    """
    pyramid = Pyramid(image)
    faces = _faces_at(pyramid, 0.0, settings) or _second_look(pyramid, settings)
    if not faces:
        turns = _TURNS if settings.any_angle else ()
        looks = [_mirrored_look(pyramid, settings), *(_faces_at(pyramid, angle, settings) for angle in turns)]
        faces = max(looks, key=lambda found: sum(face.score * face.size for face in found))
    return tuple(sorted(faces, key=lambda face: -face.size))


def _faces_at(pyramid: Pyramid, angle: float, settings: FaceSettings) -> list[DetectedFace]:
    """Find faces upright in the photo turned by `angle`."""
    smallest = settings.smallest if angle == 0 else max(settings.smallest, _SMALLEST_TURNED)
    detections = detect_boxes(pyramid, smallest=smallest, threshold=settings.score, angle=angle)
    faces = [find_landmarks(pyramid, detection) for detection in detections]
    return _sure(pyramid, faces, settings.presence, settings)


def _second_look(pyramid: Pyramid, settings: FaceSettings) -> list[DetectedFace]:
    """Find large upright faces that the detector hardly noticed, if the landmark network has no doubt."""
    faces = [find_landmarks(pyramid, detection) for detection in _hardly_noticed(pyramid, settings)]
    return _sure(pyramid, faces, max(settings.presence, _NO_DOUBT), settings)


def _sure(
    pyramid: Pyramid, faces: list[DetectedFace], presence: float, settings: FaceSettings
) -> list[DetectedFace]:
    """Keep the faces that convince, each the right way up and once."""
    convincing = [face for face in faces if face.presence >= presence and face.score >= settings.score]
    looked_at = [_looked_at_again(pyramid, face, settings) for face in convincing]
    return list(_without_twins([face for face in looked_at if face is not None]))


def _looked_at_again(pyramid: Pyramid, face: DetectedFace, settings: FaceSettings) -> DetectedFace | None:
    """Return a face as it stands, or None where its mirror image shows no such face.

    The landmark network is sure of itself, and the detector content, also when the mouth is taken for an eye
    or a face upside down for an upright one; but then the mirror image tells something else.
    """
    if _doubt(pyramid, face) <= _AGREED:
        return face
    angles = (0.0, *_TURNS) if settings.any_angle else (0.0,)
    looks = [face, *(restart(pyramid, face, angle) for angle in angles)]
    seen = [look for look in looks if look.presence >= settings.presence and look.score >= settings.score]
    doubts = {look: _doubt(pyramid, look) for look in seen}
    best = max(seen, key=lambda look: look.score - _PRICE * doubts[look])
    return best if doubts[best] <= _FARTHEST else None


def _mirrored_look(pyramid: Pyramid, settings: FaceSettings) -> list[DetectedFace]:
    """Find large upright faces by two looks, at the photo and at its mirror image, which must agree.

    Of a profile the landmark network sees the points well but doubts that it is a face; the detector is
    surer, if not always of both images.
    """
    faces = []
    for mirrored in (False, True):
        for detection in _hardly_noticed(pyramid, settings, mirrored=mirrored):
            face = find_landmarks(pyramid, detection, mirrored=mirrored)
            points, presence = landmarks_near(pyramid, face.points478[:, :2], mirrored=not mirrored)
            score = confirm_thoroughly(pyramid, face.points478[:, :2])
            if score >= settings.score and _apart(face, points) <= _PROFILE:
                both = (face.points478 + points) / 2
                faces.append(face_at(both, score, max(face.presence, presence)))
    return list(_without_twins(faces))


def _hardly_noticed(
    pyramid: Pyramid, settings: FaceSettings, *, mirrored: bool = False
) -> Iterator[Detection]:
    """Yield what might be a large upright face."""
    smallest = max(settings.smallest, _SMALLEST_UNSURE)
    longest = max(pyramid.width, pyramid.height)
    found = detect_boxes(pyramid, smallest=smallest, threshold=settings.second_look, mirrored=mirrored)
    return (detection for detection in found if detection.size >= smallest * longest)


def _doubt(pyramid: Pyramid, face: DetectedFace) -> float:
    """Return how far a look at the mirror image sees a face's points, over its size."""
    return _apart(face, landmarks_near(pyramid, face.points478[:, :2], mirrored=True)[0])


def _apart(face: DetectedFace, points: Float[np.ndarray, "478 3"]) -> float:
    """Return the mean distance of points in the photo from a face's, over its size."""
    return float(np.linalg.norm((face.points478 - points)[:, :2], axis=1).mean()) / face.size


def _without_twins(faces: list[DetectedFace]) -> Iterator[DetectedFace]:
    """Keep one of several detections that ended on the same face: the surest."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -face.presence * face.score):
        middles = np.array([other.points478[:, :2].mean(axis=0) for other in kept]).reshape(-1, 2)
        distances = np.linalg.norm(middles - face.points478[:, :2].mean(axis=0), axis=1)
        if not any(distance < 0.3 * other.size for distance, other in zip(distances, kept, strict=True)):
            kept.append(face)
            yield face
