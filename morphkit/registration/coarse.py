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

from morphkit.geometry.normals import vertex_normals
from morphkit.registration.landmark_evidence import LandmarkEvidence
from morphkit.registration.pairs import Pairs, SoftMatcher, SurfaceMatcher
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.ridge import Observations, posterior_mean
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target

Project = Callable[[np.ndarray], np.ndarray]

_CONVERGED = 0.1
_WIDEST = 20


@dataclass(frozen=True, eq=False)
class CoarseFit:
    """The deformed template and whether the last iterations hardly moved it.

    Attributes
    ----------
    vertices : (v, 3) in the template's frame.
    last_change : root mean square motion of the last iteration, millimetres.
    strain : root mean square of the widest basis functions' coefficients; about one for a likely deformation.
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
    project: Project | None = None,
) -> CoarseFit:
    """Return the coarse fit of the template to `target`, which lies in the template's frame.

    Parameters
    ----------
    landmarks : with `target` in the template's frame; they take part as soft evidence in every iteration.
    project : maps (v, 3) vertices to the nearest shape of a model; it pulls the fit towards that model.
    """
    evidence = None if landmarks is None else LandmarkEvidence(landmarks, target, settings.landmark_deviation)
    guided = landmarks is not None and len(landmarks.names) >= settings.guiding_landmarks
    soft_iterations = 0 if guided else settings.soft_iterations
    annealed = soft_iterations + settings.annealed_iterations
    fit = _Fit(prepared, evidence, settings, project, settings.first_rank[0 if guided else 1], annealed)
    border = prepared.border[prepared.subset]
    if soft_iterations:
        soft = SoftMatcher(target, settings)
        for _ in range(soft_iterations):
            fit.update(soft.pairs(*fit.subset(), border, fit.anneal(settings.cutoff)))
    surface = SurfaceMatcher(target)
    for _ in range(settings.surface_iterations):
        fit.update(surface.pairs(*fit.subset(), fit.anneal(settings.cutoff)))
    return CoarseFit(fit.vertices, fit.last_change, fit.strain)


class _Fit:
    """The state of the iteration: the deformed template, and how far the annealing has gone."""

    def __init__(
        self,
        prepared: PreparedTemplate,
        landmarks: LandmarkEvidence | None,
        settings: CoarseSettings,
        project: Project | None,
        first_rank: int,
        annealed: int,
    ) -> None:
        self.prepared, self.landmarks, self.settings, self.project = prepared, landmarks, settings, project
        self.ranks = float(min(first_rank, prepared.prior.rank)), float(prepared.prior.rank)
        self.iteration, self.annealed = 0, annealed
        self.rest = self.vertices = prepared.mesh.vertices
        self.coefficients: np.ndarray | None = None
        self.last_change = np.inf
        if landmarks is not None:
            self._solve([landmarks.observations(None)])

    @property
    def strain(self) -> float:
        """Return how unlikely the deformation is."""
        if self.coefficients is None:
            return 0.0
        return float(np.sqrt((self.coefficients[:, :_WIDEST] ** 2).mean()))

    def subset(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions and normals of the vertices that take part."""
        normals = vertex_normals(self.vertices, self.prepared.mesh.faces)
        return self.vertices[self.prepared.subset], normals[self.prepared.subset]

    def anneal(self, ends: tuple[float, float]) -> float:
        """Return this iteration's value, on a geometric path from the first end to the last."""
        share = min(1.0, self.iteration / max(1, self.annealed - 1))
        return float(ends[0] * (ends[1] / ends[0]) ** share)

    def update(self, pairs: Pairs) -> None:
        """Move to the posterior mean under `pairs`, the landmarks and the model."""
        evidence = [self._surface(pairs)]
        if self.landmarks is not None:
            evidence.append(self.landmarks.observations(self.coefficients))
        if self.project is not None:
            evidence.append(self._projection(self.project))
        self._solve(evidence)
        self.iteration += 1

    def _surface(self, pairs: Pairs) -> Observations:
        return Observations(
            prior=self.prepared.subset_prior,
            displacements=pairs.points - self.rest[self.prepared.subset],
            normals=pairs.normals,
            along=pairs.belief / self.anneal(self.settings.along) ** 2,
            across=pairs.belief / self.anneal(self.settings.across) ** 2,
        )

    def _projection(self, project: Project) -> Observations:
        subset = self.prepared.subset
        precision = np.full(len(subset), self.settings.project_deviation**-2.0)
        return Observations(
            prior=self.prepared.subset_prior,
            displacements=project(self.vertices)[subset] - self.rest[subset],
            normals=np.zeros((len(subset), 3)),
            along=precision,
            across=precision,
        )

    def _solve(self, evidence: list[Observations]) -> None:
        self.coefficients = posterior_mean(evidence, int(self.anneal(self.ranks)))
        moved = self.rest + self.prepared.prior.displace(self.coefficients)
        self.last_change = float(np.sqrt(((moved - self.vertices) ** 2).sum(axis=1).mean()))
        self.vertices = moved
