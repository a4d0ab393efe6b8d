"""The landmark fit: Levenberg–Marquardt on camera, identity and expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.fitting.initial import InitialFace
from morphkit.fitting.points import PointModel
from morphkit.fitting.pose import Pose
from morphkit.fitting.settings import LandmarkSettings

POSE = 7  # rotation vector, offset, log scale, log focal


@dataclass(frozen=True, eq=False)
class Face:
    """What a sparse fit solves for.

    Attributes
    ----------
    pose : the camera.
    identity, expression : coefficients in standard deviations.
    """

    pose: Pose
    identity: Float[np.ndarray, " i"]
    expression: Float[np.ndarray, " e"]

    def moved(self, step: Float[np.ndarray, " p"]) -> Face:
        """Return the face after a step in (pose, identity, expression)."""
        identity, expression = np.split(step[POSE:], [len(self.identity)])
        return Face(self.pose.moved(step[:POSE]), self.identity + identity, self.expression + expression)


@dataclass(frozen=True, eq=False)
class Spans:
    """Pairs of the model's points and how far apart the photo shows them.

    Attributes
    ----------
    first, second : the model's m points each.
    pixels : (m, 2) the first minus the second, as seen.
    whitening : (m, 2, 2), times an error of that difference gives standard deviations.
    """

    first: PointModel
    second: PointModel
    pixels: Float[np.ndarray, "m 2"]
    whitening: Float[np.ndarray, "m 2 2"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Points of the model and where the photo shows them.

    Attributes
    ----------
    points : the model's n points.
    pixels : (n, 2) where they were seen.
    whitening : (n, 2, 2), times a pixel error gives standard deviations: ``I / σ`` for a point,
        ``normal normalᵀ / σ`` for a point that may slide along a contour.
    spans : how far some of them are apart, or None. Whoever trusts places less leaves these as they are.
    """

    points: PointModel
    pixels: Float[np.ndarray, "n 2"]
    whitening: Float[np.ndarray, "n 2 2"]
    spans: Spans | None = None


@dataclass(frozen=True)
class FocalPrior:
    """What is known of the focal length: its logarithm is normal about log `focal` (pixels)."""

    focal: float
    deviation: float


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """Result of `fit_landmarks`.

    Attributes
    ----------
    face : the solution.
    energies : after each accepted step; a renewed correspondence may raise it between rounds.
    converged : whether the last round ended by its tolerance rather than by its number of steps.
    precision : (p, p) the curvature JᵀWJ at the solution, over (pose, identity, expression), priors included.
    """

    face: Face
    energies: tuple[float, ...]
    converged: bool
    precision: Float[np.ndarray, "p p"]


def fit_landmarks(
    start: Face,
    observe: Callable[[Face], Observations],
    focal_prior: FocalPrior,
    settings: LandmarkSettings,
    initial: InitialFace | None = None,
) -> LandmarkFit:
    """Fit camera, identity and expression to seen landmarks.

    Minimises ``Σ huber(‖whitening · (projection − pixel)‖) + w_α‖α‖² + w_β‖β‖² + (log f − log f₀)² / σ_f²``,
    summed over points and over differences of points, by Levenberg–Marquardt with analytic derivatives,
    starting with the pose alone.

    Parameters
    ----------
    start : where to start.
    observe : gives the observations for a face; called once a round, so that contour points can slide.
    focal_prior : what is known of the focal length.
    settings : weights, rounds and tolerances.
    initial : with all of the model's coefficients, see `LandmarkEnergy`.
    """
    face, energies, converged = start, [], False
    for round_number in range(settings.rounds):
        problem = LandmarkEnergy(
            observe(face), focal_prior, settings, round_number == 0, initial, initial is not None
        )
        face, trace, converged = _descend(face, problem)
        energies += trace
    energy = LandmarkEnergy(
        observe(face), focal_prior, settings, initial=initial, counted=initial is not None
    )
    precision, _ = energy.normal_equations(face)
    return LandmarkFit(face, tuple(energies), converged, precision)


