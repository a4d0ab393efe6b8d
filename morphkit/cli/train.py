"""`morphkit train` and `morphkit train-cnet`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from morphkit.training.loop import LoopResult

_arguments = options.together(
    click.argument("config", type=options.FILE, required=False, metavar="CONFIG.TOML"),
    click.option(
        "--resume", is_flag=True, help="Go on from the last checkpoint in the output folder, if there is one."
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Override a setting; may be given several times.",
    ),
    click.option(
        "-o", "--output", type=options.FILE, metavar="DIR", help="In place of the settings' output.folder."
    ),
    options.json_option(),
    click.option("--example", is_flag=True, help="Print commented settings to start from, and stop."),
)


@click.command(short_help="Train R-Net on photos, rendered ones or both.")
@_arguments
def train(config: Path | None, example: bool, **how: Any) -> None:
    """Train a network that reconstructs faces in one pass, as CONFIG.TOML says.

    The output folder gets metrics.csv, validation.csv, tensorboard/, panels/, checkpoints/, weights.pt,
    best.pt (the weights that did best on held-out people) and report.html. A run that is cut short goes on
    with --resume, in the middle of an epoch, to the same numbers; Ctrl-C leaves a checkpoint and exits with
    130. On several GPUs: torchrun --nproc_per_node=4 -m morphkit train CONFIG.TOML.
    """
    _run("r-net", config, example, **how)


@click.command("train-cnet", short_help="Train C-Net, which weighs a person's photos.")
@_arguments
def train_c_net(config: Path | None, example: bool, **how: Any) -> None:
    """Train the network that says how far to trust each photo of a person, as CONFIG.TOML says.

    R-Net, trained before, stays as it is. The datasets' photos must be told apart by person. Output, --resume
    and Ctrl-C as of `morphkit train`.
    """
    _run("c-net", config, example, **how)


def _run(
    kind: Literal["r-net", "c-net"],
    config: Path | None,
    example: bool,
    *,
    resume: bool,
    overrides: tuple[str, ...],
    output: Path | None,
    as_json: bool,
) -> None:
    from morphkit.training.example_config import C_NET_EXAMPLE, TRAIN_EXAMPLE

    if example:
        click.echo(TRAIN_EXAMPLE if kind == "r-net" else C_NET_EXAMPLE, nl=False)
        return
    if config is None:
        raise click.UsageError("Give a settings file, or print one with --example.")
    from morphkit.cli.progress import StageProgress
    from morphkit.commands import train as commands

    run = commands.train if kind == "r-net" else commands.train_c_net
    with StageProgress() as progress:
        result = run(config, overrides=overrides, output=output, resume=resume, progress=progress)
    if result.leader:
        _report(result, as_json)


def _report(result: LoopResult, as_json: bool) -> None:
    values = {} if result.validation is None else dict(result.validation.values)
    report = result.folder / "report.html"
    if as_json:
        files = {"folder": result.folder, "weights": result.weights, "best": result.best, "report": report}
        steps = {"steps": result.steps, "best_step": result.best_step}
        options.print_json({**files, **steps, "validation": values})
        return
    said = "".join(f", {label} {values[name]:{form}}" for name, label, form in _SAID if name in values)
    best = f"; best on held-out people, of step {result.best_step}: {result.best}" if result.best else ""
    click.echo(f"{result.steps} steps{said}. Weights: {result.weights}{best}")
    click.echo(f"Open {report}")


_SAID = (
    ("identity_error_mm", "held-out identity error in mm", ".3g"),
    ("identity_ratio", "of the mean face's", ".1%"),
    ("aggregate_error_mm", "sets' identity error in mm", ".3g"),
    ("average_error_mm", "of plain averages", ".3g"),
)
