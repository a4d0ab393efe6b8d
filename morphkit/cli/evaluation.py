"""`morphkit evaluate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from morphkit.commands.evaluation import ModelEvaluation


_HEADS = {
    "Generalization, held-out": "held-out",
    "Generalization, left out": "left out",
    "Specificity": "specific",
}


@click.command(short_help="Measure how good a model is.")
@click.argument("model", type=options.FILE, metavar="MODEL.H5")
@click.option(
    "--held-out",
    type=options.FILE,
    metavar="DIR",
    help="Registered meshes of people who are not in the model, in its topology.",
)
@click.option(
    "--training",
    type=options.FILE,
    metavar="DIR",
    help="The registered meshes it was built from, such as a build's --work folder.",
)
@click.option(
    "-o", "--output", type=options.FILE, metavar="OUT_DIR", help="Where evaluation.html, .json and plots go."
)
@click.option("--mask", metavar="NAME", help="Measure on this region of the model, or all.  [default: face]")
@click.option(
    "--samples", type=click.IntRange(min=1), default=200, show_default=True, help="Heads for specificity."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@options.json_option()
def evaluate(
    model: Path,
    held_out: Path | None,
    training: Path | None,
    output: Path | None,
    mask: str | None,
    samples: int,
    seed: int,
    as_json: bool,
) -> None:
    """Measure a model: compactness, generalization, specificity.

    How much variance the first modes hold; how near the model comes to people it has not seen; how far its
    random heads are from real ones. By the same points and by the surface, with 95 % bootstrap intervals.
    Without a folder of shapes, only compactness can be told.
    """
    from rich.console import Console
    from rich.text import Text

    from morphkit.cli.progress import StageProgress
    from morphkit.commands.evaluation import evaluate as run
    from morphkit.commands.evaluation import numbers

    with StageProgress() as progress:
        result = run(
            model,
            held_out=held_out,
            training=training,
            output=output,
            mask=mask,
            samples=samples,
            seed=seed,
            progress=progress,
        )
    if as_json:
        options.print_json({**numbers(result), "files": result.files})
        return
    console = Console()
    for table in (_facts(result), _numbers(result)):
        console.print(table)
    for name, reason in result.outliers:
        console.print(Text(f"{name} stands out. {reason}"))
    for note in result.notes:
        console.print(Text(note))
    if result.files:
        click.echo(f"Open {result.files[0]}")


def _facts(result: ModelEvaluation) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, title=result.name, title_justify="left")
    for key, value in result.facts:
        table.add_row(Text(key, "bold"), Text(value))
    return table


def _numbers(result: ModelEvaluation) -> Table:
    from rich.table import Table

    from morphkit.export.evaluation_page import metric_rows, metrics_of

    metrics = metrics_of(result.evaluation)
    caption = "mm; ± half the 95 % interval, where there is one" if metrics else None
    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("modes", justify="right")
    table.add_column("var. %", justify="right")
    for name in metrics:
        for kind in ("points", "surface"):
            table.add_column(f"{_HEADS[name]}\n{kind}", justify="right")
    for row in metric_rows(result.evaluation, _brief):
        table.add_row(*row)
    return table


def _brief(mean: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return f"{mean:.2f} {'':4}"
    half = f"{(high - low) / 2:.2f}"
    return f"{mean:.2f} ±{half.removeprefix('0')}"  # six of these must fit into eighty columns
