"""How a registration went, in the figures that people read, those that say most first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from morphkit.registration import Diagnosis

CAUTION = "Distance tells how near the mesh came to the surface, not whether it slid along it."


@dataclass(frozen=True)
class ScanFigure:
    """A figure of a `Diagnosis`, and how it is read.

    Attributes
    ----------
    field : of the diagnosis.
    head : of a column.
    name : in a sentence.
    form : of the value.
    larger_is_worse : or smaller.
    """

    field: str
    head: str
    name: str
    form: str
    larger_is_worse: bool = True

    def value(self, diagnosis: Diagnosis | None) -> float | None:
        """Return the figure, if it is known."""
        if diagnosis is None or (self.field == "distance" and not diagnosis.covered):
            return None
        value: float | None = getattr(diagnosis, self.field)
        return value

    def text(self, diagnosis: Diagnosis | None) -> str:
        """Return the figure as text, empty where it is not known."""
        value = self.value(diagnosis)
        return "" if value is None else self.form.format(value)


FIGURES = (
    ScanFigure("covered", "covered", "of the template covered", "{:.0%}", larger_is_worse=False),
    ScanFigure("landmark_error", "landmarks, mm", "mm off the landmarks", "{:.1f}"),
    ScanFigure("strain", "strain", "strain", "{:.0%}"),
    ScanFigure("distance", "to scan, mm", "mm to the scan", "{:.2f}"),
)


def known_figures(diagnoses: Sequence[Diagnosis | None]) -> tuple[ScanFigure, ...]:
    """Return the figures that any scan has; there may be no landmarks, and no strain."""
    return tuple(figure for figure in FIGURES if any(figure.value(one) is not None for one in diagnoses))


def medians(diagnoses: Mapping[str, Diagnosis | None]) -> list[tuple[str, str, str, str]]:
    """Return (figure, median, worst, of which scan) over scans by name."""
    rows = []
    for figure in known_figures(list(diagnoses.values())):
        values = {name: figure.value(diagnosis) for name, diagnosis in diagnoses.items()}
        known = {name: value for name, value in values.items() if value is not None}
        worst = (max if figure.larger_is_worse else min)(known, key=known.__getitem__)
        middle = float(np.median(list(known.values())))
        rows.append((figure.name, figure.form.format(middle), figure.form.format(known[worst]), worst))
    return rows
