"""Landmarks as soft evidence: each with its uncertainty, and believed less when the fit contradicts it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.registration.pairs import robust_weight
from morphkit.registration.prepared import LandmarkPairs
from morphkit.registration.ridge import Observations
from morphkit.registration.target import Target

_GAUSSIAN = 1.4826  # median absolute deviation to standard deviation
_ON_SURFACE = 0.25
_PLAUSIBLE = (0.5, 4.0)
_OUTLIER = 6.0
_FAR = 12.0


class LandmarkEvidence:
    """The landmarks' share in the coarse stage's observations.

    Parameters
    ----------
    pairs : with the scan's landmarks in the template's frame.
    target : the scan in that frame.
    default_deviation : millimetres per axis, for landmarks that come without a standard deviation and lie so
        exactly on the surface that their distance to it says nothing.
    """

    def __init__(self, pairs: LandmarkPairs, target: Target, default_deviation: float) -> None:
        self._pairs = pairs
        self._displacements = pairs.target - pairs.source
        unknown = np.isnan(pairs.deviations)
        guess = estimated_deviation(pairs.target[unknown], target, default_deviation)
        self._deviations = np.where(unknown, guess, pairs.deviations)

    def observations(self, coefficients: Float[np.ndarray, "3 k"] | None) -> Observations:
        """Return the observations, weighed by how far the deformation of `coefficients` leaves them off.

        A landmark off by many of its standard deviations loses its say, the others keep theirs. Before there
        is a deformation, those far from where the placed template has them lose it.
        """
        if coefficients is None:
            weights = robust_weight(np.linalg.norm(self._displacements, axis=1), _FAR)
        else:
            off = np.linalg.norm(self._displacements - self._pairs.prior.displace(coefficients), axis=1)
            weights = robust_weight(off / self._deviations, _OUTLIER)
        precision = weights * self._deviations**-2.0
        return Observations(
            prior=self._pairs.prior,
            displacements=self._displacements,
            normals=np.zeros_like(self._displacements),
            along=precision,
            across=precision,
        )


def estimated_deviation(points: Float[np.ndarray, "n 3"], target: Target, default: float) -> float:
    """Return the standard deviation per axis that the landmarks' distances to the scan's surface speak of."""
    if len(points) == 0:
        return default
    spread = _GAUSSIAN * float(np.median(target.query.query(points).distances))
    return default if spread < _ON_SURFACE else float(np.clip(spread, *_PLAUSIBLE))
