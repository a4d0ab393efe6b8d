"""The morphable model in torch: coefficients in, vertices and albedo out, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from morphkit.mesh import LandmarkEmbedding
from morphkit.model.coefficients import CoefficientLayout, Coefficients
from morphkit.model.maps import LinearMap, ShapeMap
from morphkit.morphable import LinearModel, MorphableModel


@dataclass(frozen=True, eq=False)
class Instance:
    """Faces of a model, a batch of them.

    Attributes
    ----------
    vertices : millimetres, in the model's frame.
    albedo : linear RGB, unclipped; None if the model has none.
    """

    vertices: Float[Tensor, "batch v 3"]
    albedo: Float[Tensor, "batch v 3"] | None


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
        shape = [model.identity] if model.expression is None else [model.identity, model.expression]
        vertices = ShapeMap(_linear_map(shape, dtype, device), model.identity.n_components)
        albedo = None if model.albedo is None else _linear_map([model.albedo], dtype, device)
        layout = CoefficientLayout(
            vertices.n_identity, vertices.n_expression, 0 if albedo is None else len(albedo.basis)
        )
        return cls(torch.from_numpy(model.faces.astype(np.int32)).to(device), vertices, albedo, layout)

    def instance(self, coefficients: Coefficients) -> Instance:
        """Return the faces that these coefficients stand for; light and pose are not the model's affair.

        For all coefficients in one vector: ``model.instance(model.layout.split(vector))``.

        Raises
        ------
        ValueError
            If a group has more coefficients than components.
        """
        vertices = self.vertices(coefficients.identity, coefficients.expression)
        if self.albedo is not None:
            return Instance(vertices, self.albedo(coefficients.albedo))
        if coefficients.albedo.shape[1]:
            raise ValueError("albedo coefficients were given, but the model has no albedo group")
        return Instance(vertices, None)

    def landmarks(self, embedding: LandmarkEmbedding) -> ShapeMap:
        """Return where landmarks lie as a function of the coefficients, at their cost alone."""
        corners = self.faces[torch.from_numpy(embedding.face_indices.astype(np.int64)).to(self.faces.device)]
        weights = torch.from_numpy(embedding.barycentrics).to(self.vertices.points.mean)
        return self.vertices.at(corners.long(), weights)


def _linear_map(groups: Sequence[LinearModel], dtype: torch.dtype, device: torch.device | str) -> LinearMap:
    """Return the sum of some groups, their components one after the other.

    numpy asks the system for large pages for its large arrays, which torch doesn't: reading them is a
    quarter faster, so a CPU's basis stays in the array made here.
    """
    number = np.float64 if dtype == torch.float64 else np.float32
    ends = np.cumsum([0, *(group.n_components for group in groups)])
    basis = np.empty((ends[-1], groups[0].mean.size), number)
    for group, start, stop in zip(groups, ends, ends[1:], strict=False):
        deviations = group.standard_deviations.astype(number)
        np.multiply(group.basis.T, deviations[:, None], out=basis[start:stop])
    mean = np.sum([group.mean for group in groups], axis=0, dtype=number)
    return LinearMap(torch.from_numpy(mean).to(device, dtype), torch.from_numpy(basis).to(device, dtype))
