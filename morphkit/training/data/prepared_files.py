"""What a person looks at after photos were prepared: a table, contact sheets and a report."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from morphkit.export.dataset_page import Bars, write_dataset_page
from morphkit.io.atomic import atomic_path
from morphkit.io.images import read_image, write_image
from morphkit.training.data.balance import (
    PITCH_EDGES,
    TONE_EDGES,
    TONE_NAMES,
    YAW_EDGES,
    balanced_weights,
    histogram,
)
from morphkit.training.data.survey import Survey

TABLE = "prepared.csv"
REPORT = "report.html"
SUMMARY = "prepared.json"

_COLUMNS = (
    *("photo", "face", "status", "reason", "person", "pitch_degrees", "yaw_degrees", "roll_degrees"),
    *("tone_degrees", "pixels_per_mm"),
)
_ACROSS, _DOWN = 12, 10  # faces on a sheet
_TILE = 112  # pixels
_SHEETS = 6  # at most; of more faces, evenly spread ones are shown
_LISTED = 200  # failures and duplicates in the report


def write_table(folder: Path, found: Survey) -> None:
    """Write a row for each face and each photo without one.

    Raises
    ------
    OutputError
        When the folder cannot be written to.
    """
    with (
        atomic_path(folder / TABLE) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_row(found, row) for row in range(len(found.sources)))
        for failure in found.failures:
            writer.writerow([failure.source, "", "failed", failure.reason, *[""] * 6])


def _row(found: Survey, row: int) -> list[object]:
    repeated = found.repeats[row]
    status = "kept" if found.kept[row] else "duplicate"
    reason = "" if repeated < 0 else f"shows {found.sources[repeated]} again"
    person = int(found.people[row])
    angles = [f"{angle:.1f}" for angle in np.degrees(found.poses[row])]
    tone = "" if math.isnan(found.tones[row]) else f"{found.tones[row]:.1f}"
    where = [found.sources[row], int(found.numbers[row])]
    return [*where, status, reason, "" if person < 0 else person, *angles, tone, f"{found.scales[row]:.3f}"]


class SheetBuilder:
    """Draws contact sheets while faces pass by; they are written as they fill.

    Parameters
    ----------
    folder : gets ``contact_sheet_1.jpg`` …
    count : how many faces will pass; of more than the sheets hold, evenly spread ones are drawn.
    size : side of the crops, pixels.
    """

    def __init__(self, folder: Path, count: int, size: int) -> None:
        self._folder = folder
        shown = min(count, _SHEETS * _ACROSS * _DOWN)
        self._chosen = np.linspace(0, count - 1, shown).round().astype(np.int64)
        self._tile = min(_TILE, size)
        self._tiles: list[UInt8[np.ndarray, "t t 3"]] = []
        self.paths: list[Path] = []

    def add(self, images: UInt8[np.ndarray, "n s s 3"], first: int) -> None:
        """Take the pictures of the faces from number `first` on, in order."""
        last = first + len(images)
        for number in self._chosen[(self._chosen >= first) & (self._chosen < last)]:
            picture = Image.fromarray(images[number - first])
            tile = picture.resize((self._tile, self._tile), Image.Resampling.LANCZOS)
            self._tiles.append(np.asarray(tile))
        ended = last > self._chosen[-1]
        while len(self._tiles) >= _ACROSS * _DOWN or (ended and self._tiles):
            self._draw(self._tiles[: _ACROSS * _DOWN])
            self._tiles = self._tiles[_ACROSS * _DOWN :]

    def _draw(self, tiles: Sequence[UInt8[np.ndarray, "t t 3"]]) -> None:
        across = min(_ACROSS, len(tiles)) if not self.paths else _ACROSS
        blank = np.full_like(tiles[0], 255)
        padded = [*tiles, *[blank] * (-len(tiles) % across)]
        rows = [np.hstack(padded[i : i + across]) for i in range(0, len(padded), across)]
        path = self._folder / f"contact_sheet_{len(self.paths) + 1}.jpg"
        write_image(path, np.vstack(rows))
        self.paths.append(path)


def write_report(folder: Path, found: Survey, sheets: Sequence[Path], summary: Mapping[str, int]) -> None:
    """Write the page: counts, contact sheets, how poses and tones are spread, failures and duplicates.

    Raises
    ------
    OutputError
        When the folder cannot be written to.
    """
    poses, tones = found.poses[found.kept], found.tones[found.kept]
    drawn = balanced_weights(poses, tones)
    failures = [(failure.source, failure.reason) for failure in found.failures]
    repeats = [
        (found.sources[row], found.sources[found.repeats[row]]) for row in np.flatnonzero(found.repeats >= 0)
    ]
    write_dataset_page(
        folder / REPORT,
        tiles=[
            ("photos", f"{summary['photos']:,}"),
            ("faces in the dataset", f"{summary['faces']:,}"),
            ("photos without a usable face", f"{summary['failed']:,}"),
            ("duplicates", f"{summary['duplicates']:,}"),
            ("people told apart", f"{summary['people']:,}"),
        ],
        sheets=[read_image(path) for path in sheets],
        bars=_bars(poses, tones, drawn),
        failures=(len(failures), failures[:_LISTED]),
        duplicates=(len(repeats), repeats[:_LISTED], bool(found.kept.all())),
        table=TABLE,
    )


def _bars(poses: np.ndarray, tones: np.ndarray, drawn: np.ndarray) -> list[Bars]:
    """Return the spread of yaw, pitch and tone: how often it comes, and how often it is drawn balanced."""
    pitch, yaw = np.degrees(poses[:, 0]), np.degrees(poses[:, 1])
    wanted = (
        ("Yaw, degrees (to the subject's left)", yaw, YAW_EDGES, _between(YAW_EDGES)),
        ("Pitch, degrees (nodding down)", pitch, PITCH_EDGES, _between(PITCH_EDGES)),
        ("Skin tone as photographed (ITA)", tones, TONE_EDGES, TONE_NAMES),
    )
    bars = []
    for title, values, edges, names in wanted:
        known = ~np.isnan(values)
        weights = np.bincount(np.digitize(values[known], edges), drawn[known], len(edges) + 1)
        bars.append(
            Bars(title, tuple(names), tuple(histogram(values, edges).tolist()), tuple(weights.tolist()))
        )
    return bars


def _between(edges: Sequence[float]) -> tuple[str, ...]:
    inner = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return (f"below {edges[0]:g}", *inner, f"above {edges[-1]:g}")
