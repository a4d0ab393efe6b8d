"""The whole model as dense float32 arrays, for the photometric fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.export.comparison import compared_faces
from morphkit.fitting.landmark import Face
from morphkit.morphable import LinearModel, MorphableModel


@dataclass(frozen=True, eq=False)
class DenseModel:
    """Shape and albedo of every vertex, linear in coefficients per standard deviation.

    Attributes
    ----------
    faces : (f, 3) int32.
    mean : (v, 3) millimetres.
    shape : (v, 3, i + e) identity, then expression.
    albedo_mean : (v, 3) linear RGB.
    albedo : (v, 3, a).
    attention : (f,) the triangles whose colour is compared with the photo.
    """

    faces: Int[np.ndarray, "f 3"]
    mean: Float[np.ndarray, "v 3"]
    shape: Float[np.ndarray, "v 3 k"]
    albedo_mean: Float[np.ndarray, "v 3"]
    albedo: Float[np.ndarray, "v 3 a"]
    attention: Bool[np.ndarray, " f"]

    def vertices(self, face: Face) -> Float[np.ndarray, "v 3"]:
        """Return a face's vertices, millimetres, head frame."""
        return _instance(self.mean, self.shape, np.concatenate([face.identity, face.expression]))

    def albedo_colors(self, coefficients: Float[np.ndarray, " a"]) -> Float[np.ndarray, "v 3"]:
        """Return linear RGB, at least a trace above black."""
        return np.maximum(_instance(self.albedo_mean, self.albedo, coefficients), 1e-3)


def dense_model(model: MorphableModel) -> DenseModel:
    """Prepare a model that has an albedo group.

    Raises
    ------
    ValueError
        Without one.
    """
    if model.albedo is None:
        raise ValueError("model: has no albedo group, so that its colours cannot be compared with a photo's")
    identity_mean, identity = _scaled(model.identity)
    parts = [identity]
    if model.expression is not None:
        offset, expression = _scaled(model.expression)
        identity_mean = identity_mean + offset
        parts.append(expression)
    albedo_mean, albedo = _scaled(model.albedo)
    shape, compared = np.concatenate(parts, axis=2), compared_faces(model)
    return DenseModel(model.faces.astype(np.int32), identity_mean, shape, albedo_mean, albedo, compared)


def _scaled(group: LinearModel) -> tuple[Float[np.ndarray, "v 3"], Float[np.ndarray, "v 3 k"]]:
    basis = group.basis * group.standard_deviations.astype(np.float32)
    return group.mean.astype(np.float32), np.ascontiguousarray(basis).reshape(len(group.mean), 3, -1)


def _instance(
    mean: Float[np.ndarray, "v 3"], basis: Float[np.ndarray, "v 3 k"], coefficients: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "v 3"]:
    return mean + basis @ coefficients.astype(np.float32)
