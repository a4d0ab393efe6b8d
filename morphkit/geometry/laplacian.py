"""Sparse mesh Laplacians, positive semi-definite: `x @ L @ x` sums the edges' squared differences."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from morphkit.geometry.normals import face_areas
from morphkit.geometry.topology import unique_edges


def graph_laplacian(
    edges: Int[np.ndarray, "e 2"], weights: Float[np.ndarray, " e"], vertex_count: int
) -> sparse.csc_array:
    """Return the (v, v) Laplacian D - W of a weighted graph; `edges` are undirected and listed once."""
    i, j = edges.T
    shape = (vertex_count, vertex_count)
    adjacency = sparse.coo_array((np.r_[weights, weights], (np.r_[i, j], np.r_[j, i])), shape=shape).tocsc()
    return sparse.csc_array(sparse.diags_array(adjacency.sum(axis=1)) - adjacency)


def uniform_laplacian(faces: Int[np.ndarray, "f 3"], vertex_count: int) -> sparse.csc_array:
    """Return the Laplacian in which every edge weighs one."""
    edges = unique_edges(faces)
    return graph_laplacian(edges, np.ones(len(edges)), vertex_count)


def cotangent_laplacian(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> sparse.csc_array:
    """Return the cotangent stiffness matrix, whose edges weigh (cot a + cot b) / 2.

    Divide by `vertex_areas` for the pointwise operator. Degenerate triangles contribute nothing.

    References
    ----------
    Pinkall and Polthier 1993, equation 7.
    """
    corners = vertices[faces]
    vertex_count = len(vertices)
    doubled_area = 2 * face_areas(vertices, faces)
    matrix = sparse.csc_array((vertex_count, vertex_count))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        dot = np.einsum("fd,fd->f", corners[:, i] - corners[:, k], corners[:, j] - corners[:, k])
        cotangent = np.divide(dot, doubled_area, out=np.zeros_like(dot), where=doubled_area > 0)
        matrix = matrix + graph_laplacian(faces[:, [i, j]], 0.5 * cotangent, vertex_count)
    return sparse.csc_array(matrix)


def vertex_areas(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> Float[np.ndarray, " v"]:
    """Return a third of the area of the triangles around each vertex (the lumped mass)."""
    return np.bincount(faces.ravel(), np.repeat(face_areas(vertices, faces) / 3, 3), len(vertices))
