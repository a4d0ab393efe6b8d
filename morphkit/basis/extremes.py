"""Which of many numbers are too large to belong with the others, however few or many there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2
from scipy.stats import t as student

_MOST = 0.25  # of the numbers can be told apart from the rest
_TRIES = 4  # that the chance is shared out to; further ones hardly ever find anything where those do not
_FARTHEST = 1e9  # standard deviations that are told; of usual ones that are all alike, there is no spread
_LEAST = 0.01  # relative spread: less is no difference


@dataclass(frozen=True, eq=False)
class Deviations:
    """How far numbers lie from some usual ones.

    Attributes
    ----------
    sigmas : in standard deviations of the usual ones, after a transformation that makes them nearly normal.
    shares : of the limit that they must not pass; above one does not belong.
    """

    sigmas: Float[np.ndarray, " k"]
    shares: Float[np.ndarray, " k"]


def deviations(
    values: Float[np.ndarray, " k"], usual: Float[np.ndarray, " m"], level: float, *, signed: bool = False
) -> Deviations:
    """Return how far values lie from m usual ones that they are not among.

    A length of a Gaussian vector passes both limits with a chance of `level` at most, roughly. Its power 2/3
    is nearly normal, so it is compared by Student's t with m - 1 degrees of freedom, which counts that few
    numbers tell little about their spread. But where some directions vary much more than others, the far tail
    is longer than their spread lets expect; of all weighted sums of squares, a single square has the longest
    for its spread. So the square must pass that limit too, which matters among many.

    Parameters
    ----------
    values : lengths, that are odd when they are large; or any numbers, when `signed`.
    usual : (m,) what they are compared with, m >= 2.
    level : the chance that a value that belongs passes.
    signed : the numbers are normal, and odd when they are large or small.

    References
    ----------
    Wilson & Hilferty 1931 (the power).
    """
    if signed:
        sigmas = np.abs(_standardized(values, usual, _LEAST))
        return Deviations(sigmas, sigmas / _student_limit(len(usual), level / 2))
    roots, usual_roots = np.cbrt(values**2), np.cbrt(usual**2)
    sigmas = _standardized(roots, usual_roots, _LEAST * float(usual_roots.mean()))
    shares = sigmas / _student_limit(len(usual), level)
    tail = _standardized(values**2, usual**2, _LEAST * float(np.mean(usual**2)))
    longest = (float(chi2.isf(level, 1)) - 1) / np.sqrt(2)
    return Deviations(sigmas, np.minimum(shares, tail / longest))


def find_extremes(
    values: Float[np.ndarray, " n"], level: float, *, least: float = 0.0, signed: bool = False
) -> Bool[np.ndarray, " n"]:
    """Return which of n numbers do not belong with the others; a quarter of them at most.

    From the outside in, so that odd ones that are alike do not hide each other: as many are taken out as
    possible such that the least odd of them is still too far from those that stay.

    Parameters
    ----------
    values : see `deviations`.
    level : the chance that one that belongs is taken out; for a family of n, a share of 1 / n of the whole.
    least : what is no farther from the mean of the others belongs in any case.
    signed : see `deviations`.

    References
    ----------
    Rosner 1983 (the generalized extreme studentized deviate test).
    """
    n = len(values)
    order = np.argsort(np.abs(values - np.median(values)) if signed else values, kind="stable")
    ranked = values[order]
    found = np.zeros(n, bool)
    most = max(int(_MOST * n), 1)
    level /= min(most, _TRIES)
    for count in range(most, 0, -1):
        rest, suspected = np.split(ranked, [n - count])
        if len(rest) < 2 or abs(suspected[0] - rest.mean()) <= least:
            continue
        if deviations(suspected[:1], rest, level, signed=signed).shares[0] > 1:
            found[order[n - count :]] = True
            break
    return found


def _standardized(values: np.ndarray, usual: np.ndarray, least: float) -> np.ndarray:
    """Return standard deviations from the mean of m others, whose own uncertainty counts."""
    away = values - usual.mean()
    spread = np.maximum(max(float(usual.std(ddof=1)), least, 1e-300), np.abs(away) / _FARTHEST)
    return np.asarray(away / spread / np.sqrt(1 + 1 / len(usual)))


def _student_limit(count: int, level: float) -> float:
    return float(student.isf(level, count - 1))
