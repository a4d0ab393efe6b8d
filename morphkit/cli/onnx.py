"""`morphkit export-onnx`: a trained network for programs without torch."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options


@click.command("export-onnx", short_help="Write a trained network as an ONNX file.")
@click.argument("weights", type=options.FILE, metavar="WEIGHTS.PT")
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="NET.ONNX", help="The file to write."
)
@options.json_option()
def export_onnx(weights: Path, output: Path, as_json: bool) -> None:
    """Write the network of `morphkit train` as an ONNX file (extra `onnx`).

    Its inputs are aligned crops (batch, s, s, 3), sRGB 0..1, and for a guided network their 68 landmarks in
    pixels; its outputs are the heads by name.
    """
    from morphkit.training.onnx import export_onnx as export

    export(weights, output)
    if as_json:
        options.print_json({"network": output})
    else:
        click.echo(f"Network: {output}")
