"""Plots of how good a model is (compactness, generalization, specificity), and how good fits are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morphkit.basis import Curve, Metric
from morphkit.export.figures import INK, SERIES, empty_figure, legend_below, whole_numbers
from morphkit.io.atomic import atomic_path

_GUIDES = (90, 95, 98)  # per cent of the variance


def compactness_figure(shares: Float[np.ndarray, " k"]) -> Figure:
    """Draw the share of the variance in the first modes, and where it passes 90, 95 and 98 per cent."""
    figure, axes = _figure("modes", "variance explained, %")
    whole_numbers(axes)
    values = np.concatenate([[0.0], 100 * shares])
    axes.plot(np.arange(len(values)), values, color=SERIES[0], linewidth=1.8)
    reached = [
        (guide, int(np.argmax(values >= guide - 1e-7))) for guide in _GUIDES if values[-1] >= guide - 1e-7
    ]
    for _, modes in reached:
        axes.plot(modes, values[modes], "o", color=SERIES[0], markersize=5)
    told = "\n".join(f"{guide} %: {modes} {'mode' if modes == 1 else 'modes'}" for guide, modes in reached)
    axes.text(0.97, 0.06, told, transform=axes.transAxes, color=INK, ha="right", linespacing=1.5)
    axes.set(xlim=(0, None), ylim=(0, 104))
    return figure


def metric_figure(metric: Metric) -> Figure:
    """Draw a metric by number of modes, by points and by surface, with its 95 % intervals."""
    figure, axes = _figure("modes", "mean distance, mm")
    whole_numbers(axes)
    curves: Mapping[str, Curve] = {"to the same point": metric.points, "to the surface": metric.surface}
    for (name, curve), color in zip(curves.items(), SERIES, strict=False):
        axes.fill_between(curve.modes, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
        axes.plot(curve.modes, curve.mean, color=color, marker="o", markersize=3.5, linewidth=1.6, label=name)
    axes.set(xlim=(0, None), ylim=(0, None))
    legend_below(figure, axes)
    return figure


def cumulative_figure(curves: Mapping[str, Float[np.ndarray, " t"]], limit: float) -> Figure:
    """Draw shares of points (0..1) within distances evenly spaced from 0 to `limit` millimetres, by name."""
    figure, axes = _figure("distance, mm", "points within it, %")
    for (name, shares), color in zip(curves.items(), SERIES, strict=False):
        axes.plot(np.linspace(0, limit, len(shares)), 100 * shares, color=color, linewidth=1.8, label=name)
    axes.set(xlim=(0, limit), ylim=(0, 100))
    axes.legend(frameon=False, labelcolor=INK, loc="lower right")
    return figure


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure on white, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white", metadata={"Software": None})


def _figure(across: str, up: str) -> tuple[Figure, Axes]:
    figure, axes = empty_figure(height=3.6)
    axes.set(xlabel=across, ylabel=up)
    return figure, axes
