"""The coarse stage: the elastic template slides over the scan until its energy and the landmarks are content.

Every iteration pairs the control vertices with their closest points on the scan and solves for the
displacement of least energy. A pair speaks only along the scan's normal: where along the surface a vertex
belongs is left to the landmarks, to borders that agree, and to the energy. (Closest points hold on to where
they are: given any say across the normal, they keep the template from sliding.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg
from scipy.spatial import cKDTree

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.topology import unique_edges
from morphkit.mesh import Mesh
from morphkit.registration.borders import Border, borders_agree, longest_border
from morphkit.registration.control import ControlMesh
from morphkit.registration.evidence import Evidence
from morphkit.registration.landmark_evidence import LandmarkEvidence
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target, robust_weight

_CONVERGED = 0.1
_FLOOR = 1e-7
_LAST_ITERATIONS = 3  # with everything at its last value


@dataclass(frozen=True, eq=False)
class CoarseFit:
    """The deformed template and how it came to rest.

    Attributes
    ----------
    vertices : (v, 3) in the template's frame.
    last_change : root mean square motion of the last iteration, millimetres.
    strain : root mean square of the logarithm of the edges' lengthening, apart from an even growth.
    """

    vertices: Float[np.ndarray, "v 3"]
    last_change: float
    strain: float

    @property
    def converged(self) -> bool:
        """Whether the iterations had come to rest."""
        return self.last_change < _CONVERGED


def fit_coarse(
    prepared: PreparedTemplate,
    target: Target,
    landmarks: LandmarkPairs | None,
    settings: CoarseSettings,
    modes: Float[np.ndarray, "v 3 k"] | None = None,
) -> CoarseFit:
    """Return the coarse fit of the template to `target`, which lies in the template's frame.

    Parameters
    ----------
    landmarks : with `target` in the template's frame; they take part as soft evidence in every iteration.
    modes : likely displacements of the template's vertices, one standard deviation each; they cost no elastic
        energy, which then holds back only what they cannot express.
    """
    control = prepared.control
    evidence = None if landmarks is None else LandmarkEvidence(landmarks, target, control, settings)
    fit = _Fit(control, settings, modes)
    surface = _Surface(control, target, settings)
    border = _BorderEvidence(control, target, settings)
    for iteration in range(settings.iterations):
        share = min(1.0, iteration / max(1, settings.iterations - 1 - _LAST_ITERATIONS))
        seen = surface.evidence(fit.positions, share)
        if share >= settings.borders_from:
            border.add(seen, fit.positions)
        if evidence is not None:
            evidence.add(seen, fit.displacements if iteration else None)
        fit.solve(seen)
    vertices = prepared.mesh.vertices + fit.extended(len(prepared.mesh.vertices))
    return CoarseFit(vertices, fit.last_change, _strain(control, fit.positions))


class _Fit:
    """The displacement of least energy, and of likely coefficients, given evidence."""

    def __init__(self, control: ControlMesh, settings: CoarseSettings, modes: np.ndarray | None) -> None:
        self._control, self._modes = control, modes
        stiffness = 1.0 if modes is None else settings.stiffness_beside_modes
        self._diagonal = (stiffness * control.energy.diagonal)[:, None, None] * np.eye(3)
        self._beside = (stiffness * control.energy.beside)[:, None, None] * np.eye(3)
        if modes is not None:
            self._basis = modes[control.vertex_indices].reshape(-1, modes.shape[2])
        self._elastic = self.displacements = np.zeros_like(control.rest)
        self._coefficients: np.ndarray | None = None
        self.last_change = np.inf

    @property
    def positions(self) -> np.ndarray:
        """(m, 3) where the control vertices are."""
        return self._control.rest + self.displacements

    def solve(self, evidence: Evidence) -> None:
        """Move to the displacement that the evidence calls for."""
        precisions = evidence.precisions + _FLOOR * np.eye(3)
        factor = self._control.plan.factorize(self._diagonal + precisions, self._beside)
        pulls = evidence.pulls.reshape(-1, 1)
        moved = elastic = factor.solve(pulls).reshape(-1, 3)
        if self._modes is not None:
            # the Schur complement of the elastic unknowns in the system of both
            weighed = np.einsum("mij,mjk->mik", precisions, self._basis.reshape(-1, 3, self._basis.shape[1]))
            weighed = weighed.reshape(self._basis.shape)
            answered = factor.solve(weighed)
            matrix = np.eye(weighed.shape[1]) + weighed.T @ (self._basis - answered)
            right = (self._basis - answered).T @ pulls[:, 0]
            self._coefficients = linalg.solve(matrix, right, assume_a="pos")
            elastic = elastic - (answered @ self._coefficients).reshape(-1, 3)
            moved = elastic + (self._basis @ self._coefficients).reshape(-1, 3)
        self.last_change = float(np.sqrt(((moved - self.displacements) ** 2).sum(axis=1).mean()))
        self._elastic, self.displacements = elastic, moved

    def extended(self, count: int) -> Float[np.ndarray, "v 3"]:
        """Return the displacements of all `count` template vertices."""
        moved = self._control.extend(self._elastic, count)
        if self._modes is not None and self._coefficients is not None:
            moved = moved + self._modes @ self._coefficients
        return moved


class _Surface:
    """Closest points on the scan; remembers its answers, because the next ones are near."""

    def __init__(self, control: ControlMesh, target: Target, settings: CoarseSettings) -> None:
        self._control, self._target, self._settings = control, target, settings
        self._hints: np.ndarray | None = None

    def evidence(self, positions: Float[np.ndarray, "m 3"], share: float) -> Evidence:
        """Return what the scan's surface says when `share` of the annealing is done."""
        settings, control = self._settings, self._control
        normals = vertex_normals(positions, control.faces)
        match = self._target.match(positions, normals, settings.min_cosine, self._hints)
        self._hints = match.closest.face_indices
        believed = match.usable & control.active
        cosine = np.clip(np.einsum("md,md->m", match.normals, normals), 0, 1)
        distances = np.where(believed, match.closest.distances, 0.0)
        weights = believed * cosine**2 * robust_weight(distances, _annealed(settings.cutoff, share))
        weights = weights * control.areas * settings.density / _annealed(settings.along, share) ** 2
        precisions = np.einsum("m,mi,mj->mij", weights, match.normals, match.normals)
        wanted = match.closest.points - control.rest
        return Evidence(precisions, np.einsum("mij,mj->mi", precisions, wanted))


