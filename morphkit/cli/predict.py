"""`morphkit predict`: photos to faces by a trained network, in one pass."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from morphkit.cli import options
from morphkit.cli.photos import FILE_GROUPS, Report, announce, follow, how_to_run, which_photos

if TYPE_CHECKING:
    from morphkit.fitting.batch import PhotoFile

_with_what = options.together(
    click.option(
        "--weights",
        type=options.FILE,
        required=True,
        metavar="WEIGHTS.PT",
        help="The network, as `morphkit train` wrote it.",
    ),
    click.option(
        "--model",
        type=options.FILE,
        metavar="MODEL.H5",
        help="That it was trained for.  [default: the embedded head]",
    ),
    click.option(
        "--same-person", is_flag=True, help="All photos show one person, whose identity they share."
    ),
    click.option(
        "--c-net",
        type=options.FILE,
        metavar="C_NET.PT",
        help="With --same-person: how far to trust each photo, as `morphkit train-cnet` wrote it.  "
        "[default: all alike]",
    ),
)
_how_to_run = how_to_run("predict", "predicted", "photo, landmarks, weights, model and code")


@click.command(short_help="See a face in each photo by a trained network.")
@click.option(
    "-o",
    "--output",
    type=options.FILE,
    default=Path("predictions"),
    show_default=True,
    metavar="OUT_DIR",
    help="Gets a folder a photo.",
)
@which_photos
@_with_what
@_how_to_run
@click.pass_context
def predict(
    ctx: click.Context,
    photos: tuple[Path, ...],
    output: Path,
    recursive: bool,
    landmarks: Path | None,
    weights: Path,
    model: Path | None,
    same_person: bool,
    c_net: Path | None,
    files: tuple[str, ...] | None,
    jobs: int | None,
    resume: bool,
    as_json: bool,
) -> None:
    """See a face in each photo by a network that `morphkit train` made; nothing is fitted.

    OUT_DIR/<stem>/ gets the files of `morphkit fit`: mesh, camera, coefficients, overlay and report, in the
    photo's own pixels. A network does not say how sure it is of a photo, nor what it looked at, so there is
    no uncertainty.ply and no attention.png. Names, summary.csv, summary.json, index.html, exit codes and
    photos that fail are as of `morphkit fit`; to refine a prediction by fitting, use `morphkit fit --init`.

    With --same-person, the photos share one identity, and OUT_DIR gets the person's face without expression,
    person.json and report.html as well. --jobs and --resume do not apply to it.
    """
    from morphkit.fitting.batch import find_photos, is_single

    if c_net is not None and not same_person:
        raise click.UsageError(
            "--c-net weighs the photos of one person; give --same-person, or leave it out."
        )
    if not photos:
        raise click.UsageError("Give photos, folders of them or patterns.")
    found = find_photos(photos, output, recursive=recursive, landmarks=landmarks)
    chosen = files or FILE_GROUPS
    if same_person:
        ctx.exit(_person(found, output, weights, model, c_net, chosen, as_json))
    from morphkit.commands.predict import predict_photos

    single = is_single(photos)
    outcomes = predict_photos(
        found, output, weights, model=model, files=chosen, jobs=jobs, resume=resume, summary=not single
    )
    report = Report(output, len(found), as_json, options.debugging(ctx), doing="Predicting", made="predicted")
    with closing(outcomes):
        if single:
            report.single(next(outcomes))
        else:
            announce(found, output, jobs, report.doing)
            follow(outcomes, report)
    ctx.exit(report.exit_code)


def _person(
    photos: tuple[PhotoFile, ...],
    output: Path,
    weights: Path,
    model: Path | None,
    c_net: Path | None,
    files: tuple[str, ...],
    as_json: bool,
) -> int:
    """Predict one person, write the files, tell of each photo, and return the exit code."""
    from morphkit.cli.fit_person import tell_person
    from morphkit.cli.progress import StageProgress
    from morphkit.commands.predict import person_names, predict_person
    from morphkit.fitting.subject_output import write_subject
    from morphkit.io.atomic import ensure_writable

    ensure_writable(output / "report.html")
    with StageProgress(announce=False, bars=not as_json) as progress:
        progress("Predicting", 0, 1)
        result = predict_person(
            [photo.path for photo in photos],
            weights,
            c_net=c_net,
            model=model,
            landmarks=[photo.landmarks for photo in photos],
            names=person_names(photos),
        )
        progress("Predicting", 1, 1)
    write_subject(result, output, names=[photos[i].name for i in result.indices], files=files)
    tell_person(result, photos, output, as_json, "predicted")
    return max((failure.error.exit_code for failure in result.failures), default=0)
