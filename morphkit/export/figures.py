"""Figures that stand on a page, light or dark, as SVG text; through matplotlib without its global state."""

from __future__ import annotations

import hashlib
import html
import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK = "#625f59"
SERIES = ("#9a4f2e", "#2f5f8f", "#4d7c46", "#8a6bb0", "#b07d00", "#2a8f89", "#c2497c", "#55524d")
"""Colours of lines; like `INK`, a page replaces them by its own, which are others in the dark."""

_OF_PAGE = {INK: "var(--soft)"} | {color: f"var(--series-{i})" for i, color in enumerate(SERIES, start=1)}
_ROW, _MARK = 66, 7  # letters that a row of names has room for, and those beside a mark
_DASHES = ("-", "--", ":")


def line_look(number: int) -> tuple[str, str]:
    """Return the colour and dashes of the line with this number: no two of the first 24 look alike."""
    return SERIES[number % len(SERIES)], _DASHES[number // len(SERIES) % len(_DASHES)]


def empty_figure(ink: str = INK, height: float = 3.4) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes, 5.4 inches wide; grid, ticks and labels are of one colour.

    It is as wide as its letters can be read on a phone.
    """
    figure = Figure(figsize=(5.4, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=ink, alpha=0.2, linewidth=0.6)
    axes.tick_params(which="both", color=ink, labelcolor=ink)
    axes.xaxis.label.set_color(ink)
    axes.yaxis.label.set_color(ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    return figure, axes


def whole_numbers(axes: Axes) -> None:
    """Count across in whole numbers: of modes, or of steps."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def legend_below(figure: Figure, axes: Axes) -> None:
    """Name the lines under the axes, where no line can run through the names."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    figure.legend(
        handles,
        names,
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        loc="outside lower center",
        ncols=max(1, min(len(names), _ROW // (_MARK + max(map(len, names))))),
    )


def svg_text(figure: Figure, words: str) -> str:
    """Return a figure as SVG in the page's own colours, the same text every time.

    Parameters
    ----------
    figure : of `empty_figure`.
    words : what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "morphkit"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: _OF_PAGE.get(found[0], found[0]), text)
    text = _own_names(text, hashlib.sha256((words + text).encode()).hexdigest()[:8])
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(words)}"', 1)


def _own_names(text: str, mark: str) -> str:
    """Return the SVG with only the ids that it refers to, marked so that no other figure has them."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(
        r' id="([^"]+)"', lambda found: f' id="{mark}-{found[1]}"' if found[1] in used else "", text
    )
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", text)