class _BorderEvidence:
    """The template's border lies on the scan's, if they are found to run alongside each other."""

    def __init__(self, control: ControlMesh, target: Target, settings: CoarseSettings) -> None:
        self._control, self._settings = control, settings
        self._border = longest_border(target.mesh) if settings.borders else None
        self._own: np.ndarray | None = None

    def add(self, evidence: Evidence, positions: Float[np.ndarray, "m 3"]) -> None:
        """Add what the border says: a vertex may slide along the nearest edge."""
        if self._border is None:
            return
        if self._own is None:
            own = longest_border(Mesh(positions, self._control.faces.astype(np.int32)))
            if own is None or not borders_agree(own, self._border):
                self._border = None
                return
            self._own = own.vertices
        self._pull(evidence, positions, self._own, self._border)

    def _pull(self, evidence: Evidence, positions: np.ndarray, own: np.ndarray, border: Border) -> None:
        index = np.asarray(cKDTree(border.middles).query(positions[own])[1])
        along = border.directions[index]
        across = np.eye(3) - np.einsum("ni,nj->nij", along, along)
        wanted = border.middles[index] - self._control.rest[own]
        evidence.add(own, across / self._settings.border_deviation**2, wanted)


def _annealed(ends: tuple[float, float], share: float) -> float:
    """Return the value at `share` of a geometric path."""
    return float(ends[0] * (ends[1] / ends[0]) ** share)


def _strain(control: ControlMesh, positions: Float[np.ndarray, "m 3"]) -> float:
    edges = unique_edges(control.faces)
    edges = edges[control.active[edges].all(axis=1)]
    before, after = (_lengths(points, edges) for points in (control.rest, positions))
    stretch = np.log(np.maximum(after, 1e-9) / np.maximum(before, 1e-9))
    return float(np.std(stretch))


def _lengths(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
