"""Generalized Procrustes: bringing a set of shapes into one common frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity


@dataclass(frozen=True, eq=False)
class Alignment:
    """Shapes in one frame.

    Attributes
    ----------
    shapes : (n, v, 3) aligned, in the precision of the input.
    mean : (v, 3) float64, the mean of `shapes`.
    similarities : n maps from each given shape's frame to the common one.
    iterations : rounds made.
    converged : whether the mean stood still in the end.
    """

    shapes: Float[np.ndarray, "n v 3"]
    mean: Float[np.ndarray, "v 3"]
    similarities: tuple[Similarity, ...]
    iterations: int
    converged: bool


def align_shapes(
    shapes: Float[np.ndarray, "n v 3"],
    reference: Float[np.ndarray, "v 3"] | None = None,
    *,
    scale: bool = False,
    weights: Float[np.ndarray, "v"] | None = None,
    valid: Bool[np.ndarray, "n v"] | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
) -> Alignment:
    """Remove position and orientation (and size, if asked) from corresponding shapes.

    Each shape is brought onto the mean of all, the mean is formed again, until it stands still; then all of
    them are moved together so that the mean lies on `reference`.

    Parameters
    ----------
    shapes : (n, v, 3), n >= 1, in any poses.
    reference : (v, 3) whose position and orientation the mean shall have; the first shape when None.
    scale : remove size too; the shapes then have the mean size of those given. Off by default: the size of
        a head is part of its shape.
    weights : (v,) how much each vertex says about the pose; uniform when None.
    valid : (n, v) vertices of each shape that may be trusted; the others follow, but do not steer.
    tolerance : the mean stands still when no vertex moves by more than this share of its size in a round.
    max_iterations : rounds at most.

    Raises
    ------
    ValueError
        If a shape has fewer than three trusted vertices of positive weight.

    References
    ----------
    Gower 1975; Goodall 1991.
    """
    trust = _trust(shapes, weights, valid)
    target = shapes[0].astype(np.float64) if reference is None else reference.astype(np.float64)
    overall = np.ones(shapes.shape[1]) if weights is None else weights.astype(np.float64)
    if scale:
        sizes = [_size(shape, w) for shape, w in zip(shapes, trust, strict=True)]
        target = target * (np.mean(sizes) / _size(target, overall))
    size = _size(target, overall)
    mean, similarities, converged, iterations = target, [Similarity.identity()] * len(shapes), False, 0
    while not converged and iterations < max_iterations:
        similarities = [
            fit_similarity(shape.astype(np.float64), mean, w, scale=scale)
            for shape, w in zip(shapes, trust, strict=True)
        ]
        updated = _mean(shapes, similarities, trust if valid is not None else None)
        # hold the frame (and size) fixed, or the mean could drift or shrink from round to round
        updated = fit_similarity(updated, target, overall, scale=scale).apply(updated)
        converged = bool(np.abs(updated - mean).max() <= tolerance * size)
        mean, iterations = updated, iterations + 1
    return _finished(shapes, similarities, target, overall, iterations, converged)


def _trust(shapes: np.ndarray, weights: np.ndarray | None, valid: np.ndarray | None) -> list[np.ndarray]:
    """Return each shape's (v,) weights, checked."""
    n, v = shapes.shape[:2]
    if n < 1:
        raise ValueError("shapes: expected at least one")
    base = np.ones(v) if weights is None else weights.astype(np.float64)
    trust = [base if valid is None else base * valid[i] for i in range(n)]
    for i, w in enumerate(trust):
        if np.count_nonzero(w > 0) < 3:
            raise ValueError(f"shape {i} has fewer than three trusted vertices of positive weight")
    return trust


def _size(shape: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted root mean square distance from the centroid."""
    share = weights / weights.sum()
    centered = shape - share @ shape
    return float(np.sqrt(share @ (centered**2).sum(axis=1)))


def _mean(shapes: np.ndarray, similarities: list[Similarity], trust: list[np.ndarray] | None) -> np.ndarray:
    """Return the mean of the mapped shapes, of those that trust a vertex where `trust` is given."""
    total, weight = np.zeros(shapes.shape[1:]), np.zeros(shapes.shape[1])
    everything = np.zeros(shapes.shape[1:])
    for i, similarity in enumerate(similarities):
        mapped = similarity.apply(shapes[i].astype(np.float64))
        everything += mapped
        if trust is not None:
            seen = trust[i] > 0
            total += mapped * seen[:, None]
            weight += seen
    plain = everything / len(similarities)
    return np.where(weight[:, None] > 0, total / np.maximum(weight, 1)[:, None], plain)


def _finished(
    shapes: np.ndarray,
    similarities: list[Similarity],
    target: np.ndarray,
    weights: np.ndarray,
    iterations: int,
    converged: bool,
) -> Alignment:
    """Map the shapes, and put their plain mean exactly into the target's frame."""
    plain = _mean(shapes, similarities, None)
    last = fit_similarity(plain, target, weights, scale=False)
    maps = tuple(last.compose(similarity) for similarity in similarities)
    aligned = np.empty_like(shapes)
    for i, similarity in enumerate(maps):
        aligned[i] = similarity.apply(shapes[i].astype(np.float64))
    return Alignment(aligned, last.apply(plain), maps, iterations, converged)
