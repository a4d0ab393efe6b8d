"""Rounding a model's arrays to what matters, so that they compress."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from morphkit.morphable import LinearModel, MorphableModel

_SKEW = 3e-4  # of inner products of columns, from zero and one


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
    |c| = 3, to the variance (3q)² · 3k/12; this is set to precision². Components of next to no variance
    could be rounded away altogether, and where many entries are alike their errors are too: the coarsest
    step is lowered until the basis is orthonormal to `_SKEW`.
    """
    if precision is None:
        return group
    if not precision > 0:
        raise ValueError(f"the precision must be positive, not {precision}")
    q = precision / (1.5 * math.sqrt(3 * max(group.n_components, 1)))
    steps = q / np.maximum(group.standard_deviations, 1e-12)
    mean = _to_multiples(group.mean, precision)
    coarsest = 2e-4
    while True:
        rounded = replace(group, mean=mean, basis=_round_columns(group.basis, np.minimum(steps, coarsest)))
        skew = np.abs(rounded.gram - group.gram).max(initial=0.0)
        if skew <= _SKEW or coarsest < 1e-7:
            return rounded
        coarsest /= 4


def _round_columns(basis: np.ndarray, steps: np.ndarray) -> np.ndarray:
    rounded = np.empty_like(basis, order="F")
    for j, step in enumerate(steps):
        rounded[:, j] = _to_multiples(basis[:, j], float(step))
    return rounded


def _to_multiples(values: np.ndarray, step: float) -> np.ndarray:
    """Round to a power of two not above `step`; such numbers have their low mantissa bits zero."""
    exponent = math.floor(math.log2(step))
    rounded: np.ndarray = np.ldexp(np.rint(np.ldexp(values, -exponent)), exponent).astype(values.dtype)
    return rounded + 0.0  # no negative zeros
