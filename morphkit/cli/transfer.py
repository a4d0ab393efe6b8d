"""`morphkit transfer`."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options

_WHAT = ("model", "landmarks", "masks", "uv", "expressions", "mirror")


@click.command(short_help="A model, or what it knows, onto another topology.")
@click.argument("source", type=options.FILE, metavar="SOURCE")
@click.argument("target", type=options.FILE, metavar="TARGET")
@click.option(
    "-o",
    "--output",
    type=options.FILE,
    required=True,
    metavar="OUT",
    help="The new model's file (.h5, .npz).",
)
@click.option(
    "--carry",
    type=click.Choice(_WHAT),
    multiple=True,
    default=("model",),
    show_default=True,
    help="What to carry over; several of the parts may be given.",
)
@click.option("--picture/--no-picture", default=True, help="Draw both side by side in OUT-transfer.png.")
@options.json_option()
def transfer(
    source: Path, target: Path, output: Path, carry: tuple[str, ...], picture: bool, as_json: bool
) -> None:
    """Carry the model SOURCE, or parts of what it knows, onto the topology of TARGET, a model or a mesh.

    The mean of SOURCE is registered to that of TARGET. With --carry model, OUT has the people, expressions
    and colours of SOURCE on the triangles of TARGET. Otherwise OUT is TARGET with the landmarks, masks,
    texture coordinates, expressions or mirror map of SOURCE.

    A .npz keeps the coefficients of SOURCE: the same numbers make the same face. In a .h5, whose bases are
    orthonormal, they mean something else.
    """
    from morphkit.cli.progress import StageProgress
    from morphkit.commands.transfer import transfer as run

    with StageProgress(announce=not as_json, bars=not as_json) as progress:
        result = run(source, target, output, what=carry, picture=picture, progress=progress)
    if as_json:
        options.print_json(result)
        return
    click.echo(
        f"Carried {', '.join(result.carried)}: {result.matched:,} of {result.vertices:,} vertices have a "
        f"counterpart, {result.median_distance:.2f} mm away in the median."
    )
    for note in result.notes:
        click.echo(f"  {note}", err=True)
    click.echo(f"Model: {result.output}" + (f", shown in {result.picture}" if result.picture else ""))
