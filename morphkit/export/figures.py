"""Figures that stand on a page, light or dark, as SVG text; through matplotlib without its global state."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def empty_figure(ink: str, height: float = 3.6) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, 6.4 inches wide; grid, ticks and labels are of one colour."""
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=ink, alpha=0.2, linewidth=0.6)
    axes.tick_params(which="both", color=ink, labelcolor=ink)
    axes.xaxis.label.set_color(ink)
    axes.yaxis.label.set_color(ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    return figure, axes


def svg_text(figure: Figure) -> str:
    """Return a figure as SVG on the page's own colour, the same text every time."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "morphkit"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
