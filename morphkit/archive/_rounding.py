"""Rounding a model's arrays to what matters, so that they compress."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from morphkit.morphable import LinearModel, MorphableModel

_COARSEST_STEP = 2e-4  # inner products of columns then err by about 1e-4


def round_model(
    model: MorphableModel, precision_mm: float | None, precision_albedo: float | None
) -> MorphableModel:
    """Round the groups of a model; None leaves a group as it is."""
    return replace(
        model,
        identity=_rounded(model.identity, precision_mm),
        expression=None if model.expression is None else _rounded(model.expression, precision_mm),
        albedo=None if model.albedo is None else _rounded(model.albedo, precision_albedo),
    )


def _rounded(group: LinearModel, precision: float | None) -> LinearModel:
    """Round mean and basis to multiples of powers of two.

    With every column rounded to the same step q in the units of the data (so to q/σ in the basis), uniform
    rounding errors of variance q²/12 add up over the k columns and three coordinates of a vertex, all
    |c| = 3, to the variance (3q)² · 3k/12; this is set to precision². Components of next to no variance are
    held to `_COARSEST_STEP`, or the basis would no longer be orthonormal.
    """
    if precision is None:
        return group
    if not precision > 0:
        raise ValueError(f"the precision must be positive, not {precision}")
    q = precision / (1.5 * math.sqrt(3 * max(group.n_components, 1)))
    basis = np.empty_like(group.basis, order="F")
    for j, deviation in enumerate(group.standard_deviations):
        step = q / max(float(deviation), 1e-12)
        basis[:, j] = _to_multiples(group.basis[:, j], min(step, _COARSEST_STEP))
    return replace(group, mean=_to_multiples(group.mean, precision), basis=basis)


def _to_multiples(values: np.ndarray, step: float) -> np.ndarray:
    """Round to a power of two not above `step`; such numbers have their low mantissa bits zero."""
    exponent = math.floor(math.log2(step))
    rounded: np.ndarray = np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent).astype(values.dtype)
    return rounded + 0.0  # no negative zeros
