"""The face that is being looked at: coefficients in, vertices and colours out, one column at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from morphkit.export.morphs import unit_strengths
from morphkit.linear import LinearModel
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel

GROUPS = ("identity", "expression", "albedo")


@dataclass(frozen=True, eq=False)
class FaceCoefficients:
    """Where a face lies in its model.

    Attributes
    ----------
    identity, expression, albedo : in standard deviations; empty where the model has no such group, shorter
        than the group where the rest is zero.
    """

    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]
    albedo: Float[np.ndarray, " a"]


def mean_face() -> FaceCoefficients:
    """Return the coefficients of a model's mean."""
    return FaceCoefficients(np.zeros(0), np.zeros(0), np.zeros(0))


class FaceState:
    """A face of a model whose coefficients move one after the other, many times a second.

    Moving one coefficient costs one column of the basis (an axpy); moving many costs the product. The sums
    are in double precision, so that they stay where the product would be however often they are moved.

    The expression is the sum of the model's named units, each at a strength, and of `rest`: what of a fitted
    expression the units cannot say, or all of it in a model that names none.

    Parameters
    ----------
    model : any model; groups that it lacks are left alone.
    start : the face to begin with and to return to.

    Raises
    ------
    ValueError
        If `start` has more coefficients than the model.
    """

    def __init__(self, model: MorphableModel, start: FaceCoefficients | None = None) -> None:
        self.model = model
        self.start = mean_face() if start is None else start
        self._sums = {
            name: _Sum(group)
            for name, group in zip(GROUPS, (model.identity, model.expression, model.albedo), strict=True)
            if group is not None
        }
        self._strengths: dict[str, float] = {}
        self.assign(self.start)

    @property
    def coefficients(self) -> FaceCoefficients:
        """All coefficients, each group's in full."""
        return FaceCoefficients(*(self.group(name).copy() for name in GROUPS))

    @property
    def strengths(self) -> Mapping[str, float]:
        """How strong each named expression unit is; empty for a model without."""
        return dict(self._strengths)

    @property
    def vertices(self) -> Float[np.ndarray, "v 3"]:
        """The vertices, (v, 3) float64, millimetres."""
        shape: np.ndarray = self._sums["identity"].value
        return shape + self._sums["expression"].value if "expression" in self._sums else shape.copy()

    @property
    def colors(self) -> Float[np.ndarray, "v 3"] | None:
        """The albedo, (v, 3) float64 clipped to 0..1, in the model's colour space; None without it."""
        return self._sums["albedo"].value.clip(0.0, 1.0) if "albedo" in self._sums else None

    @cached_property
    def spread(self) -> Float[np.ndarray, " v"]:
        """How far each vertex strays among people: `LinearModel.vertex_deviations` of the identity, mm."""
        return self.model.identity.vertex_deviations()

    @property
    def mesh(self) -> Mesh:
        """The face as a mesh."""
        colors = self.colors
        return Mesh(
            self.vertices,
            self.model.faces,
            colors=None if colors is None else colors.astype(np.float32),
            uv=self.model.uv,
        )

    def count(self, name: str) -> int:
        """Return how many components a group has; 0 if the model lacks it."""
        return len(self.group(name))

    def group(self, name: str) -> Float[np.ndarray, " k"]:
        """Return a group's coefficients in full, in the expression's what its units add."""
        return self._sums[name].coefficients if name in self._sums else np.zeros(0)

    def move(self, name: str, index: int, value: float) -> None:
        """Set one coefficient, in standard deviations."""
        self._sums[name].move(index, value)

    def move_unit(self, name: str, strength: float) -> None:
        """Set how strong a named expression unit is; KeyError for an unknown one."""
        step = strength - self._strengths[name]
        if step:
            units = self.model.expression_units
            assert units is not None  # noqa: S101 - there are strengths
            row = units.coefficients[units.names.index(name)]
            self._sums["expression"].add(row, name, step)
            self._strengths[name] = strength

    def assign(self, coefficients: FaceCoefficients) -> None:
        """Set all coefficients; those that are not given become zero."""
        for name, sums in self._sums.items():
            sums.assign(getattr(coefficients, name))
        self._strengths = self._found_strengths(self.group("expression"))

    def assign_group(self, name: str, values: Float[np.ndarray, " c"]) -> None:
        """Set all coefficients of one group; those that are not given become zero."""
        self._sums[name].assign(values)
        if name == "expression":
            self._strengths = self._found_strengths(self.group(name))

    def assign_strengths(self, strengths: Mapping[str, float]) -> None:
        """Set the expression to named units alone; those that are not given become zero."""
        units = self.model.expression_units
        if units is None:
            raise ValueError("the model names no expression units")
        self._sums["expression"].assign(units.combine(strengths))
        self._strengths = dict.fromkeys(units.names, 0.0) | dict(strengths)

    def _found_strengths(self, expression: np.ndarray) -> dict[str, float]:
        units = self.model.expression_units
        if units is None:
            return {}
        none = dict.fromkeys(units.names, 0.0)
        return none | unit_strengths(self.model, expression) if expression.any() else none


class _Sum:
    """mean + basis · (σ ⊙ coefficients), kept up to date."""

    def __init__(self, group: LinearModel) -> None:
        self._group = group
        self._columns: dict[str, np.ndarray] = {}  # of named directions, made when first used
        self.coefficients = np.zeros(group.n_components)
        self.value = group.mean.astype(np.float64)

    def assign(self, coefficients: np.ndarray) -> None:
        self.value = self._group.instance(coefficients)
        self.coefficients[:] = 0.0
        self.coefficients[: len(coefficients)] = coefficients

    def move(self, index: int, coefficient: float) -> None:
        step = (coefficient - self.coefficients[index]) * float(self._group.standard_deviations[index])
        if step:
            self._shift(self._group.basis[:, index], step)
            self.coefficients[index] = coefficient

    def add(self, direction: np.ndarray, name: str, step: float) -> None:
        """Go `step` times along a direction of this name."""
        if name not in self._columns:
            self._columns[name] = self._group.offset(direction).ravel().astype(np.float32)
        self._shift(self._columns[name], step)
        self.coefficients[: len(direction)] += step * direction

    def _shift(self, column: np.ndarray, step: float) -> None:
        # a new array: whoever was given the old one may still be sending it
        self.value = self.value + np.multiply(column, step, dtype=np.float64).reshape(-1, 3)
