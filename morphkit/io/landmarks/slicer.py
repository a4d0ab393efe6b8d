"""3D Slicer: ``.mrk.json`` (markups) and the older ``.fcsv``. Points come and go in LPS, as its meshes do."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from morphkit.io.landmarks.entries import Entry

_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_NAME = 11  # the column of a point's label in an .fcsv


def read_markups(source: Path) -> list[Entry]:
    """Read a ``.mrk.json``."""
    return parse_markups(json.loads(source.read_text("utf-8-sig")))


def parse_markups(content: dict[str, Any]) -> list[Entry]:
    """Return the control points of all markups; undefined ones are missing."""
    entries = []
    for markup in content["markups"]:
        sign = _sign(str(markup.get("coordinateSystem", "LPS")))
        for number, point in enumerate(markup["controlPoints"]):
            defined = point.get("positionStatus", "defined") == "defined"
            position = _signed(sign, point["position"]) if defined else None
            entries.append(Entry(str(point.get("label") or number), position))
    return entries


def write_markups(entries: Sequence[Entry]) -> str:
    """Return one Fiducial markup; missing points are undefined ones."""
    points = [
        {
            "id": str(number),
            "label": entry.name,
            "position": [0.0, 0.0, 0.0] if entry.position is None else entry.position,
            "positionStatus": "undefined" if entry.position is None else "defined",
        }
        for number, entry in enumerate(entries, start=1)
    ]
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": points,
    }
    return json.dumps({"@schema": _SCHEMA, "markups": [markup]}, indent=1, ensure_ascii=False) + "\n"


def read_fcsv(source: Path) -> list[Entry]:
    """Read an ``.fcsv``; its header tells the coordinate system, by name or (0: RAS, 1: LPS) by number."""
    system, entries = "LPS", list[Entry]()
    for line in source.read_text("utf-8-sig").splitlines():
        if line.startswith("#"):
            if "CoordinateSystem" in line:
                system = line.split("=")[-1].strip()
            continue
        row = next(csv.reader([line]), [])
        if row:
            name = row[_NAME] if len(row) > _NAME and row[_NAME] else str(len(entries))
            entries.append(Entry(name, _signed(_sign(system), row[1:4])))
    return entries


def write_fcsv(entries: Sequence[Entry]) -> str:
    """Return the table; it cannot hold missing points, so they are left out."""
    buffer = io.StringIO()
    buffer.write("# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n")
    buffer.write("# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n")
    writer = csv.writer(buffer, lineterminator="\n")
    for number, entry in enumerate(entries, start=1):
        if entry.position is not None:
            writer.writerow([number, *entry.position, 0, 0, 0, 1, 1, 1, 0, entry.name, "", ""])
    return buffer.getvalue()


def _sign(system: str) -> tuple[float, float, float]:
    """Return the signs that bring coordinates to LPS."""
    known = {"LPS": (1.0, 1.0, 1.0), "1": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0), "0": (-1.0, -1.0, 1.0)}
    if system.upper() not in known:
        raise ValueError(f"its coordinate system is {system!r}, neither LPS nor RAS")
    return known[system.upper()]


def _signed(sign: tuple[float, float, float], position: Sequence[Any]) -> list[float]:
    return [s * float(x) for s, x in zip(sign, position, strict=True)]
