"""`morphkit build-basis` and `morphkit register`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from morphkit.building import BuildResult, RegisterSettings, ScanOutcome, TooFewScansError
    from morphkit.registration import Method

_NAME_WIDTH = 6  # characters of a scan's name that even a narrow window shows in a line
_WIDE = 80  # characters of a window; in narrower ones, the heads of tables take a line for each word


@click.command("build-basis", short_help="A folder of raw scans to a morphable model.")
@click.argument("scans", type=options.FILE)
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="MODEL.H5", help="The model's file."
)
@options.template
@options.template_landmarks
@click.option(
    "--components",
    type=options.COMPONENTS,
    help="Modes to keep, or the share of the variance (0.98).  [default: all, at most 199]",
)
@click.option(
    "--texture/--no-texture", default=True, help="Build an albedo model where the scans have colours."
)
@click.option("--mirror-training", is_flag=True, help="Every scan counts together with its mirror image.")
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Register N more times, with the model just built as prior.",
)
@click.option(
    "--expressions-from",
    default="default",
    show_default=True,
    metavar="default|none|MODEL.H5",
    help="Where expressions, masks and landmarks come from that scans and template leave open: the embedded "
    "head, nowhere, or another model.",
)
@click.option("--prune", is_flag=True, help="Leave out scans that are unlike all others (named in any case).")
@click.option(
    "--work",
    type=options.FILE,
    metavar="DIR",
    help="Keep registered scans here.  [default: MODEL-work beside the model, until it is done]",
)
@click.option(
    "--resume/--no-resume",
    default=None,
    help="Insist on going on with an earlier run of the same scans, template and settings, or register every "
    "scan anew.  [default: reuse what has not changed]",
)
@options.method
@options.jobs
@options.scheduler
@options.json_option()
def build_basis(
    scans: Path,
    output: Path,
    template: Path | None,
    template_landmarks: Path | None,
    components: int | float | None,
    texture: bool,
    mirror_training: bool,
    bootstrap: int,
    expressions_from: str,
    prune: bool,
    work: Path | None,
    resume: bool | None,
    method: Method,
    jobs: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Build a morphable model from raw face scans.

    SCANS is a folder of scans; a folder with one folder for each person, whose scans are named after
    their expressions (neutral.ply, smile.ply); or a manifest (.csv, .json) with the columns file, subject,
    expression and weight. With expressions, the model gets a basis of them.

    Every scan is cleaned, placed by landmarks (a sidecar <stem>.landmarks.json, else found on rendered
    views; always the latter where the template has none), and the template is deformed to it. A report with
    a picture of every scan is written beside the
    model. A run that is cut short loses the scans in flight only: start it again to go on.
    """
    from morphkit.building import BuildSettings, TooFewScansError
    from morphkit.building import build_basis as run
    from morphkit.building.workspace import work_folder
    from morphkit.cli.progress import StageProgress

    folder = work_folder(output, work)
    replaced = ", in place of the one that is there," if output.is_file() else ""
    opening = f"Building {output}{replaced} and its report; registered scans go into {folder}/."
    with _explaining(TooFewScansError, folder, as_json), StageProgress(opening=opening) as progress:
        result = run(
            scans,
            output,
            template=template,
            template_landmarks=template_landmarks,
            components=components,
            texture=texture,
            mirror_training=mirror_training,
            bootstrap=bootstrap,
            expressions_from=expressions_from,
            prune=prune,
            work_dir=work,
            resume=resume,
            settings=BuildSettings(registering=_registering(method)),
            jobs=jobs,
            scheduler=scheduler,
            progress=progress,
        )
    if as_json:
        options.print_json(_summary(result))
        return
    _show(result.scans)
    model = result.model
    groups = {"albedo": model.albedo, "expression": model.expression}
    if not model.provenance["expression_scan_count"]:  # then the expressions are the template's
        del groups["expression"]
    more = [f", {group.n_components} of {name}" for name, group in groups.items() if group is not None]
    for name, reason in result.outliers.items():
        fate = "used; --prune leaves it out" if name in result.used else "left out"
        click.echo(f"{name} is unlike the others ({fate}): {reason}")
    count = model.identity.n_components
    click.echo(
        f"{len(result.used)} of {len(result.scans)} scans, "
        f"{count} {'mode' if count == 1 else 'modes'} of shape{''.join(more)}."
    )
    for note in model.provenance["notes"]:
        click.echo(note)
    click.echo(f"Model:  {output}\nReport: {result.report}")


