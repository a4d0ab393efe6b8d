"""Several scans at once, each in its own process with one thread inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib
from threadpoolctl import threadpool_limits

_MOST_JOBS = 8  # each takes most of a gigabyte

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which they finish.

    With one job all runs in this process; with more (None: one a core, at most 8), `function` and the items
    must be picklable. Either way the inner threads of BLAS and OpenMP are cut to one: scans fill the cores,
    small matrices gain nothing from threads, and results do not depend on `jobs`.
    """
    workers = min(jobs or min(joblib.cpu_count(), _MOST_JOBS), len(items))
    if workers <= 1:
        with threadpool_limits(1):
            yield from map(function, items)
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(
            n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        yield from pool(joblib.delayed(function)(item) for item in items)
