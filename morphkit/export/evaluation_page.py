"""The page that says how good a model is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.colors
import numpy as np

from morphkit.basis import Curve, Metric
from morphkit.basis.evaluation import Evaluation
from morphkit.export.build_pictures import HEAT_MAP, heat_colors, portrait
from morphkit.export.evaluation_plots import compactness_figure, metric_figure
from morphkit.export.facts import model_origin
from morphkit.export.figures import svg_text
from morphkit.export.html import render_report
from morphkit.export.turntable import Skin, Turntable, turntable_values
from morphkit.geometry.views import turn
from morphkit.morphable import MorphableModel

_TABLE_MODES = (0, 1, 5, 10, 20, 40, 80, 150)  # rows of the table, and the last


def write_evaluation_page(
    path: Path,
    model: MorphableModel,
    evaluation: Evaluation,
    *,
    title: str,
    lead: str,
    outliers: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
) -> None:
    """Write an evaluation as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    model : what was measured; its identity group is drawn.
    evaluation : what was found.
    title, lead : the heading, and the sentence below it.
    outliers : (name, reason) of scans that stand out.
    notes : sentences on what could not be told.
    facts : (name, value) rows for the end.
    """
    render_report(
        "evaluation.html.jinja",
        path,
        title=title,
        lead=lead,
        origin=model_origin(model),
        tiles=_tiles(evaluation),
        notes=notes,
        figures=_figures(evaluation),
        table=_table(evaluation),
        spread=_spread(model),
        outliers=[(name, reason) for name, reason in outliers],
        facts=facts,
    )


def metrics_of(evaluation: Evaluation) -> dict[str, Metric]:
    """Return the metrics that were measured, under the names that people read."""
    measured = {
        "Generalization, held-out": evaluation.generalization,
        "Generalization, left out": evaluation.leave_out,
        "Specificity": evaluation.specificity,
    }
    return {name: metric for name, metric in measured.items() if metric is not None}


def metric_rows(evaluation: Evaluation, write: Callable[[float, float, float], str]) -> list[tuple[str, ...]]:
    """Return a table: modes, per cent of the variance, then points and surface of each metric.

    Parameters
    ----------
    evaluation : what was found.
    write : makes text of a mean and its interval, which is NaN where there is none.
    """
    metrics = metrics_of(evaluation)
    every = len(evaluation.compactness)
    ladders = [metric.points.modes for metric in metrics.values()] or [tuple(range(every + 1))]
    ends = {ladder[-1] for ladder in ladders if ladder}
    known = {modes for ladder in ladders for modes in ladder}
    chosen = sorted(modes for modes in known if modes in _TABLE_MODES or modes in ends)
    curves = [curve for metric in metrics.values() for curve in (metric.points, metric.surface)]
    return [
        (str(modes), _share(evaluation, modes), *(_cell(curve, modes, write) for curve in curves))
        for modes in chosen
    ]


def _cell(curve: Curve, modes: int, write: Callable[[float, float, float], str]) -> str:
    if modes not in curve.modes:
        return ""
    i = curve.modes.index(modes)
    return write(float(curve.mean[i]), float(curve.low[i]), float(curve.high[i]))


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(low) else f"{mean:.2f}"


def _share(evaluation: Evaluation, modes: int) -> str:
    shares = np.concatenate([[0.0], evaluation.compactness])
    return f"{100 * shares[min(modes, len(shares) - 1)]:.1f}" if len(shares) > 1 else ""


def _table(evaluation: Evaluation) -> dict[str, Any]:
    """Return the table with its two rows of headings."""
    metrics = metrics_of(evaluation)
    heads = [{"text": "Modes", "span": 0}, {"text": "Variance, %", "span": 0}]
    heads += [{"text": name, "span": 2} for name in metrics]
    subheads = ["", "", *["points", "surface"] * len(metrics)] if metrics else []
    return {"heads": heads, "subheads": subheads, "rows": metric_rows(evaluation, _interval)}


def _tiles(evaluation: Evaluation) -> list[tuple[str, str]]:
    modes = evaluation.modes_for(0.95)
    least = "more than it has" if len(evaluation.compactness) else "it has none"
    tiles = [("modes for 95 % of the variance", least if modes is None else str(modes))]
    for name, metric in metrics_of(evaluation).items():
        end = f"{metric.points.mean[-1]:.2f} mm"
        tiles.append((f"{name[0].lower()}{name[1:]}, {metric.points.modes[-1]} modes", end))
        tiles.append(("the same, to the surface", f"{metric.surface.mean[-1]:.2f} mm"))
    return [(label, value) for label, value in tiles]


def _figures(evaluation: Evaluation) -> list[dict[str, str]]:
    against = {"training": "the training shapes", "held-out": "the held-out shapes", None: ""}
    captions = {
        "Generalization, held-out": "how near the model comes to people it has not seen. Lower is better.",
        "Generalization, left out": (
            "how near models of the other training shapes come to those left out in turn. Lower is better."
        ),
        "Specificity": (
            f"how far random heads of the model are from the nearest of {against[evaluation.specific_to]}. "
            "Zero modes is the mean; a model that makes up faces rises steeply."
        ),
    }
    compact = "how much of the variance the first modes explain. A steep curve is a compact model."
    figures = [("Compactness", compact, compactness_figure(evaluation.compactness))]
    for name, metric in metrics_of(evaluation).items():
        figures.append((name, captions[name], metric_figure(metric)))
    return [
        {"name": name, "caption": text, "svg": svg_text(figure, f"{name}: {text}")}
        for name, text, figure in figures
    ]


def _spread(model: MorphableModel) -> dict[str, Any]:
    """Return pictures of how far each vertex strays, and their scale."""
    deviations = model.identity.vertex_deviations()
    limit = max(float(np.ceil(np.quantile(deviations, 0.98))), 1.0)
    colors = heat_colors(deviations, limit)
    mesh = replace(model.mesh(), uv=None, colors=colors)
    views = [portrait(mesh, way, size=420) for way in (None, turn(yaw=0.7), turn(yaw=1.4))]
    stops = matplotlib.colormaps[HEAT_MAP](np.linspace(0, 1, 9))
    view = Turntable(
        "The mean head, coloured by how far each vertex strays",
        mesh.vertices,
        mesh.faces,
        [Skin("spread", colors), Skin("shape")],
        np.concatenate(views, axis=1),
    )
    return {
        "view": turntable_values(view),
        "limit": limit,
        "stops": [str(matplotlib.colors.to_hex(color)) for color in stops],
        "mean": f"{np.sqrt(np.mean(deviations**2)):.2f}",
    }
