"""Pairing template vertices with the scan: softly, with neighbours both ways, or with closest points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from morphkit.registration.settings import CoarseSettings
from morphkit.registration.target import Target, unit

_MIN_COSINE = 0.3
_BORDER_SHARE = 0.3
_NEAREST_SQUARED = 1e-2


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scan points seen from n template vertices.

    Attributes
    ----------
    points, normals : (n, 3) on the scan; normals are unit.
    belief : (n,) weights in 0..1.
    """

    points: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    belief: Float[np.ndarray, "n"]


class SoftMatcher:
    """Soft symmetric correspondences in position and normal, on points spread over the scan.

    They reach farther than closest points, because the scan's points pull at the template too, and tell
    less, because they average (White et al. 2019).
    """

    def __init__(self, target: Target, settings: CoarseSettings) -> None:
        self._settings = settings
        self._sample = target.sample(settings.sample_count)
        self._features = _features(self._sample.points, self._sample.normals, settings)
        self._tree = cKDTree(self._features)

    def pairs(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        border: Bool[np.ndarray, "n"],
        cutoff: float,
    ) -> Pairs:
        """Return the pairs of template vertices, of which `border` lie on the template's border."""
        weights = self._affinities(points, normals, border)
        on_border = weights @ self._sample.near_border.astype(np.float64)
        found = Pairs(
            points=weights @ self._sample.points,
            normals=unit(weights @ self._sample.normals),
            belief=(on_border < _BORDER_SHARE).astype(np.float64),
        )
        return _believe(found, points, normals, cutoff)

    def _affinities(self, points: np.ndarray, normals: np.ndarray, border: np.ndarray) -> sparse.csr_array:
        """Return the (n, samples) weights, rows sum to one."""
        k = self._settings.neighbours
        features = _features(points, normals, self._settings)
        pull_distance, pull_index = map(np.asarray, self._tree.query(features, k))
        push_distance, push_index = map(np.asarray, cKDTree(features).query(self._features, k))
        pull = 1 / np.maximum(pull_distance**2, _NEAREST_SQUARED)
        push = self._settings.push_weight / np.maximum(push_distance**2, _NEAREST_SQUARED)
        # scan beyond the template's border (shoulders, hair) must not drag that border along
        push[border[push_index[:, 0]]] = 0
        shape = (len(points), len(self._features))
        rows, columns = np.repeat(np.arange(shape[0]), k), np.repeat(np.arange(shape[1]), k)
        matrix = sparse.csr_array((pull.ravel(), (rows, pull_index.ravel())), shape=shape)
        matrix = matrix + sparse.csr_array((push.ravel(), (push_index.ravel(), columns)), shape=shape)
        return sparse.csr_array(sparse.diags_array(1 / matrix.sum(axis=1)) @ matrix)


class SurfaceMatcher:
    """Exact closest points on the scan's triangles; remembers its answers, because the next ones are near."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._hints: Int[np.ndarray, "n"] | None = None

    def pairs(
        self, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], cutoff: float
    ) -> Pairs:
        """Return the pairs of the same template vertices each time."""
        match = self._target.match(points, normals, _MIN_COSINE, self._hints)
        self._hints = match.closest.face_indices
        found = Pairs(match.closest.points, match.normals, match.usable.astype(np.float64))
        return _believe(found, points, normals, cutoff)


def robust_weight(distances: Float[np.ndarray, "n"], cutoff: float) -> Float[np.ndarray, "n"]:
    """Return Geman and McClure's weights: one at zero, a quarter at `cutoff`."""
    return 1 / (1 + (distances / cutoff) ** 2) ** 2


def _believe(pairs: Pairs, points: np.ndarray, normals: np.ndarray, cutoff: float) -> Pairs:
    distance = np.linalg.norm(pairs.points - points, axis=1)
    cosine = np.einsum("nd,nd->n", pairs.normals, normals)
    belief = pairs.belief * np.clip(cosine, 0, 1) ** 2 * robust_weight(distance, cutoff)
    return Pairs(pairs.points, pairs.normals, belief)


def _features(points: np.ndarray, normals: np.ndarray, settings: CoarseSettings) -> np.ndarray:
    return np.hstack([points, settings.normal_weight * normals])
