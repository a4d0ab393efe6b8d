"""Short rays from points to a triangle mesh near them: they carry attributes from surface to surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry import _ray_kernels as kernels
from morphkit.mesh import Mesh

_MOST_CELLS = 192  # along the longest side of the grid


@dataclass(frozen=True, eq=False)
class RayHits:
    """Where n rays meet the surface.

    Attributes
    ----------
    face_indices : (n,) int32; -1 where a ray meets nothing, or something in the way.
    barycentrics : (n, 3) weights in those triangles, rows sum to one.
    """

    face_indices: Int[np.ndarray, " n"]
    barycentrics: Float[np.ndarray, "n 3"]

    @property
    def hit(self) -> Bool[np.ndarray, " n"]:
        """Whether there is an answer."""
        return self.face_indices >= 0


class ShortRayQuery:
    """The triangles of a mesh, sorted into a grid of cells as wide as the rays are long.

    Parameters
    ----------
    mesh : at least one triangle, finite vertices.
    reach : how far the rays go to either side, in the units of the mesh.

    Raises
    ------
    ValueError
        When the mesh has no triangle, a vertex is not finite, or the reach is not positive.
    """

    def __init__(self, mesh: Mesh, reach: float) -> None:
        if len(mesh.faces) == 0:
            raise ValueError("mesh: expected at least one triangle, found none")
        if not np.isfinite(mesh.vertices).all():
            raise ValueError("mesh: expected finite vertices")
        if not 0 < reach < np.inf:
            raise ValueError(f"reach must be positive, got {reach}")
        self._reach = float(reach)
        corners = np.ascontiguousarray(mesh.vertices, dtype=np.float64)[mesh.faces]
        low, high = corners.min(axis=1), corners.max(axis=1)
        self._origin = low.min(axis=0)
        extent = float((high.max(axis=0) - self._origin).max())
        self._cell = max(2 * self._reach, extent / _MOST_CELLS)
        first, last = (np.floor((end - self._origin) / self._cell).astype(np.int64) for end in (low, high))
        self._shape = last.max(axis=0) + 1
        self._starts, self._triangles = kernels.fill_grid(first, last, self._shape)
        self._corners = np.ascontiguousarray(corners.reshape(-1, 9))

    def cast(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        *,
        min_cosine: float = 0.5,
    ) -> RayHits:
        """Follow each point's normal both ways to the nearest triangle that faces the same way.

        Nothing is answered where a triangle that faces the other way lies outside the point, within the
        reach, or between the point and the answer: there the point touches another sheet (the other lip,
        hair, a hand), and whose the answer is cannot be told.

        Parameters
        ----------
        points : (n, 3), finite.
        normals : (n, 3) unit, or zero: no answer.
        min_cosine : between the normal and the triangle's.

        Raises
        ------
        ValueError
            When a number is not finite.
        """
        if not (np.isfinite(points).all() and np.isfinite(normals).all()):
            raise ValueError("points and normals: expected finite numbers")
        hit, weights = np.empty(len(points), dtype=np.int32), np.zeros((len(points), 2))
        kernels.cast(
            np.ascontiguousarray(points, dtype=np.float64),
            np.ascontiguousarray(normals, dtype=np.float64),
            self._reach,
            float(min_cosine),
            self._corners,
            self._origin,
            self._cell,
            self._shape,
            self._starts,
            self._triangles,
            hit,
            weights,
        )
        return RayHits(hit, np.column_stack([1 - weights.sum(axis=1), weights]))
