"""The sRGB transfer curve (IEC 61966-2-1), both ways."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8


def srgb_to_linear(
    values: UInt8[np.ndarray, "*shape"] | Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape"]:
    """Decode sRGB (uint8 0..255, or float 0..1) to linear light 0..1.

    uint8 gives float32; floats keep their type. Floats below zero are taken as zero.
    """
    if values.dtype == np.uint8:
        decoded: Float[np.ndarray, "*shape"] = _DECODED[values]
        return decoded
    encoded: Float[np.ndarray, "*shape"] = np.maximum(values, 0)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear.astype(values.dtype, copy=False)


def linear_to_srgb(values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Encode linear light 0..1 as sRGB 0..1; the type is kept, and values below zero are taken as zero."""
    linear: Float[np.ndarray, "*shape"] = np.maximum(values, 0)
    encoded: Float[np.ndarray, "*shape"] = np.where(
        linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return encoded.astype(values.dtype, copy=False)


def linear_to_srgb_uint8(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Encode linear light as sRGB 0..255, rounded and clipped."""
    codes: UInt8[np.ndarray, "*shape"] = np.rint(linear_to_srgb(values).clip(0, 1) * 255).astype(np.uint8)
    return codes


_DECODED = srgb_to_linear(np.arange(256) / 255).astype(np.float32)
