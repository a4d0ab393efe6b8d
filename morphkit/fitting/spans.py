"""What landmarks tell of lips, lids and mouth besides their places: how far they are apart, how wide it is.

A detector's points go wrong together, so that a fit trusts each of them little, and the few that tell an open
mouth from a closed one are outvoted by the expression's prior. But how far two of them are apart is seen as
well as where one is: told as observations of their own, distances keep lips shut at rest and open in a laugh.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.fitting.settings import LandmarkSettings

_LIPS = ((61, 67), (62, 66), (63, 65))  # inner, upper and lower, of the 68 iBUG points
_LIDS = ((37, 41), (38, 40)), ((43, 47), (44, 46))
_CORNERS = ((48, 54),)  # of the mouth


@dataclass(frozen=True, eq=False)
class SeenSpans:
    """Differences of pairs of iBUG points in a photo, each along the face's height or its width.

    Attributes
    ----------
    first, second : m names each, in the embedding "ibug68".
    pixels : (m, 2) the first point minus the second.
    deviations : (m,) standard deviations along their direction, millimetres on the face.
    wide : (m,) whether that is the face's width rather than its height.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    pixels: Float[np.ndarray, "m 2"]
    deviations: Float[np.ndarray, " m"]
    wide: Bool[np.ndarray, " m"]

    def among(self, names: Collection[str]) -> SeenSpans:
        """Return those whose points are both in `names`."""
        pairs = list(zip(self.first, self.second, strict=True))
        keep = np.array([a in names and b in names for a, b in pairs], dtype=bool)
        first, second = (
            tuple(pair[k] for pair, kept in zip(pairs, keep, strict=True) if kept) for k in (0, 1)
        )
        return SeenSpans(first, second, self.pixels[keep], self.deviations[keep], self.wide[keep])


def seen_spans(points: Float[np.ndarray, "68 2"], settings: LandmarkSettings) -> SeenSpans:
    """Return the lips' and the lids' gaps and the mouth's width of 68 points; those with a NaN are left out.

    The pairs of one gap err alike, so that together they weigh as one.
    """
    known = np.isfinite(points).all(axis=1)
    groups = [
        (_LIPS, settings.lip_gap_deviation, False),
        *((lids, settings.lid_gap_deviation, False) for lids in _LIDS),
        (_CORNERS, settings.mouth_width_deviation, True),
    ]
    rows = []
    for pairs, deviation, wide in groups:
        seen = [(a, b) for a, b in pairs if known[a] and known[b]]
        rows += [(a, b, deviation * len(seen) ** 0.5, wide) for a, b in seen]
    first, second = (np.array([row[k] for row in rows], dtype=int) for k in (0, 1))
    return SeenSpans(
        tuple(map(str, first)),
        tuple(map(str, second)),
        (points[first] - points[second]).astype(np.float64),
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=bool),
    )
