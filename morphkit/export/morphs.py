"""A fitted expression as morph targets that people know by name."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear

from morphkit.io.glb import MorphTarget
from morphkit.morphable import LinearModel, MorphableModel

REST = "fitted_rest"
"""The target that holds what of a fitted expression the others cannot say; at weight 1 it is all there."""

_STILL = 0.01  # millimetres by which a target's vertices may move and count as still
_COMPONENTS = 16  # at most, as targets, of a model that names no units
_SPARSENESS = 0.1  # of a unit's length: the sum of strengths is kept low, so that opposites cancel
_IDLE = 1e-6  # of the longest unit, up to which one does nothing
_LEAST = 5e-4  # strength


def unit_strengths(model: MorphableModel, expression: Float[np.ndarray, " e"]) -> dict[str, float]:
    """Return how strong each named expression unit is, 0..1, nearest in millimetres; empty without units.

    Parameters
    ----------
    model : the model.
    expression : coefficients in standard deviations.
    """
    units, group = model.expression_units, model.expression
    if units is None or group is None or len(expression) == 0:
        return {}
    count = len(expression)
    deviations = group.standard_deviations[:count]
    directions = (units.coefficients[:, :count] * deviations).T
    lengths = np.linalg.norm(directions, axis=0)
    useful = np.flatnonzero(lengths > _IDLE * lengths.max(initial=0.0))
    together = np.full((1, len(useful)), _SPARSENESS * float(np.median(lengths[useful])))
    rows = np.vstack([directions[:, useful], together])
    solved = lsq_linear(rows, np.append(deviations * expression, 0.0), bounds=(0.0, 1.0)).x
    strengths = np.zeros(len(units.names))
    strengths[useful] = np.where(solved > _LEAST, solved, 0.0)
    return dict(zip(units.names, np.round(strengths, 4).tolist(), strict=True))


def morph_targets(
    model: MorphableModel,
    expression: Float[np.ndarray, " e"],
    moved: Float[np.ndarray, "v 3"],
) -> tuple[MorphTarget, ...]:
    """Return the model's expression units, or its leading components, with the weights of a fit.

    The weighted sum of all targets, with `REST` among them, is `moved`.

    Parameters
    ----------
    model : without an expression group, there are no targets.
    expression : the fitted coefficients, in standard deviations.
    moved : (v, 3) the fitted face less the neutral one, millimetres.
    """
    if model.expression is None or model.expression.n_components == 0:
        return ()
    targets = _units(model, model.expression, expression) or _components(model.expression, expression)
    weights = np.array([target.weight for target in targets])
    used = np.flatnonzero(weights)
    rest = moved - sum(
        (weights[i] * targets[i].offsets.astype(np.float64) for i in used), np.zeros(moved.shape)
    )
    return (*targets, MorphTarget(REST, rest, 1.0))


def _units(
    model: MorphableModel, group: LinearModel, expression: Float[np.ndarray, " e"]
) -> tuple[MorphTarget, ...]:
    if model.expression_units is None:
        return ()
    strengths = unit_strengths(model, expression)
    names = model.expression_units.names
    offsets = _offsets(group, model.expression_units.coefficients)
    return tuple(
        MorphTarget(name, moved, strengths.get(name, 0.0)) for name, moved in zip(names, offsets, strict=True)
    )


def _components(group: LinearModel, expression: Float[np.ndarray, " e"]) -> tuple[MorphTarget, ...]:
    count = min(_COMPONENTS, group.n_components)
    weights = np.zeros(count)
    weights[: len(expression)] = expression[:count]
    offsets = _offsets(group, np.eye(count))
    return tuple(MorphTarget(f"expression_{i:02d}", offsets[i], float(weights[i])) for i in range(count))


def _offsets(group: LinearModel, coefficients: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n v 3"]:
    """Return how far each vertex goes, float32; those that hardly move stay: a file then lists the others."""
    count = coefficients.shape[1]
    along = (coefficients * group.standard_deviations[:count]).astype(np.float32)
    offsets = (along @ group.basis[:, :count].T).reshape(len(along), -1, 3)
    still = np.einsum("nvd,nvd->nv", offsets, offsets) <= _STILL**2
    offsets[still] = 0.0
    return offsets
