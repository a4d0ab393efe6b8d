"""Whether identity vectors tell people apart."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular
from scipy.stats import rankdata

IdentityMetric = Literal["cosine", "euclidean", "mahalanobis"]


@dataclass(frozen=True, eq=False)
class Verification:
    """How well distances between identity vectors tell people apart.

    Attributes
    ----------
    rank1 : the share of vectors, among those whose person has another, whose nearest other vector is that
        person's; a tie with somebody else's is a miss.
    closer : the share of comparisons won: of a vector's distance to one of the same person against that to
        one of somebody else, over all such triples; a tie is half.
    auc : the area under the ROC curve of distances of all pairs: the probability that a random pair of one
        person is nearer than a random pair of two.
    same_pairs, different_pairs : how many there are.
    """

    rank1: float
    closer: float
    auc: float
    same_pairs: int
    different_pairs: int


def verify_identities(
    vectors: Float[np.ndarray, "n k"],
    people: Sequence[Hashable],
    *,
    metric: IdentityMetric = "cosine",
    covariance: Float[np.ndarray, "a b"] | None = None,
) -> Verification:
    """Return how well identity vectors tell people apart.

    Parameters
    ----------
    vectors : (n, k) one a photo: coefficients in standard deviations, say, or embeddings.
    people : n labels; at least one person has two vectors, and there are two people.
    metric : "cosine" looks at directions from zero (the mean face, for coefficients), "euclidean" at
        differences, "mahalanobis" at differences in units of how much photos of one person scatter.
    covariance : (k, k) of that scatter, for "mahalanobis" only: `within_covariance` of other people.

    Raises
    ------
    ValueError
        When shapes differ, a number is not finite, there is nothing to compare, a vector is zero (cosine), or
        the covariance is missing or not positive definite (mahalanobis).
    """
    if vectors.ndim != 2 or len(vectors) != len(people) or not np.isfinite(vectors).all():
        raise ValueError(f"vectors: expected {len(people)} finite rows, one a label, got {vectors.shape}")
    labels = _numbered(people)
    same = labels[:, None] == labels[None, :]
    np.fill_diagonal(same, False)
    different = labels[:, None] != labels[None, :]
    if not same.any() or not different.any():
        raise ValueError("people: expected somebody with two vectors, and somebody else")
    distances = identity_distances(vectors, metric=metric, covariance=covariance)
    upper = np.triu(np.ones_like(same), 1)
    return Verification(
        _rank1(distances, same, different),
        _closer(distances, same, different),
        _auc(distances[same & upper], distances[different & upper]),
        int((same & upper).sum()),
        int((different & upper).sum()),
    )


def identity_distances(
    vectors: Float[np.ndarray, "n k"],
    *,
    metric: IdentityMetric = "cosine",
    covariance: Float[np.ndarray, "a b"] | None = None,
) -> Float[np.ndarray, "n n"]:
    """Return the distances of all vectors to each other; parameters are those of `verify_identities`."""
    if (covariance is not None) != (metric == "mahalanobis"):
        raise ValueError("covariance: expected with the metric 'mahalanobis', and with no other")
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (lengths > 0).all():
            raise ValueError("vectors: expected none of length zero, which has no direction")
        vectors = vectors / lengths
        distances: np.ndarray = 1.0 - vectors @ vectors.T
        return distances
    if covariance is not None:
        vectors = _whitened(vectors, covariance)
    squares = np.sum(vectors**2, axis=1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * vectors @ vectors.T, 0.0))


def within_covariance(
    vectors: Float[np.ndarray, "n k"], people: Sequence[Hashable], *, shrinkage: float = 0.1
) -> Float[np.ndarray, "k k"]:
    """Return how much the vectors of one person scatter about that person's mean, over all people.

    Parameters
    ----------
    vectors, people : as in `verify_identities`; some people have two vectors or more.
    shrinkage : 0..1, towards the same variance in all directions: with fewer photos than coefficients, the
        plain estimate has directions without any.
    """
    if len(vectors) != len(people) or not 0 <= shrinkage <= 1:
        raise ValueError(f"vectors: expected {len(people)} rows and a shrinkage in 0..1")
    labels = _numbered(people)
    groups = [vectors[labels == label] for label in np.unique(labels)]
    degrees = len(vectors) - len(groups)
    if degrees < 1:
        raise ValueError("people: expected somebody with two vectors")
    scatter = sum((g - g.mean(axis=0)).T @ (g - g.mean(axis=0)) for g in groups) / degrees
    even = np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    shrunk: np.ndarray = (1.0 - shrinkage) * scatter + shrinkage * even
    return shrunk


def _numbered(people: Sequence[Hashable]) -> Int[np.ndarray, " n"]:
    number = {person: i for i, person in enumerate(dict.fromkeys(people))}
    return np.array([number[person] for person in people])


def _whitened(vectors: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    if covariance.shape != (vectors.shape[1],) * 2:
        raise ValueError(f"covariance: expected shape {(vectors.shape[1],) * 2}, got {covariance.shape}")
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ValueError("covariance: expected a positive definite matrix") from None
    whitened: np.ndarray = solve_triangular(root, vectors.T, lower=True).T
    return whitened


def _rank1(distances: np.ndarray, same: Bool[np.ndarray, "n n"], different: Bool[np.ndarray, "n n"]) -> float:
    mated = same.any(axis=1)
    mate = np.where(same, distances, np.inf).min(axis=1)
    stranger = np.where(different, distances, np.inf).min(axis=1)
    return float((mate < stranger)[mated].mean())


def _closer(
    distances: np.ndarray, same: Bool[np.ndarray, "n n"], different: Bool[np.ndarray, "n n"]
) -> float:
    won, compared = 0.0, 0
    for row, mates, others in zip(distances, same, different, strict=True):
        strangers = np.sort(row[others])
        farther = len(strangers) - np.searchsorted(strangers, row[mates], side="right")
        tied = len(strangers) - farther - np.searchsorted(strangers, row[mates], side="left")
        won += float((farther + 0.5 * tied).sum())
        compared += len(farther) * len(strangers)
    return won / compared


def _auc(same: Float[np.ndarray, " s"], different: Float[np.ndarray, " d"]) -> float:
    """Return the Mann-Whitney statistic as a share: ties count half."""
    ranks = rankdata(np.concatenate([same, different]))
    above = ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2
    return float(1.0 - above / (len(same) * len(different)))
