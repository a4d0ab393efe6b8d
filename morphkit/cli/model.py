"""`morphkit convert`, `complete`, `sample` and `info`."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options

_LONG = ("settings", "versions", "scans", "left_out")
"""What of a model's provenance fills many lines."""


@click.command(short_help="Write a model in another layout.")
@click.argument("model", type=options.FILE, metavar="MODEL")
@click.argument("output", type=options.FILE, metavar="OUT")
@click.option(
    "--to",
    "layout",
    metavar="LAYOUT",
    help="The layout to write, where OUT's suffix does not tell it: basel-0.8, say.",
)
@click.option(
    "--albedo",
    type=options.FILE,
    metavar="FILE",
    help="Take the albedo from this file, such as the part that AlbedoMM gives to the Basel models.",
)
@click.option(
    "--linear-albedo", is_flag=True, help="Carry colours in sRGB, as most models', over to linear light."
)
@options.json_option()
def convert(
    model: Path, output: Path, layout: str | None, albedo: Path | None, linear_albedo: bool, as_json: bool
) -> None:
    """Write a model in another layout: MODEL is any that `morphkit info` describes, OUT a new file.

    The suffix of OUT chooses the layout: .h5 (Basel/statismo, which holds everything), .bin (eos), .npz
    (arrays by name), .glb (morph targets). What OUT cannot hold is said; the file is read again to make sure
    of the rest.
    """
    from morphkit.commands.conversion import convert as run

    result = run(model, output, layout=layout, albedo=albedo, linear_albedo=linear_albedo)
    if as_json:
        options.print_json(result)
        return
    click.echo(f"{result.source_layout} to {result.layout}: {output}")
    for note in result.notes:
        click.echo(f"  {note}", err=True)


@click.command(short_help="Add to a model what fitting needs and it lacks.")
@click.argument("model", type=options.FILE, metavar="MODEL.H5")
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="OUT.H5", help="The completed model's file."
)
@click.option(
    "--from",
    "source",
    type=options.FILE,
    metavar="MODEL.H5",
    help="The model to take it from.  [default: the embedded head]",
)
@options.json_option()
def complete(model: Path, output: Path, source: Path | None, as_json: bool) -> None:
    """Add expressions, masks, a mirror map and landmark sets to a model that lacks them.

    MODEL.H5 may have any topology and cover any part of a head. What it has stays as it is; the rest is
    carried over from the other model, whose mean is registered to its mean.
    """
    from morphkit.commands.completion import complete as run

    result = run(model, output, source=source)
    if as_json:
        options.print_json(
            {"model": output, "added": result.added, "from": result.origin, "notes": result.notes}
        )
        return
    if result.added:
        click.echo(f"Added from {result.origin}: {', '.join(result.added)}.")
    else:
        click.echo("Nothing is missing, or nothing that could be added.")
    for note in result.notes:
        click.echo(f"  {note}", err=True)
    click.echo(f"Model: {output}")


@click.command(short_help="Write random heads of a model.")
@click.argument("model", type=options.FILE, required=False, metavar="[MODEL.H5]")
@click.option("-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="Where heads go.")
@click.option(
    "-n", "--count", type=click.IntRange(min=1), default=10, show_default=True, help="How many heads."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same heads."
)
@click.option(
    "--format", "suffix", type=click.Choice(["ply", "obj", "stl", "glb"]), default="ply", show_default=True
)
@click.option("--expression", is_flag=True, help="Vary the expression too.")
@options.json_option()
def sample(
    model: Path | None, output: Path, count: int, seed: int, suffix: str, expression: bool, as_json: bool
) -> None:
    """Write random heads of a model (default: the embedded head) as meshes."""
    from morphkit.commands.models import sample as run

    paths = run(output, model=model, count=count, seed=seed, suffix=suffix, expression=expression)
    if as_json:
        options.print_json({"heads": paths})
        return
    click.echo(
        f"{len(paths)} heads: {paths[0]} to {paths[-1].name}." if count > 1 else f"1 head: {paths[0]}."
    )


@click.command()
@click.argument("file", type=options.FILE, metavar="MODEL|MESH")
@click.option("--all", "whole", is_flag=True, help="Tell every setting, version and scan of its making, too.")
@options.json_option()
def info(file: Path, whole: bool, as_json: bool) -> None:
    """Describe a model file or a mesh.

    Of a model, with what its file says of where it comes from; --all, or --json, tells all of that.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from morphkit.commands.models import info as run

    description = run(file)
    if as_json:
        options.print_json(description.values)
        return
    table = Table(box=None, show_header=False, pad_edge=False, title=description.title, title_justify="left")
    for key, value in description.entries.items():
        table.add_row(Text(key, "bold"), Text(value))
    Console().print(table)
    if description.provenance:
        click.echo()
    shown = [row for row in description.provenance if whole or row[0].split(".")[0] not in _LONG]
    for key, value in shown:  # whole, however long: the terminal wraps them
        click.echo(f"{key}: {value}")
    more = len(description.provenance) - len(shown)
    if more:
        click.echo(f"{more} more lines ({', '.join(_LONG)}) with --all.")
