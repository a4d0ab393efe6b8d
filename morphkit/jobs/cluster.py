"""Tasks on a Dask cluster.

`distributed` is called directly: joblib's Dask backend waits for ever when a task is given up because its
workers keep dying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from morphkit.errors import BadInputError, MissingDependencyError, MorphkitError

_PATIENCE = 30  # seconds for the scheduler to answer, and for the first worker to be there

Item = TypeVar("Item")
Result = TypeVar("Result")


class _TaskLostError(Exception):
    """A task was given up, because its workers keep dying."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster.

    Attributes
    ----------
    address : of its scheduler.
    client : a ``distributed.Client``.
    """

    address: str
    client: Any

    def map_unordered(
        self,
        call: Callable[[Callable[[Item], Result], int, Item], tuple[int, Result]],
        function: Callable[[Item], Result],
        items: Mapping[int, Item],
        lost: Callable[[Item], Result],
    ) -> Iterator[Result]:
        """Yield the results of ``call(function, key, item)`` as they come.

        The scheduler gives a dead worker's task to another; what has taken several workers down is given up,
        and `lost` speaks for it.
        """
        from distributed import as_completed

        futures = {
            self.client.submit(call, function, key, item, pure=False): item for key, item in items.items()
        }
        for future in as_completed(list(futures), loop=self.client.loop):
            item = futures.pop(future)
            try:
                result = self._result(future)
            except _TaskLostError:
                yield lost(item)
            else:
                yield result[1]

    def _result(self, future: Any) -> Any:
        """Return a future's result, awaited anew if the worker that held it died meanwhile."""
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise _TaskLostError from error
        except CancelledError as error:
            raise MorphkitError(
                f"The Dask scheduler at {self.address} was lost; run again with --resume when it is back."
            ) from error
        except Exception as error:  # tasks raise nothing: the worker could not even begin
            raise MorphkitError(
                f"The workers of the Dask scheduler at {self.address} cannot do the work: "
                f"{type(error).__name__}: {error}."
            ) from error


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Yield the cluster behind a scheduler that has workers.

    Raises
    ------
    MissingDependencyError
        When `distributed` is not installed.
    BadInputError
        When the scheduler does not answer or has no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            "A scheduler needs Dask; install it with pip install 'morphkit-3dmm[distributed]'."
        ) from error
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"No Dask scheduler answers at {address}; start one with `dask scheduler`, or mend the address."
        ) from error
    with client:
        _ensure_workers(client, address)
        yield Cluster(address, client)


def _ensure_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise BadInputError(
            f"The Dask scheduler at {address} has no workers; start some with `dask worker {address}`."
        ) from error
