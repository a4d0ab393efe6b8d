"""`morphkit fit`: photos to faces, one or ten thousand."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from morphkit.cli import options
from morphkit.cli.fit_person import HowToFit, fit_film, fit_person
from morphkit.cli.photos import FILE_GROUPS, Report, announce, follow, how_to_run, which_photos
from morphkit.cli.polish import Polish, polish_options

if TYPE_CHECKING:
    from morphkit.fitting import FitSettings


_whose_photos = options.together(
    click.option(
        "--same-person",
        is_flag=True,
        help="All photos show one person: fit one face to all of them together.",
    ),
    click.option(
        "--video",
        type=options.FILE,
        metavar="FILE|FOLDER",
        help="Fit one person to a video, or to a folder of its frames, in place of photos.",
    ),
    click.option(
        "--fps",
        type=click.FloatRange(min=0.0, min_open=True),
        help="Of the video.  [default: what the file says, 25 for frames]",
    ),
)
_how_to_fit = options.together(
    click.option("--model", type=options.FILE, metavar="MODEL.H5", help="[default: the embedded head]"),
    click.option(
        "--rasterizer",
        type=click.Choice(["numba", "torch", "nvdiffrast"]),
        default="numba",
        show_default=True,
        help="What draws; nvdiffrast needs an NVIDIA GPU and is for non-commercial use.",
    ),
    click.option(
        "--photometric/--no-photometric", default=True, help="Refine on the pixels after the landmarks."
    ),
    click.option(
        "--init",
        type=options.FILE,
        metavar="WEIGHTS.PT",
        help="A trained network: start from what it sees in the photo, and hold to its identity as far as "
        "it is sure.",
    ),
)
_how_to_run = how_to_run("fit", "fitted", "photo, landmarks, model, settings and code")


@click.command(short_help="Fit a face to each photo.")
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="Gets a folder a photo."
)
@which_photos
@_whose_photos
@_how_to_fit
@polish_options
@_how_to_run
@click.pass_context
def fit(
    ctx: click.Context,
    photos: tuple[Path, ...],
    output: Path,
    recursive: bool,
    same_person: bool,
    video: Path | None,
    fps: float | None,
    model: Path | None,
    landmarks: Path | None,
    rasterizer: Literal["numba", "torch", "nvdiffrast"],
    photometric: bool,
    init: Path | None,
    polish: Polish,
    files: tuple[str, ...] | None,
    jobs: int | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Fit a face to each photo: OUT_DIR/<stem>/ gets mesh, camera, coefficients, overlay and report.

    A FOLDER's photos are named after their places in it: FOLDER/ada/1.jpg becomes OUT_DIR/ada/1/. For several
    photos, OUT_DIR/summary.csv and summary.json get a row for each, and index.html shows them. A photo that
    fails is a row; the others go on. A run that is cut short loses the photos in flight only: start it
    again to go on.

    With --init, a network that `morphkit train` wrote for the same model looks at each photo first.

    With --same-person, all photos show one person, whose identity and skin they share; OUT_DIR then gets
    the person's face without expression, person.json and report.html as well. A photo that contradicts the
    others counts little and is named: a stranger among three mostly, among more nearly always. Where none
    stands out, as of two photos, a note says that they do not agree. With --video, OUT_DIR gets the person in
    a folder of that name, pose, expression and light of every frame in track.npz and track.json, and
    overlay.mp4. --jobs and --resume do not apply to either.

    Exits with 0 if all is well, else with the highest of the photos' codes: 2 for a photo that cannot be
    used (no face, no image), 1 for other trouble; 130 when interrupted.
    """
    from morphkit.fitting.batch import find_photos, fit_batch, is_single

    alone = {"--same-person": same_person, "--video": video is not None}
    polish.ensure_goes_with({"--no-photometric": not photometric, **alone})
    how = HowToFit(model, _settings(photometric, polish), rasterizer, files or FILE_GROUPS, as_json)
    if init is not None:
        _ensure_single(alone)
    if video is not None:
        _ensure_video_alone(
            photos,
            {
                "--landmarks": landmarks is not None,
                "--same-person": same_person,
                "--files": files is not None,
                "--recursive": recursive,
            },
        )
        ctx.exit(fit_film(video, fps, output, how))
    if fps is not None:
        raise click.UsageError("--fps is of a video; leave it out, or give --video.")
    if not photos:
        raise click.UsageError("Give photos, folders of them or patterns, or a video with --video.")
    found = find_photos(photos, output, recursive=recursive, landmarks=landmarks)
    if same_person:
        ctx.exit(fit_person(found, output, how))
    single = is_single(photos)
    run = fit_batch
    if init is not None:
        from morphkit.commands.predict import fit_photos_from

        run = partial(fit_photos_from, weights=init)
    outcomes = run(
        found,
        output,
        model=model,
        settings=how.settings,
        rasterizer=rasterizer,
        files=how.files,
        jobs=jobs,
        resume=resume,
        summary=not single,
    )
    report = Report(output, len(found), as_json, options.debugging(ctx))
    with closing(outcomes):
        if single:
            report.single(next(outcomes))
        else:
            announce(found, output, jobs, "Fitting")
            follow(outcomes, report)
    ctx.exit(report.exit_code)


def _ensure_video_alone(photos: tuple[Path, ...], others: dict[str, bool]) -> None:
    """Refuse what a video leaves no room for."""
    if photos:
        raise click.UsageError(f"--video takes the place of photos; leave out {photos[0]}, or --video.")
    for option in (name for name, given in others.items() if given):
        raise click.UsageError(f"{option} does not go with --video; leave it out.")


def _ensure_single(others: dict[str, bool]) -> None:
    """Refuse what a network's prediction of single photos does not go with."""
    for option in (name for name, given in others.items() if given):
        raise click.UsageError(f"--init is for single photos; leave it out, or {option}.")


def _settings(photometric: bool, polish: Polish) -> FitSettings:
    from morphkit.fitting import FitSettings

    return FitSettings(gradient=polish.settings()) if photometric else FitSettings(photometric=None)
