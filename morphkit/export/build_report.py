"""The page that shows what became of every scan, and the model they made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np
from jaxtyping import UInt8

from morphkit.export.build_pictures import (
    HEAT_LIMIT,
    HEAT_MAP,
    ModeStrip,
    albedo_modes,
    mean_head,
    shape_modes,
)
from morphkit.export.html import image_uri, render_report
from morphkit.export.plots import compactness_plot
from morphkit.morphable import MorphableModel

_MOST_PICTURES = 120  # a strip is some 40 kB; more would make a page that browsers carry with effort
_ORDER = {"failed": 0, "doubtful": 1, "good": 2}


@dataclass(frozen=True, eq=False)
class ScanRow:
    """One scan in the report.

    Attributes
    ----------
    name, verdict : "good", "doubtful" or "failed".
    reasons : what is to be said about it.
    mean_distance : of the registered vertices to the scan, millimetres; None if there is no registration.
    picture : the strip of `export.build_pictures.registration_strip`, or None.
    remarks : what cleaning mended.
    """

    name: str
    verdict: str
    reasons: tuple[str, ...] = ()
    mean_distance: float | None = None
    picture: UInt8[np.ndarray, "h w 3"] | None = None
    remarks: tuple[str, ...] = ()


def write_build_report(
    path: Path,
    model: MorphableModel,
    rows: Sequence[ScanRow],
    *,
    title: str,
    tiles: Sequence[tuple[str, str]] = (),
) -> None:
    """Write the report on a model and the scans it was made from as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    model : with provenance.
    rows : every scan, those left out too.
    title : the heading.
    tiles : (label, value) pairs to show at the top besides the counts.
    """
    used = [row for row in rows if row.verdict != "failed"]
    render_report(
        "build.html.jinja",
        path,
        title=title,
        lead=f"{len(used)} of {len(rows)} scans, in one topology of {model.n_vertices:,} vertices.",
        tiles=[*_counts(model, rows), *tiles],
        notes=[*_notes(rows), *model.provenance.get("notes", [])],
        provenance=_flat(model.provenance),
        **model_values(model),
        **scan_values(rows),
    )


def model_values(model: MorphableModel) -> dict[str, Any]:
    """Return what the templates need to show a model."""
    return {
        "mean": image_uri(mean_head(model)),
        "shape_modes": [_strip(strip) for strip in shape_modes(model)],
        "albedo_modes": [_strip(strip) for strip in albedo_modes(model)],
        "compactness": compactness_plot(model.identity, model.albedo),
    }


def scan_values(rows: Sequence[ScanRow], most: int = _MOST_PICTURES) -> dict[str, Any]:
    """Return what the templates need to show scans: those that need a look first, the rest as a table."""
    ordered = sorted(rows, key=lambda row: (_ORDER[row.verdict], row.name))
    pictured = {row.name for row in ordered[:most]}
    shown = [row for row in ordered if row.name in pictured]
    rest = [row for row in ordered if row.name not in pictured]
    return {
        "rows": [_scan(row) for row in shown],
        "unpictured": [(row.name, row.verdict, _distance(row), "; ".join(row.reasons)) for row in rest],
        "heat": {"limit": f"{HEAT_LIMIT:g}", "stops": _heat_stops()},
    }


def _counts(model: MorphableModel, rows: Sequence[ScanRow]) -> list[tuple[str, str]]:
    distances = [
        row.mean_distance for row in rows if row.mean_distance is not None and row.verdict != "failed"
    ]
    tiles = [
        (f"of {len(rows)} scans used", str(len(rows) - sum(row.verdict == "failed" for row in rows))),
        ("modes of shape", str(model.identity.n_components)),
    ]
    if model.albedo is not None:
        tiles.append(("modes of albedo", str(model.albedo.n_components)))
    if distances:
        tiles.append(("mean distance to the scans", f"{np.mean(distances):.2f} mm"))
    return tiles


def _notes(rows: Sequence[ScanRow]) -> list[str]:
    failed = [f"{row.name} ({'; '.join(row.reasons)})" for row in rows if row.verdict == "failed"]
    doubtful = [f"{row.name} ({'; '.join(row.reasons)})" for row in rows if row.verdict == "doubtful"]
    notes = []
    if failed:
        notes.append(f"Left out, because they could not be registered: {', '.join(failed)}.")
    if doubtful:
        notes.append(f"Used, but worth a look: {', '.join(doubtful)}.")
    return notes


def _scan(row: ScanRow) -> dict[str, str]:
    picture = "" if row.picture is None else image_uri(row.picture, quality=82)
    reasons = "; ".join(row.reasons)
    return {
        "name": row.name,
        "verdict": row.verdict,
        "reasons": reasons,
        "remarks": " ".join(row.remarks),
        "distance": _distance(row),
        "picture": picture,
    }


def _distance(row: ScanRow) -> str:
    return "" if row.mean_distance is None else f"{row.mean_distance:.2f}"


def _strip(strip: ModeStrip) -> dict[str, str]:
    return {
        "picture": image_uri(strip.image, max_side=None, quality=85),
        "reach": f"{strip.reach:g}",
        "share": f"{100 * strip.share:.1f}",
    }


def _heat_stops(count: int = 9) -> list[str]:
    colors = matplotlib.colormaps[HEAT_MAP](np.linspace(0, 1, count))
    return [str(matplotlib.colors.to_hex(color)) for color in colors]


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested provenance as (dotted key, text) rows."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            rows += _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list | tuple) and item and isinstance(item[0], Mapping):
            rows += [row for i, part in enumerate(item) for row in _flat(part, f"{prefix}{key}.{i}.")]
        else:
            rows.append((f"{prefix}{key}", str(item)))
    return rows
