"""One thread for many small steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread inside; restored afterwards.

    A fit is thousands of operations of a millisecond and less. Threads that wait for each other in each of
    them gain nothing on an idle machine and make a busy one ten times slower; photos are the better unit to
    run in parallel.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)
