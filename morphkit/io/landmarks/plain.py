"""``.json`` as morphkit writes it, and the tables without syntax of their own: ``.csv`` and ``.npy``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from morphkit.io.landmarks import menpo, scalismo, slicer
from morphkit.io.landmarks.entries import Entry, coordinates, numbered, positions_in_order


def load_json(source: Path) -> Any:
    """Return what a JSON file holds, with or without a byte order mark."""
    return json.loads(source.read_text("utf-8-sig"))


def read_json(source: Path) -> list[Entry]:
    """Read any tool's ``.json``: ours, ``{"points": [...]}``, scalismo's list, Slicer's or menpo's object."""
    content = load_json(source)
    if isinstance(content, list):
        return scalismo.parse(content)
    if "markups" in content:
        return slicer.parse_markups(content)
    if "groups" in content and "version" in content:
        return menpo.parse(content)
    if isinstance(content.get("points"), list):
        return numbered(content["points"])
    return [_named(str(name), value) for name, value in content.items()]


def write_json(entries: Sequence[Entry]) -> str:
    """Return ``{"name": [x, y, z] or null, ...}``.

    A point with an uncertainty becomes ``{"position": [x, y, z], "covariance": [[...], [...], [...]]}`` or
    ``{"position": [x, y, z], "standard_deviation": s}``.
    """
    return json.dumps({entry.name: _value(entry) for entry in entries}, indent=1, ensure_ascii=False) + "\n"


def _named(name: str, value: Any) -> Entry:
    if not isinstance(value, dict):
        return Entry(name, value)
    return Entry(name, value["position"], value.get("covariance"), value.get("standard_deviation"))


def _value(entry: Entry) -> object:
    if entry.covariance is not None:
        return {"position": entry.position, "covariance": entry.covariance}
    if entry.deviation is not None:
        return {"position": entry.position, "standard_deviation": entry.deviation}
    return entry.position


def read_csv(source: Path) -> list[Entry]:
    """Read ``x,y,z`` rows with an optional name before or after, and an optional header."""
    entries: list[Entry] = []
    with source.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.reader(file):
            cells = [cell.strip() for cell in row if cell.strip()]
            numbers = [value for cell in cells if (value := _number(cell)) is not None]
            names = [cell for cell in cells if _number(cell) is None]
            if len(numbers) == 4 and not names:  # a numeric name after the point, as we write it
                names, numbers = [cells[3]], numbers[:3]
            if not cells or (len(numbers) < 3 and not entries):
                continue  # a blank line, or a header
            entries.append(Entry(names[0] if names else str(len(entries)), numbers))
    return entries


def write_csv(entries: Sequence[Entry]) -> str:
    """Return ``x,y,z,name`` rows; a missing point's coordinates are nan."""
    buffer = io.StringIO()
    rows = ([*coordinates(entry), entry.name] for entry in entries)
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_npy(source: Path) -> list[Entry]:
    """Read an (n, 3) array, NaN where missing; pickled objects are refused."""
    values = np.load(source, allow_pickle=False)
    if values.ndim != 2:
        raise ValueError(f"it holds an array of shape {values.shape}, not (n, 3)")
    return numbered(values.astype(np.float64).tolist())


def write_npy(entries: Sequence[Entry]) -> bytes:
    """Return an (n, 3) float64 array."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(positions_in_order(entries, ".npy"), np.float64), allow_pickle=False)
    return buffer.getvalue()
