"""Which point of one head each vertex of another one is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.sampling import interpolate
from morphkit.mesh import Mesh


@dataclass(frozen=True, eq=False)
class SurfaceMap:
    """A target's vertices as points on a source's surface.

    Attributes
    ----------
    source : the source at rest, s vertices, millimetres.
    target : the target at rest, v vertices, in its own frame and units.
    fitted : (s, 3) the source's vertices laid onto the target, in the target's frame.
    face_indices : (v,) int32 source triangles.
    barycentrics : (v, 3) weights there, rows sum to one.
    distances : (v,) from each target vertex to its point on the laid source, in the target's units.
    valid : (v,) whether that point is its counterpart; False beyond the source and where surfaces differ.
    """

    source: Mesh
    target: Mesh
    fitted: Float[np.ndarray, "s 3"]
    face_indices: Int[np.ndarray, " v"]
    barycentrics: Float[np.ndarray, "v 3"]
    distances: Float[np.ndarray, " v"]
    valid: Bool[np.ndarray, " v"]

    @cached_property
    def scale(self) -> float:
        """The target's units for a millimetre of the source."""
        return fit_similarity(self.source.vertices, self.fitted).scale

    def carry(self, values: Float[np.ndarray, "s d"]) -> Float[np.ndarray, "v d"]:
        """Return the source's per-vertex values at the target's vertices, whether valid or not."""
        carried: np.ndarray = interpolate(values, self.source.faces, self.face_indices, self.barycentrics)
        return carried
