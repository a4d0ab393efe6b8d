"""`morphkit demo` and `morphkit doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from morphkit.commands.diagnosis import Check


@click.command(short_help="See it all in a few minutes: scans, a model, a fitted photo.")
@click.option(
    "-o",
    "--output",
    type=options.FILE,
    default="morphkit-demo",
    show_default=True,
    help="The folder to fill.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Scans registered at once.  [default: one a core, at most 8]"
)
@options.json_option()
def demo(output: Path, jobs: int | None, as_json: bool) -> None:
    """Raw scans to a model and a photo to a face, with pictures, in a few minutes.

    Makes 24 raw head scans from the embedded head, builds a model from them as build-basis does, fits the
    bundled photo as fit does, and writes OUTPUT/report.html.
    """
    from morphkit.cli.progress import StageProgress
    from morphkit.commands.demonstration import demo as run

    click.echo(
        f"Writing 24 raw scans, a model built from them, a fitted photo and report.html into {output}/",
        err=as_json,
    )
    with StageProgress() as progress:
        result = run(output, jobs=jobs, progress=progress)
    if as_json:
        options.print_json(result)
        return
    click.echo(
        f"Done in {result.seconds:.0f} s. {result.built} of {result.scans} scans went into the model; "
        f"vertices lie {result.correspondence_error:.2f} mm (mean) from the truth.\nOpen {result.report}"
    )


@click.command(short_help="Say what is installed, which backends work, what to do.")
@options.json_option()
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is installed, which backends work, and what to do about those that do not."""
    from morphkit.commands.diagnosis import doctor as run

    checks = run()
    if as_json:
        options.print_json({"checks": checks})
    else:
        _show(checks)
    if any(check.state == "broken" for check in checks):
        ctx.exit(1)


def _show(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.text import Text

    console, width = Console(), max(len(check.name) for check in checks)
    marks = {"ok": ("ok    ", "green"), "optional": ("--    ", "yellow"), "broken": ("BROKEN", "red")}
    for check in checks:
        line = Text.assemble(marks[check.state], " ", (check.name.ljust(width), "bold"), " ", check.detail)
        console.print(line, soft_wrap=True)
        if check.remedy:  # on a line of its own: a command to copy must be whole
            console.print(Text(f"       {check.remedy}"), soft_wrap=True)
