"""What of a topology survives when only some vertices are kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from morphkit.mesh import LandmarkEmbedding


def positions(vertex_indices: np.ndarray, n_vertices: int) -> np.ndarray:
    """Return, for each vertex, its place among `vertex_indices`, or -1."""
    if len(vertex_indices) and not 0 <= vertex_indices.min() <= vertex_indices.max() < n_vertices:
        raise ValueError(f"vertex_indices go beyond the model's {n_vertices} vertices")
    if len(np.unique(vertex_indices)) != len(vertex_indices):
        raise ValueError("vertex_indices has duplicates")
    position = np.full(n_vertices, -1, np.int64)
    position[vertex_indices] = np.arange(len(vertex_indices))
    return position


def surviving_landmarks(
    landmarks: Mapping[str, LandmarkEmbedding], kept_faces: np.ndarray
) -> dict[str, LandmarkEmbedding]:
    """Keep the landmarks whose triangle is kept, and the sets that have any left."""
    new_face = np.cumsum(kept_faces) - 1
    survivors = {}
    for set_name, embedding in landmarks.items():
        alive = kept_faces[embedding.face_indices]
        if alive.any():
            survivors[set_name] = LandmarkEmbedding(
                tuple(name for name, ok in zip(embedding.names, alive, strict=True) if ok),
                new_face[embedding.face_indices[alive]].astype(np.int32),
                embedding.barycentrics[alive],
            )
    return survivors


def surviving_mirror(
    mirror: np.ndarray | None, vertex_indices: np.ndarray, position: np.ndarray
) -> np.ndarray | None:
    """Re-index the mirror map; None when some vertex lost its partner."""
    if mirror is None:
        return None
    new = position[mirror[vertex_indices]]
    return None if (new < 0).any() else new.astype(np.int32)
