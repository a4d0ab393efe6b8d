"""The film-like curve that the browser puts over the scene, and colours that come through it unchanged."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# The fit of the ACES reference and output transforms by Stephen Hill, which three.js renders through: two
# matrices about a ratio of quadratics. The exposure is 1 / 0.6.
_INTO = np.array([[0.59719, 0.35458, 0.04823], [0.07600, 0.90834, 0.01566], [0.02840, 0.13383, 0.83777]])
_OUT = np.array([[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]])
_EXPOSURE = 1 / 0.6
_A, _B, _C, _D, _E = 0.0245786, 0.000090537, 0.983729, 0.4329510, 0.238081
_MOST = 0.97  # of the curve's range, which it reaches at infinity only


def tone_mapped(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return what the browser shows of linear RGB, linear RGB 0..1."""
    x = _EXPOSURE * colors @ _INTO.T
    return np.clip(((x * (x + _A) - _B) / (x * (_C * x + _D) + _E)) @ _OUT.T, 0.0, 1.0)


def untoned(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return the linear RGB that the browser shows as `colors`, as far as its curve can show them."""
    y = np.clip(colors @ np.linalg.inv(_OUT).T, 0.0, _MOST)
    # y = (x² + a x - b) / (c x² + d x + e), solved for the positive x
    a, b, c = 1.0 - _C * y, _A - _D * y, -_B - _E * y
    x = (-b + np.sqrt(b * b - 4.0 * a * c)) / (2.0 * a)
    return np.maximum(x @ np.linalg.inv(_INTO).T / _EXPOSURE, 0.0)
