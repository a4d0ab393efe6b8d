"""Scans that do not belong: reported with a reason, for a person to decide on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.basis.extremes import deviations, find_extremes
from morphkit.basis.holdout import folds, gather, inner_products, span_model
from morphkit.geometry.topology import unique_edges

FEWEST_JUDGED = 6
"""Scans; among fewer, nobody can say who is odd."""

_POOL = 400  # scans that a model is made of, at most
_SINGLY = 64  # scans at most are left out one by one; more, in as many groups as
_FOLDS = 16
_WORST = 0.01  # share of the vertices, and of the edges
_EDGES = 50_000
_SLIGHT = 0.25  # of how people differ: less is no difference, and may be what aligning made of strong modes
_WEAK = 0.1  # of the first mode's deviation; weaker modes count as if they had it, for the same reason
_MEMORY = 1 << 27  # coordinates held in memory, of all scans
_ROUNDS = 6
_SIZE = "its size is {0:.0f} mm where {1:.0f} is usual"
_DISTANT = "aligned, it lies {0:.1f} mm from the mean where {1:.1f} is usual"
_PROPORTIONS = "its proportions are {0:.1f} standard deviations out, a mode, where {1:.1f} is usual"
_MISSED = "a model of the others misses it by {0:.2f} mm where {1:.2f} is usual"
_STRETCHED = "its worst edges are {0:.0%} too long or short where {1:.0%} is usual"
_LOCAL = "in part it fits no model of the others: there it is {0:.1f} mm off where {1:.1f} is usual"


@dataclass(frozen=True)
class Outlier:
    """A scan that stands out.

    Attributes
    ----------
    index : which.
    score : how far it stands out, in standard deviations of the others, by the worst measure.
    reason : one sentence.
    """

    index: int
    score: float
    reason: str


def find_outliers(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    *,
    mask: Bool[np.ndarray, " v"] | None = None,
    faces: Int[np.ndarray, "f 3"] | None = None,
    components: int = 50,
    false_alarms: float = 0.02,
    seed: int = 0,
) -> tuple[Outlier, ...]:
    """Return the scans that a model of the others finds odd, the oddest first.

    Every scan is measured by models that it had no part in, and so cannot vouch for itself; what is found
    leaves the models too, until nothing more is found. The measures are: the improbability of its
    coefficients (the sum of their squares), what the model misses of it, what it misses of the worst
    hundredth of vertices (in units of how far people differ there), its size, its distance from the mean, and
    how far the worst hundredth of edges are stretched, which shows where correspondence has slipped. Each is
    held against its own distribution over the scans; how far is too far follows from their number, from
    their spread (which is small where faces differ in many independent ways) and from `false_alarms`, shared
    out among measures and scans. Of few scans only gross outliers can be told.

    Parameters
    ----------
    shapes : (n, v, 3) aligned (`align_shapes`), in millimetres: an array, or a data set, which is read once.
        Of thousands of scans, some thousand vertices are judged by, drawn at random.
    mask : (v,) the vertices to judge by; all when None.
    faces : (f, 3) the topology, for its edges; without, stretching is not judged.
    components : modes of the models at most; fewer for few scans.
    false_alarms : the chance that a clean, Gaussian set has any outlier reported.
    seed : of the random folds, and of which scans models are made of when there are more than 400.

    Returns
    -------
    None at all among fewer than `FEWEST_JUDGED` scans.

    References
    ----------
    Booth et al. 2018, section 4.4 (pruning by the squared norm of whitened weights; there, each scan is part
    of the model that judges it).
    """
    n = len(shapes)
    if n < FEWEST_JUDGED:
        return ()
    places = _places(shapes, mask, np.random.default_rng(seed))
    panel = _Panel(gather(shapes, np.arange(n), places), components, seed)
    fixed = (panel.sizes(), *_strain(shapes, faces, mask, seed))
    odd, measures = np.zeros(n, bool), (*panel.judge(np.ones(n, bool)), *fixed)
    level = false_alarms / (len(measures) * n)
    for _ in range(_ROUNDS):
        before, odd = odd, np.any([measure.odd(level) for measure in measures], axis=0)
        if (odd == before).all():
            break
        measures = (*panel.judge(~odd), *fixed)
    told = [_outlier(int(i), measures, odd, level) for i in np.flatnonzero(odd)]
    return tuple(sorted(told, key=lambda outlier: -outlier.score))


@dataclass(frozen=True, eq=False)
class _Measure:
    """A number for each scan: `values` are judged, `shown` and the sentence are for people."""

    values: np.ndarray
    shown: np.ndarray
    sentence: str
    least: float = 0.0
    signed: bool = False

    def odd(self, level: float) -> np.ndarray:
        """Return which scans do not belong by this measure."""
        return find_extremes(self.values, level, least=self.least, signed=self.signed)

    def against(self, index: int, usual: np.ndarray, level: float) -> tuple[float, float]:
        """Return how many standard deviations a scan is off the usual ones, and its share of the limit."""
        told = deviations(self.values[[index]], self.values[usual], level, signed=self.signed)
        return float(told.sigmas[0]), float(told.shares[0])


def _strain(shapes: Any, faces: np.ndarray | None, mask: np.ndarray | None, seed: int) -> Iterator[_Measure]:
    """Yield the measure of stretched edges, if there are faces: mean |length / usual - 1| of the worst."""
    if faces is None:
        return
    edges = unique_edges(faces)
    if mask is not None:
        edges = edges[mask[edges].all(axis=1)]
    if not len(edges):
        return
    n, rng = len(shapes), np.random.default_rng(seed)
    edges = edges[np.sort(rng.permutation(len(edges))[:_EDGES])]
    usual = np.median([_lengths(shapes[int(i)], edges) for i in rng.permutation(n)[:_POOL]], axis=0)
    usual = np.maximum(usual, 1e-6)
    count = max(1, round(_WORST * len(edges)))
    strains = (np.abs(_lengths(shapes[i], edges) / usual - 1) for i in range(n))
    worst = [np.partition(strain, -count)[-count:] for strain in strains]
    strain = np.mean(worst, axis=1)
    yield _Measure(strain, strain, _STRETCHED)


def _lengths(shape: np.ndarray, edges: np.ndarray) -> np.ndarray:
    ends = np.asarray(shape)[edges].astype(np.float64)
    return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)


def _outlier(index: int, measures: tuple[_Measure, ...], odd: np.ndarray, level: float) -> Outlier:
    """Return what is to be said of an odd scan: by which measures it is, or by which it most nearly is."""
    found = [measure.against(index, ~odd, level) for measure in measures]
    worst = max(share for _, share in found)
    told = [
        measure.sentence.format(measure.shown[index], float(np.median(measure.shown[~odd])))
        for measure, (_, share) in zip(measures, found, strict=True)
        if share > 1 or share == worst
    ]
    sentence = "; ".join(told)
    return Outlier(index, max(sigmas for sigmas, _ in found), f"{sentence[:1].upper()}{sentence[1:]}.")


@dataclass(frozen=True, eq=False)
class _Panel:
    """Models of the scans, each judging those that it was not made of.

    Attributes
    ----------
    flat : (n, 3p) float32, the scans at p places.
    components : modes at most.
    seed : of who judges whom.
    """

    flat: np.ndarray
    components: int
    seed: int

    def sizes(self) -> _Measure:
        """Return the measure of the scans' sizes, root mean squares about their middles."""
        points = self.flat.reshape(len(self.flat), -1, 3)
        squares = [3 * np.mean((scan - scan.mean(axis=0)) ** 2, dtype=np.float64) for scan in points]
        sizes = np.sqrt(squares)
        return _Measure(np.log(sizes), sizes, _SIZE, signed=True)

    def judge(self, trusted: np.ndarray) -> tuple[_Measure, ...]:
        """Measure every scan by models of trusted others."""
        n, rng = len(self.flat), np.random.default_rng(self.seed)
        some = self._pool(trusted, rng)
        spread = np.linalg.norm(self.flat[some].std(axis=0).reshape(-1, 3), axis=1)
        usual = np.maximum(spread, 1e-3 * float(np.sqrt(np.mean(spread**2))) + 1e-12)
        modes = max(1, min(self.components, len(some) // 3))
        told = np.empty((n, 5))
        for group in folds(n, 1 if n <= _SINGLY else -(-n // _FOLDS), rng):
            others = trusted.copy()
            others[group] = False
            told[group] = self._judge_group(group, self._pool(others, rng), modes, usual)
        distance, improbable, missed, local, shown = told.T
        return (
            _Measure(distance, distance, _DISTANT),
            _Measure(improbable, improbable, _PROPORTIONS),
            _Measure(missed, missed, _MISSED, least=_SLIGHT * float(np.sqrt(np.mean(spread**2)))),
            _Measure(local, shown, _LOCAL, least=_SLIGHT),
        )

    def _pool(self, candidates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return which scans a model is made of: all candidates, or so many of them at random."""
        return np.sort(rng.permutation(np.flatnonzero(candidates))[:_POOL])

    def _judge_group(self, group: np.ndarray, pool: np.ndarray, modes: int, usual: np.ndarray) -> np.ndarray:
        """Return for each scan of a group (t, 5) lengths by the pool's model.

        Its distance from the mean, its coefficients' root mean square, and as `_distances` has it, three
        distances from what the model makes of it.
        """
        training = self.flat[pool]
        center = training.mean(axis=0)
        training -= center
        tested = self.flat[group] - center
        model = span_model(inner_products(training, training))
        coordinates = model.coordinates(inner_products(tested, training))
        modes = min(modes, len(model.roots))
        spread = np.hypot(model.deviations[:modes], _WEAK * model.deviations[:1])
        squares = np.sum((coordinates[:, :modes] / spread) ** 2, axis=1)
        weights = np.sqrt(squares / max(modes, 1))  # scans that are all alike have no modes
        distance = np.sqrt(3 * np.mean(tested**2, axis=1, dtype=np.float64))
        tested -= model.blend(coordinates, len(model.roots)).astype(np.float32) @ training
        lengths = np.linalg.norm(tested.reshape(len(group), -1, 3), axis=2)
        return np.column_stack([distance, weights, _distances(lengths, usual)])


def _places(shapes: Any, mask: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Return the vertices to judge by, sorted: as many as a few hundred megabytes hold of all scans."""
    kept = np.arange(shapes.shape[1]) if mask is None else np.flatnonzero(mask)
    return np.sort(rng.permutation(kept)[: max(_MEMORY // (3 * len(shapes)), 1)])


def _distances(lengths: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return (t, 3): root mean square, and of the worst vertices the relative and the plain mean distance."""
    count = max(1, round(_WORST * lengths.shape[1]))
    relative = lengths / usual
    worst = np.argpartition(relative, -count, axis=1)[:, -count:]
    means = [np.take_along_axis(values, worst, axis=1).mean(axis=1) for values in (relative, lengths)]
    return np.column_stack([np.sqrt(np.mean(lengths**2, axis=1)), *means])
