"""What commands that make a folder of every photo have in common: their options, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from morphkit.fitting.batch import PhotoFile, PhotoOutcome


# The keys of `morphkit.fitting.output.FIT_FILES`, which is not imported before it is needed.
FILE_GROUPS = ("mesh", "glb", "texture", "camera", "params", "overlay", "uncertainty", "attention", "report")

_NAMED = 5  # failures that the last line names


class FileGroups(click.ParamType[tuple[str, ...]]):
    """Names of groups of files, with commas between."""

    name = "names"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names in their usual order."""
        names = value.replace(",", " ").split() if isinstance(value, str) else value
        unknown = [name for name in names if name not in FILE_GROUPS]
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(FILE_GROUPS)}.", param, ctx)
        return tuple(name for name in FILE_GROUPS if name in names)


which_photos = options.together(
    click.argument("photos", type=options.FILE, nargs=-1, metavar="PHOTO|FOLDER|GLOB..."),
    click.option("-r", "--recursive", is_flag=True, help="Look into the folders of folders, too."),
    click.option(
        "--landmarks",
        type=options.FILE,
        metavar="FILE|DIR",
        help="68 points in the photo's pixels, instead of detection; for several photos, a folder with "
        "<stem>.json or <stem>.pts for each.",
    ),
)


def how_to_run(do: str, made: str, of: str) -> Callable[[options.Command], options.Command]:
    """Return the options of which files, how many at once, and what of an earlier run is taken.

    Parameters
    ----------
    do, made : what is done to a photo, such as "fit" and "fitted".
    of : what a result depends on.
    """
    return options.together(
        click.option(
            "--files",
            type=FileGroups(),
            metavar="NAME,...",
            help=f"Write only these of {', '.join(FILE_GROUPS)}.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            help="Photos at once, in processes of about 1 GB.  [default: one a core, at most 8]",
        ),
        click.option(
            "--resume/--no-resume",
            default=True,
            help=f"Take what an earlier run has {made} if {of} are the same, or {do} every photo anew.  "
            "[default: resume]",
        ),
        options.json_option("Print one JSON object a photo, as each is done."),
    )


def announce(photos: tuple[PhotoFile, ...], output: Path, jobs: int | None, doing: str) -> None:
    """Say what is about to happen, and where it goes; `doing` is what, such as "Fitting"."""
    from morphkit.jobs import Workers

    at_once = Workers(jobs).at_once(len(photos))
    several = f", {at_once} at a time," if at_once > 1 else ""
    click.echo(
        f"{doing} {_photos(len(photos))}{several} into {output}: a folder a photo, such as "
        f"{output / photos[0].name}, with summary.csv, summary.json and index.html of them all.",
        err=True,
    )


def follow(outcomes: Iterator[PhotoOutcome], report: Report) -> None:
    """Tell of each photo as it is done, and of all in the end."""
    from morphkit.cli.progress import StageProgress

    with _explaining(report), StageProgress(announce=False, bars=not report.as_json) as progress:
        report.tell = progress.say
        progress(f"{report.doing} photos", 0, report.total)
        for outcome in outcomes:
            report.add(outcome)
            progress(f"{report.doing} photos", report.done, report.total)
    report.conclude()


@contextmanager
def _explaining(report: Report) -> Iterator[None]:
    """Say what remains of a run that is cut short."""
    try:
        yield
    except BaseException:
        kept = report.done - report.failed
        if kept:
            click.echo(
                f"{_photos(kept)} {report.made} and kept; the same command goes on from there.", err=True
            )
        raise


@dataclass
class Report:
    """What a person, or with `as_json` a program, is told of a run."""

    output: Path
    total: int
    as_json: bool
    debug: bool
    doing: str = "Fitting"
    made: str = "fitted"
    done: int = 0
    reused: int = 0
    failed: int = 0
    exit_code: int = 0
    named: list[Path] = field(default_factory=list)
    tell: Callable[[str], None] = field(default=partial(click.echo, err=True))

    def single(self, outcome: PhotoOutcome) -> None:
        """Tell of the only photo."""
        self.add(outcome)
        if not outcome.usable or outcome.folder is None or self.as_json:
            return
        again = " (by an earlier run; nothing has changed)" if outcome.status == "reused" else ""
        page = outcome.folder / "report.html"
        click.echo(f"{outcome.photo}: {page if page.is_file() else outcome.folder}{again}")
        for note in outcome.figures.notes if outcome.figures else ():
            click.echo(f"  Note: {note}", err=True)

    def add(self, outcome: PhotoOutcome) -> None:
        """Count a photo, and tell of it if it failed or a program asks."""
        self.done += 1
        self.reused += outcome.status == "reused"
        if not outcome.usable:
            self.failed += 1
            self.exit_code = max(self.exit_code, outcome.exit_code)
            self.named = [*self.named, outcome.photo][: _NAMED + 1]
            self.tell(f"Error: {outcome.error}")
            if self.debug and outcome.trace:
                self.tell(outcome.trace)
        if self.as_json:
            options.print_json(outcome.row())

    def conclude(self) -> None:
        """Tell of all photos."""
        fitted = self.total - self.failed
        earlier = f", {self.reused} of them by an earlier run" if self.reused else ""
        if not self.as_json:
            click.echo(
                f"{fitted} of {_photos(self.total)} {self.made}{earlier}: {self.output / 'index.html'}"
            )
        if self.failed:
            more = ", ..." if self.failed > _NAMED else ""
            names = ", ".join(map(str, self.named[:_NAMED]))
            click.echo(f"{self.failed} of {self.total} failed: {names}{more}.", err=True)


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
