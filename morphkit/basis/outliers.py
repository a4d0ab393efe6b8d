"""Scans that do not belong: reported with a reason, for a person to decide on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import t as student

from morphkit.basis.holdout import folds, gather, inner_products, span_model

_FEWEST = 6  # scans; among fewer, nobody can say who is odd
_POOL = 400  # scans that a model is made of, at most
_SINGLY = 64  # scans at most are left out one by one; more, in as many groups as
_FOLDS = 16
_WORST = 0.01  # share of the vertices
_CHUNK = 32  # scans read at a time
_ROUNDS = 6
_EFFICIENCY = 0.37  # of the median absolute deviation, compared with a standard deviation
_PROPORTIONS = "its proportions are {0:.1f} standard deviations out, a mode, where {1:.1f} is usual"
_MISSED = "a model of the others misses it by {0:.2f} mm where {1:.2f} is usual"
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
    components: int = 50,
    false_alarms: float = 0.05,
    seed: int = 0,
) -> tuple[Outlier, ...]:
    """Return the scans that a model of the others finds odd, the oddest first.

    Every scan is measured by models that it had no part in, and so cannot vouch for itself; what is found
    leaves the models too, until nothing more is found. The measures are: the improbability of its
    coefficients (the sum of their squares), what the model misses of it, what it misses of the worst
    hundredth of vertices (in units of how far people differ there), its size, and its distance from the mean.
    Each is compared with its median over all scans, in robust standard deviations.

    Parameters
    ----------
    shapes : (n, v, 3) aligned (`align_shapes`), in millimetres: an array, or a data set, some hundred of
        whose scans are in memory at a time.
    residuals : (n,) distances from the mean, as the alignment tells them; measured here when None.
    mask : (v,) the vertices to judge by; all when None.
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
    panel = _Panel(shapes, slice(None) if mask is None else mask, components, seed)
    central, sizes = panel.distances()
    given = central if residuals is None else residuals
    trusted = central <= np.median(central)
    odd, measures = np.zeros(len(shapes), bool), _measures(panel, trusted, sizes, given)
    for _ in range(_ROUNDS):
        before, odd = odd, _excess(measures, odd, false_alarms).max(axis=0) > 1
        measures = _measures(panel, ~odd, sizes, given)
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


def _measures(
    panel: _Panel, trusted: np.ndarray, sizes: np.ndarray, residuals: np.ndarray
) -> tuple[_Measure, ...]:
    return (*panel.judge(trusted), _size(sizes), _distance(residuals))


def _size(sizes: np.ndarray) -> _Measure:
    return _Measure(np.log(sizes), sizes, "its size is {0:.0f} mm where {1:.0f} is usual", two_sided=True)


def _distance(residuals: np.ndarray) -> _Measure:
    sentence = "aligned, it lies {0:.1f} mm from the mean where {1:.1f} is usual"
    return _Measure(np.log(np.maximum(residuals, 1e-12)), residuals, sentence)


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
    """Models of the scans, each judging those that it was not made of."""

    shapes: Float[np.ndarray, "n v 3"] | h5py.Dataset
    columns: np.ndarray | slice
    components: int
    seed: int

    def distances(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each scan's root mean square distance from the median shape, and its size, (n,) each."""
        n = len(self.shapes)
        some = np.sort(np.random.default_rng(self.seed).permutation(n)[:_POOL])
        median = np.median(gather(self.shapes, some, self.columns), axis=0).astype(np.float64)
        distances, sizes = np.empty(n), np.empty(n)
        for rows in self._chunks(np.arange(n)):
            flat = gather(self.shapes, rows, self.columns).astype(np.float64)
            points = flat.reshape(len(rows), -1, 3)
            distances[rows] = np.sqrt(3 * np.mean((flat - median) ** 2, axis=1))
            centered = points - points.mean(axis=1, keepdims=True)
            sizes[rows] = np.sqrt(3 * np.mean(centered**2, axis=(1, 2)))
        return distances, sizes

    def judge(self, trusted: np.ndarray) -> tuple[_Measure, ...]:
        """Measure every scan by models of trusted others."""
        n, rng = len(self.shapes), np.random.default_rng(self.seed)
        some = np.sort(rng.permutation(np.flatnonzero(trusted))[:_POOL])
        spread = gather(self.shapes, some, self.columns).std(axis=0).reshape(-1, 3)
        usual = np.maximum(np.linalg.norm(spread, axis=1), 1e-3 * float(np.sqrt(np.mean(spread**2))) + 1e-12)
        modes = max(1, min(self.components, len(some) // 3))
        told = np.empty((n, 4))
        for group in folds(n, 1 if n <= _SINGLY else -(-n // _FOLDS), rng):
            pool = np.sort(rng.permutation(np.setdiff1d(np.flatnonzero(trusted), group))[:_POOL])
            told[group] = self._judge_group(group, pool, modes, usual)
        improbable, missed, local, shown = told.T
        return (
            # Wilson & Hilferty 1931: the cube root of a χ² variable is nearly normal
            _Measure(np.cbrt(improbable), np.sqrt(improbable / modes), _PROPORTIONS),
            _Measure(np.log(np.maximum(missed, 1e-12)), missed, _MISSED),
            _Measure(np.log(np.maximum(local, 1e-12)), shown, _LOCAL),
        )

    def _judge_group(self, group: np.ndarray, pool: np.ndarray, modes: int, usual: np.ndarray) -> np.ndarray:
        """Return for each scan of a group: Σ c², and three distances to what the pool's model makes of it."""
        training = gather(self.shapes, pool, self.columns)
        center = training.mean(axis=0)
        training -= center
        model = span_model(inner_products(training, training))
        modes = min(modes, len(model.roots))
        told = []
        for rows in self._chunks(group):
            tested = gather(self.shapes, rows, self.columns) - center
            coordinates = model.coordinates(inner_products(tested, training))
            squares = np.sum((coordinates[:, :modes] / model.deviations[:modes]) ** 2, axis=1)
            tested -= model.blend(coordinates, len(model.roots)).astype(np.float32) @ training
            lengths = np.linalg.norm(tested.reshape(len(rows), -1, 3), axis=2)
            told.append(np.column_stack([squares, _distances(lengths, usual)]))
        return np.concatenate(told)

    def _chunks(self, index: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(index), _CHUNK):
            yield index[start : start + _CHUNK]


def _distances(lengths: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Return (t, 3): root mean square, and of the worst vertices the relative and the plain mean distance."""
    count = max(1, round(_WORST * lengths.shape[1]))
    relative = lengths / usual
    worst = np.argpartition(relative, -count, axis=1)[:, -count:]
    means = [np.take_along_axis(values, worst, axis=1).mean(axis=1) for values in (relative, lengths)]
    return np.column_stack([np.sqrt(np.mean(lengths**2, axis=1)), *means])
