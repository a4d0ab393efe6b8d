"""The linear system of one N-ICP iteration: an affine map for every vertex, in closed form.

The unknown X stacks a (4, 3) map for each vertex. With M the node-arc incidence matrix, G = diag(1, 1, 1,
skew), D the rest positions in homogeneous coordinates, U the matched points and D_L, U_L the same for
landmarks, it minimises (Amberg, Romdhani and Vetter 2007, equation 12)

    |stiffness (M x G) X|^2 + |sqrt(W) (D X - U)|^2 + |landmark_weight (D_L X - U_L)|^2.

M'M is the graph Laplacian, so the normal matrix has a (4, 4) block at every vertex and edge, and nowhere
else: its factorisation is planned once per template. Solved is for the step from the last maps, whose right
side is the energy's falling gradient: where nothing speaks for a step there is exactly none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from morphkit.registration.sparse_cholesky import CholeskyPlan

# added to the diagonal, as a share of its size: the maps of a part that found no match are not determined
_HOLD = 1e-14


@dataclass(frozen=True, eq=False)
class AffineLandmarks:
    """Points inside the template's triangles and where they belong.

    Attributes
    ----------
    corners : (l, 3) vertices, three different ones.
    barycentrics : (l, 3) weights of the corners.
    points : (l, 3) targets.
    weights : (l,) of the squared distances, beside the level's.
    """

    corners: Int[np.ndarray, "l 3"]
    barycentrics: Float[np.ndarray, "l 3"]
    points: Float[np.ndarray, "l 3"]
    weights: Float[np.ndarray, " l"]


class AffineSystem:
    """The normal equations on one template.

    Parameters
    ----------
    rest : (v, 3) positions, of unit size.
    edges : (e, 2) undirected edges, once each, as `unique_edges` lists them.
    skew : gamma of the paper.
    """

    def __init__(self, rest: Float[np.ndarray, "v 3"], edges: Int[np.ndarray, "e 2"], skew: float) -> None:
        count, arcs = len(rest), len(edges)
        self._edges, self._keys = edges, _keys(edges, count)
        self._degrees = np.bincount(edges.ravel(), minlength=count)[:, None, None]
        self._metric = np.array([1.0, 1.0, 1.0, skew**2])
        ends = np.tile([-1.0, 1.0], arcs), edges.ravel(), np.arange(0, 2 * arcs + 1, 2)
        self._incidence = sparse.csr_array(ends, shape=(arcs, count))
        self._plan = CholeskyPlan(edges, rest, block=4)
        self._homogeneous = np.column_stack([rest, np.ones(count)])

    def deform(self, maps: Float[np.ndarray, "v 4 3"]) -> Float[np.ndarray, "v 3"]:
        """Return every vertex under its own map."""
        return np.einsum("vk,vkd->vd", self._homogeneous, maps)

    def solve(
        self,
        maps: Float[np.ndarray, "v 4 3"],
        points: Float[np.ndarray, "v 3"],
        weights: Float[np.ndarray, " v"],
        stiffness: float,
        landmarks: AffineLandmarks | None = None,
        landmark_weight: float = 0.0,
    ) -> Float[np.ndarray, "v 4 3"]:
        """Return the maps that minimise the energy.

        Parameters
        ----------
        maps : the last ones.
        points, weights : each vertex's match and what it weighs in the energy (w itself, not its square).
        """
        d, stiff = self._homogeneous, stiffness**2 * self._metric
        diagonal = self._degrees * np.diag(stiff) + weights[:, None, None] * d[:, :, None] * d[:, None, :]
        diagonal += _HOLD * diagonal.max() * np.eye(4)
        beside = np.repeat(-np.diag(stiff)[None], len(self._edges), axis=0)
        downhill = self._strain_gradient(maps, stiff)
        downhill += (weights[:, None] * d)[:, :, None] * (points - self.deform(maps))[:, None, :]
        if landmarks is not None and landmark_weight > 0:
            self._add_landmarks(diagonal, beside, downhill, maps, landmarks, landmark_weight**2)
        step = self._plan.factorize(diagonal, beside).solve(downhill.reshape(-1, 3))
        return maps + step.reshape(-1, 4, 3)

    def _strain_gradient(self, maps: np.ndarray, stiff: np.ndarray) -> np.ndarray:
        """Return minus the stiffness term's gradient; exactly zero where neighbours' maps agree."""
        differences = self._incidence @ maps.reshape(len(maps), 12)
        return -stiff[:, None] * (self._incidence.T @ differences).reshape(-1, 4, 3)

    def _add_landmarks(
        self,
        diagonal: np.ndarray,
        beside: np.ndarray,
        downhill: np.ndarray,
        maps: np.ndarray,
        landmarks: AffineLandmarks,
        weight: float,
    ) -> None:
        """Add each landmark's row of the stacked system, spread over three corners, in place."""
        corners, weights = landmarks.corners, weight * landmarks.weights[:, None, None]
        rows = landmarks.barycentrics[:, :, None] * self._homogeneous[corners]
        gap = landmarks.points - np.einsum("lck,lckd->ld", rows, maps[corners])
        for i in range(3):
            np.add.at(diagonal, corners[:, i], weights * rows[:, i, :, None] * rows[:, i, None, :])
            np.add.at(downhill, corners[:, i], weights * rows[:, i, :, None] * gap[:, None, :])
            for j in range(3):
                pairs = corners[:, [i, j]]
                listed = pairs[:, 0] < pairs[:, 1]
                edge = np.searchsorted(self._keys, _keys(pairs[listed], len(maps)))
                np.add.at(beside, edge, (weights * rows[:, i, :, None] * rows[:, j, None, :])[listed])


def _keys(edges: np.ndarray, count: int) -> np.ndarray:
    return edges[:, 0].astype(np.int64) * count + edges[:, 1]
