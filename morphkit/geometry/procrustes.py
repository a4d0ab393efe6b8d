"""The similarity that brings one point set onto another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.geometry.similarity import Similarity


def fit_similarity(
    source: Float[np.ndarray, "n 3"],
    target: Float[np.ndarray, "n 3"],
    weights: Float[np.ndarray, " n"] | None = None,
    scale: bool = True,
) -> Similarity:
    """Return the similarity that minimises the weighted squared distance of mapped `source` to `target`.

    Parameters
    ----------
    source, target : (n, 3) corresponding points.
    weights : (n,) non-negative; uniform when None.
    scale : fit a scale as well; otherwise it is one.

    Raises
    ------
    ValueError
        When the weights are not non-negative with a positive sum, or the source points all coincide.

    References
    ----------
    Umeyama 1991, equations 40-42, with weights.
    """
    weights = np.ones(len(source)) if weights is None else weights
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError("weights: expected non-negative numbers with a positive sum")
    weights = weights / weights.sum()
    source_mean, target_mean = weights @ source, weights @ target
    source_centred, target_centred = source - source_mean, target - target_mean
    covariance = (target_centred * weights[:, None]).T @ source_centred
    left, singular_values, right = np.linalg.svd(covariance)
    # without this sign a mirror image could be the optimum
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    rotation = (left * sign) @ right
    factor = 1.0
    if scale:
        variance = float(weights @ (source_centred**2).sum(axis=1))
        if not variance > 0:
            raise ValueError("source: expected points that do not all coincide")
        factor = float(singular_values @ sign / variance)
    return Similarity(factor, rotation, target_mean - factor * rotation @ source_mean)
