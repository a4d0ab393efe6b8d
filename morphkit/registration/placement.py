"""Placing the template on the scan: a robust similarity from landmarks, or a search without any."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from morphkit.errors import RegistrationError
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.robust import robust_weight
from morphkit.geometry.similarity import Similarity
from morphkit.registration.settings import SimilaritySettings
from morphkit.registration.target import SurfaceSample

_TRIALS = 300
_REFINED_STARTS = 6
_START_ITERATIONS = 10
_FINAL_ITERATIONS = 40


def place_by_landmarks(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], settings: SimilaritySettings
) -> Similarity:
    """Return the similarity from template to scan landmarks that survives a minority of gross errors.

    The start is the best of many fits to four landmarks (RANSAC, fixed seed, every landmark's residual cut
    off at the tolerance); reweighted least squares with Geman and McClure's weights follow.

    Raises
    ------
    RegistrationError
        With fewer than three landmarks.
    """
    count = len(source)
    if count < 3:
        raise RegistrationError(f"placing the template takes at least 3 common landmarks; there are {count}")
    rng = np.random.default_rng(0)
    candidates = [fit_similarity(source, target)]
    if count > 4:
        picks = (rng.choice(count, 4, replace=False) for _ in range(_TRIALS))
        candidates += [fit_similarity(source[pick], target[pick]) for pick in picks]
    tolerance = settings.landmark_tolerance
    best = min(candidates, key=lambda s: np.minimum(_residuals(s, source, target), tolerance).sum())
    for _ in range(10):
        weights = robust_weight(_residuals(best, source, target), tolerance)
        best = fit_similarity(source, target, weights)
    return best


def _residuals(similarity: Similarity, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Distances in the template's millimetres: a tolerance means the same whatever the scan's units."""
    return np.linalg.norm(similarity.apply(source) - target, axis=1) / max(similarity.scale, 1e-12)


@dataclass(frozen=True, eq=False)
class OrientedPoints:
    """Points with unit normals, and the tree that finds the like among them.

    Attributes
    ----------
    points, normals : (n, 3).
    usable : (n,) False for points at a border: they are no one's match.
    normal_weight : millimetres that a unit difference of normals is worth.
    """

    points: np.ndarray
    normals: np.ndarray
    usable: np.ndarray
    normal_weight: float

    def features(self, similarity: Similarity) -> np.ndarray:
        """Return (n, 6) positions and weighted normals, moved."""
        return np.hstack(
            [similarity.apply(self.points), self.normal_weight * similarity.rotate(self.normals)]
        )

    def tree(self) -> cKDTree:
        """Return a tree of the features where the points are."""
        return cKDTree(self.features(Similarity.identity()))


def trimmed_icp(
    template: OrientedPoints,
    scan: OrientedPoints,
    start: Similarity,
    *,
    iterations: int,
    kept_share: float,
    scale: bool,
    tree: cKDTree | None = None,
) -> Similarity:
    """Return `start` improved by iterative closest points from template to scan.

    Each time the nearest share of the matches is kept. Those on the scan's border are dropped: beyond it the
    scan says nothing, and they would shrink the template.
    """
    tree = scan.tree() if tree is None else tree
    similarity = start
    for _ in range(iterations):
        features = template.features(similarity)
        distance, index = map(np.asarray, tree.query(features))
        usable = scan.usable[index]
        if usable.sum() < 10:
            return similarity
        kept = usable & (distance <= np.quantile(distance[usable], kept_share))
        similarity = fit_similarity(template.points[kept], scan.points[index[kept]], scale=scale)
    return similarity


def place_by_search(
    template: OrientedPoints, scan: SurfaceSample, settings: SimilaritySettings
) -> Similarity:
    """Return the best placement over many starting rotations and positions; units must be millimetres.

    Each start runs a short rigid ICP on positions and normals; the best few run a longer one. The score
    counts the truncated distances both ways, so neither a scan that shows only part of the template nor one
    that shows much more is at a disadvantage.
    """
    rough = OrientedPoints(scan.points, scan.normals, ~scan.near_border, template.normal_weight)
    tree = rough.tree()
    few = _thin(template, 250)
    centre = template.points.mean(axis=0)
    starts = [
        Similarity(1.0, rotation, position - rotation @ centre)
        for position in _positions(template.points, scan.points)
        for rotation in _rotations(settings.start_count)
    ]
    icp = partial(trimmed_icp, scan=rough, kept_share=settings.kept_share, scale=False, tree=tree)
    tried = [icp(few, start=start, iterations=_START_ITERATIONS) for start in starts]
    tried.sort(key=lambda s: _misfit(few, rough, tree, s))
    refined = [icp(template, start=start, iterations=_FINAL_ITERATIONS) for start in tried[:_REFINED_STARTS]]
    return min(refined, key=lambda s: _misfit(template, rough, tree, s))


def _thin(points: OrientedPoints, count: int) -> OrientedPoints:
    step = max(1, len(points.points) // count)
    return OrientedPoints(
        points.points[::step], points.normals[::step], points.usable[::step], points.normal_weight
    )


def _rotations(count: int) -> np.ndarray:
    """Rotations spread evenly over SO(3), the identity first (super-Fibonacci spirals, Alexa 2022)."""
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    t, d = s / count, 2 * np.pi * s
    r, big_r = np.sqrt(t), np.sqrt(1 - t)
    alpha, beta = d / phi, d / psi
    quaternions = np.stack(
        [r * np.sin(alpha), r * np.cos(alpha), big_r * np.sin(beta), big_r * np.cos(beta)], axis=1
    )
    return np.concatenate([np.eye(3)[None], Rotation.from_quat(quaternions).as_matrix()])


def _positions(template: np.ndarray, scan: np.ndarray) -> list[np.ndarray]:
    """Where the template's centre may lie: the scan's middle, and on a larger scan also its far ends."""
    middle = scan.mean(axis=0)
    offset = np.linalg.norm(scan - middle, axis=1)
    positions = [middle]
    radius = np.linalg.norm(template - template.mean(axis=0), axis=1).max()
    if np.quantile(offset, 0.9) > 1.2 * radius:
        axis = np.linalg.svd(scan - middle, full_matrices=False)[2]
        along = (scan - middle) @ axis.T
        for k in range(2):
            for q in (0.15, 0.85):
                near = abs(along[:, k] - np.quantile(along[:, k], q)) < 0.5 * radius
                positions.append(scan[near].mean(axis=0))
    return positions


def _misfit(template: OrientedPoints, scan: OrientedPoints, tree: cKDTree, similarity: Similarity) -> float:
    cut = 15.0
    features = template.features(similarity)
    forward = np.minimum(tree.query(features)[0], cut)
    placed = features[:, :3]
    inside = (
        np.linalg.norm(scan.points - placed.mean(axis=0), axis=1)
        < 0.8 * np.linalg.norm(placed - placed.mean(axis=0), axis=1).max()
    )
    if not inside.any():
        return 2 * cut
    backward = np.minimum(cKDTree(features).query(scan.features(Similarity.identity())[inside])[0], cut)
    return float(forward.mean() + backward.mean())
