"""Progress on the terminal: one bar a stage where a person watches, one line a stage in a log."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

_MEMORY = 600.0  # seconds of past steps from which the remaining time is guessed


class StageProgress:
    """Shows stages as they are reported: ``with StageProgress() as progress: work(progress=progress)``.

    Calling it says that of a stage's `total` steps `done` are finished.
    """

    def __init__(self, announce: bool = True, bars: bool = True, opening: str = "") -> None:
        """Take whether a log gets a line a stage, and a person bars, and what to say before the first."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(
            *columns,
            console=self._console,
            disable=not (bars and self._console.is_terminal),
            speed_estimate_period=_MEMORY,
        )
        self._announce, self._opening = announce, opening
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StageProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `stage` are finished."""
        if stage not in self._tasks:
            if self._opening and not self._tasks:  # not of calls that are refused
                self.say(self._opening)
            self._tasks[stage] = self._bars.add_task(stage, total=total)
            if self._bars.disable and self._announce:
                self._console.print(f"{stage} ...", highlight=False)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def say(self, text: str) -> None:
        """Print a line to stderr, above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
