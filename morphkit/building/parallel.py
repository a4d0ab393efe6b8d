"""Several scans at once, each in its own process with one thread inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int = 1
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in the order in which they finish.

    With one job everything runs in this process. With more, `function` and the items must be picklable;
    the processes' inner threads (BLAS, OpenMP, numba) are cut to one each, since the scans already fill the cores.
    """
    if jobs <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(
            n_jobs=min(jobs, len(items)), return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        yield from pool(joblib.delayed(function)(item) for item in items)
