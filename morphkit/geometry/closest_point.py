"""Exact closest points on a triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry import _closest_point_kernels as kernels
from morphkit.geometry.normals import face_normals
from morphkit.geometry.parallel import run_all, split_range
from morphkit.geometry.topology import boundary_face_edges, boundary_vertices
from morphkit.mesh import Mesh

_TRIANGLES_PER_LEAF = 4
_ON_EDGE = 1e-6


@dataclass(frozen=True, eq=False)
class ClosestPoints:
    """Where the surface is nearest to n query points.

    Attributes
    ----------
    points : (n, 3) the closest surface points.
    distances : (n,) to them; infinite where no triangle was allowed.
    face_indices : (n,) int32 triangles; -1 where no triangle was allowed.
    barycentrics : (n, 3) weights in those triangles, rows sum to one.
    """

    points: Float[np.ndarray, "n 3"]
    distances: Float[np.ndarray, "n"]
    face_indices: Int[np.ndarray, "n"]
    barycentrics: Float[np.ndarray, "n 3"]


class ClosestPointQuery:
    """A bounding volume hierarchy over a mesh, built once and queried often.

    Queries are single-threaded unless `workers` says otherwise, because the callers that matter already work
    on one scan per process. The kernels release the GIL, so several threads may share one query object.

    Parameters
    ----------
    mesh : at least one triangle, finite vertices.

    Raises
    ------
    ValueError
        When the mesh has no triangle or a vertex is not finite.
    """

    def __init__(self, mesh: Mesh) -> None:
        if len(mesh.faces) == 0:
            raise ValueError("mesh: expected at least one triangle, found none")
        if not np.isfinite(mesh.vertices).all():
            raise ValueError("mesh: expected finite vertices")
        self._mesh = mesh
        corners = np.ascontiguousarray(mesh.vertices, dtype=np.float64)[mesh.faces]
        leaf_count = 1 << max(0, int(np.ceil(np.log2(len(corners) / _TRIANGLES_PER_LEAF))))
        self._order, self._ranges = kernels.build_order(
            np.ascontiguousarray(corners.mean(axis=1).T), leaf_count
        )
        self._corners = np.ascontiguousarray(corners[self._order].reshape(-1, 9))
        self._normals = np.ascontiguousarray(face_normals(mesh.vertices, mesh.faces)[self._order])
        self._boxes = kernels.node_boxes(self._corners, self._ranges)
        self._position = np.empty(len(self._order), dtype=np.int32)
        self._position[self._order] = np.arange(len(self._order), dtype=np.int32)
        self._boundary: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def mesh(self) -> Mesh:
        """The mesh that is queried."""
        return self._mesh

    def query(
        self,
        points: Float[np.ndarray, "n 3"],
        *,
        normals: Float[np.ndarray, "n 3"] | None = None,
        min_cosine: float = 0.0,
        hints: Int[np.ndarray, "n"] | None = None,
        workers: int = 1,
    ) -> ClosestPoints:
        """Return the closest surface point of each query point.

        Parameters
        ----------
        points : (n, 3), finite.
        normals : (n, 3) unit; when given, only triangles whose normal makes a cosine of at least `min_cosine`
            with the point's normal are candidates.
        hints : (n,) triangles that are probably near (the last answer); -1 for none. They change the speed,
            not the answer.
        workers : threads.

        Raises
        ------
        ValueError
            When a point is not finite.
        """
        if not np.isfinite(points).all():
            raise ValueError("points: expected finite coordinates")
        count = len(points)
        arguments = (
            np.ascontiguousarray(points, dtype=np.float64),
            np.zeros((count, 3)) if normals is None else np.ascontiguousarray(normals, dtype=np.float64),
            self._positions(hints, count),
        )
        triangle, weights = np.empty(count, dtype=np.int32), np.empty((count, 2))
        limit = -2.0 if normals is None else float(min_cosine)

        def run(first: int, last: int) -> None:
            p, n, h, found, uv = (a[first:last] for a in (*arguments, triangle, weights))
            kernels.closest(
                p, n, limit, h, self._boxes, self._ranges, self._corners, self._normals, found, uv
            )

        run_all(run, split_range(count, workers))
        return self._answer(arguments[0], triangle, weights)

    def touches_boundary(self, closest: ClosestPoints) -> Bool[np.ndarray, "n"]:
        """Tell which closest points lie on the mesh's border: there the true counterpart may be missing."""
        if self._boundary is None:
            faces = self._mesh.faces
            vertices = boundary_vertices(faces, len(self._mesh.vertices))
            self._boundary = boundary_face_edges(faces), vertices[faces]
        edges, corners = self._boundary
        faces, weights = closest.face_indices, closest.barycentrics
        on_edge = (edges[faces] & (weights < _ON_EDGE)).any(axis=1)
        on_corner = (corners[faces] & (weights > 1 - _ON_EDGE)).any(axis=1)
        return on_edge | on_corner

    def _positions(self, hints: np.ndarray | None, count: int) -> np.ndarray:
        if hints is None:
            return np.full(count, -1, dtype=np.int32)
        return np.where(hints >= 0, self._position[hints], -1).astype(np.int32)

    def _answer(self, points: np.ndarray, triangle: np.ndarray, weights: np.ndarray) -> ClosestPoints:
        found = triangle >= 0
        barycentrics = np.column_stack([1 - weights.sum(axis=1), weights])
        corners = self._corners[triangle].reshape(-1, 3, 3)
        surface = np.where(found[:, None], np.einsum("nk,nkd->nd", barycentrics, corners), points)
        distances = np.where(found, np.linalg.norm(surface - points, axis=1), np.inf)
        face_indices = np.where(found, self._order[triangle], -1).astype(np.int32)
        return ClosestPoints(surface, distances, face_indices, barycentrics)


def closest_points(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> ClosestPoints:
    """Return the closest surface point of each of `points`; to ask more than once, build a query object."""
    return ClosestPointQuery(mesh).query(points)
