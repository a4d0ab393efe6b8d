"""Which part of a model's face is compared with photos, and how even its skin is taken to be."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from morphkit.export.expectation import face_skin
from morphkit.morphable import MorphableModel

_FOREHEAD = 22.0  # millimetres above the brows up to which the forehead is trusted to be free of hair
_BROWS = tuple(str(i) for i in range(17, 27))


def compared_faces(model: MorphableModel) -> Bool[np.ndarray, " f"]:
    """Return the triangles whose colour is compared with the photo's."""
    compared: np.ndarray = _attention(model)[model.faces].all(axis=1)
    return compared


def bare_skin(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    """Return the skin whose albedo is taken to be even: the model's own mask, or what is compared."""
    seen = np.zeros(model.n_vertices, dtype=bool)
    seen[model.faces[compared_faces(model)]] = True
    return model.masks.get("skin", seen)


def _attention(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    """Return the skin that photos usually show bare: the face without eyes and ears, to the mid forehead."""
    attention = face_skin(model)
    embedding = model.landmarks.get("ibug68")
    if embedding is not None and set(_BROWS) <= set(embedding.names):
        mean = model.identity.mean.astype(np.float64)
        brows = embedding.landmarks(mean, model.faces).select(_BROWS).points
        attention &= mean[:, 1] < brows[:, 1].max() + _FOREHEAD
    return attention
