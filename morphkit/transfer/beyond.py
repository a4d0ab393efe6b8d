"""What becomes of a target's vertices that a source does not reach, when the source's shapes are carried."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.topology import connected_components
from morphkit.mesh import Mesh
from morphkit.transfer.extension import Extension
from morphkit.transfer.surface_map import SurfaceMap

_FADE = 20.0  # millimetres, over which expressions die out
_FAR = 120.0  # over which identity and colours do: heads vary as wholes
_AROUND = 64  # vertices that a part without counterparts goes with


class Beyond:
    """Continues values that are known where a map is valid; there, they are left to the bit.

    Parameters
    ----------
    surface_map : whose source is in millimetres.
    """

    def __init__(self, surface_map: SurfaceMap) -> None:
        self._map = surface_map

    def shape(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Return a shape that goes over into the target's own, which is laid beside it."""
        valid = self._map.valid[:, None]
        return np.where(valid, vertices, self._placed + self.smooth(vertices - self._placed))

    def smooth(self, values: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "v d"]:
        """Return identity's displacements; parts without counterparts move as their surroundings do."""
        extended = self._far.extend(values)
        for part, around in self._islands:
            extended[part] = values[around].mean(axis=0)
        return extended

    def faded(self, values: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "v d"]:
        """Return expressions' displacements."""
        return self._near.extend(values)

    def averaged(self, values: Float[np.ndarray, "v d"]) -> Float[np.ndarray, "v d"]:
        """Return colours, which fade to their average over what is known."""
        if not self._map.valid.any():
            return self._far.extend(values)
        average = values[self._map.valid].mean(axis=0)
        return np.where(self._map.valid[:, None], values, self._far.extend(values - average) + average)

    @cached_property
    def _placed(self) -> Float[np.ndarray, "v 3"]:
        """The target's own shape in the source's frame."""
        corners = np.unique(self._map.source.faces[self._map.face_indices[self._map.valid]])
        back = fit_similarity(self._map.fitted[corners], self._map.source.vertices[corners])
        return back.apply(self._map.target.vertices)

    @cached_property
    def _mesh(self) -> Mesh:
        return Mesh(self._map.target.vertices / self._map.scale, self._map.target.faces)

    @cached_property
    def _far(self) -> Extension:
        return Extension(self._map.valid, self._mesh, _FAR)

    @cached_property
    def _near(self) -> Extension:
        return Extension(self._map.valid, self._mesh, _FADE)

    @cached_property
    def _islands(self) -> list[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " a"]]]:
        """The vertices of each part without a counterpart, and the known ones nearest to its middle."""
        valid, vertices = self._map.valid, self._mesh.vertices
        known = np.flatnonzero(valid)
        if valid.all() or len(known) == 0:
            return []
        parts = connected_components(self._mesh.faces, len(valid))
        unknown = np.flatnonzero(np.bincount(parts, valid)[parts] == 0)
        unknown = unknown[np.argsort(parts[unknown], kind="stable")]
        islands = np.split(unknown, np.flatnonzero(np.diff(parts[unknown])) + 1) if len(unknown) else []
        tree = cKDTree(vertices[known])
        count = min(_AROUND, len(known))
        middles = [vertices[island].mean(axis=0) for island in islands]
        return [
            (island, known[np.atleast_1d(tree.query(middle, count)[1])])
            for island, middle in zip(islands, middles, strict=True)
        ]
