"""Work that is asked for faster than it can be done: the latest request wins, none queue up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class LatestOnly:
    """Runs one job in a thread of its own whenever asked; asked while it runs, it runs once more.

    Parameters
    ----------
    job : reads what is wanted when it starts, so that it never works off old wishes.
    on_error : is told what the job raised; the thread lives on.
    interval : seconds from one start to the next, at least.
    """

    def __init__(
        self, job: Callable[[], None], on_error: Callable[[Exception], None], interval: float = 1 / 60
    ) -> None:
        self._job, self._on_error, self._interval = job, on_error, interval
        self._wake = threading.Condition()
        self._wanted = self._busy = self._closed = False
        self._thread = threading.Thread(target=self._run, name="morphkit-view", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Have the job run once from now on."""
        with self._wake:
            self._wanted = True
            self._wake.notify_all()

    def wait(self, timeout: float = 10.0) -> bool:
        """Wait until nothing is left to do; return whether that came about in time."""
        with self._wake:
            return self._wake.wait_for(lambda: self._closed or not (self._wanted or self._busy), timeout)

    def close(self) -> None:
        """End the thread after the job in hand."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while self._next():
            started = time.perf_counter()
            try:
                self._job()
            except Exception as error:
                self._on_error(error)
            with self._wake:
                self._busy = False
                self._wake.notify_all()
                # requests may come in while it rests; the condition is released meanwhile
                rest = self._interval - (time.perf_counter() - started)
                self._wake.wait_for(lambda: self._closed, max(rest, 0.0))

    def _next(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._wanted or self._closed)
            self._wanted, self._busy = False, not self._closed
            return not self._closed
