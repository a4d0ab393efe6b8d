"""The unit of files that do not say theirs, by the size of a head."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.linear import LinearModel

UNITS = {"micrometres": 1e-3, "millimetres": 1.0, "centimetres": 10.0, "decimetres": 100.0, "metres": 1000.0}
"""Millimetres in each unit."""
_SMALLEST, _LARGEST = 100.0, 1000.0  # a face's and a head with shoulders' box diagonals, millimetres


def guess_unit(points: Float[np.ndarray, "v 3"], usual: str) -> str:
    """Return the unit in which the points are as large as a head; the usual one if in none.

    The ranges of the units do not overlap, so there is never a choice; decimetres, in which few heads are,
    count only where metres are not usual, since a standing person in metres would be taken for one.

    Parameters
    ----------
    points : (v, 3) in the file's numbers, finite.
    usual : the unit of the layout.
    """
    diagonal = float(np.linalg.norm(np.ptp(points.astype(np.float64), axis=0)))
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
