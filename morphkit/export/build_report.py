"""The page that shows what became of every scan, and the model they made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np

from morphkit.errors import BadInputError
from morphkit.export.build_pictures import (
    HEAT_LIMIT,
    HEAT_MAP,
    ModeStrip,
    albedo_modes,
    expression_modes,
    shape_modes,
)
from morphkit.export.facts import fact_rows, model_origin
from morphkit.export.html import image_uri, render_report
from morphkit.export.model_turntable import model_turntable
from morphkit.export.plots import compactness_plot
from morphkit.export.scan_figures import CAUTION, FIGURES, ScanFigure, known_figures, medians
from morphkit.export.turntable import turntable_values
from morphkit.io.images import read_image
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.registration import Diagnosis

_MOST_PICTURES = 600  # 15 kB each; more would make a page that browsers carry with effort
_MANY, _WIDTHS = 150, (1120, 720)  # pixels across a strip for few scans, and for more than so many
_ORDER = {"failed": 0, "doubtful": 1, "good": 2}
_LISTED = {"scans", "left_out", "notes"}  # of the provenance, what the page shows elsewhere


@dataclass(frozen=True, eq=False)
class ScanRow:
    """One scan in the report.

    Attributes
    ----------
    name, verdict : "good", "doubtful" or "failed".
    reasons : what is to be said about it.
    diagnosis : how its registration went; None if there is none.
    picture : a file with a strip of `export.build_pictures`, or None.
    remarks : what cleaning mended, and what else is to be said.
    timings : seconds by stage of its registration; empty for a scan that was never registered, whose picture
        shows the bare scan from four sides.
    reused : whether an earlier run had registered it.
    outlier : why the scan is unlike the others; empty when it is not.
    dropped : whether it was left out for that.
    """

    name: str
    verdict: str
    reasons: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None
    picture: Path | None = None
    remarks: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    reused: bool = False
    outlier: str = ""
    dropped: bool = False

    @property
    def used(self) -> bool:
        """Whether it went into the model."""
        return self.verdict != "failed" and not self.dropped


@dataclass(frozen=True)
class Figure:
    """A plot with what is to be said about it.

    Attributes
    ----------
    svg : the plot.
    caption : a sentence or two.
    """

    svg: str
    caption: str


def write_build_report(
    path: Path,
    model: MorphableModel | None,
    rows: Sequence[ScanRow],
    *,
    title: str,
    figures: Sequence[Figure] = (),
) -> None:
    """Write the report on a model and the scans it was made from as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    model : with provenance; None when too few scans could be registered to make one.
    rows : every scan, those left out too.
    title : the heading.
    figures : plots besides the compactness.
    """
    used = sum(row.used for row in rows)
    render_report(
        "build.html.jinja",
        path,
        title=title,
        lead=_lead(model, used, len(rows)),
        origin=[] if model is None else model_origin(model),
        tiles=_tiles(model, rows),
        notes=[*_notes(rows), *([] if model is None else model.provenance.get("notes", []))],
        provenance=[] if model is None else fact_rows(_unlisted(model.provenance)),
        timings=_timings(rows),
        figures=medians({row.name: row.diagnosis for row in rows if row.used}),
        model=None if model is None else {**model_values(model), "figures": figures},
        **scan_values(rows),
    )


def model_values(model: MorphableModel) -> dict[str, Any]:
    """Return what the templates need to show a model; its expressions if they were learnt with it."""
    learnt, curves = _learnt_expression(model) is not None, plotted_groups(model)
    return {
        "turntable": turntable_values(model_turntable(model, expression=learnt)),
        "caption": "The mean. Sliders move it along the model's first modes, in standard deviations.",
        "shape_modes": [_strip(strip) for strip in shape_modes(model)],
        "expression_modes": [_strip(strip) for strip in expression_modes(model)] if learnt else [],
        "albedo_modes": [_strip(strip) for strip in albedo_modes(model)],
        "compactness": compactness_plot(curves) if curves else "",
    }


def plotted_groups(model: MorphableModel) -> dict[str, LinearModel]:
    """Return the groups whose modes can be compared, by name: those that have more than one."""
    return {name: group for name, group in _groups(model).items() if group.n_components > 1}


def scan_values(rows: Sequence[ScanRow]) -> dict[str, Any]:
    """Return what the templates need to show scans: those that need a look first."""
    ordered = sorted(rows, key=lambda row: (_ORDER[row.verdict], not row.outlier, row.name))
    width = _WIDTHS[len(rows) > _MANY]
    diagnoses = [row.diagnosis for row in rows]
    verdicts = Counter(row.verdict for row in rows)
    filters = [(name, verdicts[name]) for name in _ORDER if verdicts[name]]
    outliers = sum(bool(row.outlier) for row in rows)
    return {
        "rows": [_scan(row, width if i < _MOST_PICTURES else None) for i, row in enumerate(ordered)],
        "filters": [*filters, *([("outlier", outliers)] if outliers else [])],
        "heat": {"limit": HEAT_LIMIT, "stops": _heat_stops()},
        "caution": CAUTION,
        "orders": [(figure.field, f"worst: {figure.name}") for figure in known_figures(diagnoses)],
    }


def _lead(model: MorphableModel | None, used: int, total: int) -> str:
    if model is None:
        return f"There is no model: {used} of {total} scans could be registered."
    return f"{used} of {total} scans, in one topology of {model.n_vertices:,} vertices."


def _tiles(model: MorphableModel | None, rows: Sequence[ScanRow]) -> list[tuple[str, str]]:
    used = [row for row in rows if row.used]
    tiles = [(f"of {len(rows)} scans used{_doubts(used)}", str(len(used)))]
    told = {name: middle for name, middle, *_ in medians({row.name: row.diagnosis for row in used})}
    tiles += [(f"{f.name}, median", told[f.name]) for f in FIGURES[:-1] if f.name in told]
    if model is not None:
        for name, group in _groups(model).items():
            one = group.n_components == 1
            tiles.append((f"{'mode' if one else 'modes'} of {name}", str(group.n_components)))
    return tiles


def _doubts(used: Sequence[ScanRow]) -> str:
    count = sum(row.verdict == "doubtful" for row in used)
    return f", {count} of them doubtful" if count else ""


def _groups(model: MorphableModel) -> dict[str, LinearModel]:
    groups = {"shape": model.identity, "expression": _learnt_expression(model), "albedo": model.albedo}
    return {name: group for name, group in groups.items() if group is not None}


def _learnt_expression(model: MorphableModel) -> LinearModel | None:
    """Return the model's expressions if they were learnt with it, not passed on by its template."""
    return model.expression if model.provenance.get("expression_scan_count", 0) > 0 else None


