"""What a worker does with a few photos: find the faces, cut them out, describe them, write a shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from morphkit.archive import resolve_model
from morphkit.errors import BadInputError, MorphkitError, NoFaceError, OutputError
from morphkit.io.atomic import write_json
from morphkit.io.images import read_image
from morphkit.io.photos import PhotoFile
from morphkit.landmarks import FaceSettings, detect_faces
from morphkit.landmarks.given import given_landmarks
from morphkit.losses.face_chips import DLIB_CHIP
from morphkit.losses.face_network import FaceNetwork, load_face_network
from morphkit.training.data.alignment import FaceFrame, align, cut, head_pose
from morphkit.training.data.faces import Faces
from morphkit.training.data.manifest import read_json
from morphkit.training.data.shards import write_shard
from morphkit.training.data.skin import Attention, face_attention, face_region, skin_region, skin_tone


@dataclass(frozen=True)
class PreparePlan:
    """What all photos of a run have in common; small, since it travels with each of them.

    Attributes
    ----------
    model : the file of the model for the alignment, or None for the embedded head.
    size : side of the crops, pixels.
    attention : how pixels are weighed.
    every_face : take all faces of a photo, not just the largest.
    smallest : side of the smallest face that is taken, pixels of the photo.
    embedded : also run the face-recognition network.
    """

    model: Path | None
    size: int
    attention: Attention
    every_face: bool
    smallest: int
    embedded: bool


@dataclass(frozen=True)
class Failure:
    """A photo that gave no face, and why: a sentence."""

    source: str
    reason: str


@dataclass(frozen=True)
class PartTask:
    """Some photos, in order, and where their faces and failures go.

    Attributes
    ----------
    photos : of this part.
    plan : of the run.
    path : of the part's record; its shard lies beside it.
    """

    photos: tuple[PhotoFile, ...]
    plan: PreparePlan
    path: Path

    @property
    def shard(self) -> Path:
        """Where the faces are; no file if there are none."""
        return self.path.with_suffix(".h5")


@dataclass(frozen=True)
class PartRecord:
    """What came of a part: how many faces, and the failures."""

    faces: int
    failures: tuple[Failure, ...]


def source_of(photo: PhotoFile) -> str:
    """Return a photo's path below its folder, with ``/`` and its suffix."""
    return (PurePosixPath(photo.name).parent / photo.path.name).as_posix()


def read_part(task: PartTask) -> PartRecord | None:
    """Return the record of a part that is finished, else None."""
    with suppress(BadInputError, KeyError, TypeError, ValueError):
        values = read_json(task.path)
        failures = tuple(Failure(str(one["source"]), str(one["reason"])) for one in values["failures"])
        if not values["faces"] or task.shard.is_file():
            return PartRecord(int(values["faces"]), failures)
    return None


def run_part(task: PartTask) -> int | OutputError:
    """Prepare the photos of a part and write it; return how many photos, or why nothing can be written."""
    parts, failures = [], []
    for photo in task.photos:
        found = _outcome(photo, task.plan)
        if isinstance(found, Failure):
            failures.append(found)
        else:
            parts.append(found)
    try:
        if parts:
            write_shard(task.shard, Faces.concatenate(parts))
        write_json(task.path, PartRecord(sum(map(len, parts)), tuple(failures)))
    except OutputError as error:
        return error
    return len(task.photos)


def lose_part(task: PartTask) -> int | OutputError:
    """Write off the photos of a part whose process died without a word, twice."""
    reason = "its process was ended from outside, as happens when memory runs out, or another photo's was."
    failures = tuple(Failure(source_of(photo), f"{photo.path}: {reason}") for photo in task.photos)
    try:
        write_json(task.path, PartRecord(0, failures))
    except OutputError as error:
        return error
    return len(task.photos)


