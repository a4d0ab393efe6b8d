"""What photos of one person share, and what one photo's energy says about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from morphkit.fitting.consensus import PersonEvidence
from morphkit.fitting.landmark import POSE, FocalPrior
from morphkit.fitting.look import Look

LIGHT = 27  # parameters of a look's light
_FOCAL = POSE - 1  # the pose's last parameter


@dataclass(frozen=True)
class Sharing:
    """Which parameters photos have in common, and these parameters' prior.

    Attributes
    ----------
    identity, expression, albedo : numbers of coefficients.
    identity_weight, albedo_weight : of the squared coefficients.
    focal : the prior of a focal length that all photos share, or None where each has its own.
    """

    identity: int
    expression: int
    albedo: int
    identity_weight: float
    albedo_weight: float
    focal: FocalPrior | None = None

    @property
    def shared(self) -> Int[np.ndarray, " s"]:
        """Where the shared parameters stand among a look's: identity, albedo, then perhaps focal length."""
        albedo = POSE + self.identity + self.expression
        places = [np.arange(POSE, POSE + self.identity), np.arange(albedo, albedo + self.albedo)]
        if self.focal is not None:
            places.append(np.array([_FOCAL]))
        return np.concatenate(places)

    @property
    def own(self) -> Int[np.ndarray, " o"]:
        """Where a photo's own parameters stand."""
        count = POSE + self.identity + self.expression + self.albedo + LIGHT
        return np.setdiff1d(np.arange(count), self.shared)

    @property
    def roots(self) -> Float[np.ndarray, " s"]:
        """Square roots of the prior's precision."""
        parts = [np.full(self.identity, self.identity_weight), np.full(self.albedo, self.albedo_weight)]
        if self.focal is not None:
            parts.append(np.array([self.focal.deviation**-2]))
        return np.sqrt(np.concatenate(parts))

    def at(self, look: Look) -> Float[np.ndarray, " s"]:
        """Return a look's shared parameters in the prior's standard deviations."""
        parts = [look.face.identity, look.albedo]
        if self.focal is not None:
            parts.append(np.array([np.log(look.face.pose.focal / self.focal.focal)]))
        return self.roots * np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """One photo's energy about a look, without the prior of the shared parameters.

    The shared parameters are in their prior's standard deviations.

    Attributes
    ----------
    shared : (s, s) JᵀWJ of the shared parameters, and `shared_slope` (s,) JᵀWr.
    across : (s, o).
    own : (o, o) of the photo's own parameters, and `own_slope` (o,).
    """

    shared: Float[np.ndarray, "s s"]
    shared_slope: Float[np.ndarray, " s"]
    across: Float[np.ndarray, "s o"]
    own: Float[np.ndarray, "o o"]
    own_slope: Float[np.ndarray, " o"]

    def damped(self, damping: float) -> Quadratic:
        """Return it with every diagonal raised by a share."""
        shared, own = (block + damping * np.diag(np.diag(block)) for block in (self.shared, self.own))
        return replace(self, shared=shared, own=own)

    def eliminated(self) -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, " s"]]:
        """Return the shared parameters' matrix and slope, the photo's own answering (Schur complement)."""
        gain = np.linalg.solve(self.own, self.across.T).T
        matrix = self.shared - gain @ self.across.T
        return 0.5 * (matrix + matrix.T), self.shared_slope - gain @ self.own_slope

    def evidence(self, at: Float[np.ndarray, " s"]) -> PersonEvidence:
        """Return what the photo says about the shared parameters, linearised where they are `at`."""
        matrix, slope = self.eliminated()
        return PersonEvidence(matrix, matrix @ at - slope)

    def answer(self, step: Float[np.ndarray, " s"]) -> Float[np.ndarray, " o"]:
        """Return the best step of the photo's own parameters, given that of the shared ones."""
        answer: np.ndarray = -np.linalg.solve(self.own, self.own_slope + self.across.T @ step)
        return answer
