"""Non-rigid ICP as Amberg, Romdhani and Vetter (2007) describe it: the reference that users know.

Every vertex has an affine map, neighbours' maps are held alike, and the hold relaxes level by level. The
derivation is followed where popular implementations depart from it: the maps act on the template at rest, not
on the last iteration's shape; matches on the scan's border are dropped, not on the template's; normals are
compared as directions; an edge counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.topology import unique_edges
from morphkit.registration.nicp_settings import NicpSettings
from morphkit.registration.nicp_system import AffineLandmarks, AffineSystem
from morphkit.registration.passive import follow_surroundings
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.progress import Progress, silent
from morphkit.registration.target import Target


@dataclass(frozen=True, eq=False)
class NicpFit:
    """The deformed template and how the levels went.

    Attributes
    ----------
    vertices : (v, 3) in the template's frame, millimetres.
    iterations : of each level.
    converged : whether the last level came to rest before its iterations ran out.
    """

    vertices: Float[np.ndarray, "v 3"]
    iterations: tuple[int, ...]
    converged: bool


def fit_nicp(
    prepared: PreparedTemplate,
    target: Target,
    landmarks: LandmarkPairs | None,
    settings: NicpSettings | None = None,
    progress: Progress | None = None,
) -> NicpFit:
    """Return the template deformed onto `target`, which lies in the template's frame.

    Parameters
    ----------
    landmarks : with `target` in the template's frame. One with a standard deviation beyond a millimetre
        weighs less, by its inverse square.
    progress : called with "nicp" and the share of the levels that are done.

    Notes
    -----
    Passive parts do not look for the scan: their vertices have no match, and whole components follow what
    surrounds them. The paper's test for lines that cross the deformed template is left out.
    """
    settings = settings or NicpSettings()
    report = progress or silent
    search = _Search(_prepare(prepared, settings.skew), target, landmarks, settings)
    levels = len(settings.stiffness)
    iterations, rested = [], False
    for level in range(levels):
        count, rested = search.relax(settings.stiffness[level], settings.landmark_weight[level])
        iterations.append(count)
        report("nicp", (level + 1) / levels)
    return NicpFit(follow_surroundings(prepared, search.vertices), tuple(iterations), rested)


class _Search:
    """The state of the iteration: the maps, and the triangles that the last search found."""

    def __init__(
        self, frame: _Frame, target: Target, landmarks: LandmarkPairs | None, settings: NicpSettings
    ) -> None:
        self._frame, self._target, self._settings = frame, target, settings
        self._landmarks = None if landmarks is None else frame.landmarks(landmarks)
        self._maps = np.tile(np.eye(4, 3), (len(frame.members), 1, 1))
        self._hints: np.ndarray | None = None

    @property
    def vertices(self) -> Float[np.ndarray, "v 3"]:
        """The template's vertices where they are now."""
        return self._frame.deform(self._maps)

    def relax(self, stiffness: float, landmark_weight: float) -> tuple[int, bool]:
        """Match and solve until the maps rest; return how often, and whether they did."""
        for count in range(1, self._settings.iterations + 1):
            points, weights = self._match()
            last = self._maps
            self._maps = self._frame.system.solve(
                last, points, weights, stiffness, self._landmarks, landmark_weight
            )
            if np.sqrt(np.mean((self._maps - last) ** 2)) < self._settings.tolerance:
                return count, True
        return self._settings.iterations, False

    def _match(self) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        """Return the moving vertices' closest points in the system's frame, and which of them count."""
        vertices, frame = self.vertices, self._frame
        normals = vertex_normals(vertices, frame.prepared.mesh.faces)[frame.members]
        match = self._target.match(vertices[frame.members], None, 0.0, self._hints)
        self._hints = match.closest.face_indices
        cosine = np.einsum("nd,nd->n", match.normals, normals)
        counts = match.usable & (cosine > self._settings.min_cosine) & frame.active
        return frame.shrink(match.closest.points), counts.astype(np.float64)


class _Frame:
    """The template's moving components, scaled to a unit bounding box diagonal, and their linear system."""

    def __init__(self, prepared: PreparedTemplate, skew: float) -> None:
        mesh = prepared.mesh
        moving = np.unique(prepared.components[~prepared.passive])
        self.prepared = prepared
        self.members: Int[np.ndarray, " n"] = np.flatnonzero(np.isin(prepared.components, moving))
        self.active: Bool[np.ndarray, " n"] = ~prepared.passive[self.members]
        self._number = np.full(len(mesh.vertices), -1)
        self._number[self.members] = np.arange(len(self.members))
        low, high = mesh.vertices[self.members].min(axis=0), mesh.vertices[self.members].max(axis=0)
        self.centre, self.diagonal = 0.5 * (low + high), float(np.linalg.norm(high - low))
        edges = self._number[unique_edges(mesh.faces)]
        self.system = AffineSystem(
            self.shrink(mesh.vertices[self.members]), edges[(edges >= 0).all(axis=1)], skew
        )

    def shrink(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return points of the template's frame in that of the system."""
        return (points - self.centre) / self.diagonal

    def deform(self, maps: Float[np.ndarray, "n 4 3"]) -> Float[np.ndarray, "v 3"]:
        """Return all vertices in the template's frame, the moving ones under their maps."""
        vertices = self.prepared.mesh.vertices.copy()
        vertices[self.members] = self.system.deform(maps) * self.diagonal + self.centre
        return vertices

    def landmarks(self, pairs: LandmarkPairs) -> AffineLandmarks:
        """Return the landmarks that lie on moving components."""
        corners = self._number[self.prepared.mesh.faces[pairs.face_indices]]
        usable = (corners >= 0).all(axis=1)
        return AffineLandmarks(
            corners=corners[usable],
            barycentrics=pairs.barycentrics[usable],
            points=self.shrink(pairs.target[usable]),
            weights=np.fmax(pairs.deviations[usable], 1.0) ** -2.0,
        )


@lru_cache(maxsize=2)
def _prepare(prepared: PreparedTemplate, skew: float) -> _Frame:
    return _Frame(prepared, skew)
