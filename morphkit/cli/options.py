"""Parameters that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class _Components(click.ParamType[int | float]):
    """A number of components, or a share of the variance between 0 and 1."""

    name = "number|share"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """Return an int, or a float for a share."""
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if 0 < number < 1:
            return number
        if number < 1 or number != int(number):
            self.fail(f"{value} is neither a number of components nor a share between 0 and 1.", param, ctx)
        return int(number)


def together(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return one decorator for several parameters, in this order."""
    return lambda command: reduce(lambda made, one: one(made), reversed(decorators), command)


def debugging(ctx: click.Context) -> bool:
    """Return whether a person asked for tracebacks."""
    return bool(ctx.find_root().params["debug"] or os.environ.get("MORPHKIT_DEBUG"))


def json_option(help_text: str = "Print the result as one JSON object.") -> Callable[[Command], Command]:
    """Return the option `--json`, given to commands as `as_json`: then stdout has JSON and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def print_json(value: object) -> None:
    """Print a value as JSON on one line: numbers in full, null for NaN, paths as text."""
    from morphkit.io.json_text import json_text

    click.echo(json_text(value))


COMPONENTS = _Components()
FILE = click.Path(path_type=Path)  # the readers check that it exists, and say more

template = click.option(
    "--template",
    type=FILE,
    metavar="MESH|MODEL.H5",
    help="The mesh that is deformed to every scan, or a model (its mean).  [default: the embedded head]",
)
template_landmarks = click.option(
    "--template-landmarks",
    type=FILE,
    metavar="FILE",
    help='The template\'s landmarks: {"landmarks68": [vertex indices]}, or a landmark file with 3D points.',
)
jobs = click.option(
    "--jobs", type=click.IntRange(min=1), help="Scans at once.  [default: one a core, at most 8]"
)
scheduler = click.option(
    "--scheduler",
    metavar="TCP://HOST:PORT",
    help="A Dask scheduler whose workers do it instead; all must see the same folders.",
)
method = click.option(
    "--method",
    type=click.Choice(["coarse-to-fine", "nicp"]),
    default="coarse-to-fine",
    show_default=True,
    help='How the template is deformed; "nicp" is the classic non-rigid ICP (Amberg et al. 2007).',
)