def _notes(rows: Sequence[ScanRow]) -> list[str]:
    """Return a sentence on what needs a look; names and reasons stand with the scans."""
    counts = {
        "could not be registered and were left out": sum(row.verdict == "failed" for row in rows),
        "are used, but worth a look": sum(row.verdict == "doubtful" and row.used for row in rows),
        "are unlike the others and were left out": sum(bool(row.outlier) and row.dropped for row in rows),
        "are unlike the others, and used": sum(bool(row.outlier) and row.used for row in rows),
    }
    said = [f"{count} {words}" for words, count in counts.items() if count]
    notes = [f"Of {len(rows)} scans, {'; '.join(said)}."] if said else []
    if len(rows) > _MOST_PICTURES:
        notes.append(f"{_MOST_PICTURES} scans have pictures here, those that need a look among them.")
    return notes


def _timings(rows: Sequence[ScanRow]) -> list[tuple[str, str, str]]:
    """Return (stage, median, longest) seconds over the scans, and of all stages together."""
    timed = [row.timings for row in rows if row.timings]
    if not timed:
        return []
    stages = list(dict.fromkeys(stage for timings in timed for stage in timings))
    table = {stage: [timings.get(stage, 0.0) for timings in timed] for stage in stages}
    table["all of it"] = [sum(timings.values()) for timings in timed]
    return [(stage, f"{np.median(values):.2f}", f"{max(values):.2f}") for stage, values in table.items()]


def _scan(row: ScanRow, width: int | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "verdict": row.verdict,
        "reasons": "; ".join(row.reasons),
        "remarks": " ".join(row.remarks),
        "figures": [f"{text} {figure.name}" for figure in FIGURES if (text := figure.text(row.diagnosis))],
        "badness": {figure.field: _badness(figure, row.diagnosis) for figure in FIGURES},
        "seconds": f"{sum(row.timings.values()):.1f}" if row.timings else "",
        "reused": row.reused,
        "outlier": row.outlier,
        "dropped": row.dropped,
        "picture": "" if width is None else _thumbnail(row.picture, width),
        "heads": ("scan", "registered", "both", "distance") if row.timings else _SIDES,
    }


def _badness(figure: ScanFigure, diagnosis: Diagnosis | None) -> str:
    """Return what the page sorts by, larger for worse."""
    value = figure.value(diagnosis)
    return "-9" if value is None else f"{value if figure.larger_is_worse else -value:.4g}"


_SIDES = ("the scan alone", "from the side", "the other side", "from behind")


def _thumbnail(picture: Path | None, width: int) -> str:
    """Return the picture for the page, or nothing where there is none to show."""
    if picture is None:
        return ""
    try:
        return image_uri(read_image(picture), max_side=width, quality=80)
    except BadInputError:  # removed or damaged since; the page can do without
        return ""


def _strip(strip: ModeStrip) -> dict[str, str]:
    return {
        "picture": image_uri(strip.image, max_side=None, quality=85),
        "reach": f"{strip.reach:g}",
        "share": f"{100 * strip.share:.1f}",
    }


def _heat_stops(count: int = 9) -> list[str]:
    colors = matplotlib.colormaps[HEAT_MAP](np.linspace(0, 1, count))
    return [str(matplotlib.colors.to_hex(color)) for color in colors]


def _unlisted(provenance: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in provenance.items() if key not in _LISTED}
