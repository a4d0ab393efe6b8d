"""The unit of files that do not say theirs: the usual one, unless no face or ear could be so large."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.linear import LinearModel

UNITS = {"micrometres": 1e-3, "millimetres": 1.0, "centimetres": 10.0, "decimetres": 100.0, "metres": 1000.0}
"""Millimetres in each unit."""
_SMALLEST, _LARGEST = 100.0, 1000.0  # a face's and a head with shoulders' box diagonals, millimetres
_LEAST, _MOST = 5.0, 1e4  # box diagonals that are absurd even for a nose or a whole person


def guess_unit(points: Float[np.ndarray, "v 3"], usual: str) -> str:
    """Return the usual unit; where that makes an absurd size, the one in which the points are a head.

    An ear or an eye is small, and no reason to doubt the layout's unit: only less than five millimetres and
    more than ten metres are. The ranges of heads do not overlap, so there is never a choice; decimetres, in
    which few heads are, count only where metres are not usual.

    Parameters
    ----------
    points : (v, 3) in the file's numbers, finite.
    usual : the unit of the layout.
    """
    diagonal = float(np.linalg.norm(np.ptp(points.astype(np.float64), axis=0)))
    if _LEAST <= diagonal * UNITS[usual] <= _MOST:
        return usual
    sizes = {unit: diagonal * scale for unit, scale in UNITS.items()}
    fitting = [unit for unit, size in sizes.items() if _SMALLEST <= size < _LARGEST]
    if usual == "metres":
        fitting = [unit for unit in fitting if unit != "decimetres"]
    return fitting[0] if fitting else usual


def in_millimetres(group: LinearModel, unit: str) -> LinearModel:
    """Return a group given in some unit in millimetres, with the same coefficients."""
    scale = UNITS[unit]
    if scale == 1.0:
        return group
    mean = group.mean * np.float32(scale)
    return LinearModel(mean, group.basis, scale * group.standard_deviations, scale**2 * group.noise_variance)
