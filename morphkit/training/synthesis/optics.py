"""What lens, sensor and file do to a picture."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter1d

from morphkit.io.color import linear_to_srgb
from morphkit.training.synthesis.fields import Picture
from morphkit.training.synthesis.settings import SynthesisSettings

_SMALLEST = 24  # pixels that a picture shrinks to


def photographed(
    rng: np.random.Generator, linear: Picture, detail: float, settings: SynthesisSettings
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the sRGB picture that a camera makes of linear RGB.

    Parameters
    ----------
    detail : how many of the photo's own pixels a pixel of this picture is wide: below one, the photo was
        small, and has been enlarged.
    """
    height, width = linear.shape[:2]
    picture = _blurred(rng, linear, settings.blur) if settings.blur else linear
    shrink = min(1.0, max(detail, _SMALLEST / min(width, height)))
    if settings.blur and shrink < 0.95:
        picture = _resampled(picture, round(width * shrink), round(height * shrink), Image.Resampling.BOX)
    if settings.noise:
        picture = _noisy(rng, picture, settings.noise / max(1.0, detail))
    srgb = _looked_up(_SRGB, picture)
    if settings.contrast:
        srgb = _toned(rng, srgb, settings.contrast)
    codes = np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)
    if settings.compression:
        codes = _compressed(rng, codes, settings.compression / max(1.0, detail))
    if codes.shape[:2] != (height, width):
        codes = np.asarray(Image.fromarray(codes).resize((width, height), Image.Resampling.BICUBIC))
    return codes


def _blurred(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Return a picture a little out of focus or, now and then, shaken."""
    share = min(picture.shape[:2]) / 224
    deviation = strength * share * abs(rng.normal(0, 0.7))
    if deviation > 0.25:
        picture = np.stack([_soft(picture[..., c], deviation) for c in range(3)], axis=-1)
    if rng.random() < 0.1 * strength:
        length = int(rng.integers(2, 7) * share) + 1
        picture = uniform_filter1d(picture, length, axis=int(rng.integers(2)), mode="nearest")
    return picture


def _soft(layer: np.ndarray, deviation: float) -> np.ndarray:
    return gaussian_filter(layer, deviation, mode="nearest", truncate=2.5)


def _resampled(
    picture: Picture, width: int, height: int, how: Image.Resampling
) -> Float32[np.ndarray, "h2 w2 3"]:
    layers = [Image.fromarray(np.ascontiguousarray(picture[..., c])) for c in range(3)]
    return np.stack([np.asarray(layer.resize((width, height), how)) for layer in layers], axis=-1)


def _noisy(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Return a picture with shot and read noise, alike in neighbouring pixels as a demosaiced one's."""
    level = strength * np.exp(rng.normal(np.log(0.012), 0.8))
    variance = level**2 * (np.maximum(picture, 0) + 0.02)
    grain = rng.standard_normal(picture.shape, np.float32)
    return picture + np.sqrt(variance).astype(np.float32) * grain


def _toned(rng: np.random.Generator, srgb: np.ndarray, strength: float) -> np.ndarray:
    """Return a picture with a camera's tone curve: contrast, saturation, gamma."""
    gamma, contrast, saturation = np.exp(strength * rng.normal([0.0, 0.1, 0.08], [0.08, 0.12, 0.15]))
    if rng.random() < 0.03 * strength:
        saturation = 0.0
    grey = srgb @ np.array([0.299, 0.587, 0.114], np.float32)
    srgb = grey[..., None] + saturation * (srgb - grey[..., None])
    curve = (np.linspace(0, 1, 4096) ** gamma - 0.5) * contrast + 0.5
    return _looked_up(curve.astype(np.float32), srgb)


_SRGB = linear_to_srgb(np.linspace(0, 1, 1 << 16)).astype(np.float32)


def _looked_up(curve: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return a function of values in 0..1 by its table; a power for each takes five times as long."""
    places = np.clip(values, 0, 1) * np.float32(len(curve) - 1) + np.float32(0.5)
    return curve[places.astype(np.int32)]


def _compressed(rng: np.random.Generator, codes: np.ndarray, strength: float) -> np.ndarray:
    """Return a picture after JPEG, good for the most part."""
    quality = int(97 - strength * 65 * rng.beta(1.0, 2.2))
    with io.BytesIO() as buffer:
        Image.fromarray(codes).save(buffer, "JPEG", quality=quality, subsampling=int(rng.choice([0, 2])))
        return np.asarray(Image.open(buffer).convert("RGB"))
