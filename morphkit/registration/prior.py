"""A Gaussian process prior on how the template deforms, in a low-rank basis.

The displacement field u is Gaussian with covariance k(x, y) + s S k(x, mirror(y)), where k sums Gaussian
kernels of several widths, S = diag(-1, 1, 1) and s says how symmetric faces are (Gerig et al. 2018,
section 3.2). Because S is diagonal the three components are independent: x has one basis, y and z share
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg
from scipy.spatial.distance import cdist


@dataclass(frozen=True, eq=False)
class DeformationPrior:
    """u = (odd · a, even · b, even · c) with standard normal a, b, c.

    Attributes
    ----------
    odd : (v, k) basis of the displacement across the plane of symmetry, millimetres.
    even : (v, k) basis of the two components along it.
    """

    odd: Float[np.ndarray, "v k"]
    even: Float[np.ndarray, "v k"]

    @property
    def rank(self) -> int:
        """Number of basis functions per component."""
        return self.odd.shape[1]

    def displace(self, coefficients: Float[np.ndarray, "3 k"]) -> Float[np.ndarray, "v 3"]:
        """Return the displacements of `coefficients`; fewer columns than `rank` use the widest functions."""
        k = coefficients.shape[1]
        x = self.odd[:, :k] @ coefficients[0]
        yz = self.even[:, :k] @ coefficients[1:].T
        return np.column_stack([x, yz])

    def at(self, vertex_indices: Int[np.ndarray, "n"]) -> DeformationPrior:
        """Return the prior at some vertices only."""
        return DeformationPrior(self.odd[vertex_indices], self.even[vertex_indices])

    def interpolated(
        self, faces: Int[np.ndarray, "n 3"], weights: Float[np.ndarray, "n 3"]
    ) -> DeformationPrior:
        """Return the prior at points inside triangles, given their corners and barycentric weights."""
        odd, even = (np.einsum("nk,nkr->nr", weights, basis[faces]) for basis in (self.odd, self.even))
        return DeformationPrior(odd, even)


def gaussian_process_prior(
    vertices: Float[np.ndarray, "v 3"],
    *,
    scales: Sequence[tuple[float, float]],
    symmetry: float,
    rank: int,
    node_count: int,
) -> DeformationPrior:
    """Return the Nyström approximation of the prior at `vertices`.

    Parameters
    ----------
    vertices : (v, 3) template, millimetres, x across the plane of symmetry.
    scales : (width, standard deviation) of each Gaussian kernel, millimetres.
    symmetry : in 0..1; at 1 only mirror-symmetric deformations have any variance.
    rank : basis functions per component.
    node_count : vertices that carry the approximation.
    """
    nodes = vertices[farthest_points(vertices, node_count)]
    middle = 0.5 * (vertices[:, 0].min() + vertices[:, 0].max())
    mirrored = nodes * [-1.0, 1.0, 1.0] + [2 * middle, 0.0, 0.0]
    direct, reflected = _kernel(vertices, nodes, scales), _kernel(vertices, mirrored, scales)
    direct_nodes, reflected_nodes = _kernel(nodes, nodes, scales), _kernel(nodes, mirrored, scales)
    odd, even = (
        _nystroem(direct + sign * reflected, direct_nodes + sign * reflected_nodes, rank)
        for sign in (-symmetry, symmetry)
    )
    return DeformationPrior(odd, even)


def farthest_points(points: Float[np.ndarray, "n 3"], count: int) -> Int[np.ndarray, "m"]:
    """Return the indices of `count` well spread points: each is the farthest from those before it."""
    count = min(count, len(points))
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1))
    columns = np.ascontiguousarray(points.T)
    distance = np.full(len(points), np.inf)
    for i in range(1, count):
        x, y, z = columns[:, chosen[i - 1]]
        np.minimum(
            distance, (columns[0] - x) ** 2 + (columns[1] - y) ** 2 + (columns[2] - z) ** 2, out=distance
        )
        chosen[i] = np.argmax(distance)
    return chosen


def _kernel(points: np.ndarray, nodes: np.ndarray, scales: Sequence[tuple[float, float]]) -> np.ndarray:
    squared = cdist(points, nodes, "sqeuclidean")
    kernel = np.zeros_like(squared)
    for width, deviation in scales:
        kernel += deviation**2 * np.exp(squared * (-0.5 / width**2))
    return kernel


def _nystroem(cross: np.ndarray, nodes: np.ndarray, rank: int) -> np.ndarray:
    count = len(nodes)
    values, vectors = linalg.eigh(nodes, subset_by_index=[max(0, count - rank), count - 1])
    keep = values > 1e-9 * values[-1]
    values, vectors = values[keep][::-1], vectors[:, keep][:, ::-1]
    return cross @ (vectors / np.sqrt(values))
