"""How good a basis is: generalization and specificity, by points and by surfaces, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit import gaussian
from morphkit.basis.holdout import SpanModel, folds, gather, inner_products, span_model
from morphkit.basis.ruler import Ruler
from morphkit.geometry.procrustes import fit_similarity
from morphkit.linear import LinearModel

_LADDER = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500)
_SINGLY = 40  # shapes at most are left out one by one; more, in that many groups
_CANDIDATES = 3  # nearest shapes by root mean square, among which the nearest by mean distance is sought
_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Curve:
    """A metric by number of modes, in millimetres, with intervals from resampling shapes (or samples).

    Attributes
    ----------
    modes : numbers of modes, rising; zero is the mean alone.
    mean : (m,) the metric.
    low, high : (m,) the 95 % bootstrap interval of the mean; NaN where resampling tells nothing: of a single
        shape, or of heads that are all the same, as those without modes are.
    """

    modes: tuple[int, ...]
    mean: Float[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Metric:
    """Generalization or specificity.

    Attributes
    ----------
    points : from each vertex to where its counterpart is.
    surface : from each vertex to the nearest point of the other surface, so that sliding along it is no
        error; measured at some random vertices, 2000 a shape or 500 a sample.
    count : how many shapes (or samples) the means are over.
    values : (count, m) the point distances that `points` is the mean of.
    """

    points: Curve
    surface: Curve
    count: int
    values: Float[np.ndarray, "n m"]


def generalization(
    model: LinearModel,
    held_out: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    faces: Int[np.ndarray, "f 3"],
    *,
    mask: Bool[np.ndarray, " v"] | None = None,
    modes: Sequence[int] | None = None,
    limit: int = 200,
    seed: int = 0,
) -> Metric:
    """Return how near a model comes to people it has not seen, by number of modes.

    Each shape is brought rigidly onto the mean, projected on the first modes, and compared with what comes
    out of that, again rigidly aligned: pose is not shape.

    Parameters
    ----------
    model : with an orthonormal basis.
    held_out : (n, v, 3) registered shapes in any poses, none of them in the model.
    faces : (f, 3) the topology.
    mask : (v,) the vertices that are measured; all when None.
    modes : for which numbers of modes; about a dozen up to all of them when None.
    limit : shapes at most, drawn at random, so that time is bounded.
    seed : of that, of the vertices for surface distances, and of the bootstrap.

    References
    ----------
    Davies et al. 2002, Styner et al. 2003, section 2.4.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(held_out))[:limit])
    ladder = mode_ladder(model.n_components, modes)
    ruler = Ruler.of(faces, mask, len(model.mean), rng)
    mean = model.mean.astype(np.float64)
    told = []
    for i in chosen:
        shape = np.asarray(held_out[int(i)]).astype(np.float64)
        shape = fit_similarity(shape, mean, ruler.weights, scale=False).apply(shape)
        coordinates = gaussian.moments(model.basis, shape - mean)
        told.append(ruler.distances([mean + model.displace(coordinates[:k]) for k in ladder], shape))
    return _metric(ladder, np.stack(told), rng)


