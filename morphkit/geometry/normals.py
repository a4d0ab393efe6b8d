"""Normals of triangle meshes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def face_area_vectors(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "f 3"]:
    """Return each triangle's normal scaled by its area, in squared units of `vertices`."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    return 0.5 * np.cross(b - a, c - a)


def face_areas(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, " f"]:
    """Return each triangle's area."""
    return np.linalg.norm(face_area_vectors(vertices, faces), axis=1)


def face_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "f 3"]:
    """Return each triangle's unit normal, outward when counter-clockwise; zero where it has no area."""
    return _unit(face_area_vectors(vertices, faces))


def vertex_normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Return unit vertex normals: the area-weighted mean of the adjacent triangles' normals.

    Vertices without a triangle of positive area get zero.
    """
    corner_vectors = np.repeat(face_area_vectors(vertices, faces), 3, axis=0)
    return _unit(_scatter_add(corner_vectors, faces.ravel(), len(vertices)))


def _scatter_add(values: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    # bincount per column is an order of magnitude faster than np.add.at
    return np.stack([np.bincount(index, column, count) for column in values.T], axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
