"""The page about photos that were prepared for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from morphkit.export.html import image_uri, render_report


@dataclass(frozen=True)
class Bars:
    """How something is spread over a dataset.

    Attributes
    ----------
    title : what it is.
    names : of its bins.
    counts : faces in each.
    drawn : share of each in what a balanced sampler draws, 0..1.
    """

    title: str
    names: tuple[str, ...]
    counts: tuple[int, ...]
    drawn: tuple[float, ...]


def write_dataset_page(
    path: Path,
    *,
    tiles: Sequence[tuple[str, str]],
    sheets: Sequence[UInt8[np.ndarray, "h w 3"]],
    bars: Sequence[Bars],
    failures: tuple[int, Sequence[tuple[str, str]]],
    duplicates: tuple[int, Sequence[tuple[str, str]], bool],
    table: str,
) -> None:
    """Write the page as one self-contained HTML file.

    Parameters
    ----------
    path : of the page.
    tiles : (label, value) of the counts.
    sheets : contact sheets, drawn into the page.
    bars : of poses and tones.
    failures : how many photos gave no face, and (photo, reason) of the first.
    duplicates : how many faces show another photo again, (photo, photo it repeats) of the first, and whether
        they are in the dataset all the same.
    table : name of the file that lists all.

    Raises
    ------
    OutputError
        When the page cannot be written.
    """
    render_report(
        "dataset.html.jinja",
        path,
        tiles=tiles,
        sheets=[image_uri(sheet, max_side=None, quality=80) for sheet in sheets],
        bars=[_plain(one) for one in bars],
        failures=failures,
        duplicates=duplicates,
        table=table,
    )


def _plain(bars: Bars) -> tuple[str, list[tuple[str, int, float, float]]]:
    """Return the title and, a bin each, name, count, and the lengths of the two bars in per cent."""
    total = max(sum(bars.counts), 1)
    shares = [count / total for count in bars.counts]
    longest = max([*shares, *bars.drawn, 1e-9])
    rows = zip(bars.names, bars.counts, shares, bars.drawn, strict=True)
    return bars.title, [
        (name, int(count), 100 * share / longest, 100 * drawn / longest) for name, count, share, drawn in rows
    ]
