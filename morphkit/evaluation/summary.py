"""Errors of many faces in a few figures, failures included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

_NOW_LIMIT = 7.0  # millimetres, where the NoW benchmark's curve ends


@dataclass(frozen=True, eq=False)
class PooledErrors:
    """The distances of all points of all faces, and the points of the faces that failed.

    Attributes
    ----------
    distances : (n,) of the faces that could be measured, millimetres.
    failed_points : how many points those have that could not: each counts as infinitely far in `curve`, `auc`
        and `median_with_failures`, and nowhere else.
    """

    distances: Float[np.ndarray, " n"]
    failed_points: int = 0

    @classmethod
    def of(
        cls, faces: Sequence[Float[np.ndarray, " _"] | None], points: Sequence[int] | None = None
    ) -> PooledErrors:
        """Pool faces, None for a failure.

        Parameters
        ----------
        faces : distances of each.
        points : how many the true face has, for each; needed where one failed.
        """
        known = [face for face in faces if face is not None]
        if len(known) < len(faces) and (points is None or len(points) != len(faces)):
            raise ValueError(f"points: expected a number for each of {len(faces)} faces, since some failed")
        lost = [size for face, size in zip(faces, points or (), strict=False) if face is None]
        return cls(np.concatenate(known) if known else np.zeros(0), int(sum(lost)))

    @cached_property
    def median(self) -> float:
        """The median of the measured distances; NaN when there are none."""
        return float(np.median(self.distances)) if len(self.distances) else np.nan

    @cached_property
    def mean(self) -> float:
        """Their mean."""
        return float(self.distances.mean(dtype=np.float64)) if len(self.distances) else np.nan

    @cached_property
    def standard_deviation(self) -> float:
        """Their standard deviation."""
        return float(self.distances.std(dtype=np.float64)) if len(self.distances) else np.nan

    @cached_property
    def median_with_failures(self) -> float:
        """The median when points of failures are infinitely far: infinite when they are half of all."""
        total = len(self.distances) + self.failed_points
        middle = (total - 1) // 2, total // 2
        if not total or middle[1] >= len(self.distances):
            return np.inf if total else np.nan
        return float(np.partition(self.distances, middle)[list(middle)].mean(dtype=np.float64))

    def curve(self, thresholds: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """Return the share of all points, failures' included, whose distance is at most each threshold."""
        total = max(len(self.distances) + self.failed_points, 1)
        within: np.ndarray = np.searchsorted(self._sorted, thresholds, side="right") / total
        return within

    def auc(self, limit: float = _NOW_LIMIT) -> float:
        """Return the area under `curve` from 0 to `limit`, as a share of the most there could be."""
        total = len(self.distances) + self.failed_points
        kept = np.maximum(1.0 - self.distances.astype(np.float64) / limit, 0.0)
        return float(kept.sum() / total) if total else np.nan

    @cached_property
    def _sorted(self) -> np.ndarray:
        return np.sort(self.distances)
