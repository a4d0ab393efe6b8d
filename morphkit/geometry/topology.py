"""What the faces alone say: edges, boundary, neighbours, components."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse
from scipy.sparse import csgraph


def face_edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """Return the 3f directed edges; rows 3i, 3i+1, 3i+2 lie opposite the corners 0, 1, 2 of triangle i."""
    return faces[:, [1, 2, 2, 0, 0, 1]].reshape(-1, 2)


def unique_edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """Return every undirected edge once, as (smaller, larger) vertex, in lexicographic order."""
    return _edge_table(faces)[0]


def boundary_face_edges(faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, "f 3"]:
    """Tell for each triangle's three edges (opposite corner 0, 1, 2) whether no other triangle shares it."""
    _, inverse, counts = _edge_table(faces)
    return (counts[inverse] == 1).reshape(-1, 3)


def boundary_edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """Return the undirected edges that belong to exactly one triangle."""
    edges, _, counts = _edge_table(faces)
    return edges[counts == 1]


def edge_neighbours(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """Return what lies across each triangle's edges: 3 × face + the edge's number there, or -1.

    Edge k of a face lies opposite its corner k. Open edges, and those with more than two faces, have -1.
    """
    _, inverse, counts = _edge_table(faces)
    order = np.argsort(inverse, kind="stable")
    first = (np.cumsum(counts) - counts)[counts == 2]
    across = np.full(len(inverse), -1, np.int32)
    across[order[first]], across[order[first + 1]] = order[first + 1], order[first]
    return across.reshape(-1, 3)


def boundary_vertices(faces: Int[np.ndarray, "f 3"], vertex_count: int) -> Bool[np.ndarray, " v"]:
    """Return which of `vertex_count` vertices lie on a boundary edge."""
    mask = np.zeros(vertex_count, dtype=bool)
    mask[boundary_edges(faces)] = True
    return mask


def vertex_adjacency(faces: Int[np.ndarray, "f 3"], vertex_count: int) -> sparse.csr_array:
    """Return the symmetric (v, v) adjacency of vertices, ones where an edge joins two."""
    i, j = unique_edges(faces).T
    ones = np.ones(2 * len(i))
    return sparse.csr_array((ones, (np.r_[i, j], np.r_[j, i])), shape=(vertex_count, vertex_count))


def connected_components(faces: Int[np.ndarray, "f 3"], vertex_count: int) -> Int[np.ndarray, " v"]:
    """Return each vertex's component number; vertices without a triangle are components of their own."""
    return csgraph.connected_components(vertex_adjacency(faces, vertex_count), directed=False)[1]


def edge_chains(edges: Int[np.ndarray, "e 2"]) -> Int[np.ndarray, " e"]:
    """Return the number of the chain or loop that each edge belongs to, such as those along borders.

    Edges that share a vertex belong together; the numbers run from zero without gaps.
    """
    vertices, compact = np.unique(edges, return_inverse=True)
    start, end = compact.reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(edges)), (start, end)), shape=(len(vertices), len(vertices)))
    chains: Int[np.ndarray, " e"] = csgraph.connected_components(graph, directed=False)[1][start]
    return chains


def dilate(
    mask: Bool[np.ndarray, " v"], faces: Int[np.ndarray, "f 3"], rings: int = 1
) -> Bool[np.ndarray, " v"]:
    """Return `mask` grown by `rings` rings of neighbouring vertices."""
    edges = unique_edges(faces)
    grown = mask.copy()
    for _ in range(rings):
        reached = grown[edges].any(axis=1)
        grown[edges[reached]] = True
    return grown


def _edge_table(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # one 64-bit key per edge sorts several times faster than rows
    edges = np.sort(face_edges(faces).astype(np.int64), axis=1)
    keys, inverse, counts = np.unique(
        edges[:, 0] << 32 | edges[:, 1], return_inverse=True, return_counts=True
    )
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1), inverse.ravel(), counts
