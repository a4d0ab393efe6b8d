"""What the photo shows: landmarks in pixels, and how far each may be trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from morphkit.errors import BadInputError
from morphkit.fitting.pose import MIN_POINTS
from morphkit.fitting.settings import LandmarkSettings
from morphkit.fitting.spans import SeenSpans, seen_spans
from morphkit.io.landmarks import read_image_points
from morphkit.landmarks.ibug import to_ibug68

GivenPoints = str | os.PathLike[str] | np.ndarray | Sequence[Any]
"""A photo's 68 points as a user gives them: a file, or pairs (x, y), in an array or a list."""

JAW68 = frozenset(range(17))

# MediaPipe's face mesh: indices by what they mark. The oval's upper part follows the hair line, no outline.
_OUTLINE = (
    "127 234 93 132 58 172 136 150 149 176 148 152 377 400 378 379 365 397 288 361 323 454 356"  # ear to ear
)
_EYES = (
    "33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246 "
    "263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466"
)
_BROWS = "70 63 105 66 107 46 53 52 65 55 300 293 334 296 336 276 283 282 295 285"
_LIPS = (
    "61 146 91 181 84 17 314 405 321 375 291 185 40 39 37 0 267 269 270 409 "
    "78 95 88 178 87 14 317 402 318 324 308 191 80 81 82 13 312 311 310 415"
)
_NOSE = "168 6 197 195 5 4 1 19 94 2 98 97 326 327 294 278 344 440 275 45 220 115 48 64"


def _indices(text: str) -> frozenset[int]:
    return frozenset(int(word) for word in text.split())


OUTLINE478 = _indices(_OUTLINE)
FEATURES478 = _indices(f"{_EYES} {_BROWS} {_LIPS} {_NOSE}")
IRISES478 = frozenset(range(468, 478))

_LEAST_WIDTH = 2.0  # pixels from one line, which some point of a face must have
_FAR = 1e9  # pixels; no photo reaches so far


@dataclass(frozen=True, eq=False)
class SeenLandmarks:
    """Landmarks found in, or given for, a photo.

    Attributes
    ----------
    set_name : the embedding that the names belong to, "ibug68" or "mediapipe478".
    names : n names in that embedding.
    pixels : (n, 2), x right, y down, the image's outer corner at (0, 0).
    deviations : (n,) standard deviations, millimetres on the face.
    on_outline : (n,) whether a point marks the visible outline of the jaw rather than a place on the skin.
    spans : distances that the same landmarks tell, or None.
    """

    set_name: str
    names: tuple[str, ...]
    pixels: Float[np.ndarray, "n 2"]
    deviations: Float[np.ndarray, " n"]
    on_outline: Bool[np.ndarray, " n"]
    spans: SeenSpans | None = None

    def among(self, names: Iterable[str]) -> SeenLandmarks:
        """Return those whose names are in `names`, with all spans."""
        known = frozenset(names)
        keep = np.array([name in known for name in self.names], dtype=bool)
        kept = tuple(name for name in self.names if name in known)
        return SeenLandmarks(
            self.set_name, kept, self.pixels[keep], self.deviations[keep], self.on_outline[keep], self.spans
        )


def seen_mediapipe478(points: Float[np.ndarray, "n 2"], settings: LandmarkSettings) -> SeenLandmarks:
    """Return a detector's 478 points; together they weigh like `settings.detector_points` of them."""
    number = np.arange(len(points))
    features, irises = np.isin(number, list(FEATURES478)), np.isin(number, list(IRISES478))
    outline = np.isin(number, list(OUTLINE478))
    deviations = np.select(
        [features, irises, outline],
        [settings.feature_deviation, settings.iris_deviation, settings.contour_deviation],
        settings.dense_deviation,
    )
    together = np.sqrt(max(1.0, len(points) / settings.detector_points))
    names = tuple(f"mp{i}" for i in number)
    pixels = points.astype(np.float64)
    spans = seen_spans(to_ibug68(pixels), settings)
    return SeenLandmarks("mediapipe478", names, pixels, deviations * together, outline, spans)


def seen_ibug68(
    points: Float[np.ndarray, "68 2"], deviation: float, settings: LandmarkSettings
) -> SeenLandmarks:
    """Return 68 points, detected or given; rows of NaN are unknown and left out."""
    number = np.flatnonzero(np.isfinite(points).all(axis=1))
    outline = np.isin(number, list(JAW68))
    deviations = np.where(outline, max(deviation, settings.contour_deviation), deviation)
    names = tuple(str(i) for i in number)
    pixels, spans = points[number].astype(np.float64), seen_spans(points, settings)
    return SeenLandmarks("ibug68", names, pixels, deviations, outline, spans)


