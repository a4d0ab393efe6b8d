"""A photo's face as a network is to see it: found, aligned and cut out as `prepare` does."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.errors import BadInputError, NoFaceError
from morphkit.io.images import read_image, rgb_pixels
from morphkit.landmarks import detect_faces
from morphkit.landmarks.given import GivenPoints, as_points68, given_landmarks
from morphkit.training.data.alignment import FaceFrame, align, cut
from morphkit.training.data.faces import Faces

GivenPhoto = str | os.PathLike[str] | np.ndarray


@dataclass(frozen=True, eq=False)
class AlignedPhoto:
    """A photo and the crop of its face.

    Attributes
    ----------
    photo : (h, w, 3) sRGB, upright.
    source : its file, or None.
    points68 : iBUG points in the photo, pixels; NaN where unknown.
    affine : from the photo's pixels to the crop's.
    crop : (s, s, 3) sRGB.
    notes : what the reader should know.
    seconds : that it took.
    """

    photo: UInt8[np.ndarray, "h w 3"]
    source: Path | None
    points68: Float[np.ndarray, "68 2"]
    affine: Float[np.ndarray, "2 3"]
    crop: UInt8[np.ndarray, "s s 3"]
    notes: tuple[str, ...]
    seconds: float


def aligned_photo(
    image: GivenPhoto, landmarks: GivenPoints | None, frame: FaceFrame, size: int
) -> AlignedPhoto:
    """Return a photo with the crop of its largest face, or of the one whose landmarks are given.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When the photo or the landmarks cannot be used.
    ValueError
        When an array is of another shape or type.
    """
    begun = time.perf_counter()
    source = None if isinstance(image, np.ndarray) else Path(image)
    photo = rgb_pixels(image) if isinstance(image, np.ndarray) else read_image(image)
    points, notes = _points(photo, source, None if landmarks is None else as_points68(landmarks))
    try:
        affine = align(points, frame, size)
    except ValueError as error:  # points that are no face's
        named = isinstance(landmarks, str | os.PathLike)
        what = str(landmarks) if named else "the landmarks" if source is None else str(source)
        reason = str(error).removeprefix("points68: ")
        raise BadInputError(f"{what}: {reason}; give the 68 iBUG points of the face.") from error
    crop = cut(photo, affine, size)
    return AlignedPhoto(photo, source, points, affine, crop, notes, time.perf_counter() - begun)


def as_faces(photos: list[AlignedPhoto]) -> Faces:
    """Return crops as datasets hold them; what only training reads is unknown."""
    count, size = len(photos), len(photos[0].crop)
    landmarks = [one.points68 @ one.affine[:, :2].T + one.affine[:, 2] for one in photos]
    return Faces(
        images=np.stack([one.crop for one in photos]),
        attention=np.full((count, size, size), 255, np.uint8),
        landmarks=np.stack(landmarks).astype(np.float32),
        crops=np.stack([one.affine for one in photos]),
        sizes=np.array([one.photo.shape[1::-1] for one in photos], np.int32),
        sources=tuple("" if one.source is None else one.source.name for one in photos),
        numbers=np.zeros(count, np.int32),
        people=np.full(count, -1, np.int64),
        poses=np.full((count, 3), np.nan, np.float32),
        tones=np.full(count, np.nan, np.float32),
    )


def _points(
    photo: UInt8[np.ndarray, "h w 3"],
    source: Path | None,
    given: str | os.PathLike[str] | Float[np.ndarray, "68 2"] | None,
) -> tuple[Float[np.ndarray, "68 2"], tuple[str, ...]]:
    """Return the 68 points of the largest face, or the given ones, and what is to be said of them."""
    height, width = photo.shape[:2]
    if given is not None:
        return given_landmarks(given, width, height), ()
    faces = detect_faces(photo)
    if not faces:
        name = "the photo" if source is None else str(source)
        raise NoFaceError(
            f"{name}: no face was found; give a photo in which a face is clearly visible, or its 68 landmarks"
        )
    several = f"The photo shows {len(faces)} faces; the largest was taken."
    return faces[0].points68.astype(np.float64), (several,) if len(faces) > 1 else ()
