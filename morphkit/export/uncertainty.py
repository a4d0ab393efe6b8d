"""How sure a fit is, and what of the photo it looked at, as colours."""

from __future__ import annotations

import matplotlib
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from morphkit.export.camera import PhotoCamera
from morphkit.export.overlay import draw_face, row_bands
from morphkit.io.color import linear_to_srgb_uint8, srgb_to_linear

_MAP = "viridis"
_GREY = np.array([0.46, 0.45, 0.44])  # sRGB of what is no better known than without the photo
_FADE = (1.0, 1.5)  # times the scale's end over which colours fade to that grey
_STEPS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)  # millimetres that a scale may end at
_RED = np.array([0.85, 0.10, 0.06])  # linear, over what was rejected


def scale_end(deviations: Float[np.ndarray, " v"]) -> float:
    """Return a round number of millimetres that most deviations of a face lie below."""
    most = float(np.percentile(deviations, 75.0)) if len(deviations) else 0.0
    return next((step for step in _STEPS if step >= most), _STEPS[-1])


def deviation_colors(deviations: Float[np.ndarray, " v"], end: float) -> Float[np.ndarray, "v 3"]:
    """Return linear RGB: dark blue for 0 to yellow for `end` millimetres, grey for what is far above."""
    share = np.clip(deviations / end, 0.0, 1.0)
    colors = matplotlib.colormaps[_MAP](share)[:, :3]
    grey = np.clip((deviations / end - _FADE[0]) / (_FADE[1] - _FADE[0]), 0.0, 1.0)[:, None]
    return srgb_to_linear((1.0 - grey) * colors + grey * _GREY)


def scale_stops(count: int = 9) -> list[str]:
    """Return the scale's colours from 0 to its end, for CSS."""
    colors = np.rint(255.0 * matplotlib.colormaps[_MAP](np.linspace(0.0, 1.0, count))[:, :3]).astype(int)
    return [f"rgb({r} {g} {b})" for r, g, b in colors.tolist()]


def attention_picture(
    photo: UInt8[np.ndarray, "h w 3"],
    attention: Float[np.ndarray, "h w"],
    camera: PhotoCamera,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    attended: Float[np.ndarray, " v"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return `attention_overlay` for a face; `attended` is 0..1 where the fit may look."""
    layer = draw_face(camera, vertices, faces, np.zeros((len(vertices), 3)), attended)
    region = np.zeros(photo.shape[:2], np.float32)
    height, width = layer.coverage.shape
    region[layer.top : layer.top + height, layer.left : layer.left + width] = layer.coverage
    return attention_overlay(photo, attention, region)


def attention_overlay(
    photo: UInt8[np.ndarray, "h w 3"],
    attention: Float[np.ndarray, "h w"],
    region: Float[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photo with what a fit left out in grey, and what it rejected in red.

    Parameters
    ----------
    photo : sRGB.
    attention : 0..1, how much each pixel counted.
    region : 0..1, where the fitted face is.
    """
    drawn = np.empty_like(photo)
    for rows in row_bands(photo):
        drawn[rows] = _attention_overlay(photo[rows], attention[rows], region[rows])
    return drawn


def _attention_overlay(
    photo: UInt8[np.ndarray, "h w 3"],
    attention: Float[np.ndarray, "h w"],
    region: Float[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h w 3"]:
    linear = srgb_to_linear(photo)
    grey = linear.mean(axis=2, keepdims=True)
    inside = region[..., None].astype(np.float32)
    rejected = (inside * (1.0 - np.clip(attention, 0.0, 1.0)[..., None])).astype(np.float32)
    shown = inside * linear + (1.0 - inside) * 0.5 * grey
    red = grey * 0.6 + 0.4 * _RED.astype(np.float32)
    return linear_to_srgb_uint8((1.0 - rejected) * shown + rejected * red)


def reduced(image: UInt8[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "p q 3"]:
    """Return a picture whose longer side has at most `side` pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture)
