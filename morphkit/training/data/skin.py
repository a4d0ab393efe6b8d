"""Skin in a crop: where a face lies, how much each pixel counts, and how light the skin is photographed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull

from morphkit.io.color import srgb_to_linear
from morphkit.losses.skin import SkinColorModel, attention, own_color_attention

Attention = Literal["own", "skin", "all"]

_FOREHEAD = 0.55  # of the way from the nose's base to the brows, above them
_SURE = 0.5  # weight from which a pixel is taken for skin
_LEAST_SKIN = 50  # pixels from which a tone is told
_BARE = ((36, 42), (42, 48), (48, 60), (17, 22), (22, 27))  # eyes, outer lips, brows: not skin
_FINENESS = 4  # the hull's edge is drawn that much larger

# Linear sRGB to CIE XYZ (IEC 61966-2-1), relative to its white, D65.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = _TO_XYZ.sum(axis=1)


def face_region(points68: Float[np.ndarray, "68 2"], size: int) -> Bool[np.ndarray, "s s"]:
    """Return the pixels of a crop within the hull of a face's points and its forehead.

    Parameters
    ----------
    points68 : crop pixels, NaN where unknown.
    size : side of the crop, pixels.
    """
    brows = points68[17:27]
    up = np.nanmean(brows, axis=0) - points68[33] if np.isfinite(brows).all(axis=1).any() else np.zeros(2)
    points = np.concatenate([points68, brows + _FOREHEAD * up])
    known = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    return _drawn([known[ConvexHull(known).vertices]], size)


def skin_region(points68: Float[np.ndarray, "68 2"], size: int) -> Bool[np.ndarray, "s s"]:
    """Return the pixels of `face_region` without eyes, brows and lips."""
    parts = [points68[slice(*part)].astype(np.float64) for part in _BARE]
    known = [part for part in parts if np.isfinite(part).all()]
    region: np.ndarray = face_region(points68, size) & ~_drawn(known, size)
    return region


def face_attention(
    image: UInt8[np.ndarray, "s s 3"], face: Bool[np.ndarray, "s s"], kind: Attention
) -> UInt8[np.ndarray, "s s"]:
    """Return how much each pixel of a crop counts, 0..255.

    Parameters
    ----------
    image : the crop, sRGB.
    face : where it shows the face.
    kind : "own", by how near a colour is to the face's own, whatever that is; "skin", by the paper's biased
        skin colours (Deng et al. 2019); "all" alike.
    """
    if kind == "all":
        return np.full(image.shape[:2], 255, dtype=np.uint8)
    srgb = torch.from_numpy(image)[None].float() / 255
    if kind == "skin":
        weights = attention(SkinColorModel()(srgb))
    else:
        weights = own_color_attention(srgb, torch.from_numpy(face)[None])
    return np.rint(255 * weights[0].numpy()).astype(np.uint8)


def skin_tone(
    image: UInt8[np.ndarray, "s s 3"],
    skin: Bool[np.ndarray, "s s"],
    weights: UInt8[np.ndarray, "s s"],
) -> float:
    """Return the skin's individual typology angle as photographed, degrees; NaN where too little is seen.

    atan((L* - 50) / b*) in CIELAB (Chardon et al. 1991), the median of pixels: above 55 very light, down to
    below -30 dark. Light, exposure and white balance shift it, so that it compares photos more than people.

    Parameters
    ----------
    image : the crop, sRGB.
    skin : where it shows skin.
    weights : how much each pixel counts; those below half are left out.
    """
    chosen = image[skin & (weights >= 255 * _SURE)]
    if len(chosen) < _LEAST_SKIN:
        return float("nan")
    lightness, _, b = _lab(srgb_to_linear(chosen).astype(np.float64)).T
    return float(np.degrees(np.median(np.arctan2(lightness - 50.0, np.maximum(b, 1e-3)))))


def _lab(linear: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return CIELAB under D65 of linear sRGB."""
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _drawn(polygons: list[np.ndarray], size: int) -> Bool[np.ndarray, "s s"]:
    """Return the pixels whose greater part lies in one of the polygons."""
    canvas = Image.new("L", (size * _FINENESS, size * _FINENESS))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        draw.polygon([(float(x), float(y)) for x, y in polygon * _FINENESS - 0.5], fill=255)
    return np.asarray(canvas.reduce(_FINENESS)) >= 128
