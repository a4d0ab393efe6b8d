"""Which photos are meant, and what each of their results is called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from morphkit.errors import BadInputError
from morphkit.io.files import natural_order

PHOTO_SUFFIXES = (  # those that cannot be read are named as failures rather than passed over
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".avif", ".heic", ".heif"),
)
_LANDMARK_ENDINGS = (".json", ".pts", ".landmarks.json", ".landmarks.pts")
_WILD = frozenset("*?[")


@dataclass(frozen=True)
class PhotoFile:
    """A photo on disk.

    Attributes
    ----------
    path : the image file.
    name : what its results are called: their folder's path below the output folder, with ``/``.
    landmarks : a file with its 68 points, or None to detect them.
    """

    path: Path
    name: str
    landmarks: Path | None = None


def find_photos(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    recursive: bool = False,
    landmarks: str | os.PathLike[str] | None = None,
) -> tuple[PhotoFile, ...]:
    """Return the photos that files, folders and patterns name, in that order and naturally sorted within.

    A file's results are called after its stem. Those of a folder (or of a pattern's fixed part) mirror its
    structure: ``PHOTOS/ada/1.jpg`` becomes ``ada/1``. Where photos of one folder differ in nothing but their
    suffix, they keep it: ``1.jpg`` and ``1.png``. Hidden files and folders, and the output folder itself,
    are passed over.

    Parameters
    ----------
    inputs : image files, folders of them, or patterns such as ``photos/**/*.jpg``.
    output : where results will go.
    recursive : look into the folders of folders.
    landmarks : a file with one photo's 68 points; or a folder with ``<name>.json``, ``<name>.pts``, or what
        ``morphkit landmarks`` writes, for each photo.

    Raises
    ------
    BadInputError
        When a folder or pattern holds no photos, results would lie among the photos or replace each other,
        or one landmark file is given for several photos.
    """
    photos = tuple(photo for item in inputs for photo in _of(Path(item), Path(output), recursive))
    ensure_distinct(photos)
    return photos if landmarks is None else _with_landmarks(photos, Path(landmarks))


def ensure_distinct(photos: Sequence[PhotoFile]) -> None:
    """Refuse photos whose results would replace each other.

    Raises
    ------
    BadInputError
        Naming two of them.
    """
    by_name: dict[str, PhotoFile] = {}
    for photo in photos:
        other = by_name.setdefault(photo.name, photo)
        if other is not photo:
            raise BadInputError(
                f"{other.path} and {photo.path} would be written to one place ({photo.name}); rename one, or "
                "give the folder that holds both, whose structure is kept (--recursive)."
            )


def is_single(inputs: Sequence[str | os.PathLike[str]]) -> bool:
    """Return whether the inputs name one photo, rather than a collection that may hold just one."""
    return len(inputs) == 1 and not Path(inputs[0]).is_dir() and not _is_pattern(Path(inputs[0]))


def _of(item: Path, output: Path, recursive: bool) -> Iterator[PhotoFile]:
    if item.is_dir():
        return _named(_in_folder(item, output, recursive), item)
    if _is_pattern(item):
        return _named(_matching(item, output), _fixed_part(item))
    return iter([PhotoFile(item, _stem(item))])  # whether it exists and is an image, its reader says best


def _named(paths: Sequence[Path], root: Path) -> Iterator[PhotoFile]:
    """Yield the photos below a folder, named after their places in it."""
    bare = {path: path.with_name(_stem(path)).relative_to(root).as_posix() for path in paths}
    count = Counter(bare.values())
    for path in sorted(
        paths, key=lambda path: [natural_order(part) for part in path.relative_to(root).parts]
    ):
        alone = count[bare[path]] == 1
        yield PhotoFile(path, bare[path] if alone else path.relative_to(root).as_posix())


def _stem(path: Path) -> str:
    """Return the name without its suffix, unless only dots are left."""
    return path.stem if path.stem.strip(".") else path.name


def _in_folder(folder: Path, output: Path, recursive: bool) -> list[Path]:
    if _same(folder, output):
        raise BadInputError(
            f"Results in {output} would lie among the photos; choose another folder for them."
        )
    paths = list(_walk(folder, output, recursive))
    if not paths:
        deeper = not recursive and next(_walk(folder, output, True), None) is not None
        hint = "; its folders do: add --recursive" if deeper else f" ({', '.join(PHOTO_SUFFIXES)})"
        raise BadInputError(f"{folder} holds no photos{hint}.")
    return paths


def _walk(folder: Path, output: Path, recursive: bool) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(place)
        kept = [name for name in folders if recursive and not _hidden(name)]
        folders[:] = [name for name in kept if not _same(below / name, output)]
        yield from (below / name for name in files if _is_photo(below / name))


def _matching(pattern: Path, output: Path) -> list[Path]:
    found = [Path(path) for path in glob.glob(str(pattern), recursive=True)]
    inside = output.resolve()
    paths = [path for path in found if _is_photo(path) and not path.resolve().is_relative_to(inside)]
    if not paths:
        raise BadInputError(f"No photo matches {pattern}; check the pattern.")
    return paths


def _fixed_part(pattern: Path) -> Path:
    """Return the folder before the first part with a wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.relative_to(fixed).parts[:-1]:
        if _WILD & set(part):
            break
        fixed /= part
    return fixed


def _with_landmarks(photos: Sequence[PhotoFile], landmarks: Path) -> tuple[PhotoFile, ...]:
    if landmarks.is_dir():
        return tuple(replace(photo, landmarks=_landmark_file(landmarks, photo.name)) for photo in photos)
    if len(photos) > 1:
        raise BadInputError(
            f"{landmarks} belongs to one photo, and there are {len(photos)}; give a folder that holds "
            "<name>.json or <name>.pts for each."
        )
    return tuple(replace(photo, landmarks=landmarks) for photo in photos)


def _landmark_file(folder: Path, name: str) -> Path:
    """Return the file that is there, or the one that will be missed by name."""
    paths = [folder / f"{name}{ending}" for ending in _LANDMARK_ENDINGS]
    return next((path for path in paths if path.is_file()), paths[0])


def _is_pattern(item: Path) -> bool:
    return bool(_WILD & set(str(item))) and not item.exists()


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES and not _hidden(path.name) and path.is_file()


def _hidden(name: str) -> bool:
    return name.startswith((".", "~"))


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _refuse(error: OSError) -> None:
    raise BadInputError(f"{error.filename} cannot be read: {error.strerror}.") from error
