"""Landmarks over a photo, as SVG: what was seen, and where the fitted face has it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.html import image_uri

_RADIUS = 0.0035  # of the picture's side
_SEEN, _FITTED = "#ffd23f", "#2bd1fc"


def landmark_svg(
    picture: UInt8[np.ndarray, "s s 3"],
    window: tuple[int, int, int, int],
    seen: Float[np.ndarray, "n 2"],
    fitted: Float[np.ndarray, "n 2"],
) -> str:
    """Return a drawing of seen landmarks, each with a line to where the face has it.

    Parameters
    ----------
    picture : the window of the photo.
    window : its left, top, right and bottom in the photo.
    seen, fitted : (n, 2) pixels of the photo; NaN where there is none.
    """
    side = len(picture)
    zoom = side / (window[2] - window[0])
    ends = np.hstack([(points - [window[0], window[1]]) * zoom for points in (seen, fitted)])
    both = ends[np.isfinite(ends).all(axis=1)].tolist()
    lines = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in both)
    radius = _RADIUS * side
    return (
        f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="Landmarks over the photo">'
        f'<image href="{image_uri(picture)}" width="{side}" height="{side}"/>'
        f'<path d="{lines}" stroke="{_FITTED}" stroke-width="{0.6 * radius:.2f}"/>'
        f"{_dots(ends[:, :2], 0.75 * radius, _SEEN)}{_dots(ends[:, 2:], 0.5 * radius, _FITTED)}</svg>"
    )


def _dots(points: Float[np.ndarray, "n 2"], radius: float, color: str) -> str:
    points = points[np.isfinite(points).all(axis=1)]
    circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.2f}"/>' for x, y in points.tolist())
    return f'<g fill="{color}">{circles}</g>'
