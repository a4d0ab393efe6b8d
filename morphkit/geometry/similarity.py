"""Similarity transforms: scale, rotation, translation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Similarity:
    """The map x -> scale · rotation · x + translation.

    Attributes
    ----------
    scale : positive.
    rotation : (3, 3) proper rotation matrix.
    translation : (3,) in the units of the target frame.
    """

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    @classmethod
    def identity(cls) -> Similarity:
        """Return the map that moves nothing."""
        return cls(1.0, np.eye(3), np.zeros(3))

    def apply(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return the mapped points."""
        return self.scale * points @ self.rotation.T + self.translation

    def rotate(self, vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
        """Return directions (normals) turned by the rotation alone."""
        return vectors @ self.rotation.T

    def inverse(self) -> Similarity:
        """Return the map that undoes this one."""
        scale = 1.0 / self.scale
        return Similarity(scale, self.rotation.T, -scale * self.rotation.T @ self.translation)

    def compose(self, first: Similarity) -> Similarity:
        """Return the map that applies `first`, then this one."""
        translation = self.scale * self.rotation @ first.translation + self.translation
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, translation)
