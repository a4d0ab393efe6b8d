"""The scan's border as evidence, where it runs along the template's.

Usually a scan ends somewhere, and its border says nothing. But where the scans were cut as the template was,
the borders correspond, and without them the cheeks would slide by centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from morphkit.geometry.topology import boundary_edges, edge_chains
from morphkit.mesh import Mesh
from morphkit.registration.target import unit

_NEAR = 12.0
_AGREEING_SHARE = 0.9
_PARALLEL = 0.7
_ZIGZAG = 8.0  # millimetres


@dataclass(frozen=True, eq=False)
class Border:
    """The longest border of a mesh, as the middles and directions of its edges.

    Attributes
    ----------
    vertices : (b,) indices along it.
    middles, directions : (e, 3), directions are unit.
    lengths : (e,) millimetres.
    """

    vertices: Int[np.ndarray, " b"]
    middles: Float[np.ndarray, "e 3"]
    directions: Float[np.ndarray, "e 3"]
    lengths: Float[np.ndarray, " e"]


def longest_border(mesh: Mesh) -> Border | None:
    """Return the longest connected border of the mesh; None when it is closed."""
    edges = boundary_edges(mesh.faces)
    if len(edges) == 0:
        return None
    loop = edge_chains(edges)
    start, end = mesh.vertices[edges[:, 0]], mesh.vertices[edges[:, 1]]
    lengths = np.linalg.norm(end - start, axis=1)
    kept = loop == np.argmax(np.bincount(loop, lengths))
    return Border(
        vertices=np.unique(edges[kept]),
        middles=(0.5 * (start + end))[kept],
        directions=unit((end - start)[kept]),
        lengths=lengths[kept],
    )


def borders_agree(one: Border, other: Border) -> bool:
    """Tell whether two borders run alongside each other: nearly all of each near the other and parallel.

    Single edges may zigzag; what counts is where the border runs at large.
    """
    one, other = _smoothed(one), _smoothed(other)
    return min(_alongside(one, other), _alongside(other, one)) > _AGREEING_SHARE


def _smoothed(border: Border) -> Border:
    """Return the border with the directions in which it runs within `_ZIGZAG` or so of each edge."""
    tree = cKDTree(border.middles)
    near = tree.sparse_distance_matrix(tree, 2 * _ZIGZAG, output_type="coo_matrix")
    weights = np.exp(-0.5 * (near.data / _ZIGZAG) ** 2) * border.lengths[near.col]
    offsets = border.middles[near.col] - border.middles[near.row]
    spread = np.zeros((len(border.middles), 3, 3))
    np.add.at(spread, near.row, weights[:, None, None] * np.einsum("ni,nj->nij", offsets, offsets))
    return replace(border, directions=np.linalg.eigh(spread)[1][:, :, -1])


def _alongside(one: Border, other: Border) -> float:
    distance, index = map(np.asarray, cKDTree(other.middles).query(one.middles))
    parallel = np.abs(np.einsum("nd,nd->n", one.directions, other.directions[index])) > _PARALLEL
    return float((one.lengths * ((distance < _NEAR) & parallel)).sum() / one.lengths.sum())
