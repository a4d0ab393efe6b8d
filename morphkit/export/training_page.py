"""A training run on one page: curves, pictures of held-out people, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from morphkit.export.figures import empty_figure, svg_text
from morphkit.export.html import image_uri, render_report

_INK = "#807b73"  # readable on light and dark pages
_COLORS = ("#9a4f2e", "#2f5f8f", "#4d7c46", "#8a6bb0", "#9a6a00", "#3f8f8a", "#a3312b", "#6b6862")


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
    """

    title: str
    lead: str
    tiles: Sequence[tuple[str, str]]
    curves: Sequence[Curves]
    panels: Sequence[tuple[str, UInt8[ndarray, "h w 3"]]]
    settings: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def write_training_page(path: Path, page: TrainingPage) -> None:
    """Write the page, one file."""
    render_report(
        "training.html.jinja",
        path,
        title=page.title,
        lead=page.lead,
        tiles=page.tiles,
        notes=page.notes,
        figures=[(curves.title, curves_svg(curves)) for curves in page.curves if curves.lines],
        panels=[(caption, image_uri(picture)) for caption, picture in page.panels],
        settings=page.settings,
    )


def curves_svg(curves: Curves) -> str:
    """Return the lines as an SVG; with a logarithmic axis, values that aren't positive are left out."""
    figure, axes = empty_figure(_INK)
    for (name, (steps, values)), color in zip(curves.lines.items(), _cycled(len(curves.lines)), strict=True):
        shown = [(s, v) for s, v in zip(steps, values, strict=True) if v > 0 or not curves.logarithmic]
        marker = "o" if len(shown) < 30 else None
        axes.plot(
            *zip(*shown, strict=True), label=name, color=color, linewidth=1.4, marker=marker, markersize=3
        )
    axes.set(xlabel="steps", ylabel=curves.label)
    if curves.logarithmic:
        axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK, fontsize="small")
    return svg_text(figure)


def _cycled(count: int) -> list[str]:
    return [_COLORS[number % len(_COLORS)] for number in range(count)]
