"""Random numbers that depend on what they are for, not on who draws them or when."""

from __future__ import annotations

from typing import Literal

import numpy as np

Purpose = Literal["order", "augmentation", "sets", "corruption"]

_PURPOSES: dict[str, int] = {"order": 1, "augmentation": 2, "sets": 3, "corruption": 4}


def keyed_generator(purpose: Purpose, seed: int, epoch: int, position: int = 0) -> np.random.Generator:
    """Return a generator of its own for each purpose, seed, epoch and position in the epoch's order.

    Philox is a function of key and counter (Salmon et al. 2011), so this costs nothing, and numbers don't
    depend on workers, processes or where a run was resumed. The counter's upper words hold epoch and
    position; the lower two are left for drawing.
    """
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, _PURPOSES[purpose]], np.uint64), counter=[0, 0, position, epoch])
    )
