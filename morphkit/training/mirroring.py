"""The truth of a mirrored photo: the same model's face, seen from the other side of its symmetry plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.geometry.procrustes import fit_similarity
from morphkit.morphable import LinearModel, MorphableModel
from morphkit.training.batch import TruthBatch

IBUG68_MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48),
    *(59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60),
    *(67, 66, 65),
)
"""The iBUG point that takes each one's place in a mirrored photo."""

_ODD = (3, 4, 7)  # harmonics that change sign with x: x, xy, xz
_UNEXPLAINED = 0.01  # share of a group's mirrored variance that its own components may miss


@dataclass(frozen=True, eq=False)
class MirrorMap:
    """How the mirrored face of a model is described by the model itself.

    Attributes
    ----------
    identity, expression, albedo : (matrix, offset): mirrored coefficients are matrix @ coefficients + offset.
    rotation, shift : the rigid motion that brings the reflected mean onto the mean; the identity if the
        model's plane of symmetry is x = 0.
    """

    identity: tuple[Float[Tensor, "i i"], Float[Tensor, " i"]]
    expression: tuple[Float[Tensor, "e e"], Float[Tensor, " e"]]
    albedo: tuple[Float[Tensor, "a a"], Float[Tensor, " a"]]
    rotation: Float[Tensor, "3 3"]
    shift: Float[Tensor, "3"]

    @classmethod
    def of(cls, model: MorphableModel, device: torch.device | str = "cpu") -> MirrorMap | None:
        """Return a model's map; None if it has no mirror, or its components can't tell the mirrored face.

        They can't where more than a hundredth of a group's variance is lost by mirroring.
        """
        if model.mirror is None:
            return None
        mean = model.identity.mean
        motion = fit_similarity((mean * _FLIP)[model.mirror], mean, scale=False)
        turn, shift = np.asarray(motion.rotation), np.asarray(motion.translation)

        def reflected(points: np.ndarray) -> np.ndarray:
            return (points * _FLIP)[..., model.mirror, :] @ turn.T

        def swapped(colors: np.ndarray) -> np.ndarray:
            return colors[..., model.mirror, :]

        plans = [
            (model.identity, reflected, shift),
            (model.expression, reflected, np.zeros(3)),
            (model.albedo, swapped, np.zeros(3)),
        ]
        maps = [_group_map(group, change, moved) for group, change, moved in plans]
        if any(found is None for found in maps):
            return None
        tensors = [
            tuple(torch.from_numpy(part).to(device, torch.float32) for part in found)
            for found in maps
            if found is not None
        ]
        placed = (torch.from_numpy(part).to(device, torch.float64) for part in (turn, shift))
        return cls(*tensors, *placed)  # type: ignore[arg-type]  # three pairs, then two

    def truth(self, truth: TruthBatch, width: int) -> TruthBatch:
        """Return the truth of photos mirrored left and right.

        With M = diag(-1, 1, 1) and H the motion of the reflected mean: X' = H M X, R' = M R M Hᵀ, so that the
        camera coordinates are mirrored too, and K' = F K M, F mirroring pixels, keeps fx > 0.

        Parameters
        ----------
        width : of the photos, pixels.
        """
        flip = truth.R.new_tensor(_FLIP)
        R = (flip[:, None] * truth.R * flip) @ self.rotation.to(truth.R).T
        t = flip * truth.t - R @ self.shift.to(truth.t)
        F = truth.K.new_tensor([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        light = truth.light.clone()
        light[:, _ODD] *= -1
        return TruthBatch(
            identity=_mapped(truth.identity, self.identity),
            expression=_mapped(truth.expression, self.expression),
            albedo=_mapped(truth.albedo, self.albedo),
            light=light,
            K=F @ truth.K * flip,
            R=R,
            t=t,
        )


_FLIP = np.array([-1.0, 1.0, 1.0])
_Change = Callable[[np.ndarray], np.ndarray]


def _mapped(values: Tensor, by: tuple[Tensor, Tensor]) -> Tensor:
    matrix, offset = by
    return values @ matrix.to(values).T + offset.to(values)


def _group_map(
    group: LinearModel | None, change: _Change, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return matrix and offset for one group; None if its components miss too much."""
    if group is None or group.n_components == 0:
        return np.zeros((0, 0)), np.zeros(0)
    deviations = group.standard_deviations.astype(np.float64)
    basis = group.basis.reshape(-1, group.n_components).astype(np.float64)  # orthonormal columns
    modes = change(np.moveaxis(basis.reshape(-1, 3, group.n_components), 2, 0))
    mirrored = modes.reshape(group.n_components, -1).T * deviations
    inside = basis.T @ mirrored
    lost = 1.0 - (inside**2).sum() / (mirrored**2).sum()
    difference = (change(group.mean.astype(np.float64)) + shift - group.mean).reshape(-1)
    if lost > _UNEXPLAINED:
        return None
    return inside / deviations[:, None], basis.T @ difference / deviations