def as_points68(landmarks: GivenPoints) -> str | os.PathLike[str] | Float[np.ndarray, "68 2"]:
    """Return given points as float64, a row of NaN for each that is None; a file's name as it is.

    Raises
    ------
    ValueError
        When they are not 68 pairs of numbers.
    """
    if isinstance(landmarks, str | os.PathLike):
        return landmarks
    try:
        rows = [(np.nan, np.nan) if row is None else row for row in landmarks]
        points = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("landmarks: expected 68 pairs (x, y) of numbers, got something else") from None
    if points.shape != (68, 2):
        raise ValueError(f"landmarks: must be (68, 2), got {points.shape}")
    return points


def given_landmarks(
    landmarks: str | os.PathLike[str] | Float[np.ndarray, "68 2"], width: int, height: int
) -> Float[np.ndarray, "68 2"]:
    """Return the 68 points that a user gave for a photo of a size in pixels, as an array or in a file.

    Raises
    ------
    BadInputError
        When they cannot be a face's in this photo.
    """
    if isinstance(landmarks, np.ndarray):
        name, points = "the landmarks", landmarks.astype(np.float64)
        _ensure_spread(points, name)
    else:
        name, points = str(landmarks), read_photo_landmarks(landmarks)
    size = np.array([width, height])
    known = points[np.isfinite(points).all(axis=1)]
    inside = ((known >= 0) & (known <= size)).all(axis=1)
    if ((known < -size) | (known > 2 * size)).any() or inside.sum() < MIN_POINTS:
        outside = int((~inside).sum())
        raise _refusal(
            name, f"{outside} of {len(known)} points lie outside the photo of {width} × {height} pixels"
        )
    return points


def read_photo_landmarks(path: str | os.PathLike[str]) -> Float[np.ndarray, "68 2"]:
    """Read the 68 iBUG points of a photo from JSON, or from a ``.pts`` file; unknown ones become NaN.

    JSON may be a list of 68 ``[x, y]`` or ``null``, the same under the key ``"landmarks"``, a mapping from
    ``"0"`` … ``"67"`` to points, or what ``morphkit landmarks`` writes of a photo (its first face, the
    largest); in pixels of the photo (x right, y down, its outer corner at (0, 0)).

    Raises
    ------
    BadInputError
        When the file holds something else, fewer points than a pose needs, or points on one line.
    """
    path = Path(path)
    if path.suffix.lower() == ".pts":
        return _points_from_pts(path)
    try:
        points = _points_from_json(json.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        raise BadInputError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be opened: {error.strerror or error}.") from error
    except json.JSONDecodeError as error:
        raise _refusal(str(path), f"not JSON (line {error.lineno})") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise _refusal(str(path), "not JSON") from error
    except ValueError as error:
        raise _refusal(str(path), str(error)) from error
    _ensure_spread(points, str(path))
    return points


def _points_from_pts(path: Path) -> Float[np.ndarray, "68 2"]:
    points = read_image_points(path)
    if len(points) != 68:
        raise _refusal(str(path), f"{len(points)} points")
    _ensure_spread(points, str(path))
    return points


def _points_from_json(content: Any) -> Float[np.ndarray, "68 2"]:
    if isinstance(content, Mapping) and "faces" in content:
        content = _first_face(content["faces"])
    if isinstance(content, Mapping) and "landmarks" in content:
        content = content["landmarks"]
    if isinstance(content, Mapping):
        content = [content.get(str(i)) for i in range(68)]
    if not isinstance(content, list):
        raise ValueError("no list of points")
    if len(content) != 68:
        raise ValueError(f"{len(content)} entries")
    return np.array([_point(i, value) for i, value in enumerate(content)])


def _first_face(faces: Any) -> Any:
    """Return the 68 points of the first face in what ``morphkit landmarks`` writes."""
    first = faces[0] if isinstance(faces, list) and faces else None
    if not isinstance(first, Mapping) or "points68" not in first:
        raise ValueError("no face with 68 points")
    return first["points68"]


def _point(number: int, value: Any) -> tuple[float, float]:
    """Return x and y, NaN if unknown."""
    if value is None or value == [None, None]:
        return np.nan, np.nan
    if isinstance(value, list) and len(value) == 2 and all(_is_coordinate(x) for x in value):
        return float(value[0]), float(value[1])
    raise ValueError(f"point {number} is {json.dumps(value)[:40]}")


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and (value != value or abs(value) < _FAR)


def _ensure_spread(points: Float[np.ndarray, "68 2"], name: str) -> None:
    known = points[np.isfinite(points).all(axis=1)]
    if len(known) < MIN_POINTS:
        raise _refusal(name, f"{len(known)} known points, of which a face needs at least {MIN_POINTS}")
    centred = known - known.mean(axis=0)
    across = np.linalg.svd(centred, full_matrices=False)[2][1]
    if np.abs(centred @ across).max() < _LEAST_WIDTH:
        raise _refusal(name, "its points lie in one place or on one line")


def _refusal(name: str, found: str) -> BadInputError:
    needed = "68 iBUG points [x, y] in the photo's pixels are needed, null where unknown"
    return BadInputError(f"{name}: {found}; {needed}.")
