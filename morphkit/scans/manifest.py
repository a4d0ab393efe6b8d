"""Which scan shows whom with what face: a manifest file, or one folder for each person."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphkit.errors import BadInputError
from morphkit.scans.discover import discover

NEUTRAL = "neutral"
_COLUMNS = ("file", "subject", "expression", "weight")


@dataclass(frozen=True)
class ManifestEntry:
    """A scan and what is known about it.

    Attributes
    ----------
    path : the scan.
    subject : whose face it is.
    expression : what the face does; "neutral" at rest.
    weight : how much the scan counts in the statistics, non-negative.
    """

    path: Path
    subject: str
    expression: str = NEUTRAL
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What results are named after: the file's stem, the subject before it unless it begins with it."""
        stem = self.path.stem
        return stem if stem.startswith(self.subject) else f"{self.subject}_{stem}"


def read_manifest(path: str | os.PathLike[str]) -> tuple[ManifestEntry, ...]:
    """Read a list of scans from a CSV or JSON file.

    A CSV file has a line of column names (comma, semicolon or tab between them); a JSON file holds a list of
    objects, or an object with such a list as ``scans``. The names are ``file`` (relative to the manifest),
    ``subject`` (when absent, every file is a person of its own), ``expression`` ("neutral" when absent) and
    ``weight`` (1 when absent); others are refused, since they might be one of these misspelt.

    Raises
    ------
    BadInputError
        If the file cannot be read, names no scans, a scan twice or one that does not exist, has a column of
        another name, or a weight is not a non-negative number.
    """
    source = Path(path)
    if source.suffix.lower() not in {".csv", ".tsv", ".json"}:
        raise BadInputError(f"{source} is no manifest; it must be a .csv, .tsv or .json file.")
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInputError(f"{source} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{source} is not UTF-8 text; save it as UTF-8.") from error
    rows = _json_rows(source, text) if source.suffix.lower() == ".json" else _csv_rows(source, text)
    return _checked(source, (_entry(source, place, row) for place, row in rows))


def discover_subjects(folder: str | os.PathLike[str]) -> tuple[ManifestEntry, ...]:
    """Return the scans of a folder that has one folder for each person: ``subject/expression.ply``.

    A scan is neutral if its name is or ends with "neutral" (``neutral``, ``s01_Neutral``); the only scan of a
    person is neutral whatever it is called. Landmark files and the like are passed over as `discover` does.

    Raises
    ------
    BadInputError
        If the folder is missing, no folder in it holds scans, or one holds several of which none is neutral:
        then the names are no expressions, or the scans are of use to nobody.
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadInputError(f"There is no folder {root}; check the path.")
    entries: list[ManifestEntry] = []
    for person in sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: p.name):
        if person.name.startswith("."):
            continue
        paths = [file.path for file in discover(person)]
        for path in paths:
            expression = NEUTRAL if len(paths) == 1 else _expression(path.stem, person.name)
            entries.append(ManifestEntry(path, person.name, expression))
    if not entries:
        raise BadInputError(f"{root} holds no folders with scans; there must be one for each person.")
    _ensure_neutral_scans(root, entries)
    return _checked(root, entries)


def _ensure_neutral_scans(root: Path, entries: Iterable[ManifestEntry]) -> None:
    """Refuse people without a neutral scan, whose other scans nothing could be learnt from."""
    people: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        people.setdefault(entry.subject, []).append(entry)
    without = [name for name, scans in people.items() if all(s.expression != NEUTRAL for s in scans)]
    if not without:
        return
    scans = people[without[0]]
    names = ", ".join(entry.path.name for entry in scans[:3]) + (", ..." if len(scans) > 3 else "")
    more = f", nor in {len(without) - 1} more of {len(people)} folders" if len(without) > 1 else ""
    raise BadInputError(
        f"{root / without[0]}: none of its {len(scans)} scans ({names}) is called {NEUTRAL}{more}; so call "
        "each person's scan at rest. If a folder's scans show different people, give that folder itself, or "
        "a manifest that says who is who."
    )


def _expression(stem: str, subject: str) -> str:
    """Return the file's name without the person's."""
    rest = stem.removeprefix(subject).strip("_-. ") or stem
    return NEUTRAL if rest.lower().endswith(NEUTRAL) else rest


def _csv_rows(source: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    header = text.splitlines()[0] if text else ""
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if "file" not in names:
        raise BadInputError(
            f"{source} has no column 'file' in its first line; the columns are {', '.join(_COLUMNS)}."
        )
    _ensure_known(source, "line 1", names)
    reader.fieldnames = names
    for row in reader:
        yield f"line {reader.line_num}", row


def _json_rows(source: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadInputError(f"{source} is not JSON: {error}.") from error
    rows = content.get("scans") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInputError(f"{source} must hold a list of objects with the keys {', '.join(_COLUMNS)}.")
    for number, row in enumerate(rows, start=1):
        named = {str(key).strip().lower(): value for key, value in row.items()}
        _ensure_known(source, f"scan {number}", named)
        yield f"scan {number}", named


def _ensure_known(source: Path, place: str, names: Iterable[str]) -> None:
    unknown = [repr(name) for name in names if name and name not in _COLUMNS]
    if unknown:
        raise BadInputError(
            f"{source}, {place}: there is no column {', '.join(unknown)}; rename or remove it. The columns "
            f"are {', '.join(_COLUMNS)}."
        )


def _entry(source: Path, place: str, row: Mapping[str, Any]) -> ManifestEntry:
    cells = {name: str(row[name]).strip() for name in _COLUMNS if row.get(name) is not None}
    if not cells.get("file"):
        raise BadInputError(f"{source}, {place}: no file is named.")
    path = source.parent / cells["file"]
    if not path.is_file():
        raise BadInputError(f"{source}, {place}: there is no file {path}.")
    expression = cells.get("expression") or NEUTRAL
    if expression.lower() == NEUTRAL:
        expression = NEUTRAL
    return ManifestEntry(
        path, cells.get("subject") or path.stem, expression, _weight(source, place, cells.get("weight"))
    )


def _weight(source: Path, place: str, cell: str | None) -> float:
    try:
        weight = float(cell) if cell else 1.0
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise BadInputError(f"{source}, {place}: the weight {cell!r} is not a number from 0 up.")
    return weight


def _checked(source: Path, entries: Iterable[ManifestEntry]) -> tuple[ManifestEntry, ...]:
    """Return the entries if there are any, each of its own file and name."""
    by_name: dict[str, ManifestEntry] = {}
    for entry in entries:
        other = by_name.setdefault(entry.name, entry)
        if other is not entry:
            what = "is named twice" if other.path == entry.path else f"and {entry.path} have the same name"
            raise BadInputError(f"{source}: {other.path} {what}; rename or remove one of them.")
    if not by_name:
        raise BadInputError(f"{source} names no scans.")
    return tuple(by_name.values())
