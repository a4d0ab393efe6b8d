"""A batch in one table, as CSV, as JSON and as a page to look at; one row a photo, in the photos' order."""

from __future__ import annotations

import csv
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import morphkit
from morphkit.export.contact_sheet import Card, write_contact_sheet
from morphkit.fitting.batch.outcome import PhotoOutcome, Status
from morphkit.fitting.batch.task import thumbnail_path
from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.photos import PhotoFile

_PERIOD = 60.0  # seconds between two looks that a person may take at a run that goes on all night


class Summary:
    """``summary.csv``, ``summary.json`` and ``index.html``, kept up to date while a batch runs.

    Photos that have no outcome yet are in it too, as "pending".
    """

    def __init__(self, photos: Sequence[PhotoFile], output: Path) -> None:
        self._output = output
        self._outcomes = {photo.name: PhotoOutcome(photo.name, photo.path, "pending") for photo in photos}
        self._written = time.monotonic()

    def add(self, outcome: PhotoOutcome) -> None:
        """Take an outcome in; written to disk once a minute."""
        self._outcomes[outcome.name] = outcome
        if time.monotonic() - self._written > _PERIOD:
            self.write()

    def write(self) -> None:
        """Write all three files.

        Raises
        ------
        OutputError
            When the folder cannot be written to.
        """
        outcomes = tuple(self._outcomes.values())
        write_summary(outcomes, self._output)
        self._written = time.monotonic()


def write_summary(outcomes: Sequence[PhotoOutcome], output: Path) -> None:
    """Write the table of a batch and its contact sheet.

    Parameters
    ----------
    outcomes : one a photo.
    output : the batch's folder, which gets ``summary.csv``, ``summary.json`` and ``index.html``.

    Raises
    ------
    OutputError
        When the folder cannot be written to.
    """
    rows = [outcome.row() for outcome in outcomes]
    found = Counter(outcome.status for outcome in outcomes)
    counts = {status: found[status] for status in get_args(Status)}
    write_json(output / "summary.json", {"morphkit": morphkit.__version__, "counts": counts, "photos": rows})
    _write_csv(output / "summary.csv", rows)
    write_contact_sheet(output / "index.html", [_card(outcome, output) for outcome in outcomes], counts)


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        columns = list(PhotoOutcome("", Path(), "pending").row())
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return " ".join(value) if isinstance(value, list) else value


def _card(outcome: PhotoOutcome, output: Path) -> Card:
    figures, picture = outcome.figures, thumbnail_path(output, outcome.name)
    report = None if outcome.folder is None else outcome.folder / "report.html"
    if report is not None and not report.is_file():
        report = outcome.folder
    return Card(
        name=outcome.name,
        status=outcome.status,
        text=outcome.error or " ".join(figures.notes if figures else ()),
        picture=_link(picture, output) if picture.is_file() else None,
        page=None if report is None else _link(report, output),
        landmark_error=figures.landmark_error if figures else math.nan,
        yaw=figures.yaw if figures else math.nan,
        pitch=figures.pitch if figures else math.nan,
        identity=figures.identity_rms if figures else math.nan,
        seconds=outcome.seconds,
    )


def _link(path: Path, output: Path) -> str:
    return quote(path.relative_to(output).as_posix())
