"""Nested dissection: an elimination order of a mesh's vertices that keeps a sparse factor small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Part:
    """Vertices that are eliminated together, after those of the parts that they separate.

    Attributes
    ----------
    members : (m,) vertices.
    children : numbers of the parts just beneath; smaller than the part's own.
    """

    members: Int[np.ndarray, "m"]
    children: tuple[int, ...]


def nested_dissection(
    edges: Int[np.ndarray, "e 2"], positions: Float[np.ndarray, "v 3"], leaf_size: int
) -> list[Part]:
    """Return the parts of a graph, children first; every vertex belongs to one.

    Two vertices that an edge joins lie in one part, or one of their parts is an ancestor of the other. The
    vertices are halved by coordinate until `leaf_size` are left, and of the planes across x, y and z the one
    that cuts the fewest vertices off is taken (George 1973).
    """
    return _Dissection(positions, leaf_size).parts(edges)


class _Dissection:
    def __init__(self, positions: np.ndarray, leaf_size: int) -> None:
        self._positions, self._leaf_size = positions, leaf_size
        self._side = np.zeros(len(positions), dtype=np.int8)
        self._parts: list[Part] = []

    def parts(self, edges: np.ndarray) -> list[Part]:
        self._split(np.arange(len(self._positions)), edges)
        return self._parts

    def _split(self, members: np.ndarray, edges: np.ndarray) -> tuple[int, ...]:
        """Add the parts of `members`, which `edges` join, and return the topmost ones' numbers."""
        if len(members) <= self._leaf_size:
            return self._add(members, ())
        low, separator = self._cut(members, edges)
        self._side[members] = 1
        self._side[low] = 0
        self._side[separator] = 2
        side, ends = self._side[members], self._side[edges]
        halves = [(members[side == k], edges[(ends == k).all(axis=1)]) for k in (0, 1)]
        children = sum((self._split(*half) for half in halves if len(half[0])), ())
        return self._add(separator, children) if len(separator) else children

    def _add(self, members: np.ndarray, children: tuple[int, ...]) -> tuple[int, ...]:
        self._parts.append(Part(members, children))
        return (len(self._parts) - 1,)

    def _cut(self, members: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return one half of the members, and the fewest vertices found whose removal parts the halves."""
        cuts = [self._cut_across(axis, members, edges) for axis in range(3)]
        return min(cuts, key=lambda cut: len(cut[1]))

    def _cut_across(self, axis: int, members: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half = len(members) // 2
        order = np.argpartition(self._positions[members, axis], half)
        low = members[order[:half]]
        self._side[members] = 1
        self._side[low] = 0
        ends = self._side[edges]
        crossing = edges[ends[:, 0] != ends[:, 1]]
        ends = self._side[crossing]
        rims = [np.unique(crossing[ends == k]) for k in (0, 1)]
        return low, min(rims, key=len)
