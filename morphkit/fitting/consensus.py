"""What several photos say about one person: who agrees with whom, and how far each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_SAYS_SOMETHING = 0.1  # precision, relative to the prior's, below which a photo does not know a direction
_USUAL = 0.5  # disagreement below which no difference between photos matters
_PATIENCE = 2.0  # how many times the usual disagreement halves a photo's weight
_STEEP = 6.0  # how fast its weight falls beyond
_ROUNDS = 20
_SETTLED = 1e-3
DISAGREE = 2.0  # of two photos, above which they hardly show one person
DOUBTED = 0.25  # weight below which a photo is said to show someone else


@dataclass(frozen=True, eq=False)
class PersonEvidence:
    """A Gaussian likelihood of n parameters whose prior is the standard normal one.

    Attributes
    ----------
    precision : (n, n), positive semi-definite: a photo need not know everything.
    vector : (n,) precision times the most likely parameters.
    """

    precision: Float[np.ndarray, "n n"]
    vector: Float[np.ndarray, " n"]


def pooled(
    evidence: Sequence[PersonEvidence], weights: Float[np.ndarray, " p"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n n"]]:
    """Return mean and covariance of the posterior: the prior once, each photo's evidence times its weight."""
    precision = np.eye(len(evidence[0].vector))
    vector = np.zeros(len(precision))
    for one, weight in zip(evidence, weights, strict=True):
        precision += weight * one.precision
        vector += weight * one.vector
    covariance = np.linalg.inv(precision)
    return covariance @ vector, _symmetric(covariance)


def disagreement(
    one: PersonEvidence, mean: Float[np.ndarray, " n"], covariance: Float[np.ndarray, "n n"]
) -> float:
    """Return how far a photo lies from what others say: 1 on average when all errors are as believed.

    The squared Mahalanobis distance of its most likely parameters from `mean`, by the sum of both
    covariances, over the number of directions that the photo knows anything about; computed in information
    form, since its own covariance need not exist. 0 for a photo that knows nothing.
    """
    values, directions = np.linalg.eigh(one.precision)
    known = values > _SAYS_SOMETHING
    if not known.any():
        return 0.0
    root, directions = np.sqrt(values[known]), directions[:, known]
    off = directions.T @ (one.vector - one.precision @ mean) / root
    spread = np.eye(len(root)) + root[:, None] * (directions.T @ covariance @ directions) * root
    return float(off @ np.linalg.solve(spread, off)) / len(root)


def photo_weights(
    evidence: Sequence[PersonEvidence],
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return how far each photo counts, in (0, 1], and its disagreement with the others.

    Starts with the photos that agree with most others pair by pair, then compares each with the weighted
    consensus of the others until the weights settle. With two photos there is no majority: both count fully.

    Parameters
    ----------
    evidence : of each photo about the person: identity and albedo. Albedo tells people apart better.
    """
    if len(evidence) == 1:
        return np.ones(1), np.zeros(1)
    if len(evidence) == 2:
        return np.ones(2), _left_out(evidence, np.ones(2))
    weights = _weights(_between_pairs(evidence))
    for _ in range(_ROUNDS):
        off = _left_out(evidence, weights)
        before, weights = weights, 0.5 * (weights + _weights(off))
        if np.abs(weights - before).max() < _SETTLED:
            break
    return weights, _left_out(evidence, weights)


def _weights(off: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Return weights that fall steeply beyond some times the median photo's disagreement.

    Most photos count fully: weights that follow every chance difference waste what the photos know.
    """
    usual = max(_USUAL, float(np.median(off)))
    weights: np.ndarray = 1.0 / (1.0 + (off / (_PATIENCE * usual)) ** _STEEP)
    return weights


def _left_out(
    evidence: Sequence[PersonEvidence], weights: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """Return each photo's disagreement with the consensus of the others."""
    off = np.empty(len(evidence))
    for k, one in enumerate(evidence):
        others = weights.copy()
        others[k] = 0.0
        off[k] = disagreement(one, *pooled(evidence, others))
    return off


def _between_pairs(evidence: Sequence[PersonEvidence]) -> Float[np.ndarray, " p"]:
    """Return each photo's lower median disagreement with single others."""
    alone = [pooled([one], np.ones(1)) for one in evidence]
    off = np.array([[disagreement(one, *other) for other in alone] for one in evidence])
    off = 0.5 * (off + off.T)
    others = np.sort(off + np.diag(np.full(len(off), np.inf)), axis=1)
    median: np.ndarray = others[:, (len(off) - 2) // 2]
    return median


def _symmetric(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    return 0.5 * (matrix + matrix.T)
