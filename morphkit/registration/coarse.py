"""The coarse stage: the low-rank prior's posterior under correspondences that grow sharper.

Every iteration pairs template vertices with the scan, weighs the pairs by how well they agree, and solves for
the posterior mean in closed form. A pair informs strongly along the surface normal and weakly across it, so
that the surfaces slide until the prior and the landmarks are content.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.spatial import cKDTree

from morphkit.geometry.normals import vertex_normals
from morphkit.registration.landmark_evidence import LandmarkEvidence
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.ridge import Observations, posterior_mean
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import SurfaceSample, Target, unit

Project = Callable[[np.ndarray], np.ndarray]

_MIN_COSINE = 0.3
_BORDER_SHARE = 0.3
_CONVERGED = 0.05


@dataclass(frozen=True, eq=False)
class CoarseFit:
    """The deformed template and whether the last iterations hardly moved it.

    Attributes
    ----------
    vertices : (v, 3) in the template's frame.
    last_change : root mean square motion of the last iteration, millimetres.
    """

    vertices: Float[np.ndarray, "v 3"]
    last_change: float

    @property
    def converged(self) -> bool:
        """Whether the iterations had come to rest."""
        return self.last_change < _CONVERGED


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Scan points seen from the subset of template vertices, with weights in 0..1 for belief."""

    points: np.ndarray
    normals: np.ndarray
    belief: np.ndarray


def fit_coarse(
    prepared: PreparedTemplate,
    target: Target,
    landmarks: LandmarkPairs | None,
    settings: CoarseSettings,
    project: Project | None = None,
) -> CoarseFit:
    """Return the coarse fit of the template to `target`, which lies in the template's frame.

    Parameters
    ----------
    landmarks : with `target` in the template's frame; they take part as soft evidence in every iteration.
    project : maps (v, 3) vertices to the nearest shape of a model; it pulls the fit towards that model.
    """
    evidence = None if landmarks is None else LandmarkEvidence(landmarks, target, settings.landmark_deviation)
    fit = _Fit(prepared, evidence, settings, project)
    sample = target.sample(settings.sample_count)
    tree = cKDTree(_features(sample.points, sample.normals, settings))
    total = settings.soft_iterations
    for i in range(total):
        fit.update(_soft_pairs(fit, sample, tree, settings, _anneal(settings.cutoff, i, total)), i, total)
    hints = None
    for _ in range(settings.surface_iterations):
        pairs, hints = _surface_pairs(fit, target, settings.cutoff[1], hints)
        fit.update(pairs, total - 1, total)
    return CoarseFit(fit.vertices, fit.last_change)


