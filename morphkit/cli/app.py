"""The `morphkit` command: its subcommands, and how an error reaches a person."""

from __future__ import annotations

import errno
from typing import Any

import click

import morphkit
from morphkit.cli import options
from morphkit.cli.build import build_basis, register
from morphkit.cli.evaluation import evaluate
from morphkit.cli.first_steps import demo, doctor
from morphkit.cli.fit import fit
from morphkit.cli.fit_evaluation import evaluate_fits
from morphkit.cli.get import get
from morphkit.cli.landmarks import landmarks
from morphkit.cli.model import complete, convert, info, sample
from morphkit.cli.onnx import export_onnx
from morphkit.cli.predict import predict
from morphkit.cli.prepare import prepare
from morphkit.cli.render_dataset import render_dataset
from morphkit.cli.train import train, train_c_net
from morphkit.cli.transfer import transfer
from morphkit.cli.view import view
from morphkit.errors import MorphkitError

_INTERRUPTED = 130


class _Commands(click.Group):
    """A group that turns errors into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        debug = options.debugging(ctx)
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)
        except (MorphkitError, OSError, MemoryError) as error:
            if (
                debug or getattr(error, "errno", None) == errno.EPIPE
            ):  # click ends quietly, as `| head` expects
                raise
            click.echo(f"Error: {_sentence(error)}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            message = f"{type(error).__name__}: {_sentence(error)}"
            click.echo(f"Internal error: {message} Please report it, with what --debug prints.", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)  # in the order in which a person needs them


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _print_completion(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:  # noqa: ARG001
    """Print the script that makes a shell complete morphkit's commands, options and files, and stop."""
    if shell is None or ctx.resilient_parsing:
        return
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}.")
    click.echo(kind(main, {}, "morphkit", "_MORPHKIT_COMPLETE").source())
    ctx.exit()


_EXIT_CODES = (
    "Exit codes: 0 all is well; 2 a call or an input that cannot be used (no face, a damaged file); 1 other "
    "trouble (a full disk, a missing package); 130 interrupted. Of several files, the highest. With --json, "
    "stdout holds JSON and nothing else, and nothing at all where there is no result; errors go to stderr. "
    "NO_COLOR=1 switches colours off."
)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXIT_CODES,
)
@click.option(
    "--completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    is_eager=True,
    expose_value=False,
    callback=_print_completion,
    help='Print a script that completes commands in a shell: eval "$(morphkit --completion bash)".',
)
@click.version_option(morphkit.__version__, "-V", "--version", prog_name="morphkit")
@click.option("--debug", is_flag=True, help="Show the traceback of an error (also: MORPHKIT_DEBUG=1).")
def main(debug: bool) -> None:
    """From raw 3D face scans to a morphable model, and from a model to a face in any photo."""


for _command in (
    demo,
    build_basis,
    register,
    convert,
    complete,
    transfer,
    fit,
    landmarks,
    prepare,
    render_dataset,
    train,
    train_c_net,
    predict,
    export_onnx,
    evaluate,
    evaluate_fits,
    sample,
    view,
    info,
    get,
    doctor,
):
    main.add_command(_command)
