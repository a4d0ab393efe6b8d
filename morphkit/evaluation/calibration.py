"""Whether stated uncertainties are true: coverage, probability integral transform, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

LEVELS = (0.5, 0.9)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Where n true values fell in what was predicted for them.

    A value's place is its probability integral transform: the predicted probability of anything smaller.
    For predictions as samples it is only known to lie between two ranks; shares then count the part of that
    span that lies inside, which makes them right on average for any number of samples (Czado et al. 2009).

    Attributes
    ----------
    low, high : (n,) the span of each place, within 0..1; equal for Gaussian predictions.
    sharpness : the mean predicted standard deviation, in the values' units: of two calibrated predictions,
        the sharper says more.
    """

    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]
    sharpness: float

    def coverage(self, level: float) -> float:
        """Return the share of true values in the central interval of this probability; ideally `level`."""
        if not 0 <= level <= 1:
            raise ValueError(f"level: expected 0..1, got {level}")
        return self._share(0.5 - 0.5 * level, 0.5 + 0.5 * level)

    def curve(self, levels: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Return the coverage at each level: a calibrated prediction's is the diagonal."""
        return np.array([self.coverage(float(level)) for level in levels])

    def histogram(self, bins: int = 10) -> Float[np.ndarray, " b"]:
        """Return the shares of places in equal bins of 0..1.

        Ideally all 1 / bins; a U says too sure, a hump too unsure, a slope biased.
        """
        edges = np.linspace(0.0, 1.0, bins + 1)
        below = np.array([self._share(0.0, float(edge)) for edge in edges[1:]])
        shares: np.ndarray = np.diff(below, prepend=0.0)
        return shares

    @property
    def miscalibration(self) -> float:
        """The mean gap between coverage and level over all levels: 0 is calibrated, 0.5 the worst."""
        levels = np.arange(0.005, 1.0, 0.01)
        return float(np.abs(self.curve(levels) - levels).mean())

    def _share(self, first: float, last: float) -> float:
        """Return the share of places in first..last."""
        width = self.high - self.low
        inside = np.minimum(self.high, last) - np.maximum(self.low, first)
        points = (self.low >= first) & (self.low <= last)
        parts = np.clip(np.divide(inside, width, out=np.zeros_like(width), where=width > 0), 0.0, 1.0)
        return float(np.where(width > 0, parts, points).mean())


def gaussian_calibration(errors: Float[np.ndarray, "*n"], deviations: Float[np.ndarray, "*n"]) -> Calibration:
    """Return the calibration of Gaussian predictions.

    Parameters
    ----------
    errors : true value less predicted mean, any shape.
    deviations : the predicted standard deviations, positive, in the same units.

    Raises
    ------
    ValueError
        When there is no value, one is not finite, or a deviation is not positive.
    """
    _ensure_values(errors, "errors")
    if errors.shape != deviations.shape:
        raise ValueError(f"deviations: expected shape {errors.shape}, got {deviations.shape}")
    if not ((deviations > 0) & np.isfinite(deviations)).all():
        raise ValueError("deviations: expected positive finite numbers")
    places = ndtr((errors / deviations).astype(np.float64).ravel())
    return Calibration(places, places, float(deviations.mean()))


def sample_calibration(samples: Float[np.ndarray, " k *n"], truth: Float[np.ndarray, "*n"]) -> Calibration:
    """Return the calibration of predictions as samples.

    Parameters
    ----------
    samples : (k, ...) k >= 2 draws of all values.
    truth : (...) the true values.

    Raises
    ------
    ValueError
        When there are fewer than two samples, no value, one is not finite, or shapes differ.
    """
    if len(samples) < 2 or samples.shape[1:] != truth.shape:
        raise ValueError(f"samples: expected shape (2 or more, *{truth.shape}), got {samples.shape}")
    _ensure_values(truth, "truth")
    _ensure_values(samples, "samples")
    ranks = len(samples) + 1
    low = (samples < truth).sum(axis=0).ravel() / ranks
    high = ((samples <= truth).sum(axis=0).ravel() + 1) / ranks
    return Calibration(low, high, float(samples.std(axis=0, ddof=1).mean()))


def _ensure_values(values: np.ndarray, name: str) -> None:
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name}: expected at least one value, all finite, got shape {values.shape}")