@dataclass(frozen=True, eq=False)
class LandmarkEnergy:
    """The landmark fit's energy: robust reprojection errors and the priors.

    Attributes
    ----------
    seen : the observations.
    focal_prior : what is known of the focal length.
    settings : weights and the robust loss.
    pose_only : whether the coefficients are held.
    initial : what is known of identity in place of the model's own prior, or None.
    counted : whether the landmarks are in `initial` already: where it is surer than the prior, they pull no
        identity.
    """

    seen: Observations
    focal_prior: FocalPrior
    settings: LandmarkSettings
    pose_only: bool = False
    initial: InitialFace | None = None
    counted: bool = False

    def energy(self, face: Face) -> float:
        """Return the energy."""
        lengths = np.linalg.norm(self._errors(face), axis=1)
        k = self.settings.huber
        data = np.where(lengths <= k, lengths**2, 2.0 * k * lengths - k**2).sum()
        priors = self._prior_residuals(face)
        return float(data + priors @ priors)

    def normal_equations(self, face: Face) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
        """Return JᵀJ and Jᵀr, the outliers weighted down (iteratively reweighted least squares)."""
        errors = self._errors(face)
        lengths = np.linalg.norm(errors, axis=1)
        weights = np.sqrt(np.minimum(1.0, self.settings.huber / np.maximum(lengths, 1e-12)))
        jacobian = (self._jacobian(face) * weights[:, None, None]).reshape(2 * len(lengths), -1)
        if self.counted and self.initial is not None:
            jacobian[:, POSE + np.flatnonzero(self.initial.surer(self.settings.identity_weight))] = 0.0
        residuals = (errors * weights[:, None]).ravel()
        diagonal = self._prior_jacobian(face)
        hessian = jacobian.T @ jacobian + np.diag(diagonal**2)
        gradient = jacobian.T @ residuals + diagonal * self._prior_residuals(face)
        if self.pose_only:
            gradient[POSE:] = 0.0
            hessian[POSE:, :POSE] = hessian[:POSE, POSE:] = 0.0
        return hessian, gradient

    def _errors(self, face: Face) -> Float[np.ndarray, "n 2"]:
        """Return the whitened errors of the points, then of the spans."""
        seen, spans = self.seen, self.seen.spans
        errors = _whitened(seen.whitening, _projected(face, seen.points) - seen.pixels)
        if spans is None:
            return errors
        apart = _projected(face, spans.first) - _projected(face, spans.second)
        return np.concatenate([errors, _whitened(spans.whitening, apart - spans.pixels)])

    def _jacobian(self, face: Face) -> Float[np.ndarray, "n 2 p"]:
        seen, spans = self.seen, self.seen.spans
        rows = seen.whitening @ _slopes(face, seen.points)
        if spans is None:
            return rows
        apart = _slopes(face, spans.first) - _slopes(face, spans.second)
        return np.concatenate([rows, spans.whitening @ apart])

    def _prior_residuals(self, face: Face) -> Float[np.ndarray, " p"]:
        log_focal = np.log(face.pose.focal / self.focal_prior.focal)
        mean, _ = self._identity_prior(face)
        values = np.concatenate([np.zeros(POSE - 1), [log_focal], face.identity - mean, face.expression])
        return self._prior_jacobian(face) * values

    def _prior_jacobian(self, face: Face) -> Float[np.ndarray, " p"]:
        identity = np.sqrt(self._identity_prior(face)[1])
        expression = np.full(len(face.expression), np.sqrt(self.settings.expression_weight))
        return np.concatenate([np.zeros(POSE - 1), [1.0 / self.focal_prior.deviation], identity, expression])

    def _identity_prior(self, face: Face) -> tuple[Float[np.ndarray, " i"], Float[np.ndarray, " i"]]:
        """Return the mean and the precision of identity."""
        weight = self.settings.identity_weight
        if self.initial is not None:
            return self.initial.identity_prior(weight)
        return np.zeros(len(face.identity)), np.full(len(face.identity), weight)


def _projected(face: Face, points: PointModel) -> Float[np.ndarray, "n 2"]:
    return face.pose.project(points.at(face.identity, face.expression))


def _whitened(
    whitening: Float[np.ndarray, "n 2 2"], errors: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, "n 2"]:
    return np.einsum("nij,nj->ni", whitening, errors)


def _slopes(face: Face, points: PointModel) -> Float[np.ndarray, "n 2 p"]:
    """Return the derivatives of a face's projected points by its step."""
    by_point, by_pose = face.pose.jacobian(points.at(face.identity, face.expression))
    return np.concatenate([by_pose, by_point @ points.identity, by_point @ points.expression], axis=2)


def _descend(face: Face, problem: LandmarkEnergy) -> tuple[Face, list[float], bool]:
    """Run Levenberg–Marquardt until the energy settles; steps that raise it are refused."""
    energy, damping = problem.energy(face), 1e-3
    trace: list[float] = []
    for _ in range(problem.settings.iterations):
        hessian, gradient = problem.normal_equations(face)
        while damping < 1e8:
            step = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            candidate = face.moved(step)
            lower = problem.energy(candidate)
            if lower <= energy:
                break
            damping *= 6.0
        else:
            return face, trace, True
        decrease, face, energy = energy - lower, candidate, lower
        damping = max(damping / 6.0, 1e-9)
        trace.append(energy)
        if decrease <= problem.settings.tolerance * energy:
            return face, trace, True
    return face, trace, False
