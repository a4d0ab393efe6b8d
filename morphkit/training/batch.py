"""Aligned faces as tensors: what a step sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from morphkit.errors import BadInputError
from morphkit.training.data.faces import Faces


@dataclass(frozen=True, eq=False)
class TruthBatch:
    """What is known of rendered photos, a row each; rows that are photographs hold zeros.

    Attributes
    ----------
    identity, expression, albedo : standard deviations.
    light : radiance, camera axes.
    K, R, t : float64, the OpenCV camera of the crop: pixels, rotation, millimetres.
    """

    identity: Float[Tensor, "batch i"]
    expression: Float[Tensor, "batch e"]
    albedo: Float[Tensor, "batch a"]
    light: Float[Tensor, "batch 9 3"]
    K: Float[Tensor, "batch 3 3"]
    R: Float[Tensor, "batch 3 3"]
    t: Float[Tensor, "batch 3"]

    def map(self, change: Callable[[Tensor], Tensor]) -> TruthBatch:
        """Return the truth with every tensor changed alike."""
        return TruthBatch(*(change(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Batch:
    """Faces as the network sees them.

    Attributes
    ----------
    images : sRGB 0..1, row 0 at the top: what the network sees.
    photos : sRGB 0..1: what drawings are compared with.
    attention : 0..1, how much each pixel counts.
    landmarks : (batch, 68, 2) pixels of `images`; NaN where unknown: what predicted ones are compared with.
    shown_landmarks : the same as a guided network is shown them: augmentation moves them.
    truth : of the rows that have it; None if no dataset has any.
    has_truth : which rows have it.
    places : (batch,) the row of each face in the joined datasets.
    """

    images: Float[Tensor, "batch s s 3"]
    photos: Float[Tensor, "batch s s 3"]
    attention: Float[Tensor, "batch s s"]
    landmarks: Float[Tensor, "batch 68 2"]
    shown_landmarks: Float[Tensor, "batch 68 2"]
    truth: TruthBatch | None
    has_truth: Bool[Tensor, " batch"]
    places: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """The side of the pictures, pixels."""
        return int(self.images.shape[1])

    def take(self, rows: Tensor) -> Batch:
        """Return some rows: indices, or which of them."""
        return self._map(lambda values: values[rows])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        truth = None if self.truth is None else self.truth.map(change)
        names = [field.name for field in fields(self) if field.name != "truth"]
        return Batch(**{name: change(getattr(self, name)) for name in names}, truth=truth)


@dataclass(frozen=True, eq=False)
class RawBatch:
    """Faces as datasets hold them, in bytes, with where they stand in the epoch's order.

    Attributes
    ----------
    images, attention : bytes, of the datasets' size.
    landmarks, truth, has_truth, places : as in `Batch`, in pixels of these pictures.
    epoch : of the order.
    positions : (batch,) in that order; they key each photo's own random numbers.
    """

    images: UInt8[Tensor, "batch s s 3"]
    attention: UInt8[Tensor, "batch s s"]
    landmarks: Float[Tensor, "batch 68 2"]
    truth: TruthBatch | None
    has_truth: Bool[Tensor, " batch"]
    places: Int[Tensor, " batch"]
    epoch: int
    positions: Int[Tensor, " batch"]

    @classmethod
    def from_faces(cls, faces: Faces, truth_sizes: tuple[int, int, int] | None = None) -> RawBatch:
        """Return a table of faces as tensors, in its own order.

        Parameters
        ----------
        truth_sizes : components of identity, expression and albedo that the truth is given: more are cut off,
            zeros stand in where there is no truth. None keeps what there is.

        Raises
        ------
        BadInputError
            When the truth has fewer components.
        """
        count = len(faces)
        rows = torch.arange(count)
        truth = None
        if truth_sizes is not None or faces.truth is not None:
            truth = _truth(faces, truth_sizes)
        return cls(
            torch.from_numpy(faces.images),
            torch.from_numpy(faces.attention),
            torch.from_numpy(faces.landmarks),
            truth,
            torch.full((count,), faces.truth is not None),
            rows,
            0,
            rows,
        )

    def take(self, rows: Tensor) -> RawBatch:
        """Return some rows: indices, or which of them."""
        names = ("images", "attention", "landmarks", "has_truth", "places", "positions")
        truth = None if self.truth is None else self.truth.map(lambda values: values[rows])
        changed: dict[str, Any] = {name: getattr(self, name)[rows] for name in names}
        return replace(self, truth=truth, **changed)

    def to(self, device: torch.device | str) -> RawBatch:
        """Return the batch on a device."""

        def moved(values: Tensor) -> Tensor:
            return values.to(device, non_blocking=True)

        names = ("images", "attention", "landmarks", "has_truth", "places")
        truth = None if self.truth is None else self.truth.map(moved)
        changed: dict[str, Any] = {name: moved(getattr(self, name)) for name in names}
        return replace(self, truth=truth, **changed)

    def __len__(self) -> int:
        return len(self.images)


def _truth(faces: Faces, sizes: tuple[int, int, int] | None) -> TruthBatch:
    count = len(faces)
    if faces.truth is None:
        i, e, a = sizes or (0, 0, 0)
        turn = np.eye(3)[None].repeat(count, 0)
        light, shift = np.zeros((count, 9, 3), np.float32), np.tile([0.0, 0.0, 1000.0], (count, 1))
        groups = (np.zeros((count, k), np.float32) for k in (i, e, a))
        return TruthBatch(*map(torch.from_numpy, (*groups, light, turn, turn.copy(), shift)))
    values = [getattr(faces.truth, field.name) for field in fields(TruthBatch)]
    if sizes is not None:
        values[:3] = [group[:, :k] for group, k in zip(values, sizes, strict=False)]
        for name, group, k in zip(("identity", "expression", "albedo"), values, sizes, strict=False):
            if group.shape[1] != k:
                raise BadInputError(
                    f"{faces.sources[0]}: the truth of its dataset has {group.shape[1]} components of "
                    f"{name}, {k} are trained; set model.{name} to as many, or make the dataset again."
                )
    return TruthBatch(*(torch.from_numpy(np.ascontiguousarray(value)) for value in values))
