"""Landmark files read and written, the format chosen by the suffix."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from morphkit.errors import BadInputError
from morphkit.io.atomic import atomic_path
from morphkit.io.landmarks import lines, menpo, meshlab, plain, scalismo, slicer
from morphkit.io.landmarks.entries import Entry, to_entries, to_landmarks
from morphkit.mesh import Landmarks

_T = TypeVar("_T")


@dataclass(frozen=True)
class Format:
    """A landmark format.

    Attributes
    ----------
    suffix : of its files.
    read : a file to entries.
    write : entries to the file's content.
    """

    suffix: str
    read: Callable[[Path], list[Entry]]
    write: Callable[[Sequence[Entry]], str | bytes]


LANDMARK_FORMATS = {
    "json": Format(".json", plain.read_json, plain.write_json),
    "slicer": Format(".mrk.json", slicer.read_markups, slicer.write_markups),
    "menpo": Format(".ljson", menpo.read, menpo.write),
    "meshlab": Format(".pp", meshlab.read, meshlab.write),
    "fcsv": Format(".fcsv", slicer.read_fcsv, slicer.write_fcsv),
    "pts": Format(".pts", lines.read_pts, lines.write_pts),
    "csv": Format(".csv", plain.read_csv, plain.write_csv),
    "tlms": Format(".tlms", lines.read_tlms, lines.write_tlms),
    "npy": Format(".npy", plain.read_npy, plain.write_npy),
    "scalismo": Format(".json", plain.read_json, scalismo.write),
}
LANDMARK_SUFFIXES = tuple(dict.fromkeys(known.suffix for known in LANDMARK_FORMATS.values()))

_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, ElementTree.ParseError)


def read_landmarks(path: str | os.PathLike[str], *, group: str | None = None) -> Landmarks:
    """Read named 3D points.

    Parameters
    ----------
    path : ``.json`` (``{"name": [x, y, z], ...}``, as in a scan's sidecar; ``{"points": [...]}``; scalismo's
        list), ``.mrk.json`` and ``.fcsv`` (3D Slicer), ``.ljson`` (menpo), ``.pp`` (MeshLab), ``.pts``,
        ``.csv`` (``x,y,z`` with an optional name before or after), ``.tlms`` or ``.npy`` (n, 3). Points
        without names are called "0", "1", ...
    group : which of an ``.ljson``'s groups, where there are several.

    Returns
    -------
    Landmarks
        In the file's units and frame (Slicer's are brought to LPS as its scans are), with uncertainties where
        the file has them. Points marked as missing, invisible or inactive are left out.

    Raises
    ------
    BadInputError
        If the file is missing, damaged, of an unknown format, or without any point.
    """
    landmarks, _ = read_landmarks_counted(path, group=group)
    return landmarks


def read_landmarks_counted(
    path: str | os.PathLike[str], *, group: str | None = None
) -> tuple[Landmarks, int]:
    """Read named 3D points, and say how many the file lists: those without numbers are left out.

    Parameters and what is raised are those of `read_landmarks`.
    """
    source = Path(path)
    known = _by_suffix(source)
    if known is None:
        raise BadInputError(f"{source}: landmarks are read from {', '.join(LANDMARK_SUFFIXES)} files.")
    read = partial(menpo.read, group=group) if known.suffix == ".ljson" else known.read

    def checked() -> tuple[Landmarks, int]:
        entries = read(source)
        return to_landmarks(entries), len(entries)

    return _explained(source, "landmarks", checked)


def write_landmarks(
    path: str | os.PathLike[str], landmarks: Landmarks, *, file_format: str | None = None
) -> None:
    """Write named 3D points, atomically.

    Uncertainties are kept by ``.json`` and scalismo; rows of NaN are marked as missing where a format can
    (``.csv``, ``.json``, ``.ljson``, ``.mrk.json``, ``.npy``, ``.pp``, ``.pts``, ``.tlms``), else left out.

    Parameters
    ----------
    path : its suffix chooses the format: one of `LANDMARK_SUFFIXES`.
    landmarks : what to write; ``.fcsv`` and ``.mrk.json`` take them as LPS.
    file_format : a key of `LANDMARK_FORMATS`, where the suffix leaves a choice: "scalismo" for its ``.json``.

    Raises
    ------
    ValueError
        If the suffix or the format is unknown, or the format cannot keep the names.
    MorphkitError
        If the file cannot be written.
    """
    target = Path(path)
    content = _writer(target, file_format)(to_entries(landmarks))
    _write(target, content)


def read_image_points(path: str | os.PathLike[str]) -> Float[np.ndarray, "n 2"]:
    """Read an image's landmarks from a ``.pts`` file: pixels, x right, y down, the outer corner at (0, 0).

    Raises
    ------
    BadInputError
        If the file is missing or damaged, or its points are not 2D.
    """
    source = Path(path)
    return _explained(source, "an image's landmarks", lambda: lines.read_image_pts(source))


def write_image_points(path: str | os.PathLike[str], points: Float[np.ndarray, "n 2"]) -> None:
    """Write an image's landmarks, in pixels with the outer corner at (0, 0), as a ``.pts`` file, atomically.

    Raises
    ------
    MorphkitError
        If the file cannot be written.
    """
    _write(Path(path), lines.write_image_pts(points))


def _by_suffix(path: Path) -> Format | None:
    """Return the format of a file's name; the longest suffix counts."""
    fitting = [known for known in LANDMARK_FORMATS.values() if path.name.lower().endswith(known.suffix)]
    return max(fitting, key=lambda known: len(known.suffix), default=None)


def _writer(target: Path, file_format: str | None) -> Callable[[Sequence[Entry]], str | bytes]:
    if file_format is not None and file_format not in LANDMARK_FORMATS:
        raise ValueError(f"file_format must be one of {', '.join(LANDMARK_FORMATS)}, got {file_format!r}")
    known = _by_suffix(target) if file_format is None else LANDMARK_FORMATS[file_format]
    if known is None or not target.name.lower().endswith(known.suffix):
        suffixes = ", ".join(LANDMARK_SUFFIXES) if known is None else known.suffix
        raise ValueError(f"path must end in {suffixes}, got {target.name}")
    return known.write


def _write(target: Path, content: str | bytes) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def _explained(source: Path, what: str, read: Callable[[], _T]) -> _T:
    """Return what `read` returns; whatever is wrong with the file is one sentence."""
    try:
        return read()
    except FileNotFoundError:
        raise BadInputError(f"There is no file {source}; check the path.") from None
    except OSError as error:
        raise BadInputError(f"{source} cannot be opened: {error.strerror or error}.") from error
    except _UNREADABLE as error:
        raise BadInputError(f"{source} cannot be read as {what}: {reason(error)}.") from error


def reason(error: Exception) -> str:
    """Return what an error says as part of a sentence."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"it lacks {text}" if isinstance(error, KeyError) else text or type(error).__name__
