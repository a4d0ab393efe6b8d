"""Several scans at once, each in its own process with one thread inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int = 1
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which they finish.

    With one job all runs in this process; with more, `function` and the items must be picklable. Either way
    the inner threads of BLAS and OpenMP are cut to one: scans fill the cores, small matrices gain nothing
    from threads, and results do not depend on `jobs`.
    """
    if jobs <= 1 or len(items) <= 1:
        with threadpool_limits(1):
            yield from map(function, items)
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(
            n_jobs=min(jobs, len(items)), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        yield from pool(joblib.delayed(function)(item) for item in items)
