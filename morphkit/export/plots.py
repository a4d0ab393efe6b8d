"""Line plots as SVG text, through matplotlib's figures without its global state."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter

from morphkit.basis import compactness
from morphkit.basis.metrics import Metric
from morphkit.export.figures import SERIES, empty_figure, legend_below, svg_text, whole_numbers
from morphkit.morphable import LinearModel

_COLORS = {"shape": SERIES[0], "expression": SERIES[2], "albedo": SERIES[1]}


def compactness_plot(groups: Mapping[str, LinearModel]) -> str:
    """Return an SVG of the compactness curves of groups by name: shape, expression, albedo."""
    figure, axes = empty_figure()
    for name, group in groups.items():
        shares = np.concatenate([[0.0], 100 * compactness(group)])
        axes.plot(np.arange(len(shares)), shares, color=_COLORS[name], label=name, marker="o", markersize=3)
    axes.set(xlabel="modes", ylabel="variance explained, %", ylim=(0, 103))
    axes.set_xlim(left=0)
    _finish(figure, axes, groups)
    return svg_text(figure, f"Compactness of {', '.join(groups)}")


def scree_plot(groups: Mapping[str, LinearModel]) -> str:
    """Return an SVG of the groups' standard deviations, mode by mode, relative to the first."""
    figure, axes = empty_figure()
    for name, group in groups.items():
        shares = group.standard_deviations / group.standard_deviations[:1]
        modes = np.arange(1, len(shares) + 1)
        axes.plot(modes, shares, color=_COLORS[name], label=name, marker="o", markersize=3)
    axes.set(xlabel="mode", ylabel="standard deviation, of the first mode's", yscale="log")
    axes.set_xlim(0.5, max((group.n_components for group in groups.values()), default=1) + 0.5)
    axes.set_ylim(bottom=min(0.09, axes.get_ylim()[0]))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _finish(figure, axes, groups)
    return svg_text(figure, f"Standard deviations of the modes of {', '.join(groups)}")


def metric_plot(metric: Metric, label: str) -> str:
    """Return an SVG of a metric by number of modes, with its intervals, by points and by surfaces."""
    figure, axes = empty_figure()
    for curve, name, color in (
        (metric.points, "point to point", SERIES[0]),
        (metric.surface, "point to surface", SERIES[1]),
    ):
        axes.fill_between(curve.modes, curve.low, curve.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(curve.modes, curve.mean, color=color, label=name, marker="o", markersize=3)
    axes.set(xlabel="modes", ylabel=label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    whole_numbers(axes)
    legend_below(figure, axes)
    return svg_text(figure, f"{label} by number of modes")


def _finish(figure: Figure, axes: Axes, groups: Mapping[str, LinearModel]) -> None:
    """Count modes in whole numbers, and name the curves if there are several."""
    whole_numbers(axes)
    if len(groups) > 1:
        legend_below(figure, axes)
