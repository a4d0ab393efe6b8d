"""What several photos say about one person: who agrees with whom, and how far each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

_SAYS_SOMETHING = 1.0  # precision, relative to the prior's, below which a photo does not know a direction
_USUAL = 0.6  # disagreement below which no difference between photos matters
_SURE = 3.3  # deviations by which a photo's disagreement must exceed the others' to be more than chance
_STEEP = 6.0  # how fast its weight falls beyond
_SUSPECTS = 3  # photos a round that may be the one to leave out
DISAGREE = 1.3  # disagreement above which two sides hardly are one person
DOUBTED = 0.5  # weight below which a photo is said to show someone else: it was left out


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

    @cached_property
    def known(self) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "n k"]]:
        """Roots of the precision, and directions, of what the photo knows better than the prior."""
        values, directions = np.linalg.eigh(self.precision)
        known = values > _SAYS_SOMETHING
        return np.sqrt(values[known]), directions[:, known]

    @property
    def patience(self) -> float:
        """How many times the others' disagreement the photo's own may be by chance.

        Means of k squares scatter by the root of 2/k, so the logarithm of two such means' ratio by that of
        4/k: 2.2 times where 70 directions are known, 4.4 times where 20 are.
        """
        return float(np.exp(_SURE * np.sqrt(4.0 / max(len(self.known[0]), 1))))


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
    covariances, in the directions that the photo knows better than the prior and over their number; computed
    in information form, since its own covariance need not exist. 0 for a photo that knows nothing.
    """
    root, directions = one.known
    if not len(root):
        return 0.0
    off = directions.T @ (one.vector - one.precision @ mean) / root
    spread = np.eye(len(root)) + root[:, None] * (directions.T @ covariance @ directions) * root
    return float(off @ np.linalg.solve(spread, off)) / len(root)


def photo_weights(
    evidence: Sequence[PersonEvidence],
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Return how far each photo counts, in (0, 1], and its disagreement with the others.

    A photo is left out when it disagrees with the others much more than these do among themselves, the one
    that stands out most first, for as long as there are three. Then each is weighed by its disagreement
    with those that are left. With two photos there is no majority: both count fully.

    Parameters
    ----------
    evidence : of each photo about the person: identity and albedo. Albedo tells people apart better.
    """
    kept = list(range(len(evidence)))
    while len(kept) > 2:
        stranger = _stranger(evidence, kept)
        if stranger is None:
            break
        kept.remove(stranger)
    off = np.array([_from_others(evidence, k, kept) for k in range(len(evidence))])
    if len(evidence) == 2:
        return np.ones(2), off
    usual = max(_USUAL, float(np.median(off[kept])))
    limits = usual * np.array([one.patience for one in evidence])
    # Most photos count fully: weights that follow every chance difference waste what the photos know.
    return 1.0 / (1.0 + (off / limits) ** _STEEP), off


def _stranger(evidence: Sequence[PersonEvidence], kept: Sequence[int]) -> int | None:
    """Return the photo that most of all disagrees with the others more than they do, if one does."""
    off = {k: _from_others(evidence, k, kept) for k in kept}
    excess = {}
    for suspect in sorted(kept, key=lambda k: off[k])[-_SUSPECTS:]:
        others = [k for k in kept if k != suspect]
        usual = float(np.median([_from_others(evidence, k, others) for k in others]))
        excess[suspect] = off[suspect] / (evidence[suspect].patience * max(_USUAL, usual))
    worst = max(excess, key=lambda k: excess[k])
    return worst if excess[worst] > 1.0 else None


def _from_others(evidence: Sequence[PersonEvidence], one: int, kept: Sequence[int]) -> float:
    """Return a photo's disagreement with what the kept ones but itself say; 0 where there are none."""
    others = [evidence[k] for k in kept if k != one]
    return disagreement(evidence[one], *pooled(others, np.ones(len(others)))) if others else 0.0


def _symmetric(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    return 0.5 * (matrix + matrix.T)
