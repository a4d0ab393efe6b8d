"""What is known of the control vertices' displacements, whatever it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of displacements: quadratic terms u' P u / 2 - r' u at every control vertex.

    Attributes
    ----------
    precisions : (m, 3, 3).
    pulls : (m, 3) precision times displacement, summed.
    """

    precisions: Float[np.ndarray, "m 3 3"]
    pulls: Float[np.ndarray, "m 3"]

    @classmethod
    def none(cls, count: int) -> Evidence:
        """Return no evidence on `count` vertices."""
        return cls(np.zeros((count, 3, 3)), np.zeros((count, 3)))

    def add(
        self, indices: Int[np.ndarray, " n"], precisions: Float[np.ndarray, "n 3 3"], wanted: np.ndarray
    ) -> None:
        """Add that the vertices `indices` are displaced by the (n, 3) `wanted`."""
        np.add.at(self.precisions, indices, precisions)
        np.add.at(self.pulls, indices, np.einsum("nij,nj->ni", precisions, wanted))
