"""The page that shows a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.fit_pictures import FitPictures
from morphkit.export.html import image_uri, render_report
from morphkit.export.turntable import Turntable, turntable_values

_SIGMAS = 3.0  # that a coefficient's bar spans
_FEWEST = 0.02  # strength from which an expression unit is named
_MOST_NAMED = 12


@dataclass(frozen=True, eq=False)
class FitPage:
    """What a fit's page says.

    Attributes
    ----------
    name : of the photo.
    face : the face to turn.
    tiles : (label, value) pairs shown large.
    facts : (label, value) rows of a table.
    notes : what the reader should know, one sentence each.
    files : (name, what it is) of what was written beside the page.
    coefficients : by group, standard deviations.
    units : strengths of named expression units, 0..1.
    landmarks : an SVG, or None.
    textures : (h, w, 3) pictures with captions.
    uncertainty : pictures of the uncertainty map, and the end of its scale in millimetres; or None.
    scale : CSS colours of that scale.
    attention : what the fit looked at, or None.
    predicted_by : the network that predicted the face, if it was not fitted.
    origin : what it was made from, in a few words each.
    """

    name: str
    face: Turntable
    tiles: Sequence[tuple[str, str]]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    files: Sequence[tuple[str, str]] = ()
    coefficients: Mapping[str, Float[np.ndarray, " _"]] = field(default_factory=dict)
    units: Mapping[str, float] = field(default_factory=dict)
    landmarks: str | None = None
    textures: Sequence[tuple[UInt8[np.ndarray, "_ _ 3"], str]] = ()
    uncertainty: tuple[Sequence[UInt8[np.ndarray, "s s 3"]], float] | None = None
    scale: Sequence[str] = ()
    attention: UInt8[np.ndarray, "_ _ 3"] | None = None
    predicted_by: str | None = None
    origin: Sequence[str] = ()


def write_fit_report(path: Path | str, pictures: FitPictures, page: FitPage) -> None:
    """Write ``report.html``."""
    uncertainty = None
    if page.uncertainty is not None:
        views, end = page.uncertainty
        uncertainty = {"pictures": [image_uri(view) for view in views], "end": end}
    render_report(
        "fit.html.jinja",
        path,
        name=page.name,
        tiles=page.tiles,
        facts=page.facts,
        notes=page.notes,
        files=page.files,
        overlay=image_uri(pictures.overlay),
        photo=image_uri(pictures.photo),
        close=image_uri(pictures.close),
        shape=image_uri(pictures.clay),
        face=turntable_values(page.face),
        origin=page.origin,
        landmarks=page.landmarks,
        textures=[(image_uri(picture, max_side=640), caption) for picture, caption in page.textures],
        uncertainty=uncertainty,
        scale=list(page.scale),
        attention=None if page.attention is None else image_uri(page.attention),
        bars=[(name, _bars(values)) for name, values in page.coefficients.items() if len(values)],
        units=_strongest(page.units),
        predicted_by=page.predicted_by,
    )


def _bars(values: Float[np.ndarray, " n"]) -> list[tuple[int, float, float, str]]:
    """Return a rectangle for each coefficient: x, top and height of a drawing from -1 to 1; and its words."""
    heights = np.clip(values / _SIGMAS, -1.0, 1.0)
    return [
        (i, round(-max(h, 0.0), 3), round(max(abs(h), 0.008), 3), f"{i + 1}: {value:+.2f} σ")
        for i, (h, value) in enumerate(zip(heights.tolist(), values.tolist(), strict=True))
    ]


def _strongest(units: Mapping[str, float]) -> list[tuple[str, float]]:
    named = sorted(units.items(), key=lambda item: -item[1])
    return [(name, strength) for name, strength in named if strength >= _FEWEST][:_MOST_NAMED]
