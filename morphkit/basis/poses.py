"""Poses of many shapes at once: batched Procrustes fits, and robust weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from morphkit.geometry.similarity import Similarity

_CHUNK = 1 << 21  # coordinates at a time: 16 MB in float64, of which there are a few
_MEDIAN_LENGTH = 1.5382  # of a standard normal vector in space: turns a median length into a deviation
ROBUST: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "huber": (2.5, lambda x: 1.0 / np.maximum(x, 1.0)),
    "tukey": (6.0, lambda x: np.maximum(1.0 - np.minimum(x, 1.0) ** 2, 0.0) ** 2),
}


@dataclass(frozen=True, eq=False)
class Poses:
    """One similarity a shape: scales (n,), rotations (n, 3, 3), translations (n, 3)."""

    scales: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray

    @classmethod
    def identity(cls, n: int) -> Poses:
        """Return poses that move nothing."""
        return cls(np.ones(n), np.tile(np.eye(3), (n, 1, 1)), np.zeros((n, 3)))

    def part(self, rows: slice) -> Poses:
        """Return the poses of some shapes."""
        return Poses(self.scales[rows], self.rotations[rows], self.translations[rows])

    def put(self, rows: slice, poses: Poses) -> None:
        """Write the poses of some shapes, in place."""
        self.scales[rows], self.rotations[rows] = poses.scales, poses.rotations
        self.translations[rows] = poses.translations

    def apply(self, shapes: np.ndarray) -> np.ndarray:
        """Return (c, v, 3) shapes moved, each by its own."""
        turned = self.rotations * self.scales[:, None, None]
        return shapes @ turned.transpose(0, 2, 1) + self.translations[:, None]

    def followed_by(self, last: Similarity) -> tuple[Similarity, ...]:
        """Return the maps that apply these, then `last`."""
        return tuple(
            last.compose(Similarity(float(s), r, t))
            for s, r, t in zip(self.scales, self.rotations, self.translations, strict=True)
        )


def fit_poses(shapes: np.ndarray, target: np.ndarray, weights: np.ndarray, scale: bool) -> Poses:
    """Bring (c, v, 3) shapes onto (v, 3) with (c, v) weights; Umeyama 1991, equations 40-42, all at once."""
    total = weights.sum(axis=1)
    weighted = shapes * weights[:, :, None]
    source_mean = weighted.sum(axis=1) / total[:, None]
    target_mean = weights @ target / total[:, None]
    covariance = np.tensordot(target, weighted, axes=(0, 1)).transpose(1, 0, 2) / total[:, None, None]
    covariance -= target_mean[:, :, None] * source_mean[:, None, :]
    left, values, right = np.linalg.svd(covariance)
    signs = np.ones((len(shapes), 3))
    signs[:, 2] = np.sign(
        np.linalg.det(left) * np.linalg.det(right)
    )  # or a mirror image could be the optimum
    rotations = (left * signs[:, None, :]) @ right
    scales = np.ones(len(shapes))
    if scale:
        squares = np.einsum("cvd,cvd->c", weighted, shapes) / total
        scales = (values * signs).sum(axis=1) / (squares - (source_mean**2).sum(axis=1))
    moved = np.einsum("cij,cj->ci", rotations, source_mean) * scales[:, None]
    return Poses(scales, rotations, target_mean - moved)


def chunks(n: int, n_vertices: int) -> Iterator[slice]:
    """Yield slices of shapes, some megabytes each."""
    step = max(1, _CHUNK // max(3 * n_vertices, 1))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def read(shapes: Any, rows: slice) -> np.ndarray:
    """Return some shapes, of an array or a data set, in float64."""
    return np.asarray(shapes[rows]).astype(np.float64)


def vertex_trust(residuals: np.ndarray, kernel: Literal["huber", "tukey"], seen: np.ndarray) -> np.ndarray:
    """Return (c, v) weights of vertices from their distances (c, v) to the mean, shape by shape.

    A shape's own median distance is the yardstick, so a big head is not taken for a bad one.
    """
    lengths = np.where(seen, residuals, np.nan)
    deviation = np.nanmedian(lengths, axis=1) / _MEDIAN_LENGTH
    limit, weight = ROBUST[kernel]
    trust: np.ndarray = weight(residuals / np.maximum(limit * deviation, 1e-300)[:, None])
    return trust


def scan_trust(residuals: np.ndarray, kernel: Literal["huber", "tukey"]) -> np.ndarray:
    """Return (n,) weights of shapes from their root mean square distances to the mean.

    Distances are compared with their median in units of their own spread about it, and only a large one is
    held against a shape.
    """
    median = float(np.median(residuals))
    deviation = 1.4826 * float(np.median(np.abs(residuals - median)))
    limit, weight = ROBUST[kernel]
    excess = np.maximum(residuals - median, 0.0) / max(limit * deviation, 1e-9 * median, 1e-300)
    trust: np.ndarray = weight(excess)
    return trust
