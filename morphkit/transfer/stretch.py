"""How a fitted surface is stretched and turned around each point: the map's smoothed Jacobian."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.geometry.procrustes import fit_similarity

_RADII = (60.0, 30.0, 15.0)  # millimetres, widest first; each level leans on the one before
_LEAN = 0.15  # of the radius squared: variance that speaks for the level before
_BLOCK = 2048


def local_maps(
    points: Float[np.ndarray, "n 3"],
    source: Float[np.ndarray, "s 3"],
    fitted: Float[np.ndarray, "s 3"],
) -> Float[np.ndarray, "n 3 3"]:
    """Return the linear maps that turn the source's small vectors at `points` into the fitted surface's.

    Each is a weighted least-squares fit to the samples around, with a Gaussian weight; where they say little,
    along the normal of a flat piece, it leans on that of a wider neighbourhood, and at last on the similarity
    of the whole. So a mouth or an eye that is wider on the target opens wider too, and a similarity of the
    whole comes out as itself.

    Parameters
    ----------
    points : (n, 3) on the source at rest, millimetres.
    source, fitted : (s, 3) samples of the source at rest, and where they lie on the target.
    """
    whole = fit_similarity(source, fitted)
    maps = np.empty((len(points), 3, 3))
    for first in range(0, len(points), _BLOCK):
        block = points[first : first + _BLOCK]
        local = np.broadcast_to(whole.scale * whole.rotation, (len(block), 3, 3))
        for radius in _RADII:
            local = _level(block, source, fitted, radius, local)
        maps[first : first + _BLOCK] = local
    return maps


def _level(
    points: np.ndarray, source: np.ndarray, fitted: np.ndarray, radius: float, before: np.ndarray
) -> np.ndarray:
    """Return the maps of one radius, leaning on those `before`, (n, 3, 3)."""
    squares = (points**2).sum(axis=1)[:, None] + (source**2).sum(axis=1) - 2 * points @ source.T
    weights = np.exp(-0.5 * squares / radius**2)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    here, there = weights @ source, weights @ fitted
    spread = _moments(weights, source, source) - here[:, :, None] * here[:, None]
    cross = _moments(weights, fitted, source) - there[:, :, None] * here[:, None]
    lean = _LEAN * radius**2 * np.eye(3)
    # J (S + lean) = C + lean J_before; S is symmetric
    right = cross + before @ lean
    solved: np.ndarray = np.linalg.solve(spread + lean, right.transpose(0, 2, 1)).transpose(0, 2, 1)
    return solved


def _moments(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    products = (one[:, :, None] * other[:, None]).reshape(len(one), 9)
    return (weights @ products).reshape(-1, 3, 3)
