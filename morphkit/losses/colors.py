"""Colours as losses compare them, in torch."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Encode linear light 0..1 as sRGB (IEC 61966-2-1); beyond 0..1 the curve goes on straight.

    So a colour that overshoots is still pulled back: a clipped one would have no gradient.
    """
    inside = linear.clamp(_TOE, 1.0)
    beyond = 12.92 * (linear - _TOE).clamp_max(0.0) + _SLOPE_AT_WHITE * (linear - 1.0).clamp_min(0.0)
    return 1.055 * inside ** (1 / 2.4) - 0.055 + beyond


_TOE = 0.0031308
_SLOPE_AT_WHITE = 1.055 / 2.4
