"""Exact closest points on a triangle mesh."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry import _closest_point_kernels as kernels
from morphkit.geometry import _triangle_tree_kernels as tree
from morphkit.geometry.parallel import run_all, split_range
from morphkit.geometry.topology import boundary_face_edges, boundary_vertices
from morphkit.mesh import Mesh

_ON_EDGE = 1e-6
_LARGEST = 1e15  # mm; squares of coordinates up to here are finite in float32
_CELLS = 1024  # along the longest side: points are asked in the order of these cells, which caches like


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
    distances: Float[np.ndarray, " n"]
    face_indices: Int[np.ndarray, " n"]
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
        When the mesh has no triangle, or one on vertices that are not there, or a vertex is not finite.
    """

    def __init__(self, mesh: Mesh) -> None:
        if len(mesh.faces) == 0:
            raise ValueError("mesh: expected at least one triangle, found none")
        vertices = _coordinates(mesh.vertices, "mesh")
        self._faces = _owned(mesh.faces, np.int32)
        if self._faces.min() < 0 or self._faces.max() >= len(vertices):
            raise ValueError(f"mesh: expected faces on {len(vertices)} vertices, found others")
        self._order = _tree_order(vertices, self._faces)
        self._lanes = np.empty_like(self._order)
        self._lanes[self._order] = np.arange(len(self._order), dtype=np.int32)
        self._boundary: tuple[np.ndarray, np.ndarray] | None = None
        self._fill(mesh, vertices)

    @property
    def mesh(self) -> Mesh:
        """The mesh that is queried."""
        return self._mesh

    def refit(self, vertices: Float[np.ndarray, "v 3"]) -> ClosestPointQuery:
        """Return the query of the same triangles with their corners moved, much sooner than by a new build.

        Answers stay exact; the farther triangles travelled from those they were built beside, the longer a
        search takes.

        Parameters
        ----------
        vertices : (v, 3), as many as the mesh has.

        Raises
        ------
        ValueError
            When a vertex is not finite or their number differs.
        """
        if vertices.shape != self._mesh.vertices.shape:
            raise ValueError(f"vertices: expected {self._mesh.vertices.shape}, found {vertices.shape}")
        moved = copy(self)
        moved._fill(replace(self._mesh, vertices=vertices), _coordinates(vertices, "vertices"))
        return moved

    def query(
        self,
        points: Float[np.ndarray, "n 3"],
        *,
        normals: Float[np.ndarray, "n 3"] | None = None,
        min_cosine: float = 0.0,
        hints: Int[np.ndarray, " n"] | None = None,
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
            When a point is not finite, a hint is no triangle, or lengths differ.
        """
        points = _coordinates(points, "points")
        count = len(points)
        facing = _facing(normals, count)
        start = self._start(hints, count)
        limit = -2.0 if normals is None else float(min_cosine)
        turn = self._turn(points)
        surface, distances = np.empty((count, 3)), np.empty(count)
        face_indices, weights = np.empty(count, dtype=np.int32), np.empty((count, 3))

        def run(first: int, last: int) -> None:
            kernels.closest(
                turn[first:last],
                points,
                facing,
                limit,
                start,
                *self._tree,
                self._order,
                surface,
                distances,
                face_indices,
                weights,
            )

        run_all(run, split_range(count, workers))
        return ClosestPoints(surface, distances, face_indices, weights)

    def touches_boundary(self, closest: ClosestPoints) -> Bool[np.ndarray, " n"]:
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

    def _fill(self, mesh: Mesh, vertices: np.ndarray) -> None:
        """Lay the triangles and their boxes into the tree."""
        self._mesh = mesh
        starts = _level_starts(len(self._order))
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        leaves = starts[1]
        boxes = np.empty((starts[-1], 6, tree.LANES), dtype=np.float32)
        boxes[:, :3], boxes[:, 3:] = np.inf, -np.inf
        children = np.zeros(starts[-1], dtype=np.int32)
        triangles = np.empty((leaves, 9, tree.LANES))
        normals = np.empty((leaves * tree.LANES, 3))
        origin = (low + high) / 2
        tree.fill_leaves(vertices, self._faces, self._order, origin, triangles, normals, boxes)
        tree.fill_inner(boxes, starts, children)
        self._tree = origin, boxes, children, triangles, normals
        self._grid = low, _CELLS / max(float((high - low).max()), 1e-300)

    def _turn(self, points: np.ndarray) -> np.ndarray:
        """Return an order of the points in which neighbours in space mostly follow each other."""
        keys = np.empty(len(points), dtype=np.uint64)
        kernels.morton_keys(points, *self._grid, keys)
        keys.sort()
        return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def _start(self, hints: np.ndarray | None, count: int) -> np.ndarray:
        """Return the lanes at which searches begin."""
        if hints is None:
            return np.full(count, -1, dtype=np.int32)
        if hints.shape != (count,):
            raise ValueError(f"hints: expected shape {(count,)}, found {hints.shape}")
        if hints.max(initial=-1) >= len(self._order):
            raise ValueError(f"hints: expected triangles below {len(self._order)}, found {hints.max()}")
        return np.where(hints >= 0, self._lanes[hints], np.int32(-1))


def closest_points(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> ClosestPoints:
    """Return the closest surface point of each of `points`; to ask more than once, build a query object."""
    return ClosestPointQuery(mesh).query(points)


def _owned(values: np.ndarray, kind: type) -> np.ndarray:
    """Return contiguous values of a type; read-only ones are copied: to numba they are another type."""
    return np.require(values, kind, ["C", "W"])


def _coordinates(values: np.ndarray, name: str) -> np.ndarray:
    values = _owned(values, np.float64)
    if not (np.abs(values).max(initial=0.0) < _LARGEST):
        raise ValueError(f"{name}: expected finite coordinates below {_LARGEST:g}")
    return values


def _facing(normals: np.ndarray | None, count: int) -> np.ndarray:
    if normals is None:
        return np.zeros((count, 3))
    if normals.shape != (count, 3):
        raise ValueError(f"normals: expected shape {(count, 3)}, found {normals.shape}")
    return _owned(normals, np.float64)


def _tree_order(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the triangles in the order in which they lie in the tree."""
    low = vertices.min(axis=0)
    extent = float((vertices.max(axis=0) - low).max())
    items = np.empty((len(faces), 4), dtype=np.int32)
    tree.place_triangles(vertices, faces, low, 2.0**29 / extent if extent > 0 else 0.0, items)
    tree.sort_triangles(items)
    return items[:, 3].copy()


def _level_starts(triangles: int) -> np.ndarray:
    """Return the first block of each level, leaves first, and the number of blocks."""
    starts, width = [0], triangles
    while width > 1 or len(starts) == 1:
        width = -(-width // tree.LANES)
        starts.append(starts[-1] + width)
    return np.array(starts)
