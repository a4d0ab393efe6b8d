"""`morphkit prepare`: photos to a dataset to train on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from morphkit.cli import options
from morphkit.cli.progress import StageProgress

if TYPE_CHECKING:
    from morphkit.training.data.prepare import Prepared

_what = options.together(
    click.argument("photos", type=options.FILE, nargs=-1, required=True, metavar="PHOTO|FOLDER|GLOB..."),
    click.option(
        "-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="The dataset's folder."
    ),
    click.option("-r", "--recursive", is_flag=True, help="Look into the folders of folders, too."),
    click.option(
        "--landmarks",
        type=options.FILE,
        metavar="FILE|DIR",
        help="68 points in the photo's pixels, instead of detection; for several photos, a folder with "
        "<stem>.json or <stem>.pts for each.",
    ),
    click.option(
        "--people",
        default="none",
        show_default=True,
        metavar="folders|cluster|none|FILE.CSV",
        help="Who is on the photos: a folder is a person; faces alike to a recognition network; or a "
        "list with the columns photo and person.",
    ),
)
_how = options.together(
    click.option("--model", type=options.FILE, metavar="MODEL.H5", help="[default: the embedded head]"),
    click.option(
        "--size", type=click.IntRange(32, 1024), default=224, show_default=True, help="Of the crops, pixels."
    ),
    click.option(
        "--faces",
        type=click.Choice(["largest", "all"]),
        default="largest",
        show_default=True,
        help="Which of each photo.",
    ),
    click.option(
        "--smallest",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Smallest face that is taken, pixels of the photo.",
    ),
    click.option(
        "--attention",
        type=click.Choice(["own", "skin", "all"]),
        default="own",
        show_default=True,
        help="How pixels count: by the face's own colours, the paper's (biased) skin colours, or all alike.",
    ),
    click.option("--keep-duplicates", is_flag=True, help="Leave in what shows a photo again."),
    click.option(
        "--jobs", type=click.IntRange(min=1), help="Photos at once.  [default: one a core, at most 8]"
    ),
    options.json_option(),
)


@click.command(short_help="Make a dataset to train on from photos.")
@_what
@_how
def prepare(
    photos: tuple[Path, ...],
    output: Path,
    recursive: bool,
    landmarks: Path | None,
    people: str,
    model: Path | None,
    size: int,
    faces: str,
    smallest: int,
    attention: Literal["own", "skin", "all"],
    keep_duplicates: bool,
    jobs: int | None,
    as_json: bool,
) -> None:
    """Make a dataset to train on from photos: faces found, cut out upright at one scale, and described.

    OUT_DIR gets shards with dataset.json; prepared.csv with pose, tone, person and fate of every face, and
    why a photo has none; report.html and contact sheets. Photos that show another again are left out. A run
    that is cut short loses the photos in flight only: start it again to go on.
    """
    from morphkit.training.data.prepare import PrepareSettings
    from morphkit.training.data.prepare import prepare as run

    settings = PrepareSettings(
        size=size,
        every_face=faces == "all",
        smallest=smallest,
        attention=attention,
        people=people,
        keep_duplicates=keep_duplicates,
    )
    try:
        with StageProgress(announce=not as_json, bars=not as_json) as progress:
            result = run(
                photos,
                output,
                model=model,
                settings=settings,
                recursive=recursive,
                landmarks=landmarks,
                jobs=jobs,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo("What was finished is kept; the same command goes on from there.", err=True)
        raise
    _tell(result, output, keep_duplicates, as_json)


def _tell(result: Prepared, output: Path, kept: bool, as_json: bool) -> None:
    counts = {
        "photos": result.photos,
        "faces": len(result.dataset),
        "failed": result.failed,
        "duplicates": result.duplicates,
        "people": result.people,
    }
    if as_json:
        options.print_json({"dataset": output, **counts, "report": result.report})
        return
    people = f" of {result.people} people" if result.people else ""
    click.echo(f"{counts['faces']} faces{people} from {result.photos} photos: {result.report}")
    if result.failed:
        click.echo(f"{result.failed} photos show no usable face: {result.table} says why.", err=True)
    if result.duplicates:
        fate = "kept" if kept else "left out"
        click.echo(f"{result.duplicates} faces show another photo again and were {fate}.", err=True)
