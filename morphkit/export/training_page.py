"""A training run on one page: curves, pictures of held-out people, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy import ndarray

from morphkit.export.figures import empty_figure, legend_below, line_look, svg_text, whole_numbers
from morphkit.export.html import image_uri, render_report

_FEW = 30  # points of a line, which are marked
_DECADES = 15.0  # times the least value


@dataclass(frozen=True)
class Curves:
    """Lines over the steps of a run, on axes of their own.

    Attributes
    ----------
    title : of the figure.
    label : of the upright axis.
    lines : (steps, values) by name.
    logarithmic : whether the upright axis is, as suits losses of many sizes.
    """

    title: str
    label: str
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    logarithmic: bool = False


@dataclass(frozen=True, eq=False)
class TrainingPage:
    """What the page shows.

    Attributes
    ----------
    title, lead : of the page.
    tiles : (label, value) of the numbers that matter.
    curves : of losses and of held-out people.
    panels : (caption, picture).
    settings : (name, value).
    notes : sentences.
    origin : what was trained on what, in a few words each.
    """

    title: str
    lead: str
    tiles: Sequence[tuple[str, str]]
    curves: Sequence[Curves]
    panels: Sequence[tuple[str, UInt8[ndarray, "h w 3"]]]
    settings: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    origin: Sequence[str] = ()


def write_training_page(path: Path, page: TrainingPage) -> None:
    """Write the page, one file."""
    render_report(
        "training.html.jinja",
        path,
        title=page.title,
        lead=page.lead,
        tiles=page.tiles,
        notes=page.notes,
        origin=page.origin,
        figures=[(curves.title, curves_svg(curves)) for curves in page.curves if curves.lines],
        panels=[(caption, image_uri(picture)) for caption, picture in page.panels],
        settings=page.settings,
    )


def curves_svg(curves: Curves) -> str:
    """Return the lines as an SVG; with a logarithmic axis, values that aren't positive are left out.

    The line called "total" lies broad behind the others: where one term is nearly all of it, both are seen.
    """
    figure, axes = empty_figure()
    for number, (name, (steps, values)) in enumerate(curves.lines.items()):
        shown = [(s, v) for s, v in zip(steps, values, strict=True) if v > 0 or not curves.logarithmic]
        color, dashes = line_look(number)
        broad = name == "total"
        axes.plot(
            *zip(*shown, strict=True),
            label=name,
            color=color,
            linestyle=dashes,
            linewidth=5.0 if broad else 1.5,
            alpha=0.35 if broad else 1.0,
            marker="o" if len(shown) < _FEW and not broad else None,
            markersize=3,
        )
    axes.set(xlabel="steps", ylabel=curves.label)
    whole_numbers(axes)
    if curves.logarithmic:
        _logarithmic(axes)
    legend_below(figure, axes)
    return svg_text(figure, f"{curves.title}: {', '.join(curves.lines)} by step")


def _logarithmic(axes: Axes) -> None:
    """Make the upright axis logarithmic, with plain numbers; between powers of ten where few are seen."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high < _DECADES * low:  # fewer than two powers of ten would be named
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.yaxis.set_minor_locator(NullLocator())
