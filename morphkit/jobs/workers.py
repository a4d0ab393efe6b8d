"""Many tasks at once, on this machine or on a cluster; a worker that dies costs the task in its hands."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from morphkit.jobs.cluster import connected

_MOST_JOBS = 8  # each takes most of a gigabyte

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes
    ----------
    jobs : tasks at once in processes of this machine; None is one a core, at most 8.
    scheduler : the address of a Dask scheduler (``tcp://host:port``), whose workers take the tasks instead.
    """

    jobs: int | None = None
    scheduler: str | None = None

    def at_once(self, items: int) -> int:
        """Return how many processes of this machine work on so many items; with one, it is this process."""
        return min(self.jobs or min(joblib.cpu_count(), _MOST_JOBS), items)


def map_unordered(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: Workers | None = None,
    lost: Callable[[Item], Result],
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, in the order in which they finish.

    Closed early, it ends the processes. With one job all runs in this process; else `function` and the items
    must be picklable. Either way the inner threads of BLAS and OpenMP are cut to one: tasks fill the cores,
    small matrices gain nothing from threads, and results do not depend on who computes them.

    Parameters
    ----------
    function : that raises nothing.
    items : what it is called with.
    workers : see `Workers`.
    lost : gives the result for an item that takes its process down whenever it is tried.

    Raises
    ------
    BadInputError
        When the scheduler does not answer or has no workers.
    MissingDependencyError
        When there is a scheduler, but `distributed` is not installed.
    MorphkitError
        When the scheduler is lost on the way.
    """
    workers = workers or Workers()
    waiting = dict(enumerate(items))
    if workers.scheduler is not None:
        with connected(workers.scheduler) as cluster:
            yield from cluster.map_unordered(_pinned, function, waiting, lost)
        return
    count = workers.at_once(len(items))
    if count <= 1:
        with threadpool_limits(1):
            yield from map(function, items)
    else:
        yield from _in_processes(function, waiting, count, lost)


def _in_processes(
    function: Callable[[Item], Result],
    items: Mapping[int, Item],
    count: int,
    lost: Callable[[Item], Result],
) -> Iterator[Result]:
    """Yield results from a pool; when a worker dies, those in flight are tried again, each by itself."""
    waiting = dict(items)
    while waiting:
        started: list[int] = []
        try:
            with closing(_pooled(function, waiting, count, started)) as results:
                for key, result in results:
                    del waiting[key]
                    yield result
        except BrokenProcessPool:
            for key in [key for key in started if key in waiting]:
                yield _alone(function, waiting.pop(key), lost)


def _alone(function: Callable[[Item], Result], item: Item, lost: Callable[[Item], Result]) -> Result:
    try:
        with closing(
            _pooled(function, {0: item}, 2, [])
        ) as results:  # of one, joblib would make this process
            return next(results)[1]
    except BrokenProcessPool:
        return lost(item)


def _pooled(
    function: Callable[[Item], Result], items: Mapping[int, Item], count: int, started: list[int]
) -> Generator[tuple[int, Result], None, None]:
    """Yield (key, result); `started` grows by the keys handed out, at most `count` of them unfinished."""
    home = os.getcwd()

    def tasks() -> Iterator[Any]:
        for key, item in list(items.items()):
            started.append(key)
            yield joblib.delayed(_pinned_at)(home, function, key, item)

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(
            n_jobs=count, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
        results = pool(tasks())
        try:
            # `yield from` would pass an early end on to joblib, which warns of it.
            for result in results:  # noqa: UP028
                yield result
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                results.close()


def _pinned_at(home: str, function: Callable[[Item], Result], key: int, item: Item) -> tuple[int, Result]:
    os.chdir(home)  # a process of an earlier call may stand elsewhere, and paths may be relative
    return _pinned(function, key, item)


def _pinned(function: Callable[[Item], Result], key: int, item: Item) -> tuple[int, Result]:
    _pin_threads()
    return key, function(item)


@cache
def _pin_threads() -> None:
    """Cut this worker process's BLAS and OpenMP threads to one, for good.

    Not for the length of a task: where tasks share a process, the first to end would undo it for the others.
    """
    threadpool_limits(1)
