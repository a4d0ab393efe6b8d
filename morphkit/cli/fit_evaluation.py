"""`morphkit evaluate-fits`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from morphkit.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from morphkit.commands.fit_scores import FitEvaluation

_HEADERS = ("median", "mean", "std", "median,\nfailures ∞", "area to\n7 mm, %", "faces", "failed")
_NAMED = 10  # failures on the terminal; the report has all


class _Crop(click.ParamType[float | Literal["now"]]):
    """The word now, or a radius in millimetres."""

    name = "now|radius"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | Literal["now"]:
        """Return "now" or a positive number."""
        if value == "now":
            return "now"
        try:
            radius = float(value)
        except ValueError:
            radius = 0.0
        if not 0 < radius < float("inf"):
            self.fail(f"{value} is neither now nor a radius in millimetres.", param, ctx)
        return radius


@click.command("evaluate-fits", short_help="Measure fitted faces against true ones.")
@click.argument("truth", type=options.FILE)
@click.argument("fits", type=options.FILE)
@click.option(
    "-o", "--output", type=options.FILE, metavar="DIR", help="Where report.html, scores.json and .csv go."
)
@click.option("--metrical", is_flag=True, help="Size counts: align by rotation and translation only.")
@click.option(
    "--neutral",
    is_flag=True,
    help="Measure faces without expression: neutral.ply of fits; true scans must be neutral themselves.",
)
@click.option(
    "--crop",
    type=_Crop(),
    default="now",
    show_default=True,
    help="The part that is measured: the NoW benchmark's, or millimetres around the tip of the nose.",
)
@click.option(
    "--baseline",
    type=options.FILE,
    metavar="MESH|MODEL.H5|default",
    help="A face that is measured likewise, so that a number means something; default: the embedded head.",
)
@click.option(
    "--baseline-landmarks", type=options.FILE, metavar="FILE", help="Its landmarks, if none lie beside it."
)
@click.option(
    "--truth-topology",
    type=options.FILE,
    metavar="MESH|MODEL.H5",
    help="Gives triangles and landmarks to true faces with as many vertices.",
)
@click.option(
    "--truth-landmarks",
    type=options.FILE,
    metavar="FILE",
    help='Its landmarks: {"landmarks68": [vertex indices]}, or a landmark file with 3D points.',
)
@options.json_option("Print all numbers as one JSON object.")
def evaluate_fits(
    truth: Path,
    fits: Path,
    output: Path | None,
    metrical: bool,
    neutral: bool,
    crop: float | Literal["now"],
    baseline: Path | None,
    baseline_landmarks: Path | None,
    truth_topology: Path | None,
    truth_landmarks: Path | None,
    as_json: bool,
) -> None:
    """Measure fitted faces against true ones, as the NoW benchmark does.

    TRUTH is a folder of true faces in millimetres: meshes, scans or .npz, each with landmarks beside it.
    FITS has a fit for each: <name>/mesh.obj with landmarks3d.json, as `morphkit fit` writes them, or
    <name>.obj with <name>.landmarks3d.json. Every fit is brought onto its truth by seven points, then by its
    surface; what is told is how far the truth lies from it. What is missing or broken is a failure, and
    counted.
    """
    from rich.console import Console
    from rich.text import Text

    from morphkit.cli.progress import StageProgress
    from morphkit.commands.fit_evaluation import evaluate_fits as run
    from morphkit.commands.fit_evaluation_files import numbers

    with StageProgress() as progress:
        result = run(
            truth,
            fits,
            output=output,
            metrical=metrical,
            neutral=neutral,
            crop=crop,
            baseline=baseline,
            baseline_landmarks=baseline_landmarks,
            topology=truth_topology,
            topology_landmarks=truth_landmarks,
            progress=progress,
        )
    if as_json:
        options.print_json(numbers(result))
        return
    console = Console()
    console.print(_table(result))
    for sentence in _sentences(result):
        console.print(Text(sentence))
    if result.files:
        click.echo(f"Open {result.files[0]}")


def _table(result: FitEvaluation) -> Table:
    from rich.table import Table

    from morphkit.commands.fit_evaluation_files import pooled_rows

    kind = "metrical" if result.protocol.metrical else "size left free"
    table = Table(
        box=None, padding=(0, 0, 0, 2), pad_edge=False, caption=f"mm; {kind}", caption_justify="left"
    )
    table.add_column()
    for header in _HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for row in pooled_rows(result):
        table.add_row(*row)
    return table


def _sentences(result: FitEvaluation) -> list[str]:
    told = []
    if result.baseline is not None:
        told.append(
            f"The median is {100 * result.ratio:.1f} % of that of {result.baseline}; "
            f"{100 * result.better:.0f} % of the faces are nearer."
        )
    if result.failures:
        told.append(
            f"{len(result.failures)} of {len(result.scores)} fits failed; the figures are of the others."
        )
        told += [f"  {score.name}: {score.reason}" for score in result.failures[:_NAMED]]
        if len(result.failures) > _NAMED:
            told.append("  ...")
    if result.unmatched:
        told.append(f"{len(result.unmatched)} fits belong to no true face ({result.unmatched[0]}, say).")
    return told
