"""Run GIL-free numba kernels side by side in plain threads.

numba's own `parallel=True` costs seconds of compilation per kernel, is unsafe to call from several Python
threads on some of its threading layers, and breaks after `fork`; kernels compiled with `nogil=True` and
called from a small pool have none of these troubles.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba


def thread_count() -> int:
    """Return how many threads kernels may use; the environment variable NUMBA_NUM_THREADS sets it."""
    return max(1, int(numba.config.NUMBA_NUM_THREADS))


def split_range(count: int, parts: int) -> list[tuple[int, int]]:
    """Return at most `parts` half-open ranges of nearly equal length that cover ``range(count)``."""
    parts = max(1, min(parts, count))
    edges = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


def run_all(function: Callable[..., Any], argument_lists: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `function` once per argument tuple, side by side, and return the results in order.

    The caller's own thread works too, so that short work is done before another thread would have woken. A
    `function` must release the GIL to gain anything.
    """
    results: list[Any] = [None] * len(argument_lists)
    waiting = iter(enumerate(argument_lists))  # shared: the GIL gives each item to one thread

    def work() -> None:
        for i, arguments in waiting:
            results[i] = function(*arguments)

    helpers = min(thread_count(), len(argument_lists)) - 1
    futures = [_pool(os.getpid(), thread_count()).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        late = [future for future in futures if not future.cancel()]
        for future in late:
            future.result()
    return results


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - keyed by process: a forked child needs its own
    return ThreadPoolExecutor(threads, thread_name_prefix="morphkit")
