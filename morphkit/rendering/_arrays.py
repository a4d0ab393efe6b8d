"""From CPU tensors to the contiguous arrays that numba takes."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def array(tensor: Tensor, dtype: type[np.generic] | None = None) -> np.ndarray:
    """Return a contiguous array, without a copy where possible.

    Raises
    ------
    ValueError
        If the tensor lives on another device than the CPU.
    """
    if tensor.device.type != "cpu":
        raise ValueError(f'the "numba" rasterizer takes CPU tensors, got one on {tensor.device}')
    return np.ascontiguousarray(tensor.detach().numpy(), dtype)
