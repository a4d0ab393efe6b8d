"""The page that says how near fitted faces come to true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.colors
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from morphkit.export.build_pictures import HEAT_MAP, heat_colors
from morphkit.export.figures import svg_text
from morphkit.export.html import image_uri, render_report
from morphkit.geometry.views import Shading, render_view, turn
from morphkit.mesh import Mesh

_TURNED = turn(yaw=0.7)


@dataclass(frozen=True, eq=False)
class FitPicture:
    """One fit on the page.

    Attributes
    ----------
    name : the face's.
    rank : "worst" or "best".
    caption : its figures.
    strip : `error_strip`'s picture.
    """

    name: str
    rank: str
    caption: str
    strip: UInt8[np.ndarray, "h w 3"]


def error_strip(
    truth: Mesh,
    distances: Float[np.ndarray, " v"],
    fitted: Mesh,
    rotation: Float[np.ndarray, "3 3"],
    centre: Float[np.ndarray, "3"],
    radius: float,
    limit: float,
    *,
    size: int = 300,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return four pictures side by side: errors on the true face, front and turned, and the fit likewise.

    Parameters
    ----------
    truth, fitted : in one frame.
    distances : (v,) of the true vertices to the fit, millimetres; NaN, drawn as clay, where not measured.
    rotation : (3, 3) from that frame to the head frame.
    centre, radius : the ball that fills each picture.
    limit : millimetres at the end of the colour scale.
    size : height in pixels.
    """
    colored = Mesh(truth.vertices, truth.faces, heat_colors(distances, limit))
    plain = Mesh(fitted.vertices, fitted.faces)
    shadings: tuple[tuple[Mesh, Shading], ...] = ((colored, "lit"), (plain, "shaded"))
    views = [
        render_view(
            mesh,
            way @ rotation,
            size=size,
            centre=centre,
            radius=radius,
            shading=shading,
            supersampling=2,
        ).image
        for mesh, shading in shadings
        for way in (np.eye(3), _TURNED)
    ]
    return np.concatenate(views, axis=1)


def write_fits_page(
    path: Path,
    *,
    title: str,
    lead: str,
    tiles: Sequence[tuple[str, str]],
    notes: Sequence[str],
    curve: Figure,
    headers: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    pictures: Sequence[FitPicture],
    limit: float,
    per_face: tuple[Sequence[str], Sequence[tuple[str, ...]]],
    failures: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    origin: Sequence[str] = (),
) -> None:
    """Write the evaluation of fits as one self-contained HTML file.

    Parameters
    ----------
    path : the page.
    title, lead : the heading, and the sentence below it.
    tiles : (label, value) of the main figures.
    notes : sentences to read them by.
    curve : the cumulative error curve.
    headers, rows : the table of pooled figures.
    pictures : of the worst and best fits.
    limit : millimetres at the end of the pictures' colour scale.
    per_face : headers and rows of the table of single faces.
    failures : (name, reason) of each fit that failed.
    facts : (name, value) rows for the end.
    origin : what it was made from, in a few words each.
    """
    stops = matplotlib.colormaps[HEAT_MAP](np.linspace(0, 1, 9))
    render_report(
        "fits.html.jinja",
        path,
        title=title,
        lead=lead,
        origin=origin,
        tiles=tiles,
        notes=notes,
        curve=svg_text(curve, "Cumulative error of the fits"),
        headers=headers,
        rows=rows,
        pictures=[(p.name, p.rank, p.caption, image_uri(p.strip)) for p in pictures],
        limit=limit,
        stops=[str(matplotlib.colors.to_hex(color)) for color in stops],
        face_headers=per_face[0],
        face_rows=per_face[1],
        failures=failures,
        facts=facts,
    )