def leave_out_generalization(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    faces: Int[np.ndarray, "f 3"],
    *,
    held_out: int | None = None,
    mask: Bool[np.ndarray, " v"] | None = None,
    modes: Sequence[int] | None = None,
    limit: int = 400,
    seed: int = 0,
) -> Metric:
    """Return the generalization of models of the other shapes, leaving some out at a time.

    Exactly what refitting without them gives, the common alignment apart; but the refits go through the
    matrix of inner products of all shapes, which is formed once.

    Parameters
    ----------
    shapes : (n, v, 3) aligned, n >= 3.
    faces : (f, 3) the topology.
    held_out : how many are left out at a time; one when None, or as many as make forty groups.
    mask, modes, limit, seed : as for `generalization`; `limit` counts the shapes that take part at all.

    Raises
    ------
    ValueError
        If there are fewer than three shapes, or none or too few remain when some are left out.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(shapes))[:limit])
    n = len(chosen)
    group_size = max(1, -(-n // _SINGLY)) if held_out is None else held_out
    if n < 3 or not 1 <= group_size <= n - 2:
        raise ValueError(f"{n} shapes, {group_size} left out at a time: two or more must remain")
    flat = gather(shapes, chosen)
    center = flat.mean(axis=0)
    flat -= center
    gram = inner_products(flat, flat)
    ladder = mode_ladder(n - group_size - 1, modes)
    ruler = Ruler.of(faces, mask, flat.shape[1] // 3, rng)
    told = np.empty((n, 2, len(ladder)))
    for group in folds(n, group_size, rng):
        others = np.setdiff1d(np.arange(n), group)
        model = span_model(gram[np.ix_(others, others)])
        coordinates = model.coordinates(gram[np.ix_(group, others)])
        blends = _blends(model, coordinates, ladder) @ flat[others]
        for i, rebuilt in zip(group, blends + center, strict=True):
            truth = (flat[i] + center).reshape(-1, 3).astype(np.float64)
            told[i] = ruler.distances(list(rebuilt.reshape(len(ladder), -1, 3).astype(np.float64)), truth)
    return _metric(ladder, told, rng)


def specificity(
    model: LinearModel,
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    faces: Int[np.ndarray, "f 3"],
    *,
    mask: Bool[np.ndarray, " v"] | None = None,
    modes: Sequence[int] | None = None,
    samples: int = 200,
    limit: int = 500,
    seed: int = 0,
) -> Metric:
    """Return how far random heads of a model are from the nearest real one, by number of modes.

    Heads are drawn with the model's variances, without its noise; all numbers of modes share the draws, so
    that the curve shows the modes and not the dice.

    Parameters
    ----------
    model : with an orthonormal basis.
    shapes : (n, v, 3) real registered shapes, in any poses: those of the training, or others.
    faces : (f, 3) the topology.
    mask, modes, seed : as for `generalization`.
    samples : how many heads to draw.
    limit : shapes at most, drawn at random.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(shapes))[:limit])
    ladder = mode_ladder(model.n_components, modes)
    ruler = Ruler.of(faces, mask, len(model.mean), rng, probes=500)
    mean = model.mean.astype(np.float64)
    real = gather(shapes, chosen)
    for flat in real:
        shape = flat.reshape(-1, 3).astype(np.float64)
        flat[:] = fit_similarity(shape, mean, ruler.weights, scale=False).apply(shape).reshape(-1)
    drawn = rng.standard_normal((samples, model.n_components)) * model.standard_deviations
    told = np.full((samples, 2, len(ladder)), np.inf)
    near = np.stack([ruler.nearest(_heads(model, drawn, k), real, _CANDIDATES) for k in ladder], axis=1)
    for i in np.unique(near):  # one real shape's search tree at a time
        pairs = np.argwhere((near == i).any(axis=2))
        heads = [mean + model.displace(drawn[s, : ladder[m]]) for s, m in pairs]
        found = ruler.distances(heads, real[i].reshape(-1, 3).astype(np.float64))
        for (s, m), distances in zip(pairs, found.T, strict=True):
            told[s, :, m] = np.minimum(told[s, :, m], distances)
    return _metric(ladder, told, rng)


def mode_ladder(most: int, wanted: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the numbers of modes to measure at: those wanted up to `most`, or about a dozen and `most`."""
    steps = (*_LADDER, most) if wanted is None else wanted
    return tuple(sorted({k for k in steps if 0 <= k <= most}))


def _heads(model: LinearModel, drawn: np.ndarray, modes: int) -> np.ndarray:
    """Return (samples, 3v) float32 heads of the first modes."""
    moved = drawn[:, :modes].astype(np.float32) @ model.basis[:, :modes].T.astype(np.float32)
    heads: np.ndarray = moved + model.mean.reshape(-1).astype(np.float32)
    return heads


def _blends(model: SpanModel, coordinates: np.ndarray, ladder: tuple[int, ...]) -> np.ndarray:
    """Return (t, m, others) weights for every number of modes."""
    return np.stack([model.blend(coordinates, k) for k in ladder], axis=1).astype(np.float32)


def _metric(ladder: tuple[int, ...], told: np.ndarray, rng: np.random.Generator) -> Metric:
    """Return means and intervals of (n, 2, m) point and surface distances."""
    n = len(told)
    drawn = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES) / n  # how often each, when n are drawn again
    low, high = np.quantile(np.tensordot(drawn, told, axes=1), [0.025, 0.975], axis=0)
    same = np.ptp(told, axis=0) <= 1e-9 * told.max(axis=0)
    low[same] = high[same] = np.nan
    points, surface = (Curve(ladder, told[:, kind].mean(axis=0), low[kind], high[kind]) for kind in (0, 1))
    return Metric(points, surface, len(told), told[:, 0])