def prepare_photo(photo: PhotoFile, plan: PreparePlan) -> Faces:
    """Return the faces of a photo, largest first; of one with given landmarks, theirs.

    Raises
    ------
    BadInputError
        When the photo or its landmarks cannot be used, or it shows no face that is large enough.
    """
    image = read_image(photo.path)
    points = _points(photo, image, plan)
    rows = [_face(image, one, plan) for one in points]
    columns: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    height, width = image.shape[:2]
    count = len(rows)
    return Faces(
        **columns,
        sizes=np.tile(np.array([width, height], dtype=np.int32), (count, 1)),
        sources=(source_of(photo),) * count,
        numbers=np.arange(count, dtype=np.int32),
        people=np.full(count, -1, dtype=np.int64),
    )


def _points(
    photo: PhotoFile, image: UInt8[np.ndarray, "h w 3"], plan: PreparePlan
) -> list[Float[np.ndarray, "68 2"]]:
    height, width = image.shape[:2]
    if photo.landmarks is not None:
        return [given_landmarks(photo.landmarks, width, height)]
    faces = detect_faces(image, FaceSettings(smallest=min(1.0, plan.smallest / max(width, height))))
    large = [face.points68 for face in faces if face.size >= plan.smallest]
    if faces and not large:
        raise NoFaceError(
            f"{photo.path}: its largest face measures {faces[0].size:.0f} pixels, less than {plan.smallest}."
        )
    if not large:
        raise NoFaceError(f"{photo.path}: no face of at least {plan.smallest} pixels was found.")
    return large if plan.every_face else large[:1]


def _face(
    image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "68 2"], plan: PreparePlan
) -> dict[str, Any]:
    """Return a row of `Faces`."""
    frame = _frame(plan.model)
    affine = align(points, frame, plan.size)
    crop = cut(image, affine, plan.size)
    landmarks = points @ affine[:, :2].T + affine[:, 2]
    weights = face_attention(crop, face_region(landmarks, plan.size), plan.attention)
    row = {
        "images": crop,
        "attention": weights,
        "landmarks": landmarks.astype(np.float32),
        "crops": affine,
        "poses": head_pose(points, frame).astype(np.float32),
        "tones": np.float32(skin_tone(crop, skin_region(landmarks, plan.size), weights)),
    }
    return {**row, "embeddings": _embedding(image, points)} if plan.embedded else row


def _embedding(
    image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "68 2"]
) -> Float32[np.ndarray, " d"]:
    affine = DLIB_CHIP.affine(torch.from_numpy(points)[None])[0].numpy()
    chip = torch.from_numpy(cut(image, affine, DLIB_CHIP.size)).float() / 255
    with torch.no_grad():
        return _network()(chip[None])[0].numpy()


@lru_cache(maxsize=1)
def _frame(model: Path | None) -> FaceFrame:
    return FaceFrame.of(resolve_model(model))


@lru_cache(maxsize=1)
def _network() -> FaceNetwork:
    return load_face_network()


def _outcome(photo: PhotoFile, plan: PreparePlan) -> Faces | Failure:
    """Return the faces of a photo; every trouble becomes a sentence that names it."""
    try:
        return prepare_photo(photo, plan)
    except MorphkitError as error:
        reason = str(error)
    except ValueError as error:  # points that are no face's
        reason = f"{photo.path}: {error}."
    except OSError as error:  # a vanished drive
        reason = f"{error.filename or photo.path}: {error.strerror or error}."
    except MemoryError:
        reason = f"{photo.path}: there is too little memory to prepare this photo."
    except Exception as error:  # one photo's trouble must not end a night's run; it is named in the table
        reason = f"{photo.path}: internal error, {type(error).__name__}: {error}"
    return Failure(source_of(photo), " ".join(reason.split()))


def parts_of(
    photos: tuple[PhotoFile, ...], plan: PreparePlan, folder: Path, length: int
) -> Iterator[PartTask]:
    """Yield tasks of so many photos each, in order."""
    for number, start in enumerate(range(0, len(photos), length)):
        yield PartTask(photos[start : start + length], plan, folder / f"part-{number:06}.json")
