"""How poses and skin tones are spread over a dataset, and how often to draw each face to even that out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

YAW_EDGES = (-60.0, -40.0, -20.0, 20.0, 40.0, 60.0)
"""Degrees: left profile, half-profile, turned, frontal, and the same to the right."""

PITCH_EDGES = (-25.0, -10.0, 10.0, 25.0)
"""Degrees; positive nods down."""

TONE_EDGES = (-30.0, 10.0, 28.0, 41.0, 55.0)
"""Individual typology angles, degrees, of Chardon et al. 1991."""

TONE_NAMES = ("dark", "brown", "tan", "intermediate", "light", "very light")

MOST = 10.0
"""A face is drawn at most so many times as often as it would be without balancing."""


def pose_bins(poses: Float[np.ndarray, "n 3"]) -> Int64[np.ndarray, "n 2"]:
    """Return each face's bin of yaw and of pitch; `YAW_EDGES`, `PITCH_EDGES`."""
    pitch, yaw = np.degrees(poses[:, 0]), np.degrees(poses[:, 1])
    return np.stack([np.digitize(yaw, YAW_EDGES), np.digitize(pitch, PITCH_EDGES)], axis=1)


def tone_bins(tones: Float[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """Return each face's bin of `TONE_NAMES`; -1 where the tone is unknown."""
    return np.where(np.isnan(tones), -1, np.digitize(tones, TONE_EDGES)).astype(np.int64)


def balanced_weights(
    poses: Float[np.ndarray, "n 3"] | None,
    tones: Float[np.ndarray, " n"] | None,
    *,
    most: float = MOST,
) -> Float64[np.ndarray, " n"]:
    """Return how likely to draw each face so that poses, or tones, or both are seen alike often.

    Faces are sorted into the bins that occur: of yaw and pitch, of tones, or of all three. Every bin gets the
    same share, divided evenly among its faces, but no face more than `most` times 1/n; what that leaves over
    goes to the others in proportion.

    Parameters
    ----------
    poses : pitch, yaw and roll, radians; None leaves poses as they come.
    tones : degrees, NaN where unknown; None leaves tones as they come.
    most : bound on a face's weight over 1/n, at least 1.

    Returns
    -------
    (n,) float64
        They sum to 1.

    Raises
    ------
    ValueError
        When there are no faces, neither poses nor tones are given, or the bound is below 1.
    """
    columns = ([] if poses is None else [pose_bins(poses)]) + ([] if tones is None else [tone_bins(tones)])
    if not columns or not len(columns[0]) or most < 1.0:
        raise ValueError("expected poses or tones of at least one face, and most of at least 1")
    _, bins, counts = np.unique(np.column_stack(columns), axis=0, return_inverse=True, return_counts=True)
    return _bounded(1.0 / (len(counts) * counts[bins.reshape(-1)]), most / len(bins))


def histogram(values: Float[np.ndarray, " n"], edges: Sequence[float]) -> Int64[np.ndarray, " b"]:
    """Return how many values lie below the first edge, between each two, and from the last on."""
    return np.bincount(np.digitize(values[~np.isnan(values)], edges), minlength=len(edges) + 1)


def _bounded(weights: np.ndarray, highest: float) -> Float64[np.ndarray, " n"]:
    """Return weights that sum to 1 and keep their proportions, but for those that reach the bound."""
    full = np.zeros(len(weights), dtype=bool)
    bounded = weights / weights.sum()
    while (bounded > highest * (1 + 1e-12)).any():
        full |= bounded > highest
        if full.all():
            return np.full(len(weights), 1.0 / len(weights))
        rest = 1.0 - highest * full.sum()
        bounded = np.where(full, highest, weights * (rest / weights[~full].sum()))
    return bounded
