"""A batch of pictures as one run of pixels, cut into runs for the threads."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Tensor

from morphkit.geometry.parallel import split_range
from morphkit.rendering._arrays import array

_CROWD = 64  # so many numbers add up in single precision without harm


def pixels(tensor: Tensor) -> np.ndarray:
    """Return (batch * h * w, c) from (batch, h, w, c), or (batch * h * w,) from (batch, h, w)."""
    return array(tensor).reshape(prod(tensor.shape[:3]), *tensor.shape[3:])


def picture(values: np.ndarray, like: Tensor) -> Tensor:
    """Return (batch, h, w, c), or (batch, h, w), with the pixels of `like`."""
    return torch.from_numpy(values.reshape(*like.shape[:3], *values.shape[1:]))


def runs(count: int, parts: int) -> list[slice]:
    """Return at most `parts` runs of nearly equal length."""
    return [slice(first, last) for first, last in split_range(count, parts)]


def shares(instances: int, count: int, parts: int) -> list[tuple[int, slice]]:
    """Return which instance serves which run of `count` pixels, in about `parts` runs, or one for each."""
    size = count // instances
    return [
        (i, slice(i * size + run.start, i * size + run.stop))
        for i in range(instances)
        for run in runs(size, -(-parts // instances))
    ]


def sum_dtype(count: int, places: int, dtype: np.dtype) -> np.dtype:
    """Return in what to add up `count` pixels' gradients: in double where many meet in one place."""
    return np.dtype(np.float64) if count > _CROWD * places else dtype
