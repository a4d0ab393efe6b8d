"""Which scans a model is built from, and what is known about each: person, expression, weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from morphkit.errors import BadInputError
from morphkit.scans.discover import ScanFile, discover, find_landmarks
from morphkit.scans.manifest import NEUTRAL, ManifestEntry, discover_subjects, read_manifest

_FEWEST = 2


@dataclass(frozen=True)
class Collection:
    """Scans with distinct names.

    Attributes
    ----------
    files : the scans.
    entries : what is known about each, in the same order.
    """

    files: tuple[ScanFile, ...]
    entries: tuple[ManifestEntry, ...]

    def outside(self, folder: Path) -> Collection:
        """Return the scans that do not lie in a folder, such as that of an earlier run's results."""
        away = [folder.resolve() not in file.path.resolve().parents for file in self.files]
        return Collection(tuple(compress(self.files, away)), tuple(compress(self.entries, away)))

    @property
    def by_name(self) -> dict[str, ManifestEntry]:
        """What is known about each scan, by name."""
        return {file.name: entry for file, entry in zip(self.files, self.entries, strict=True)}


def collect(scans: str | Path) -> Collection:
    """Return the scans of a folder, of its subfolders (one a person), or of a manifest.

    Raises
    ------
    BadInputError
        See `discover`, `discover_subjects` and `read_manifest`.
    """
    path = Path(scans)
    if path.is_file():
        return _labelled(read_manifest(path))
    try:
        files = discover(path)
    except BadInputError:
        if not _has_folders(path):
            raise
        return _labelled(discover_subjects(path))
    return Collection(files, tuple(ManifestEntry(file.path, file.name) for file in files))


def ensure_neutral(source: str | Path, entries: Sequence[ManifestEntry], *, what: str = "scans") -> None:
    """Refuse scans of which too few show faces at rest and count: their labels need a look.

    Parameters
    ----------
    source : where the labels come from.
    entries : what is known about each scan.
    what : the scans are called.

    Raises
    ------
    BadInputError
        When labels or weights leave fewer than two scans to build a model of neutral faces from.
    """
    count = sum(entry.expression == NEUTRAL and entry.weight > 0 for entry in entries)
    if count < min(_FEWEST, len(entries)):
        raise BadInputError(
            f"{source}: {count} of {len(entries)} {what} are {NEUTRAL} and have a weight above 0, and a "
            f"model needs at least {_FEWEST}; correct their expressions or weights, or add scans."
        )


def _labelled(entries: tuple[ManifestEntry, ...]) -> Collection:
    files = tuple(ScanFile(entry.path, find_landmarks(entry.path), entry.name) for entry in entries)
    return Collection(files, entries)


def _has_folders(path: Path) -> bool:
    entries = path.iterdir() if path.is_dir() else ()
    return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
