"""Scans that do not belong: reported with a reason, for a person to decide on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from morphkit.basis.holdout import folds, gather, inner_products, span_model
from morphkit.geometry.topology import unique_edges

_FEWEST = 6  # scans; among fewer, nobody can say who is odd
_POOL = 400  # scans that a model is made of, at most
_SINGLY = 64  # scans at most are left out one by one; more, in as many groups as
_FOLDS = 16
_WORST = 0.01  # share of the vertices, and of the edges
_EDGES = 50_000
_MOST_STRAIN = 3.0  # twenty times: a collapsed edge is no worse
_MEMORY = 1 << 27  # coordinates held in memory, of all scans
_ROUNDS = 6
_EFFICIENCY = 0.37  # of the median absolute deviation, compared with a standard deviation
_PROPORTIONS = "its proportions are {0:.1f} standard deviations out, a mode, where {1:.1f} is usual"
_MISSED = "a model of the others misses it by {0:.2f} mm where {1:.2f} is usual"
_STRETCHED = "its worst edges are {0:.1f} times too long or short where {1:.1f} is usual"
_LOCAL = "in part it fits no model of the others: there it is {0:.1f} mm off where {1:.1f} is usual"


@dataclass(frozen=True)
class Outlier:
    """A scan that stands out.

    Attributes
    ----------
    index : which.
    score : how far it stands out, in robust standard deviations of the others, by the worst measure.
    reason : one sentence.
    """

    index: int
    score: float
    reason: str


def find_outliers(
    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset,
    *,
    residuals: Float[np.ndarray, "n"] | None = None,
    mask: Bool[np.ndarray, "v"] | None = None,
    faces: Int[np.ndarray, "f 3"] | None = None,
    components: int = 50,
    false_alarms: float = 0.05,
    seed: int = 0,
) -> tuple[Outlier, ...]:
    """Return the scans that a model of the others finds odd, the oddest first.

    Every scan is measured by models that it had no part in, and so cannot vouch for itself; what is found
    leaves the models too, until nothing more is found. The measures are: the improbability of its
    coefficients (the sum of their squares), what the model misses of it, what it misses of the worst
    hundredth of vertices (in units of how far people differ there), its size, its distance from the mean, and
    how far the worst hundredth of edges are stretched, which shows where correspondence has slipped. Each is
    compared with its median over all scans, in robust standard deviations.

    Parameters
    ----------
    shapes : (n, v, 3) aligned (`align_shapes`), in millimetres: an array, or a data set, which is read once.
        Of thousands of scans, some thousand vertices are judged by, drawn at random.
    residuals : (n,) distances from the mean, as the alignment tells them; measured here when None.
    mask : (v,) the vertices to judge by; all when None.
    faces : (f, 3) the topology, for its edges; without, stretching is not judged.
    components : modes of the models at most; fewer for few scans.
    false_alarms : the chance that a clean, Gaussian set has any outlier reported.
    seed : of the random folds, and of which scans models are made of when there are more than 400.

    Returns
    -------
    None at all among fewer than six scans.

    References
    ----------
    Booth et al. 2018, section 4.4 (pruning by the squared norm of whitened weights; there, each scan is part
    of the model that judges it); Rousseeuw & Van Driessen 1999 (starting from the central half).
    """
    if len(shapes) < _FEWEST:
        return ()
    places = _places(shapes, mask, np.random.default_rng(seed))
    panel = _Panel(gather(shapes, np.arange(len(shapes)), places), components, seed)
    central, sizes = panel.distances()
    given = central if residuals is None else residuals
    fixed = (_size(sizes), _distance(given), *_strain(shapes, faces, mask, seed))
    trusted = central <= np.median(central)
    odd, measures = np.zeros(len(shapes), bool), (*panel.judge(trusted), *fixed)
    for _ in range(_ROUNDS):
        before, odd = odd, _excess(measures, odd, false_alarms).max(axis=0) > 1
        measures = (*panel.judge(~odd), *fixed)
        if (odd == before).all():
            break
    excess, deviations = _excess(measures, odd, false_alarms), _deviations(measures, odd)
    order = sorted(np.flatnonzero(odd), key=lambda i: -excess[:, i].max())
    return tuple(_outlier(int(i), measures, excess[:, i], deviations[:, i], odd) for i in order)


@dataclass(frozen=True, eq=False)
class _Measure:
    """A number for each scan: `values` are roughly normal; `shown` and the sentence are for people."""

    values: np.ndarray
    shown: np.ndarray
    sentence: str
    two_sided: bool = False


def _size(sizes: np.ndarray) -> _Measure:
    return _Measure(np.log(sizes), sizes, "its size is {0:.0f} mm where {1:.0f} is usual", two_sided=True)


def _distance(residuals: np.ndarray) -> _Measure:
    sentence = "aligned, it lies {0:.1f} mm from the mean where {1:.1f} is usual"
    return _Measure(np.log(np.maximum(residuals, 1e-12)), residuals, sentence)


def _strain(shapes: Any, faces: np.ndarray | None, mask: np.ndarray | None, seed: int) -> Iterator[_Measure]:
    """Yield the measure of stretched edges, if there are faces: mean |log length / usual| of the worst."""
    if faces is None:
        return
    edges = unique_edges(faces)
    if mask is not None:
        edges = edges[mask[edges].all(axis=1)]
    if not len(edges):
        return
    n, rng = len(shapes), np.random.default_rng(seed)
    edges = edges[np.sort(rng.permutation(len(edges))[:_EDGES])]
    usual = np.median([_log_lengths(shapes[int(i)], edges) for i in rng.permutation(n)[:_POOL]], axis=0)
    count = max(1, round(_WORST * len(edges)))
    strains = (np.minimum(np.abs(_log_lengths(shapes[i], edges) - usual), _MOST_STRAIN) for i in range(n))
    worst = [np.partition(strain, -count)[-count:] for strain in strains]
    strain = np.maximum(np.mean(worst, axis=1), 1e-12)
    yield _Measure(np.log(strain), np.exp(strain), _STRETCHED)


def _log_lengths(shape: np.ndarray, edges: np.ndarray) -> np.ndarray:
    ends = np.asarray(shape)[edges].astype(np.float64)
    lengths: np.ndarray = np.log(np.maximum(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1), 1e-6))
    return lengths.astype(np.float32)


def _deviations(measures: tuple[_Measure, ...], odd: np.ndarray) -> np.ndarray:
    """Return (measures, n) robust standard deviations from the median of those not odd."""
    rows = []
    for measure in measures:
        usual = measure.values[~odd]
        median = np.median(usual)
        spread = 1.4826 * float(np.median(np.abs(usual - median)))
        deviation = (measure.values - median) / max(spread, 1e-2)  # one percent: less is no difference
        rows.append(np.abs(deviation) if measure.two_sided else deviation)
    return np.stack(rows)


def _excess(measures: tuple[_Measure, ...], odd: np.ndarray, false_alarms: float) -> np.ndarray:
    """Return the deviations as shares of the limit that they must not pass."""
    n = np.count_nonzero(~odd)
    level = false_alarms / (len(measures) * len(odd))
    # Student's, because few scans tell little about their spread
    return _deviations(measures, odd) / float(student.ppf(1 - level, max(_EFFICIENCY * (n - 1), 2.0)))


def _outlier(
    index: int, measures: tuple[_Measure, ...], excess: np.ndarray, deviations: np.ndarray, odd: np.ndarray
) -> Outlier:
    told = [
        measure.sentence.format(measure.shown[index], float(np.median(measure.shown[~odd])))
        for measure, share in zip(measures, excess, strict=True)
        if share > 1
    ]
    sentence = "; ".join(told)
    return Outlier(index, float(deviations[excess.argmax()]), f"{sentence[:1].upper()}{sentence[1:]}.")


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

    def distances(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each scan's root mean square distance from the median shape, and its size, (n,) each."""
        some = self.flat[np.random.default_rng(self.seed).permutation(len(self.flat))[:_POOL]]
        median = np.median(some, axis=0)
        points = self.flat.reshape(len(self.flat), -1, 3)
        distances = [3 * np.mean((scan - median) ** 2, dtype=np.float64) for scan in self.flat]
        sizes = [3 * np.mean((scan - scan.mean(axis=0)) ** 2, dtype=np.float64) for scan in points]
        return np.sqrt(distances), np.sqrt(sizes)

    def judge(self, trusted: np.ndarray) -> tuple[_Measure, ...]:
        """Measure every scan by models of trusted others."""
        n, rng = len(self.flat), np.random.default_rng(self.seed)
        some = self._pool(trusted, rng)
        spread = np.linalg.norm(self.flat[some].std(axis=0).reshape(-1, 3), axis=1)
        usual = np.maximum(spread, 1e-3 * float(np.sqrt(np.mean(spread**2))) + 1e-12)
        modes = max(1, min(self.components, len(some) // 3))
        told = np.empty((n, 4))
        for group in folds(n, 1 if n <= _SINGLY else -(-n // _FOLDS), rng):
            others = trusted.copy()
            others[group] = False
            told[group] = self._judge_group(group, self._pool(others, rng), modes, usual)
        improbable, missed, local, shown = told.T
        return (
            # Wilson & Hilferty 1931: the cube root of a χ² variable is nearly normal
            _Measure(np.cbrt(improbable), np.sqrt(improbable / modes), _PROPORTIONS),
            _Measure(np.log(np.maximum(missed, 1e-12)), missed, _MISSED),
            _Measure(np.log(np.maximum(local, 1e-12)), shown, _LOCAL),
        )

    def _pool(self, candidates: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return which scans a model is made of: all candidates, or so many of them at random."""
        return np.sort(rng.permutation(np.flatnonzero(candidates))[:_POOL])

    def _judge_group(self, group: np.ndarray, pool: np.ndarray, modes: int, usual: np.ndarray) -> np.ndarray:
        """Return for each scan of a group: Σ c², and three distances to what the pool's model makes of it."""
        training = self.flat[pool]
        center = training.mean(axis=0)
        training -= center
        tested = self.flat[group] - center
        model = span_model(inner_products(training, training))
        coordinates = model.coordinates(inner_products(tested, training))
        modes = min(modes, len(model.roots))
        squares = np.sum((coordinates[:, :modes] / model.deviations[:modes]) ** 2, axis=1)
        tested -= model.blend(coordinates, len(model.roots)).astype(np.float32) @ training
        lengths = np.linalg.norm(tested.reshape(len(group), -1, 3), axis=2)
        return np.column_stack([squares, _distances(lengths, usual)])


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
