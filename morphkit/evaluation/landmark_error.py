"""How far found landmarks lie from true ones, as a share of the face's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Normalization = Literal["outer_eyes", "pupils", "box"]
LandmarkSubset = Literal["inner", "all"]

_FIRST_INNER = 17  # iBUG's outline comes first
_THRESHOLD = 0.08  # 300-W's


@dataclass(frozen=True, eq=False)
class LandmarkErrors:
    """Normalised mean errors of n faces.

    Attributes
    ----------
    errors : (n,) the mean distance of a face's points over its size; infinite for a face without prediction.
    threshold : above which a face has failed, and up to which `auc` reaches.
    """

    errors: Float[np.ndarray, " n"]
    threshold: float = _THRESHOLD

    @property
    def missing(self) -> int:
        """How many faces have no prediction."""
        return int(np.isinf(self.errors).sum())

    @property
    def mean(self) -> float:
        """The mean over the faces that have a prediction; NaN when none has."""
        known = self.errors[np.isfinite(self.errors)]
        return float(known.mean()) if len(known) else np.nan

    @property
    def median(self) -> float:
        """The median over all faces: infinite when half of them have no prediction."""
        low, high = np.sort(self.errors)[[(len(self.errors) - 1) // 2, len(self.errors) // 2]]
        return float(0.5 * (low + high))

    @property
    def failure_rate(self) -> float:
        """The share of faces whose error is above the threshold, missing ones included."""
        return float(np.mean(self.errors > self.threshold))

    @property
    def auc(self) -> float:
        """The area under the cumulative error curve up to the threshold, as a share of the most."""
        return float(np.maximum(1.0 - self.errors / self.threshold, 0.0).mean())


def landmark_errors(
    predicted: Sequence[Float[np.ndarray, "_ _"] | None],
    truth: Float[np.ndarray, "n p d"],
    *,
    subset: LandmarkSubset = "inner",
    normalization: Normalization = "outer_eyes",
    threshold: float = _THRESHOLD,
) -> LandmarkErrors:
    """Return the normalised mean error of iBUG-68 landmarks, face by face.

    Parameters
    ----------
    predicted : (68, 2) pixels of each face; None, or NaN in a point that counts, is a missing prediction.
    truth : (n, 68, 2) pixels; points with NaN are not known and do not count.
    subset : "inner" leaves the outline (0..16) out, for which the 51 others remain; "all" counts 68.
    normalization : a face's size. "outer_eyes": between the outer corners of the eyes (300-W's, often called
        inter-ocular); "pupils": between the means of the six points of each eye; "box": the diagonal of the
        box around the known true points, which does not shrink as a head turns.
    threshold : for failure rate and area; 0.08 is 300-W's with "outer_eyes".

    Raises
    ------
    ValueError
        When shapes or lengths differ, there is no face, or a true face has no known point or size.

    References
    ----------
    Sagonas et al. 2016 (300-W); Bulat and Tzimiropoulos 2017 for the box.
    """
    if truth.shape[1:] != (68, 2):
        raise ValueError(f"truth: expected shape (n, 68, 2), got {truth.shape}")
    for face in predicted:
        if face is not None and face.shape != (68, 2):
            raise ValueError(f"predicted: expected shape (68, 2), got {face.shape}")
    if len(predicted) != len(truth) or not len(truth):
        raise ValueError(f"predicted: expected {max(len(truth), 1)} faces, got {len(predicted)}")
    if not threshold > 0:
        raise ValueError(f"threshold: expected a positive number, got {threshold}")
    first = _FIRST_INNER if subset == "inner" else 0
    errors = [
        _face_error(p, t, first, _size(t, normalization, i))
        for i, (p, t) in enumerate(zip(predicted, truth, strict=True))
    ]
    return LandmarkErrors(np.array(errors), threshold)


def _face_error(predicted: np.ndarray | None, truth: np.ndarray, first: int, size: float) -> float:
    if predicted is None:
        return np.inf
    known = np.isfinite(truth[first:]).all(axis=1)
    if not known.any():
        raise ValueError("truth: expected at least one known point in each face")
    distances = np.linalg.norm(predicted[first:][known] - truth[first:][known], axis=1)
    mean = float(distances.mean()) / size
    return mean if np.isfinite(mean) else np.inf


def _size(truth: np.ndarray, normalization: Normalization, index: int) -> float:
    if normalization == "box":
        known = truth[np.isfinite(truth).all(axis=1)]
        span = np.ptp(known, axis=0) if len(known) else np.zeros(2)
    elif normalization == "pupils":
        span = truth[36:42].mean(axis=0) - truth[42:48].mean(axis=0)
    else:
        span = truth[36] - truth[45]
    size = float(np.linalg.norm(span))
    if not (np.isfinite(size) and size > 0):
        raise ValueError(f"truth: face {index} has no size by {normalization!r}: its points are not known")
    return size
