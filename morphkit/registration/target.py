"""A scan made ready to be searched: in the template's frame, with normals and a closest-point tree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.closest_point import ClosestPointQuery, ClosestPoints
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.sampling import interpolate, sample_surface
from morphkit.geometry.topology import boundary_vertices, dilate
from morphkit.mesh import Mesh


@dataclass(frozen=True, eq=False)
class SurfaceSample:
    """Points spread evenly over the scan.

    Attributes
    ----------
    points, normals : (n, 3); normals are unit.
    near_border : (n,) whether the point lies in a triangle at the scan's border.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    near_border: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class SurfaceMatches:
    """Closest scan points of some query points.

    Attributes
    ----------
    closest : the search's answer.
    normals : (n, 3) unit normals of the scan there, interpolated.
    usable : (n,) whether there is an answer that does not lie on the scan's border.
    """

    closest: ClosestPoints
    normals: Float[np.ndarray, "n 3"]
    usable: Bool[np.ndarray, " n"]


class Target:
    """The scan as the stages see it; everything costly is computed on first use and kept."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    @cached_property
    def normals(self) -> np.ndarray:
        """(v, 3) vertex normals."""
        return vertex_normals(self.mesh.vertices, self.mesh.faces)

    @cached_property
    def query(self) -> ClosestPointQuery:
        """The closest-point tree."""
        return ClosestPointQuery(self.mesh)

    def sample(self, count: int) -> SurfaceSample:
        """Return `count` surface points; the same each time."""
        samples = sample_surface(self.mesh, count)
        normals = self._normals_at(samples.face_indices, samples.barycentrics)
        border = boundary_vertices(self.mesh.faces, len(self.mesh.vertices))
        border = dilate(border, self.mesh.faces)
        return SurfaceSample(
            samples.points, normals, border[self.mesh.faces[samples.face_indices]].any(axis=1)
        )

    def match(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"] | None,
        min_cosine: float,
        hints: np.ndarray | None,
    ) -> SurfaceMatches:
        """Return the closest scan points whose triangles face like `normals` (any, when None)."""
        closest = self.query.query(points, normals=normals, min_cosine=min_cosine, hints=hints)
        usable = (closest.face_indices >= 0) & ~self.query.touches_boundary(closest)
        return SurfaceMatches(closest, self._normals_at(closest.face_indices, closest.barycentrics), usable)

    def _normals_at(self, face_indices: np.ndarray, barycentrics: np.ndarray) -> np.ndarray:
        return unit(interpolate(self.normals, self.mesh.faces, face_indices, barycentrics))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return rows of length one; rows that are nearly zero stay so."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
