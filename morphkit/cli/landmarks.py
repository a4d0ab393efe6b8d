"""`morphkit landmarks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from morphkit.cli import options
from morphkit.errors import MorphkitError

# The keys of `morphkit.io.landmarks.LANDMARK_FORMATS`, which is not imported before it is needed.
_FORMATS = ("json", "slicer", "menpo", "meshlab", "fcsv", "pts", "csv", "tlms", "npy", "scalismo")


@click.command()
@click.argument("files", type=options.FILE, nargs=-1, required=True, metavar="PHOTO|SCAN...")
@click.option("-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="Where points go.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(_FORMATS),
    default="json",
    help="Of the points' files; photos: json or pts.",
)
@options.json_option("Print one JSON object a file, as each is done.")
@click.pass_context
def landmarks(
    ctx: click.Context, files: tuple[Path, ...], output: Path, file_format: str, as_json: bool
) -> None:
    """Find landmarks in photos or on scans.

    Writes OUT_DIR/<stem>.landmarks.json (of a photo: 478 and 68 points of every face, in pixels; of a scan:
    the 68 points, in its own frame, as a sidecar) and OUT_DIR/<stem>.landmarks.png, where they are drawn.
    With --format the points go to another tool's file: .mrk.json and .fcsv (3D Slicer), .ljson (menpo), .pp
    (MeshLab), scalismo's .json or .tlms, .pts, .csv, .npy.
    """
    from morphkit.commands.landmarks import detect_landmarks as run

    _check_names(files)

    def one(file: Path) -> None:
        found = run(file, output, file_format=file_format)
        if as_json:
            faces = None if found.landmarks is not None else len(found.faces)
            files = {"points": found.points_path, "picture": found.picture_path}
            options.print_json({"file": file, "faces": faces, **files})
        else:
            click.echo(f"{file}: {found.points_path}")

    _each(ctx, files, one)


def _check_names(files: Sequence[Path]) -> None:
    """Refuse two files of one stem: results are named after it, so the second would replace the first."""
    by_stem: dict[str, Path] = {}
    for file in files:
        if file.stem in by_stem:
            raise click.UsageError(
                f"{by_stem[file.stem]} and {file} would be written to one place; rename one."
            )
        by_stem[file.stem] = file


def _each(ctx: click.Context, files: Sequence[Path], work: Callable[[Path], None]) -> None:
    """Go on past a file that fails and name the failures at the end; a single file's error is raised."""
    failed: dict[Path, MorphkitError] = {}
    for file in files:
        try:
            work(file)
        except MorphkitError as error:
            if len(files) == 1:
                raise
            click.echo(f"Error: {error}", err=True)
            failed[file] = error
    if failed:
        click.echo(f"{len(failed)} of {len(files)} failed: {', '.join(map(str, failed))}.", err=True)
        ctx.exit(max(error.exit_code for error in failed.values()))
