"""Generalized Procrustes: bringing a set of shapes into one common frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import h5py
import numpy as np
from jaxtyping import Bool, Float

from morphkit.basis.poses import Poses, chunks, fit_poses, read, scan_trust, vertex_trust
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity

ALIGNED = "aligned_shapes"  # the data set that streaming writes


@dataclass(frozen=True, eq=False)
class Alignment:
    """Shapes in one frame.

    Attributes
    ----------
    shapes : (n, v, 3) aligned, in the precision of the input; a data set if the input was one.
    mean : (v, 3) float64, the (weighted) mean of `shapes`.
    similarities : n maps from each given shape's frame to the common one.
    iterations : rounds made.
    converged : whether the mean stood still in the end.
    residuals : (n,) root mean square distance of each shape's trusted vertices to the mean, millimetres.
    scan_weights : (n,) how much each scan counted in the mean, 1 where nothing spoke against it.
    """

    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset
    mean: Float[np.ndarray, "v 3"]
    similarities: tuple[Similarity, ...]
    iterations: int
    converged: bool
    residuals: Float[np.ndarray, " n"]
    scan_weights: Float[np.ndarray, " n"]


def align_shapes(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    reference: Float[np.ndarray, "v 3"] | None = None,
    *,
    scale: bool = False,
    weights: Float[np.ndarray, " v"] | None = None,
    scan_weights: Float[np.ndarray, " n"] | None = None,
    valid: Bool[np.ndarray, "n v"] | h5py.Dataset | None = None,
    robust: Literal["huber", "tukey"] | None = None,
    robust_over: Literal["vertices", "scans"] = "vertices",
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    output: h5py.Group | None = None,
) -> Alignment:
    """Remove position and orientation (and size, if asked) from corresponding shapes.

    Each shape is brought onto the mean of all, the mean is formed again, until it stands still; then all of
    them are moved together so that the mean lies on `reference`. Shapes are read in chunks of some megabytes,
    once a round, so that a data set of any length is aligned in bounded memory.

    Parameters
    ----------
    shapes : (n, v, 3), n >= 1, in any poses: an array, or a data set of an open HDF5 file.
    reference : (v, 3) whose position and orientation the mean shall have; the first shape when None.
    scale : remove size too; the shapes then have the mean size of those given. Off by default: the size of
        a head is part of its shape.
    weights : (v,) how much each vertex says about the pose; uniform when None.
    scan_weights : (n,) how much each shape counts in the mean; uniform when None.
    valid : (n, v) vertices of each shape that may be trusted; the others follow, but do not steer. An array
        or a data set.
    robust : trust less what lies far from the mean: "huber" lessens its say, "tukey" ends by ignoring it.
        Plain least squares when None.
    robust_over : whether single vertices of a shape are judged (an ear gone wrong, hair: by the shape's own
        median distance), or whole scans (by the spread of all scans' distances), which then count less in
        the mean.
    tolerance : the mean stands still when no vertex moves by more than this share of its size in a round.
    max_iterations : rounds at most.
    output : an open group that aligned shapes are written to, as the contiguous data set `ALIGNED`, instead
        of being returned in memory; needed if `shapes` is a data set.

    Raises
    ------
    ValueError
        If a shape has fewer than three trusted vertices of positive weight; if no scan has a positive weight;
        if `shapes` is a data set and there is no `output`.

    References
    ----------
    Gower 1975; Goodall 1991; Huber 1981 and Beaton & Tukey 1974 for the weights.
    """
    if len(shapes) < 1:
        raise ValueError("shapes: expected at least one")
    if output is None and not isinstance(shapes, np.ndarray):
        raise ValueError("output: expected an open HDF5 group, since shapes is a data set")
    crowd = _Crowd(shapes, _vertex_weights(weights, shapes.shape[1]), valid, robust, robust_over, scale)
    counts = _scan_weights(scan_weights, len(shapes))
    target = (read(shapes, slice(0, 1))[0] if reference is None else reference).astype(np.float64)
    if scale:
        target = target * (crowd.mean_size() / _size(target, crowd.weights))
    size, mean, poses = _size(target, crowd.weights), target, Poses.identity(len(shapes))
    converged, iterations = False, 0
    found = _Round(target, target, np.zeros(len(shapes)))
    while not converged and iterations < max_iterations:
        trust = crowd.scan_trust(found.residuals, iterations)
        found = crowd.round(mean, poses, counts * trust, iterations)
        # hold the frame (and size) fixed, or the mean could drift or shrink from round to round
        updated = fit_similarity(found.mean, target, crowd.weights, scale=scale).apply(found.mean)
        converged = bool(np.abs(updated - mean).max() <= tolerance * size)
        mean, iterations = updated, iterations + 1
    # exactly into the target's frame; what is not trusted has no say there either
    last = fit_similarity(found.mean if robust else found.plain, target, crowd.weights, scale=False)
    maps = poses.followed_by(last)
    aligned = _write(shapes, maps, output)
    trust = crowd.scan_trust(found.residuals, iterations)
    return Alignment(aligned, last.apply(found.plain), maps, iterations, converged, found.residuals, trust)


@dataclass(frozen=True, eq=False)
class _Round:
    """What a round gives: the mean of trusted vertices, that of all, each shape's distance to the last."""

    mean: np.ndarray
    plain: np.ndarray
    residuals: np.ndarray


@dataclass(frozen=True, eq=False)
class _Crowd:
    """The shapes, and who may say what."""

    shapes: Any
    weights: np.ndarray
    valid: Any
    robust: Literal["huber", "tukey"] | None
    robust_over: str
    scale: bool

    def round(self, mean: np.ndarray, poses: Poses, counts: np.ndarray, iteration: int) -> _Round:
        """Bring every shape onto the mean (`poses` is updated), and form the mean of them again."""
        n, v = self.shapes.shape[:2]
        totals, sums, plain, residuals = np.zeros(v), np.zeros((v, 3)), np.zeros((v, 3)), np.zeros(n)
        for rows in chunks(n, v):
            block, seen = read(self.shapes, rows), self._seen(rows)
            doubts = self._doubts(block, mean, poses.part(rows), seen, iteration)
            fitted = fit_poses(block, mean, self.weights * doubts, self.scale)
            poses.put(rows, fitted)
            moved = fitted.apply(block)
            share = doubts * counts[rows, None]
            totals += share.sum(axis=0)
            sums += np.einsum("cv,cvd->vd", share, moved)
            plain += np.tensordot(counts[rows], moved, axes=1)
            residuals[rows] = _rms(moved - mean, self.weights * seen)
        plain /= counts.sum()
        known = totals[:, None] > 0
        return _Round(np.where(known, sums / np.maximum(totals, 1e-300)[:, None], plain), plain, residuals)

    def scan_trust(self, residuals: np.ndarray, iteration: int) -> np.ndarray:
        """Return how far whole scans are trusted, from the last round's distances."""
        if self.robust is None or self.robust_over != "scans" or not iteration:
            return np.ones(len(residuals))
        return scan_trust(residuals, self.robust)

    def mean_size(self) -> float:
        """Return the mean root mean square distance from the centroid."""
        sizes = []
        for rows in chunks(len(self.shapes), self.shapes.shape[1]):
            trust = self.weights * self._seen(rows)
            sizes += [_size(shape, w) for shape, w in zip(read(self.shapes, rows), trust, strict=True)]
        return float(np.mean(sizes))

    def _seen(self, rows: slice) -> np.ndarray:
        count = rows.stop - rows.start
        seen = np.ones((count, len(self.weights)), bool) if self.valid is None else self.valid[rows]
        few = np.flatnonzero(np.count_nonzero(seen & (self.weights > 0), axis=1) < 3)
        if len(few):
            raise ValueError(
                f"shape {rows.start + few[0]} has fewer than three trusted vertices of positive weight"
            )
        return np.asarray(seen)

    def _doubts(
        self, block: np.ndarray, mean: np.ndarray, poses: Poses, seen: np.ndarray, iteration: int
    ) -> np.ndarray:
        """Return (c, v) in 0..1: how far each vertex is trusted, given where the last round put it."""
        if self.robust is None or self.robust_over != "vertices":
            return seen.astype(np.float64)
        before = poses if iteration else fit_poses(block, mean, self.weights * seen, self.scale)
        lengths = np.linalg.norm(before.apply(block) - mean, axis=2)
        doubts: np.ndarray = seen * vertex_trust(lengths, self.robust, seen & (self.weights > 0))
        return doubts


def _vertex_weights(weights: np.ndarray | None, v: int) -> np.ndarray:
    if weights is None:
        return np.ones(v)
    if not (weights >= 0).all():
        raise ValueError("weights: expected non-negative numbers")
    return weights.astype(np.float64)


def _scan_weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    if weights is None:
        return np.ones(n)
    if not (weights >= 0).all() or not weights.any():
        raise ValueError("scan_weights: expected non-negative numbers, not all of them zero")
    return weights.astype(np.float64)


def _size(shape: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted root mean square distance from the centroid."""
    share = weights / weights.sum()
    centered = shape - share @ shape
    return float(np.sqrt(share @ (centered**2).sum(axis=1)))


def _rms(offsets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("cvd,cvd,cv->c", offsets, offsets, weights) / weights.sum(axis=1)
    return np.sqrt(squares)


def _write(shapes: Any, maps: tuple[Similarity, ...], output: Any) -> Any:
    """Return the moved shapes, in memory or as a data set of `output`."""
    if output is None:
        aligned: Any = np.empty_like(shapes)
    else:
        if ALIGNED in output:
            del output[ALIGNED]
        aligned = output.create_dataset(ALIGNED, shapes.shape, shapes.dtype)
    poses = Poses(
        np.array([m.scale for m in maps]),
        np.stack([m.rotation for m in maps]),
        np.stack([m.translation for m in maps]),
    )
    for rows in chunks(*shapes.shape[:2]):
        aligned[rows] = poses.part(rows).apply(read(shapes, rows))
    return aligned
