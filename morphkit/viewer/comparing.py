"""Two faces of one topology against each other, and the colours that say how far apart they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from morphkit.export.uncertainty import deviation_colors, scale_end
from morphkit.io.color import linear_to_srgb_uint8

_WIDTH, _HEIGHT, _TEXT = 280, 16, 18  # pixels of the legend


def distances(vertices: Float[np.ndarray, "v 3"], other: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, " v"]:
    """Return how far apart the same vertices are, millimetres: both faces lie in the model's frame."""
    apart: np.ndarray = np.linalg.norm(vertices - other, axis=1)
    return apart


def distance_colors(apart: Float[np.ndarray, " v"], end: float) -> Float[np.ndarray, "v 3"]:
    """Return linear RGB, dark blue for 0 to yellow for `end` millimetres and more."""
    return deviation_colors(np.minimum(apart, end), end)


def legend(end: float, dark: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of the scale from 0 to `end` millimetres."""
    ink, paper = ((230, 230, 230), (36, 36, 36)) if dark else ((40, 40, 40), (255, 255, 255))
    ramp = linear_to_srgb_uint8(distance_colors(np.linspace(0.0, end, _WIDTH), end))
    picture = Image.new("RGB", (_WIDTH, _HEIGHT + _TEXT), paper)
    picture.paste(Image.fromarray(np.repeat(ramp[None], _HEIGHT, axis=0)), (0, 0))
    draw = ImageDraw.Draw(picture)
    for share, anchor in ((0.0, "lt"), (0.5, "mt"), (1.0, "rt")):
        draw.text((share * (_WIDTH - 1), _HEIGHT + 4), f"{share * end:g} mm", fill=ink, anchor=anchor)
    return np.asarray(picture)


__all__ = ["distance_colors", "distances", "legend", "scale_end"]
