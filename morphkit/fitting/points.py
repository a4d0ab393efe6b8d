"""The rows of a morphable model that a sparse fit needs: points that move linearly with the coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel


@dataclass(frozen=True, eq=False)
class PointModel:
    """Points on a morphable model: ``mean + identity · α + expression · β``, millimetres, head frame.

    Attributes
    ----------
    mean : (n, 3).
    identity : (n, 3, i) per standard deviation.
    expression : (n, 3, e) per standard deviation; e = 0 for a model without expressions.
    """

    mean: Float[np.ndarray, "n 3"]
    identity: Float[np.ndarray, "n 3 i"]
    expression: Float[np.ndarray, "n 3 e"]

    def at(
        self, identity: Float[np.ndarray, " i"], expression: Float[np.ndarray, " e"]
    ) -> Float[np.ndarray, "n 3"]:
        """Return the points of a face."""
        return self.mean + self.identity @ identity + self.expression @ expression

    def take(self, index: Int[np.ndarray, " m"]) -> PointModel:
        """Return the points at `index`, in that order."""
        return PointModel(self.mean[index], self.identity[index], self.expression[index])


def vertex_points(model: MorphableModel, vertices: Int[np.ndarray, " n"]) -> PointModel:
    """Return the model of some of its vertices."""
    return embedded_points(model, vertices[:, None], np.ones((len(vertices), 1)))


def landmark_points(model: MorphableModel, embedding: LandmarkEmbedding) -> PointModel:
    """Return the model of an embedding's landmarks."""
    return embedded_points(model, model.faces[embedding.face_indices], embedding.barycentrics)


def embedded_points(
    model: MorphableModel, vertices: Int[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"]
) -> PointModel:
    """Return the model of weighted means of vertices: point i is ``sum_k weights[i, k] · vertices[i, k]``."""
    mean, identity = _rows(model.identity, vertices, weights)
    if model.expression is None:
        return PointModel(mean, identity, np.zeros((len(mean), 3, 0)))
    offset, expression = _rows(model.expression, vertices, weights)
    return PointModel(mean + offset, identity, expression)


def _rows(
    group: LinearModel, vertices: Int[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3 c"]]:
    basis = group.basis.reshape(len(group.mean), 3, -1)
    mean = np.einsum("nk,nkd->nd", weights, group.mean[vertices].astype(np.float64))
    rows = np.einsum("nk,nkdc->ndc", weights, basis[vertices].astype(np.float64))
    return mean, rows * group.standard_deviations
