"""Line plots as SVG text, through matplotlib's figures without its global state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter

from morphkit.basis import compactness
from morphkit.basis.metrics import Metric
from morphkit.export.figures import empty_figure, svg_text
from morphkit.morphable import LinearModel

_Corner = Literal["upper right", "lower right"]

_ACCENT = "#9a4f2e"
_SECOND = "#2f5f8f"
_COLORS = {"shape": _ACCENT, "expression": "#4d7c46", "albedo": _SECOND}
_INK = "#6b6862"


def compactness_plot(groups: Mapping[str, LinearModel]) -> str:
    """Return an SVG of the compactness curves of groups by name: shape, expression, albedo."""
    figure, axes = empty_figure(_INK)
    for name, group in groups.items():
        shares = np.concatenate([[0.0], 100 * compactness(group)])
        axes.plot(np.arange(len(shares)), shares, color=_COLORS[name], label=name, marker="o", markersize=3)
    axes.set(xlabel="modes", ylabel="variance explained, %", ylim=(0, 103))
    axes.set_xlim(left=0)
    _finish(axes, groups, "lower right")
    return svg_text(figure)


def scree_plot(groups: Mapping[str, LinearModel]) -> str:
    """Return an SVG of the groups' standard deviations, mode by mode, relative to the first."""
    figure, axes = empty_figure(_INK)
    for name, group in groups.items():
        shares = group.standard_deviations / group.standard_deviations[:1]
        modes = np.arange(1, len(shares) + 1)
        axes.plot(modes, shares, color=_COLORS[name], label=name, marker="o", markersize=3)
    axes.set(xlabel="mode", ylabel="standard deviation, of the first mode's", yscale="log")
    axes.set_xlim(0.5, max((group.n_components for group in groups.values()), default=1) + 0.5)
    axes.set_ylim(bottom=min(0.09, axes.get_ylim()[0]))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _finish(axes, groups, "upper right")
    return svg_text(figure)


def metric_plot(metric: Metric, label: str) -> str:
    """Return an SVG of a metric by number of modes, with its intervals, by points and by surfaces."""
    figure, axes = empty_figure(_INK)
    for curve, name, color in (
        (metric.points, "point to point", _ACCENT),
        (metric.surface, "point to surface", _SECOND),
    ):
        axes.fill_between(curve.modes, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(curve.modes, curve.mean, color=color, label=name, marker="o", markersize=3)
    axes.set(xlabel="modes", ylabel=label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(frameon=False, labelcolor=_INK)
    return svg_text(figure)


def _finish(axes: Axes, groups: Mapping[str, LinearModel], place: _Corner) -> None:
    """Count modes in whole numbers, and name the curves if there are several."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(groups) > 1:
        axes.legend(frameon=False, labelcolor=_INK, loc=place)