class _Fit:
    """The state of the iteration: the deformed template and its subset."""

    def __init__(
        self,
        prepared: PreparedTemplate,
        landmarks: LandmarkEvidence | None,
        settings: CoarseSettings,
        project: Project | None,
    ) -> None:
        self.prepared, self.settings, self.project = prepared, settings, project
        self.rest = prepared.mesh.vertices
        self.landmarks = landmarks
        self.vertices = self.rest
        self.coefficients: np.ndarray | None = None
        self.last_change = np.inf
        if landmarks is not None:
            self._solve([landmarks.observations(None)], settings.first_rank)

    @property
    def subset(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and normals of the subset's vertices."""
        normals = vertex_normals(self.vertices, self.prepared.mesh.faces)
        return self.vertices[self.prepared.subset], normals[self.prepared.subset]

    def update(self, pairs: _Pairs, iteration: int, total: int) -> None:
        """Solve for the posterior under `pairs`, with the noise of this iteration."""
        settings, prepared = self.settings, self.prepared
        along = _anneal(settings.along, iteration, total)
        across = _anneal(settings.across, iteration, total)
        rest = self.rest[prepared.subset]
        evidence = [
            Observations(
                prior=prepared.subset_prior,
                displacements=pairs.points - rest,
                normals=pairs.normals,
                along=pairs.belief / along**2,
                across=pairs.belief / across**2,
            )
        ]
        if self.landmarks is not None:
            evidence.append(self.landmarks.observations(self.coefficients))
        if self.project is not None:
            evidence.append(self._projection(self.project))
        rank = _anneal((settings.first_rank, prepared.prior.rank), iteration, total)
        self._solve(evidence, int(rank))

    def _projection(self, project: Project) -> Observations:
        subset = self.prepared.subset
        displacements = project(self.vertices)[subset] - self.rest[subset]
        precision = np.full(len(subset), self.settings.project_deviation**-2.0)
        return Observations(
            self.prepared.subset_prior, displacements, np.zeros((len(subset), 3)), precision, precision
        )

    def _solve(self, evidence: list[Observations], rank: int) -> None:
        self.coefficients = posterior_mean(evidence, rank)
        moved = self.rest + self.prepared.prior.displace(self.coefficients)
        self.last_change = float(np.sqrt(((moved - self.vertices) ** 2).sum(axis=1).mean()))
        self.vertices = moved


def _soft_pairs(
    fit: _Fit, sample: SurfaceSample, tree: cKDTree, settings: CoarseSettings, cutoff: float
) -> _Pairs:
    """Average the nearest neighbours in position and normal, sought both ways (White et al. 2019)."""
    points, normals = fit.subset
    weights = _affinities(fit, points, normals, sample, tree, settings)
    found = _Pairs(
        points=weights @ sample.points,
        normals=unit(weights @ sample.normals),
        belief=(weights @ sample.near_border.astype(np.float64) < _BORDER_SHARE).astype(np.float64),
    )
    return _believe(found, points, normals, cutoff)


def _affinities(
    fit: _Fit,
    points: np.ndarray,
    normals: np.ndarray,
    sample: SurfaceSample,
    tree: cKDTree,
    settings: CoarseSettings,
) -> sparse.csr_array:
    k = settings.neighbours
    features, sample_features = _features(points, normals, settings), tree.data
    pull_distance, pull_index = map(np.asarray, tree.query(features, k))
    push_distance, push_index = map(np.asarray, cKDTree(features).query(sample_features, k))
    pull = 1 / np.maximum(pull_distance**2, 1e-2)
    push = settings.push_weight / np.maximum(push_distance**2, 1e-2)
    # scan beyond the template's border (shoulders, hair) must not drag that border along
    push[fit.prepared.border[fit.prepared.subset][push_index[:, 0]]] = 0
    shape = (len(points), len(sample.points))
    rows, columns = np.repeat(np.arange(shape[0]), k), np.repeat(np.arange(shape[1]), k)
    matrix = sparse.csr_array((pull.ravel(), (rows, pull_index.ravel())), shape=shape)
    matrix = matrix + sparse.csr_array((push.ravel(), (push_index.ravel(), columns)), shape=shape)
    return sparse.csr_array(sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix)


def _surface_pairs(
    fit: _Fit, target: Target, cutoff: float, hints: np.ndarray | None
) -> tuple[_Pairs, np.ndarray]:
    points, normals = fit.subset
    match = target.match(points, normals, _MIN_COSINE, hints)
    found = _Pairs(match.closest.points, match.normals, match.usable.astype(np.float64))
    return _believe(found, points, normals, cutoff), match.closest.face_indices


def _believe(pairs: _Pairs, points: np.ndarray, normals: np.ndarray, cutoff: float) -> _Pairs:
    """Multiply in Geman and McClure's weight of the distance and the agreement of the normals."""
    distance = np.linalg.norm(pairs.points - points, axis=1)
    cosine = np.einsum("nd,nd->n", pairs.normals, normals)
    belief = pairs.belief * np.clip(cosine, 0, 1) ** 2 / (1 + (distance / cutoff) ** 2) ** 2
    return _Pairs(pairs.points, pairs.normals, belief)


def _features(points: np.ndarray, normals: np.ndarray, settings: CoarseSettings) -> np.ndarray:
    return np.hstack([points, settings.normal_weight * normals])


def _anneal(ends: tuple[float, float], iteration: int, total: int) -> float:
    """Go geometrically from the first end to the last."""
    share = iteration / max(1, total - 1)
    return float(ends[0] * (ends[1] / ends[0]) ** share)
