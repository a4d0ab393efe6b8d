"""Models of some shapes, told to others, through inner products: refitting without refitting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from morphkit.gaussian import cross_gram

_RANK_TOLERANCE = 1e-9  # of the first variance


@dataclass(frozen=True, eq=False)
class SpanModel:
    """The principal components of m samples, each a weighted sum of them.

    Attributes
    ----------
    vectors : (m, r) orthonormal columns that sum to zero; component k is Xᵀ vectors[:, k] / roots[k].
    roots : (r,) singular values of the centred samples, descending.
    row_means, total_mean : of the samples' inner products.
    """

    vectors: np.ndarray
    roots: np.ndarray
    row_means: np.ndarray
    total_mean: float

    @property
    def deviations(self) -> np.ndarray:
        """The components' standard deviations (r,), unbiased."""
        return self.roots / np.sqrt(len(self.vectors) - 1)

    def coordinates(self, cross: np.ndarray) -> np.ndarray:
        """Return (t, r) coordinates of t others on the components, given their (t, m) inner products."""
        centered = cross - cross.mean(axis=1, keepdims=True) - self.row_means + self.total_mean
        coordinates: np.ndarray = centered @ self.vectors / self.roots
        return coordinates

    def blend(self, coordinates: np.ndarray, modes: int) -> np.ndarray:
        """Return (t, m) weights of the samples, rows sum to one: the best that the first modes can do."""
        weights = (coordinates[:, :modes] / self.roots[:modes]) @ self.vectors[:, :modes].T
        blended: np.ndarray = weights + 1.0 / len(self.vectors)
        return blended


def span_model(gram: np.ndarray) -> SpanModel:
    """Return the components of samples with these (m, m) inner products, m >= 2."""
    row_means = gram.mean(axis=1)
    total = float(row_means.mean())
    values, vectors = np.linalg.eigh(gram - row_means[:, None] - row_means + total)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = min(int(np.sum(values > _RANK_TOLERANCE * max(float(values[0]), 0.0))), len(gram) - 1)
    return SpanModel(vectors[:, :rank], np.sqrt(values[:rank]), row_means, total)


def inner_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a bᵀ of (n, d) and (m, d) samples, summed in float64."""
    return cross_gram(a.T, b.T) if a is not b else cross_gram(a.T, a.T)


def folds(n: int, held_out: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Deal n samples into groups of at most `held_out`, at random, sizes as even as they can be."""
    return [np.sort(part) for part in np.array_split(rng.permutation(n), -(-n // held_out))]


def gather(shapes: Any, index: np.ndarray, columns: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Return some shapes of an array or a data set, flat, (m, d) float32, with some vertices only."""
    first = np.asarray(shapes[0])[columns]
    out = np.empty((len(index), first.size), np.float32)
    for row, i in zip(out, index, strict=True):
        row[:] = np.asarray(shapes[int(i)])[columns].reshape(-1)
    return out
