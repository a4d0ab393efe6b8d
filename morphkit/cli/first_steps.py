"""`morphkit demo` and `morphkit doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options


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
def demo(output: Path, jobs: int | None) -> None:
    """Raw scans to a model and a photo to a face, with pictures, in a few minutes.

    Makes 24 raw head scans from the embedded head, builds a model from them as build-basis does, fits the
    bundled photo as fit does, and writes OUTPUT/report.html.
    """
    from morphkit.cli.progress import StageProgress
    from morphkit.commands.demonstration import demo as run

    click.echo(
        f"Writing 24 raw scans, a model built from them, a fitted photo and report.html into {output}/"
    )
    with StageProgress() as progress:
        result = run(output, jobs=jobs, progress=progress)
    click.echo(
        f"Done in {result.seconds:.0f} s. {result.built} of {result.scans} scans went into the model; "
        f"vertices lie {result.correspondence_error:.2f} mm (mean) from the truth.\nOpen {result.report}"
    )


@click.command(short_help="Say what is installed, which backends work, what to do.")
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Say what is installed, which backends work, and what to do about those that do not."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from morphkit.commands.diagnosis import doctor as run

    checks = run()
    table = Table(box=None, show_header=False, pad_edge=False)
    marks = {"ok": Text("ok", "green"), "optional": Text("--", "yellow"), "broken": Text("BROKEN", "red")}
    for check in checks:
        table.add_row(marks[check.state], Text(check.name, "bold"), Text(check.detail), Text(check.remedy))
    Console().print(table)
    if any(check.state == "broken" for check in checks):
        ctx.exit(1)
