"""How a long computation tells its caller where it is, and how long its stages took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, float], None]
"""Called with a stage's name and the share of the work done."""


def silent(_stage: str, _share: float) -> None:
    """Tell nobody."""


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Note under `stage` the seconds that the block takes."""
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
