"""Nested dissection: an elimination order of a mesh's vertices that keeps a sparse factor small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.registration.vertex_cut import BOTH, HIGH, LOW, smallest_vertex_cut

_MARGIN = 0.3  # of the members stay on either side of the smallest cut
_WORTH_CUTTING = 300


@dataclass(frozen=True, eq=False)
class Part:
    """Vertices that are eliminated together, after those of the parts that they separate.

    Attributes
    ----------
    members : (m,) vertices.
    children : numbers of the parts just beneath; smaller than the part's own.
    """

    members: Int[np.ndarray, " m"]
    children: tuple[int, ...]


def nested_dissection(
    edges: Int[np.ndarray, "e 2"],
    positions: Float[np.ndarray, "v 3"],
    leaf_size: int,
    *,
    thorough: bool = False,
) -> list[Part]:
    """Return the parts of a graph, children first; every vertex belongs to one.

    Two vertices that an edge joins lie in one part, or one of their parts is an ancestor of the other. The
    vertices are halved until `leaf_size` are left (George 1973).

    Parameters
    ----------
    edges : undirected.
    positions : of the vertices. Of the planes across x, y and z the one that cuts the fewest vertices off
        is taken.
    leaf_size : largest number of vertices that are not halved.
    thorough : seek the smallest separator near that plane. It takes five times as long and halves the work
        of a factorisation.
    """
    return _Dissection(positions, leaf_size, thorough).parts(edges)


class _Dissection:
    def __init__(self, positions: np.ndarray, leaf_size: int, thorough: bool) -> None:
        self._positions, self._leaf_size, self._thorough = positions, leaf_size, thorough
        self._side = np.zeros(len(positions), dtype=np.int64)
        self._parts: list[Part] = []

    def parts(self, edges: np.ndarray) -> list[Part]:
        self._split(np.arange(len(self._positions)), edges)
        return self._parts

    def _split(self, members: np.ndarray, edges: np.ndarray) -> tuple[int, ...]:
        """Add the parts of `members`, which `edges` join, and return the topmost ones' numbers."""
        if len(members) <= self._leaf_size:
            return self._add(members, ())
        side = self._cut(members, edges)
        self._side[members] = side
        ends = self._side[edges]
        halves = [(members[side == k], edges[(ends == k).all(axis=1)]) for k in (LOW, HIGH)]
        children = sum((self._split(*half) for half in halves if len(half[0])), ())
        separator = members[side == BOTH]
        return self._add(separator, children) if len(separator) else children

    def _add(self, members: np.ndarray, children: tuple[int, ...]) -> tuple[int, ...]:
        self._parts.append(Part(members, children))
        return (len(self._parts) - 1,)

    def _cut(self, members: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Return on which side each member lies, or that it separates them."""
        columns = self._positions[members].T
        cuts = [self._cut_across(column, members, edges) for column in columns]
        narrowest = int(np.argmin([(cut == BOTH).sum() for cut in cuts]))
        if self._thorough and len(members) > _WORTH_CUTTING:
            smaller = self._cut_near(columns[narrowest], members, edges)
            if smaller is not None:
                return smaller
        return cuts[narrowest]

    def _cut_across(self, column: np.ndarray, members: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Halve at the median; the smaller of the two rims separates."""
        half = len(members) // 2
        side = np.full(len(members), HIGH)
        side[np.argpartition(column, half)[:half]] = LOW
        self._side[members] = side
        ends = self._side[edges]
        crossing = edges[ends[:, 0] != ends[:, 1]]
        rims = [np.unique(crossing[self._side[crossing] == k]) for k in (LOW, HIGH)]
        self._side[min(rims, key=len)] = BOTH
        return self._side[members]

    def _cut_near(self, column: np.ndarray, members: np.ndarray, edges: np.ndarray) -> np.ndarray | None:
        """Return the smallest cut within the members' middle; None where the middle is no barrier."""
        margin = int(_MARGIN * len(members))
        order = np.argsort(column, kind="stable")
        middle = order[margin : len(members) - margin]
        number = np.empty(len(members), dtype=np.int64)
        number[order[:margin]], number[order[len(members) - margin :]] = LOW, HIGH
        number[middle] = np.arange(len(middle))
        self._side[members] = number
        found = smallest_vertex_cut(self._side[edges], len(middle))
        if found is None:
            return None
        number[middle] = found
        return number
