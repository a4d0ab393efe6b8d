"""The fewest vertices whose removal parts a graph's two ends, by maximum flow (Menger's theorem)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

LOW, HIGH, BOTH = -1, -2, -3  # the two ends, and what lies between them
_UNBREAKABLE = 1 << 20


def smallest_vertex_cut(edges: Int[np.ndarray, "e 2"], count: int) -> Int[np.ndarray, " v"] | None:
    """Return for each of `count` vertices whether it lies with LOW or HIGH, or (BOTH) separates them.

    Parameters
    ----------
    edges : undirected, between vertices 0..count - 1 and the ends LOW and HIGH.

    Returns
    -------
    sides : (count,), or None when an edge joins the two ends.
    """
    if (np.sort(edges, axis=1) == (HIGH, LOW)).all(axis=1).any():
        return None
    # every vertex is an arc from its entry to its exit that one unit of flow fills
    network = _network(edges, count)
    flow = maximum_flow(network, 2 * count, 2 * count + 1).flow
    left = sparse.csr_array(network - flow)
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(2 * count + 2, dtype=bool)
    reached[breadth_first_order(left, 2 * count, return_predecessors=False)] = True
    entry, leave = reached[:count], reached[count : 2 * count]
    return np.where(leave, LOW, np.where(entry, BOTH, HIGH))


def _network(edges: np.ndarray, count: int) -> sparse.csr_array:
    inner = edges[(edges >= 0).all(axis=1)]
    first, last = (_touching(edges, end) for end in (LOW, HIGH))
    vertices = np.arange(count)
    tails = [vertices, inner[:, 0] + count, inner[:, 1] + count, np.full(len(first), 2 * count), last + count]
    heads = [vertices + count, inner[:, 1], inner[:, 0], first, np.full(len(last), 2 * count + 1)]
    ends = np.concatenate(tails), np.concatenate(heads)
    capacities = np.full(len(ends[0]), _UNBREAKABLE, dtype=np.int32)
    capacities[:count] = 1
    return sparse.csr_array((capacities, ends), shape=(2 * count + 2, 2 * count + 2))


def _touching(edges: np.ndarray, end: int) -> np.ndarray:
    """Return the vertices that an edge joins to an end."""
    met = edges[(edges == end).any(axis=1)]
    return np.unique(met[met >= 0])
