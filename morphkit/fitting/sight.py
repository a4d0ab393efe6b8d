"""The landmarks that a fit goes by: those that were given, or found in the photo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.errors import BadInputError, NoFaceError
from morphkit.fitting.models import model_notes
from morphkit.fitting.pose import MIN_POINTS
from morphkit.fitting.seen import SeenLandmarks, seen_ibug68, seen_mediapipe478
from morphkit.fitting.settings import LandmarkSettings
from morphkit.landmarks.faces import detect_faces
from morphkit.landmarks.given import given_landmarks
from morphkit.morphable import MorphableModel


@dataclass(frozen=True, eq=False)
class Sight:
    """The landmarks of a photo: those to fit, the 68 to measure by, and what is to be said of them."""

    seen: SeenLandmarks
    points68: Float[np.ndarray, "68 2"]
    notes: tuple[str, ...]


def look_for_landmarks(
    photo: UInt8[np.ndarray, "h w 3"],
    source: Path | None,
    model: MorphableModel,
    landmarks: str | os.PathLike[str] | Float[np.ndarray, "68 2"] | None,
    settings: LandmarkSettings,
) -> Sight:
    """Return the landmarks that were given, else those of the photo's largest face.

    Raises
    ------
    NoFaceError
        When no face is found.
    BadInputError
        When the given ones cannot be used, or the model embeds too few.
    """
    if landmarks is not None:
        _ensure_embeds(model, "ibug68")
        height, width = photo.shape[:2]
        given = given_landmarks(landmarks, width, height)
        seen = seen_ibug68(given, settings.given_deviation, settings)
        count = len(seen.among(model.landmarks["ibug68"].names).names)
        if count < MIN_POINTS:
            name = "the landmarks" if isinstance(landmarks, np.ndarray) else str(landmarks)
            raise BadInputError(
                f"{name}: the model knows {count} of these points, and a fit needs at least {MIN_POINTS}; "
                "give more of the 68, or choose another model"
            )
        return Sight(seen, given, model_notes(model))
    faces = detect_faces(photo)
    if not faces:
        name = "the photo" if source is None else str(source)
        raise NoFaceError(
            f"{name}: no face was found; give a photo in which a face is clearly visible, or its 68 landmarks"
        )
    notes = model_notes(model)
    if len(faces) > 1:
        notes += (f"The photo shows {len(faces)} faces; the largest was fitted.",)
    face = faces[0]
    if "mediapipe478" in model.landmarks:
        seen = seen_mediapipe478(face.points478[:, :2], settings)
    else:
        _ensure_embeds(model, "ibug68")
        notes += ("The model embeds no 478 points; the 68 were fitted.",)
        seen = seen_ibug68(face.points68, settings.feature_deviation, settings)
    return Sight(seen, face.points68, notes)


def _ensure_embeds(model: MorphableModel, set_name: str) -> None:
    count = len(model.landmarks[set_name].names) if set_name in model.landmarks else 0
    if count < MIN_POINTS:
        raise BadInputError(
            f"the model embeds {count} of the {set_name} landmarks, and a fit needs at least {MIN_POINTS}; "
            "`morphkit.embed_model` or `morphkit complete` find them, or choose another model"
        )
