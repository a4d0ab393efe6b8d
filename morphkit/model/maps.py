"""Points of three coordinates as linear functions of coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.model._linear import Span, combine


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Points of three coordinates as mean + coefficients · basis.

    Attributes
    ----------
    mean : (n, 3).
    basis : (k, 3n), already times the standard deviations. A component is contiguous in memory: evaluating
        one instance reads the basis once, front to back, which is all the time it takes.
    """

    mean: Float[Tensor, "n 3"]
    basis: Float[Tensor, "k d"]

    def __post_init__(self) -> None:
        if self.basis.shape[1] != self.mean.numel():
            raise ValueError(
                f"basis must have {self.mean.numel()} columns, as a mean of shape {tuple(self.mean.shape)} "
                f"needs, got {tuple(self.basis.shape)}"
            )

    def __call__(self, coefficients: Float[Tensor, "batch c"]) -> Float[Tensor, "batch n 3"]:
        """Return the points for coefficients of the leading c <= k components, in standard deviations.

        Differentiable with respect to the coefficients, to any order.

        Raises
        ------
        ValueError
            If there are more coefficients than components, or they are of another dtype.
        """
        _check_count("coefficients", coefficients, len(self.basis))
        return self.combined(coefficients, [(0, coefficients.shape[1])])

    def combined(
        self, coefficients: Float[Tensor, "batch c"], spans: Sequence[Span]
    ) -> Float[Tensor, "batch n 3"]:
        """Return the points for coefficients of the components in `spans`, c of them in all.

        Raises
        ------
        ValueError
            If the coefficients are of another dtype.
        """
        if coefficients.dtype != self.basis.dtype:
            raise ValueError(f"coefficients must be {self.basis.dtype}, got {coefficients.dtype}")
        points = combine(coefficients, self.mean.flatten(), self.basis, spans)
        return points.reshape(-1, *self.mean.shape)

    def at(self, corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]) -> LinearMap:
        """Return the map of m weighted triples of points: small, whatever the size of the mesh."""
        mean = torch.einsum("mj,mjd->md", weights, self.mean[corners])
        per_point = self.basis.reshape(-1, *self.mean.shape)
        basis = torch.einsum("mj,kmjd->kmd", weights, per_point[:, corners])
        return LinearMap(mean, basis.flatten(1))


@dataclass(frozen=True, eq=False)
class ShapeMap:
    """Points that follow identity and expression.

    Attributes
    ----------
    points : from identity and expression coefficients side by side; one map, so that the points are
        written once. Its mean is that of the neutral shape plus that of the expressions.
    n_identity : how many of its components are the identity's; the rest are the expression's.
    """

    points: LinearMap
    n_identity: int

    @property
    def identity(self) -> LinearMap:
        """The map from identity coefficients, with the mean expression; it shares this map's memory."""
        return LinearMap(self.points.mean, self.points.basis[: self.n_identity])

    @property
    def n_expression(self) -> int:
        """How many components are the expression's."""
        return len(self.points.basis) - self.n_identity

    def __call__(
        self, identity: Float[Tensor, "batch i"], expression: Float[Tensor, "batch e"] | None = None
    ) -> Float[Tensor, "batch n 3"]:
        """Return the points in millimetres; without `expression`, those of the mean expression.

        Either group may have fewer coefficients than components: the rest are zero, and cost nothing.

        Raises
        ------
        ValueError
            If there are more coefficients than components, expression ones without that group, or not as
            many rows of both.
        """
        _check_count("identity coefficients", identity, self.n_identity)
        if expression is None:
            return self.points.combined(identity, [(0, identity.shape[1])])
        if expression.shape[1] and not self.n_expression:
            raise ValueError("expression coefficients were given, but the model has no expression group")
        _check_count("expression coefficients", expression, self.n_expression)
        if len(identity) != len(expression):
            raise ValueError(
                f"expression must have as many rows as identity, {len(identity)}, got {len(expression)}"
            )
        spans = (0, identity.shape[1]), (self.n_identity, self.n_identity + expression.shape[1])
        return self.points.combined(torch.cat([identity, expression], dim=1), spans)

    def at(self, corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]) -> ShapeMap:
        """Return the map of m weighted triples of points: small, whatever the size of the mesh."""
        return ShapeMap(self.points.at(corners, weights), self.n_identity)


def _check_count(name: str, coefficients: Tensor, at_most: int) -> None:
    if coefficients.shape[1] > at_most:
        raise ValueError(f"{name} must number at most {at_most}, got {coefficients.shape[1]}")
