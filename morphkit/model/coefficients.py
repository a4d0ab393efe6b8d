"""All coefficients of a face in one vector, by name."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What makes a picture of a face, a batch of them.

    Attributes
    ----------
    identity, expression, albedo : in standard deviations.
    rotation : axis-angle, radians, after `rendering.camera.facing()`.
    light : spherical harmonics, as `rendering.lighting` has them.
    translation : the head's origin in camera coordinates, millimetres.
    """

    identity: Float[Tensor, "batch i"]
    expression: Float[Tensor, "batch e"]
    albedo: Float[Tensor, "batch a"]
    rotation: Float[Tensor, "batch 3"]
    light: Float[Tensor, "batch 9 3"]
    translation: Float[Tensor, "batch 3"]


@dataclass(frozen=True)
class CoefficientLayout:
    """Where each group lies in a vector: in the order of `Coefficients`, Deng et al. 2019's.

    Attributes
    ----------
    identity, expression, albedo : how many components each group has.
    """

    identity: int
    expression: int
    albedo: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The length of each group, in order."""
        return self.identity, self.expression, self.albedo, 3, 27, 3

    @property
    def length(self) -> int:
        """The length of the whole vector; 257 for the paper's 80, 64 and 80 components."""
        return sum(self.sizes)

    def split(self, vector: Float[Tensor, "batch n"]) -> Coefficients:
        """Return the groups of a vector, as views of it.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        if vector.shape[1] != self.length:
            raise ValueError(f"vector must have {self.length} columns, got {vector.shape[1]}")
        identity, expression, albedo, rotation, light, translation = torch.split(
            vector, list(self.sizes), dim=1
        )
        return Coefficients(identity, expression, albedo, rotation, light.reshape(-1, 9, 3), translation)

    def join(self, coefficients: Coefficients) -> Float[Tensor, "batch n"]:
        """Return the groups as one vector; the inverse of `split`.

        Raises
        ------
        ValueError
            If a group has another length than the layout says.
        """
        groups = [getattr(coefficients, f.name).flatten(1) for f in fields(Coefficients)]
        sizes = tuple(group.shape[1] for group in groups)
        if sizes != self.sizes:
            raise ValueError(f"coefficient groups must have lengths {self.sizes}, got {sizes}")
        return torch.cat(groups, dim=1)
