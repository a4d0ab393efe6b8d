"""Sparse Cholesky factorisation on a mesh: planned once per template, then quick for any values.

SciPy's SuperLU orders and analyses the matrix anew in every call, and works on single entries. Here the
elimination order and the layout of all dense blocks are computed once per pattern, and the factorisation is a
walk over small dense matrices with LAPACK (the multifrontal method: Duff and Reid 1983; Liu 1992).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import blas, lapack

from morphkit.registration import _sparse_cholesky_kernels as kernels
from morphkit.registration.dissection import Part, nested_dissection

_LEAF_UNKNOWNS = 128


@dataclass(frozen=True, eq=False)
class _Front:
    """The dense matrix in which one part is eliminated; places are positions in the elimination order.

    Attributes
    ----------
    own : places of the part's unknowns.
    later : (m,) ascending places of the unknowns, eliminated later, that it touches.
    source, destination : which entries of the matrix are read, and where in the flat front they go.
    children : fronts whose updates are added, each with the rows it goes to.
    """

    own: slice
    later: Int[np.ndarray, " m"]
    source: Int[np.ndarray, " s"]
    destination: Int[np.ndarray, " s"]
    children: tuple[tuple[int, np.ndarray], ...]


class CholeskyPlan:
    """What a factorisation needs to know of a symmetric matrix before its values.

    Parameters
    ----------
    edges : (e, 2) which blocks beside the diagonal may differ from zero; each undirected pair once.
    positions : (v, 3) where the graph's vertices lie; they guide the elimination order.
    block : unknowns per vertex: entry (i, j) of the graph is a (block, block) matrix.
    """

    def __init__(
        self, edges: Int[np.ndarray, "e 2"], positions: Float[np.ndarray, "v 3"], block: int = 1
    ) -> None:
        # with blocks a factorisation costs far more than its plan
        leaf = max(1, _LEAF_UNKNOWNS // block)
        parts = nested_dissection(edges, positions, leaf, thorough=block > 1)
        order = np.concatenate([part.members for part in parts])
        self._order = _unknowns(order, block)
        self._fronts = _lay_out(parts, _Entries(edges, order, block), block)

    def factorize(
        self, diagonal: Float[np.ndarray, "..."], beside: Float[np.ndarray, "..."]
    ) -> CholeskyFactor:
        """Return the factor of the matrix with these values.

        Parameters
        ----------
        diagonal : (v,), or (v, block, block) symmetric.
        beside : (e,), or (e, block, block): the blocks in the first vertex's rows and the second's columns.

        Raises
        ------
        numpy.linalg.LinAlgError
            When the matrix is not positive definite.
        """
        values = np.concatenate([diagonal.reshape(-1), beside.reshape(-1)], dtype=np.float64)
        updates: dict[int, np.ndarray] = {}
        factors = []
        for number, front in enumerate(self._fronts):
            corner, below, update = _eliminate(*_assemble(front, values, updates))
            factors.append((corner, below))
            updates[number] = update
        return CholeskyFactor(self._order, self._fronts, factors)


class CholeskyFactor:
    """A factored matrix, ready to solve."""

    def __init__(
        self, order: np.ndarray, fronts: list[_Front], factors: list[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self._order = order
        self._steps = list(zip(fronts, factors, strict=True))

    def solve(self, right: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n r"]:
        """Return the solutions of r systems; row `block * vertex + i` is unknown i of a vertex."""
        x = right[self._order]
        for front, (corner, below) in self._steps:
            x[front.own] = part = blas.dtrsm(1.0, corner, x[front.own], lower=1)
            x[front.later] -= below @ part
        for front, (corner, below) in reversed(self._steps):
            part = x[front.own] - below.T @ x[front.later]
            x[front.own] = blas.dtrsm(1.0, corner, part, lower=1, trans_a=1)
        solution = np.empty_like(x)
        solution[self._order] = x
        return solution


class _Entries:
    """The blocks on and below the diagonal in elimination order, by column."""

    def __init__(self, edges: np.ndarray, order: np.ndarray, block: int) -> None:
        count = len(order)
        places = np.empty(count, dtype=np.int64)
        places[order] = np.arange(count)
        ends = places[np.concatenate([np.column_stack([np.arange(count)] * 2), edges])]
        by_column = np.argsort(ends.min(axis=1), kind="stable")
        self.rows, self.columns = ends.max(axis=1)[by_column], ends.min(axis=1)[by_column]
        self.starts = np.searchsorted(self.columns, np.arange(count + 1))
        # a block whose first vertex comes first lies above the diagonal: read it transposed
        straight = np.arange(block * block).reshape(block, block)
        above = (ends[:, 0] < ends[:, 1])[by_column]
        within = np.where(above[:, None, None], straight.T, straight)
        self.source = by_column[:, None, None] * block**2 + within


def _lay_out(parts: list[Part], entries: _Entries, block: int) -> list[_Front]:
    fronts: list[_Front] = []
    laters: list[np.ndarray] = []
    first = 0
    for part in parts:
        last = first + len(part.members)
        found = slice(entries.starts[first], entries.starts[last])
        touched = np.concatenate([entries.rows[found], *(laters[child] for child in part.children)])
        later = np.unique(touched[touched >= last])
        places = np.concatenate([np.arange(first, last), later])
        rows, columns = (
            _unknowns(np.searchsorted(places, p[found]), block) for p in (entries.rows, entries.columns)
        )
        rows, columns = rows.reshape(-1, block, 1), columns.reshape(-1, 1, block)
        fronts.append(
            _Front(
                own=slice(first * block, last * block),
                later=_unknowns(later, block),
                source=entries.source[found].ravel(),
                destination=(columns * block * len(places) + rows).ravel(),
                children=tuple(
                    (child, _unknowns(np.searchsorted(places, laters[child]), block))
                    for child in part.children
                ),
            )
        )
        laters.append(later)
        first = last
    return fronts


def _unknowns(vertices: np.ndarray, block: int) -> np.ndarray:
    return (vertices[:, None] * block + np.arange(block)).ravel()


def _assemble(
    front: _Front, values: np.ndarray, updates: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the front's columns of its own unknowns, and the rest; consumes the children's updates.

    Both are in Fortran order, and of what is above the diagonal nothing is filled.
    """
    count, later = front.own.stop - front.own.start, len(front.later)
    panel, rest = np.zeros(count * (count + later)), np.zeros((later, later))
    panel[front.destination] = values[front.source]
    panel = panel.reshape(count, count + later)
    for child, index in front.children:
        kernels.extend_add(panel, rest, updates.pop(child).T, index)
    return panel.T, rest.T


def _eliminate(panel: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the factor's two blocks for a front's own unknowns, and what is left for the later ones."""
    count = panel.shape[1]
    corner, failure = lapack.dpotrf(panel[:count], lower=1)
    if failure:
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    if len(rest) == 0:
        return corner, panel[count:], rest
    below = blas.dtrsm(1.0, corner, panel[count:], side=1, lower=1, trans_a=1)
    return corner, below, blas.dsyrk(-1.0, below, beta=1.0, c=rest, lower=1, overwrite_c=1)
