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
from morphkit.geometry.robust import robust_weight
from morphkit.geometry.topology import unique_edges
from morphkit.mesh import Mesh
from morphkit.registration.borders import Border, borders_agree, longest_border
from morphkit.registration.control import ControlMesh
from morphkit.registration.evidence import Evidence
from morphkit.registration.landmark_evidence import LandmarkEvidence
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target

_CONVERGED = 0.1
_FLOOR = 1e-7
_FREE = 100.0  # standard deviation of turns and growth, millimetres
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
    moved = np.zeros_like(prepared.mesh.vertices)
    border = longest_border(target.mesh) if settings.borders else None
    done, last_change = 0, np.inf
    for control, count in zip(prepared.controls, settings.iterations, strict=True):
        fit = _Fit(control, prepared.mesh.vertices, moved, settings, modes)
        evidence = _AllEvidence(control, target, border, landmarks, settings)
        for iteration in range(done, done + count):
            fit.solve(evidence.at(fit.displacements, iteration))
        moved, last_change, done = fit.extended(), fit.last_change, done + count
    vertices = prepared.mesh.vertices + moved
    return CoarseFit(vertices, last_change, _strain(prepared.controls[0], vertices))


class _Fit:
    """The displacement of least energy, and of likely coefficients, given evidence.

    Turning and growing as a whole cost nothing: the placement, which knew less, is not held on to.
    """

    def __init__(
        self,
        control: ControlMesh,
        rest: Float[np.ndarray, "v 3"],
        moved: Float[np.ndarray, "v 3"],
        settings: CoarseSettings,
        modes: Float[np.ndarray, "v 3 k"] | None,
    ) -> None:
        self._control = control
        stiffness = 1.0 if modes is None else settings.stiffness_beside_modes
        self._diagonal = (stiffness * control.energy.diagonal)[:, None, None] * np.eye(3)
        self._beside = (stiffness * control.energy.beside)[:, None, None] * np.eye(3)
        self._modes = _turns_and_growth(rest)
        self._prior = np.full(self._modes.shape[2], _FREE**-2.0)
        if modes is not None:
            self._modes = np.concatenate([self._modes, modes], axis=2)
            self._prior = np.append(self._prior, np.ones(modes.shape[2]))
        self._basis = self._modes[control.vertex_indices].reshape(-1, len(self._prior))
        self.displacements = moved[control.vertex_indices]
        self.last_change = np.inf

    def solve(self, evidence: Evidence) -> None:
        """Move to the displacement that the evidence calls for."""
        precisions = evidence.precisions + _FLOOR * np.eye(3)
        factor = self._control.plan.factorize(self._diagonal + precisions, self._beside)
        pulls = evidence.pulls.reshape(-1, 1)
        # the Schur complement of the elastic unknowns in the system of both
        basis = self._basis
        weighed = np.einsum("mij,mjk->mik", precisions, basis.reshape(-1, 3, basis.shape[1]))
        weighed = weighed.reshape(basis.shape)
        answered = factor.solve(np.hstack([weighed, pulls]))
        freed = basis - answered[:, :-1]
        matrix = np.diag(self._prior) + weighed.T @ freed
        self._coefficients = linalg.solve(matrix, freed.T @ pulls[:, 0], assume_a="pos")
        self._elastic = (answered[:, -1] - answered[:, :-1] @ self._coefficients).reshape(-1, 3)
        moved = self._elastic + (basis @ self._coefficients).reshape(-1, 3)
        self.last_change = float(np.sqrt(((moved - self.displacements) ** 2).sum(axis=1).mean()))
        self.displacements = moved

    def extended(self) -> Float[np.ndarray, "v 3"]:
        """Return the displacements of all template vertices."""
        return self._control.extend(self._elastic, len(self._modes)) + self._modes @ self._coefficients


class _AllEvidence:
    """What the scan's surface, its border and the landmarks say in each iteration."""

    def __init__(
        self,
        control: ControlMesh,
        target: Target,
        border: Border | None,
        landmarks: LandmarkPairs | None,
        settings: CoarseSettings,
    ) -> None:
        self._rest, self._settings = control.rest, settings
        self._surface = _Surface(control, target, settings)
        self._border = _BorderEvidence(control, border, settings)
        self._landmarks = None
        if landmarks is not None:
            self._landmarks = LandmarkEvidence(landmarks, target, control, settings)

    def at(self, displacements: Float[np.ndarray, "m 3"], iteration: int) -> Evidence:
        """Return the evidence around where the control vertices are, in the iteration of that number."""
        settings = self._settings
        annealed = max(1, sum(settings.iterations) - 1 - _LAST_ITERATIONS)
        share = min(1.0, iteration / annealed)
        positions = self._rest + displacements
        seen = self._surface.evidence(positions, share)
        if share >= settings.borders_from:
            self._border.add(seen, positions)
        if self._landmarks is not None:
            self._landmarks.add(seen, displacements if iteration else None)
        return seen


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

    def __init__(self, control: ControlMesh, border: Border | None, settings: CoarseSettings) -> None:
        self._control, self._border, self._settings = control, border, settings
        self._own: Border | None = None

    def add(self, evidence: Evidence, positions: Float[np.ndarray, "m 3"]) -> None:
        """Add what the border says: a vertex may slide along the nearest edge."""
        if self._border is None:
            return
        if self._own is None:
            self._own = longest_border(Mesh(positions, self._control.faces.astype(np.int32)))
            if self._own is None or not borders_agree(self._own, self._border):
                self._border = None
                return
        self._pull(evidence, positions, self._own, self._border)

    def _pull(self, evidence: Evidence, positions: np.ndarray, own: Border, border: Border) -> None:
        index = np.asarray(cKDTree(border.middles).query(positions[own.vertices])[1])
        along = border.directions[index]
        across = np.eye(3) - np.einsum("ni,nj->nij", along, along)
        wanted = border.middles[index] - self._control.rest[own.vertices]
        # however finely the border is divided, so much of it speaks
        weight = self._settings.border_density * own.lengths.sum() / len(own.vertices)
        evidence.add(own.vertices, weight * across, wanted)


def _annealed(ends: tuple[float, float], share: float) -> float:
    """Return the value at `share` of a geometric path."""
    return float(ends[0] * (ends[1] / ends[0]) ** share)


def _turns_and_growth(points: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3 4"]:
    """Return the displacements of small turns around three axes and of even growth, at most 1 mm each."""
    centred = points - points.mean(axis=0)
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    return np.stack([*turns, centred], axis=-1) / np.linalg.norm(centred, axis=1).max()


def _strain(control: ControlMesh, vertices: Float[np.ndarray, "v 3"]) -> float:
    edges = unique_edges(control.faces)
    edges = edges[control.active[edges].all(axis=1)]
    before, after = (_lengths(points, edges) for points in (control.rest, vertices[control.vertex_indices]))
    stretch = np.log(np.maximum(after, 1e-9) / np.maximum(before, 1e-9))
    return float(np.std(stretch))


def _lengths(points: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
