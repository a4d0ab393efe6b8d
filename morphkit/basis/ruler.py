"""Distances between shapes of one topology: of counterparts, and to the surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.procrustes import fit_similarity
from morphkit.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Ruler:
    """Measures between shapes, rigidly aligned, over some vertices.

    Attributes
    ----------
    faces : (f, 3) the topology.
    kept : the vertices that count.
    probes : those of them that surface distances are measured at.
    weights : (v,) one where a vertex counts: what pose goes by.
    """

    faces: np.ndarray
    kept: np.ndarray
    probes: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(
        cls,
        faces: np.ndarray,
        mask: np.ndarray | None,
        n_vertices: int,
        rng: np.random.Generator,
        probes: int = 2000,
    ) -> Ruler:
        """Return a ruler over a mask (all vertices when None); ValueError if nothing is in it."""
        weights = np.ones(n_vertices) if mask is None else mask.astype(np.float64)
        kept = np.flatnonzero(weights)
        if not len(kept):
            raise ValueError("mask: expected some vertices to measure")
        return cls(faces, kept, np.sort(rng.permutation(kept)[:probes]), weights)

    def distances(self, shapes: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
        """Return (2, n): mean distances of counterparts and to the surface, of each shape to one truth."""
        surface = ClosestPointQuery(Mesh(truth, self.faces))
        aligned = [
            fit_similarity(shape[self.kept], truth[self.kept], scale=False).apply(shape) for shape in shapes
        ]
        points = [np.linalg.norm((shape - truth)[self.kept], axis=1).mean() for shape in aligned]
        found = surface.query(np.concatenate([shape[self.probes] for shape in aligned]))
        return np.stack([points, found.distances.reshape(len(shapes), -1).mean(axis=1)])

    def nearest(self, shapes: np.ndarray, others: np.ndarray, count: int) -> np.ndarray:
        """Return (n, count) the nearest of (m, 3v) others to each of (n, 3v) shapes, by root mean square."""
        columns = (3 * self.probes[:, None] + np.arange(3)).ravel()
        a, b = shapes[:, columns].astype(np.float64), others[:, columns].astype(np.float64)
        squares = np.sum(b**2, axis=1) - 2 * a @ b.T
        ranked: np.ndarray = np.argsort(squares, axis=1)[:, : min(count, len(others))]
        return ranked
