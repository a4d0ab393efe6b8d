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
    """Return `values` where they are known, and a smooth continuation elsewhere; see `Extension`."""
    return Extension(known, mesh, fade).extend(values)


class Extension:
    """A smooth continuation of values into the part of a mesh where they are not known.

    It solves the screened Laplace equation (L + screen) x = 0 on the mesh's edges: nearly harmonic across a
    hole smaller than `fade`, falling off like exp(-distance / fade) beyond an edge. Parts of the mesh without
    a known vertex get zero. The equations are solved once for all values.

    Parameters
    ----------
    known : (v,).
    mesh : of v vertices.
    fade : length, in the mesh's units.
    """

    def __init__(self, known: Bool[np.ndarray, " v"], mesh: Mesh, fade: float) -> None:
        self._known = known
        self._unknown = np.flatnonzero(~known)
        if len(self._unknown) == 0 or not known.any():
            return
        edges, weights = _weighted_edges(mesh, fade)
        laplacian = sparse.csr_array(graph_laplacian(edges, weights, len(known)))[self._unknown]
        # n edges around a vertex make n / 4 of the continuous Laplacian
        screen = np.maximum(np.bincount(edges.ravel(), minlength=len(known))[self._unknown], 1) / 4
        inner = sparse.csc_array(laplacian[:, self._unknown]) + sparse.diags_array(screen)
        self._pull = laplacian[:, np.flatnonzero(known)]
        self._factors = splu(sparse.csc_matrix(inner))

    def extend(self, values: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "v d"]:
        """Return `values` where they are known, whatever the other rows are, and their continuation there."""
        result = np.where(self._known[:, None], values, 0.0)
        if len(self._unknown) and self._known.any():
            result[self._unknown] = self._factors.solve(-(self._pull @ result[self._known]))
        return result


def _weighted_edges(mesh: Mesh, fade: float) -> tuple[np.ndarray, np.ndarray]:
    """Return edges, and weights with which a unit screen makes values fall off over `fade`."""
    edges = unique_edges(mesh.faces)
    lengths = np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1)
    return edges, (fade / np.maximum(lengths, 1e-3 * fade)) ** 2
