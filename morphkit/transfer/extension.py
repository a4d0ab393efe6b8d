"""Values beyond where they are known: smooth across holes, fading to zero farther out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.linalg import splu

from morphkit.geometry.laplacian import graph_laplacian
from morphkit.geometry.topology import unique_edges
from morphkit.mesh import Mesh


def extended(
    values: Float[np.ndarray, "v d"], known: Bool[np.ndarray, " v"], mesh: Mesh, fade: float
) -> Float[np.ndarray, "v d"]:
    """Return `values` where they are known, and a smooth continuation elsewhere.

    The continuation solves the screened Laplace equation (L + screen) x = 0 on the mesh's edges: nearly
    harmonic across a hole smaller than `fade`, falling off like exp(-distance / fade) beyond an edge. Parts
    of the mesh without a known vertex get zero.

    Parameters
    ----------
    values : (v, d); unknown rows are ignored.
    known : (v,).
    mesh : of v vertices.
    fade : length, in the mesh's units.
    """
    result = np.where(known[:, None], values, 0.0)
    unknown = np.flatnonzero(~known)
    if len(unknown) == 0 or not known.any():
        return result
    edges, weights = _weighted_edges(mesh, fade)
    laplacian = sparse.csr_array(graph_laplacian(edges, weights, len(known)))[unknown]
    # n edges around a vertex make n / 4 of the continuous Laplacian
    screen = np.maximum(np.bincount(edges.ravel(), minlength=len(known))[unknown], 1) / 4
    inner = sparse.csc_array(laplacian[:, unknown]) + sparse.diags_array(screen)
    result[unknown] = splu(sparse.csc_matrix(inner)).solve(
        -(laplacian[:, np.flatnonzero(known)] @ result[known])
    )
    return result


def _weighted_edges(mesh: Mesh, fade: float) -> tuple[np.ndarray, np.ndarray]:
    """Return edges, and weights with which a unit screen makes values fall off over `fade`."""
    edges = unique_edges(mesh.faces)
    lengths = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
    return edges, (fade / np.maximum(lengths, 1e-3 * fade)) ** 2
