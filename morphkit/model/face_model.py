"""The morphable model in torch: coefficients in, vertices and albedo out, with gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.mesh import LandmarkEmbedding
from morphkit.model.coefficients import CoefficientLayout
from morphkit.morphable import LinearModel, MorphableModel


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

    def __call__(self, coefficients: Float[Tensor, "batch c"]) -> Float[Tensor, "batch n 3"]:
        """Return the points for coefficients of the leading c <= k components, in standard deviations.

        Raises
        ------
        ValueError
            If there are more coefficients than components.
        """
        points = self.mean.reshape(1, -1) + self.offset(coefficients)
        return points.reshape(-1, *self.mean.shape)

    def offset(self, coefficients: Float[Tensor, "batch c"]) -> Float[Tensor, "batch d"]:
        """Return what the coefficients add to the mean, coordinates side by side."""
        count = coefficients.shape[1]
        if count > len(self.basis):
            raise ValueError(f"coefficients must number at most {len(self.basis)}, got {count}")
        return coefficients @ self.basis[:count]

    def at(self, corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]) -> LinearMap:
        """Return the map of m weighted triples of points: small, whatever the size of the mesh."""
        mean = torch.einsum("mj,mjd->md", weights, self.mean[corners])
        per_point = self.basis.reshape(len(self.basis), -1, 3)
        basis = torch.einsum("mj,kmjd->kmd", weights, per_point[:, corners])
        return LinearMap(mean, basis.reshape(len(self.basis), -1))


@dataclass(frozen=True, eq=False)
class ShapeMap:
    """Points that follow identity and expression.

    Attributes
    ----------
    identity : from identity coefficients; its mean is that of the neutral shape plus that of the expressions.
    expression : what expression coefficients add, or None.
    """

    identity: LinearMap
    expression: LinearMap | None

    def __call__(
        self, identity: Float[Tensor, "batch i"], expression: Float[Tensor, "batch e"] | None = None
    ) -> Float[Tensor, "batch n 3"]:
        """Return the points in millimetres; without `expression`, those of the mean expression.

        Raises
        ------
        ValueError
            If there are more coefficients than components, or expression ones without that group.
        """
        points = self.identity(identity)
        if expression is None:
            return points
        if self.expression is None:
            raise ValueError("expression coefficients were given, but the model has no expression group")
        return points + self.expression.offset(expression).reshape(-1, *points.shape[1:])

    def at(self, corners: Int[Tensor, "m 3"], weights: Float[Tensor, "m 3"]) -> ShapeMap:
        """Return the map of m weighted triples of points."""
        expression = None if self.expression is None else self.expression.at(corners, weights)
        return ShapeMap(self.identity.at(corners, weights), expression)


@dataclass(frozen=True, eq=False)
class FaceModel:
    """A `MorphableModel` on a torch device.

    Attributes
    ----------
    faces : (f, 3) int32.
    vertices : call it with (identity, expression) coefficients for (batch, v, 3) millimetres.
    albedo : call it with albedo coefficients for (batch, v, 3) linear RGB, unclipped; None without it.
    layout : how all coefficients lie in one vector.
    """

    faces: Int[Tensor, "f 3"]
    vertices: ShapeMap
    albedo: LinearMap | None
    layout: CoefficientLayout

    @classmethod
    def from_morphable(
        cls,
        model: MorphableModel,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> FaceModel:
        """Return a model's tensors, copied once into the order in which they are read."""
        identity = _linear_map(model.identity, dtype, device)
        expression = None if model.expression is None else _linear_map(model.expression, dtype, device)
        if expression is not None:
            identity = LinearMap(identity.mean + expression.mean, identity.basis)
        albedo = None if model.albedo is None else _linear_map(model.albedo, dtype, device)
        counts = (0 if group is None else len(group.basis) for group in (identity, expression, albedo))
        faces = torch.from_numpy(model.faces.astype(np.int32)).to(device)
        return cls(faces, ShapeMap(identity, expression), albedo, CoefficientLayout(*counts))

    def landmarks(self, embedding: LandmarkEmbedding) -> ShapeMap:
        """Return where landmarks lie as a function of the coefficients, at their cost alone."""
        corners = self.faces[torch.from_numpy(embedding.face_indices.astype(np.int64)).to(self.faces.device)]
        return self.vertices.at(
            corners.long(), torch.from_numpy(embedding.barycentrics).to(self.vertices.identity.mean)
        )


def _linear_map(group: LinearModel, dtype: torch.dtype, device: torch.device | str) -> LinearMap:
    scaled = np.ascontiguousarray(group.basis.T) * group.standard_deviations[:, None].astype(
        group.basis.dtype
    )
    return LinearMap(
        torch.from_numpy(group.mean).to(device, dtype), torch.from_numpy(scaled).to(device, dtype)
    )
