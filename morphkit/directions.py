"""Named directions in a group of statistics, such as expression units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class NamedDirections:
    """Named directions in a group's coefficient space, such as the 52 expression units.

    Attributes
    ----------
    names : n names.
    coefficients : (n, k) float64; row i, given to the group as its coefficients, is unit i at full strength.
    """

    names: tuple[str, ...]
    coefficients: Float[np.ndarray, "n k"]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.coefficients):
            raise ValueError(f"{len(self.names)} names for {len(self.coefficients)} rows of coefficients")

    def combine(self, strengths: Mapping[str, float]) -> Float[np.ndarray, " k"]:
        """Return the group's coefficients for units at these strengths; KeyError names an unknown unit."""
        rows = dict(zip(self.names, self.coefficients, strict=True))
        total = np.zeros(self.coefficients.shape[1])
        for name, strength in strengths.items():
            total += strength * rows[name]
        return total
