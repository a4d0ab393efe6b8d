"""Compiled loops of the covariance of unexplained colours."""

from __future__ import annotations

from math import exp, sqrt
from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
@no_type_check
def surface_covariance(points, scales, variances, lengths, symmetry, covariance):
    """Fill the lower triangle with scaleᵢ scaleⱼ Σₖ vₖ (e^(−d / lₖ) + symmetry · e^(−d′ / lₖ)).

    d is the distance between two points, d′ from the one to the other's mirror image in x = 0.
    """
    for i in range(len(points)):
        x, y, z = points[i]
        for j in range(i + 1):
            across = (y - points[j, 1]) ** 2 + (z - points[j, 2]) ** 2
            near = np.float32(sqrt((x - points[j, 0]) ** 2 + across))
            mirrored = np.float32(sqrt((x + points[j, 0]) ** 2 + across))
            total = np.float32(0.0)
            for k in range(len(variances)):
                inverse = np.float32(1.0) / lengths[k]
                total += variances[k] * (exp(-near * inverse) + symmetry * exp(-mirrored * inverse))
            covariance[i, j] = scales[i] * scales[j] * total
