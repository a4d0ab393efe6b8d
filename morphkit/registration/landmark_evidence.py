"""Landmarks as soft evidence: each with its uncertainty, and believed less when the fit contradicts it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from morphkit.geometry.robust import robust_weight
from morphkit.registration.control import ControlMesh
from morphkit.registration.evidence import Evidence
from morphkit.registration.prepared import LandmarkPairs
from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target

_GAUSSIAN = 1.4826  # median absolute deviation to standard deviation
_ON_SURFACE = 0.25
_PLAUSIBLE = (0.5, 4.0)
_OUTLIER = 6.0
_FAR = 12.0


class LandmarkEvidence:
    """The landmarks' share in the coarse stage's evidence; each speaks for the nearest control vertex.

    Parameters
    ----------
    pairs : with the scan's landmarks in the template's frame.
    target : the scan in that frame.
    control : whose vertices are displaced.
    settings : `landmark_deviation` is used for landmarks that come without a standard deviation and lie so
        exactly on the surface that their distance to it says nothing.
    """

    def __init__(
        self, pairs: LandmarkPairs, target: Target, control: ControlMesh, settings: CoarseSettings
    ) -> None:
        self._displacements = pairs.target - pairs.source
        self._vertices = np.asarray(cKDTree(control.rest).query(pairs.source)[1])
        unknown = np.isnan(pairs.deviations)
        guess = estimated_deviation(pairs.target[unknown], target, settings.landmark_deviation)
        deviations = np.where(unknown, guess, pairs.deviations)
        self._precisions = deviations[:, None, None] ** -2.0 * np.eye(3)
        if pairs.covariances is not None:
            self._precisions = np.linalg.inv(pairs.covariances)

    def add(self, evidence: Evidence, displacements: Float[np.ndarray, "m 3"] | None) -> None:
        """Add the landmarks, weighed by how far the control vertices' displacements leave them off.

        A landmark off by many of its standard deviations loses its say, the others keep theirs. Before there
        is a deformation, those far from where the placed template has them lose it.
        """
        if displacements is None:
            weights = robust_weight(np.linalg.norm(self._displacements, axis=1), _FAR)
        else:
            off = self._displacements - displacements[self._vertices]
            squared = np.einsum("ni,nij,nj->n", off, self._precisions, off)
            weights = robust_weight(np.sqrt(np.maximum(squared, 0.0)), _OUTLIER)
        evidence.add(self._vertices, weights[:, None, None] * self._precisions, self._displacements)


def estimated_deviation(points: Float[np.ndarray, "n 3"], target: Target, default: float) -> float:
    """Return the standard deviation per axis that the landmarks' distances to the scan's surface speak of."""
    if len(points) == 0:
        return default
    spread = _GAUSSIAN * float(np.median(target.query.query(points).distances))
    return default if spread < _ON_SURFACE else float(np.clip(spread, *_PLAUSIBLE))