@click.command(short_help="Deform the template to raw scans.")
@click.argument("scans", type=options.FILE, nargs=-1, required=True, metavar="SCAN...")
@click.option("-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="Where meshes go.")
@options.template
@options.template_landmarks
@options.method
@options.jobs
@options.scheduler
@options.json_option()
@click.pass_context
def register(
    ctx: click.Context,
    scans: tuple[Path, ...],
    output: Path,
    template: Path | None,
    template_landmarks: Path | None,
    method: Method,
    jobs: int | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Deform the template to raw scans: OUT_DIR/<stem>.ply, in the scan's own frame and units.

    Beside it, <stem>.npz holds validity, distances and colours, and <stem>.png shows scan and result.
    """
    from morphkit.building import register as run
    from morphkit.cli.progress import StageProgress

    scan_count = "a scan" if len(scans) == 1 else f"{len(scans)} scans"
    opening = f"Registering {scan_count} into {output}/: a .ply, .npz and .png each."
    with StageProgress(opening=opening) as progress:
        outcomes = run(
            scans,
            output,
            template=template,
            template_landmarks=template_landmarks,
            settings=_registering(method),
            jobs=jobs,
            scheduler=scheduler,
            progress=progress,
        )
    failed = [outcome for outcome in outcomes if not outcome.usable]
    if as_json:
        options.print_json({"output": output, "scans": outcomes})
    if failed and len(outcomes) == 1:
        click.echo(f"Error: {_sentence(failed[0])}", err=True)
        ctx.exit(failed[0].exit_code)
    if not as_json:
        _show(outcomes)
        for outcome in outcomes:  # a build's report has them
            for remark in outcome.remarks:
                click.echo(f"{outcome.name}: {remark}")
    if failed:
        names = ", ".join(outcome.name for outcome in failed)
        click.echo(f"Error: {len(failed)} of {len(outcomes)} scans were not registered: {names}.", err=True)
        ctx.exit(max(outcome.exit_code for outcome in failed))


def _summary(result: BuildResult) -> dict[str, object]:
    """Return what a program is told of a model that was built."""
    model = result.model
    groups = {"identity": model.identity, "expression": model.expression, "albedo": model.albedo}
    return {
        "model": result.path,
        "report": result.report,
        "components": {name: group.n_components for name, group in groups.items() if group is not None},
        "used": result.used,
        "outliers": result.outliers,
        "notes": model.provenance["notes"],
        "scans": result.scans,
    }


def _registering(method: Method) -> RegisterSettings:
    from morphkit.building import RegisterSettings
    from morphkit.registration import RegistrationSettings

    return RegisterSettings(registration=RegistrationSettings(method=method))


@contextmanager
def _explaining(too_few: type[TooFewScansError], folder: Path, as_json: bool) -> Iterator[None]:
    """Show what became of each scan when there is no model, and say what remains of a run cut short."""
    from morphkit.building.workspace import holds_results

    try:
        yield
    except too_few as error:
        if as_json:
            options.print_json({"model": None, "report": error.report, "scans": error.scans})
        elif len(error.scans) > 1:
            _show(error.scans)
        raise
    except KeyboardInterrupt:
        if holds_results(folder):
            click.echo("Scans that are registered are kept; the same command goes on from there.", err=True)
        raise


def _show(outcomes: Sequence[ScanOutcome]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from morphkit.export.scan_figures import CAUTION, known_figures

    figures = known_figures([outcome.diagnosis for outcome in outcomes])
    heads = ("verdict", *(figure.head for figure in figures), "s")
    console, table = Console(), Table(box=None, pad_edge=False)
    table.add_column("scan", overflow="fold", min_width=_NAME_WIDTH)
    for head in heads:
        words = head if console.width >= _WIDE else head.replace(" ", "\n")
        table.add_column(words, justify="left" if head == "verdict" else "right", no_wrap=True)
    styles = {"good": "green", "doubtful": "yellow", "failed": "red"}
    for outcome in outcomes:
        seconds = "reused" if outcome.reused else f"{outcome.seconds:.1f}"
        verdict = Text(outcome.verdict, styles[outcome.verdict])
        told = (figure.text(outcome.diagnosis) for figure in figures)
        table.add_row(Text(outcome.name), verdict, *told, seconds)
    console.print(table)
    if figures:
        click.echo(CAUTION)
    reused = sum(outcome.reused for outcome in outcomes)
    if reused:
        click.echo(
            f"{reused} of {len(outcomes)} were registered by an earlier run, from the same files, with the "
            "same settings and code."
        )
    for outcome in outcomes:
        for reason in outcome.reasons:
            click.echo(f"{outcome.name}: {reason}")


def _sentence(outcome: ScanOutcome) -> str:
    """Return why a scan failed, and which."""
    text = "; ".join(reason.rstrip(".") for reason in outcome.reasons)
    return f"{text}." if str(outcome.source) in text else f"{outcome.source} was not registered: {text}."
