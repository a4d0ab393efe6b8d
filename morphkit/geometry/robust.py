"""How much outliers count."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def robust_weight(distances: Float[np.ndarray, " n"], cutoff: float) -> Float[np.ndarray, " n"]:
    """Return Geman and McClure's weights: one at zero, a quarter at `cutoff`."""
    weights: np.ndarray = 1.0 / (1.0 + (distances / cutoff) ** 2) ** 2
    return weights
