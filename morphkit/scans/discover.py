"""Which files of a folder are scans."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from morphkit.errors import BadInputError
from morphkit.io.files import natural_order
from morphkit.io.landmarks import LANDMARK_SUFFIXES
from morphkit.io.meshes import MESH_SUFFIXES

_AMBIGUOUS = {".json", ".csv", ".npy"}  # beside a scan they may hold anything, unless called landmarks


@dataclass(frozen=True)
class ScanFile:
    """A scan on disk and, where there is one, its landmark file; and what to call it instead of its stem."""

    path: Path
    landmarks_path: Path | None = None
    label: str | None = None

    @property
    def name(self) -> str:
        """The label, or else the file's name without its suffix; results are named after it."""
        return self.path.stem if self.label is None else self.label


def discover(folder: str | os.PathLike[str]) -> tuple[ScanFile, ...]:
    """Return the scans of a folder (not of its subfolders), in natural order: scan_2 before scan_10.

    A landmark file counts when it is called ``<stem>.landmarks.<format>`` or ``<stem>.<format>``; see
    `find_landmarks`. Hidden files and files of other kinds are passed over.

    Raises
    ------
    BadInputError
        If the folder is missing, holds no scan, or two scans of one name, whose results would collide.
    """
    root = Path(folder)
    try:
        entries = list(root.iterdir())
    except FileNotFoundError:
        raise BadInputError(f"There is no folder {root}; check the path.") from None
    except NotADirectoryError:
        raise BadInputError(f"{root} is a file; give the folder that holds the scans.") from None
    except OSError as error:
        raise BadInputError(f"{root} cannot be read: {error.strerror}.") from error
    paths = [p for p in entries if _is_scan(p)]
    if not paths:
        raise BadInputError(f"{root} holds no scans; they are {', '.join(MESH_SUFFIXES)} files.")
    paths.sort(key=lambda path: natural_order(path.name))
    by_stem: dict[str, Path] = {}
    for path in paths:
        other = by_stem.setdefault(path.stem, path)
        if other is not path:
            raise BadInputError(f"{other} and {path.name} have the same name; rename or remove one of them.")
    return tuple(ScanFile(path, find_landmarks(path)) for path in paths)


def find_landmarks(scan: str | os.PathLike[str]) -> Path | None:
    """Return the landmark file beside a scan, or None.

    ``<stem>.landmarks.json`` comes first, then ``<stem>.landmarks.<format>`` in the order of
    `morphkit.io.landmarks.LANDMARK_SUFFIXES`, then ``<stem>.<format>`` of the formats that hold nothing else.
    """
    path = Path(scan)
    names = [f"{path.stem}.landmarks{suffix}" for suffix in LANDMARK_SUFFIXES]
    names += [f"{path.stem}{suffix}" for suffix in LANDMARK_SUFFIXES if suffix not in _AMBIGUOUS]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _is_scan(path: Path) -> bool:
    hidden = path.name.startswith((".", "~"))
    return not hidden and path.suffix.lower() in MESH_SUFFIXES and path.is_file()
