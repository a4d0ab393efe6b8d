"""A photo's 68 points as a person gives them: in a file or an array, checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from morphkit.errors import BadInputError
from morphkit.io.landmarks import read_image_points

GivenPoints = str | os.PathLike[str] | np.ndarray | Sequence[Any]
"""A photo's 68 points as a user gives them: a file, or pairs (x, y), in an array or a list."""

_MIN_POINTS = 6  # that say how a head stands
_LEAST_WIDTH = 2.0  # pixels from one line, which some point of a face must have
_FAR = 1e9  # pixels; no photo reaches so far


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
    if ((known < -size) | (known > 2 * size)).any() or inside.sum() < _MIN_POINTS:
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
    if len(known) < _MIN_POINTS:
        raise _refusal(name, f"{len(known)} known points, of which a face needs at least {_MIN_POINTS}")
    centred = known - known.mean(axis=0)
    across = np.linalg.svd(centred, full_matrices=False)[2][1]
    if np.abs(centred @ across).max() < _LEAST_WIDTH:
        raise _refusal(name, "its points lie in one place or on one line")


def _refusal(name: str, found: str) -> BadInputError:
    needed = "68 iBUG points [x, y] in the photo's pixels are needed, null where unknown"
    return BadInputError(f"{name}: {found}; {needed}.")
