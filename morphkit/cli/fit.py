"""`morphkit fit`: photos to faces, one or ten thousand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from morphkit.cli import options
from morphkit.cli.fit_person import HowToFit, fit_film, fit_person
from morphkit.cli.polish import Polish, polish_options

if TYPE_CHECKING:
    from morphkit.fitting import FitSettings
    from morphkit.fitting.batch import PhotoFile, PhotoOutcome


# The keys of `morphkit.fitting.output.FIT_FILES`, which is not imported before it is needed.
FILE_GROUPS = ("mesh", "glb", "texture", "camera", "params", "overlay", "uncertainty", "attention", "report")

_NAMED = 5  # failures that the last line names


class _FileGroups(click.ParamType[tuple[str, ...]]):
    """Names of groups of files, with commas between."""

    name = "names"

    def convert(
        self, value: str | tuple[str, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names in their usual order."""
        names = value.replace(",", " ").split() if isinstance(value, str) else value
        unknown = [name for name in names if name not in FILE_GROUPS]
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(FILE_GROUPS)}.", param, ctx)
        return tuple(name for name in FILE_GROUPS if name in names)


_which_photos = options.together(
    click.argument("photos", type=options.FILE, nargs=-1, metavar="PHOTO|FOLDER|GLOB..."),
    click.option("-r", "--recursive", is_flag=True, help="Look into the folders of folders, too."),
    click.option(
        "--landmarks",
        type=options.FILE,
        metavar="FILE|DIR",
        help="68 points in the photo's pixels, instead of detection; for several photos, a folder with "
        "<stem>.json or <stem>.pts for each.",
    ),
)
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
)
_how_to_run = options.together(
    click.option(
        "--files",
        type=_FileGroups(),
        metavar="NAME,...",
        help=f"Write only these of {', '.join(FILE_GROUPS)}.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        help="Photos at once, in processes of about 1 GB.  [default: one a core, at most 8]",
    ),
    click.option(
        "--resume/--no-resume",
        default=True,
        help="Take what an earlier run has fitted if photo, landmarks, model, settings and code are the "
        "same, or fit every photo anew.  [default: resume]",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object a photo, as each is done."),
)


@click.command(short_help="Fit a face to each photo.")
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="Gets a folder a photo."
)
@_which_photos
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
    outcomes = fit_batch(
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
    report = _Report(output, len(found), as_json, options.debugging(ctx))
    with closing(outcomes):
        if single:
            report.single(next(outcomes))
        else:
            _announce(found, output, jobs)
            _follow(outcomes, report)
    ctx.exit(report.exit_code)


def _ensure_video_alone(photos: tuple[Path, ...], others: dict[str, bool]) -> None:
    """Refuse what a video leaves no room for."""
    if photos:
        raise click.UsageError(f"--video takes the place of photos; leave out {photos[0]}, or --video.")
    for option in (name for name, given in others.items() if given):
        raise click.UsageError(f"{option} does not go with --video; leave it out.")


def _settings(photometric: bool, polish: Polish) -> FitSettings:
    from morphkit.fitting import FitSettings

    return FitSettings(gradient=polish.settings()) if photometric else FitSettings(photometric=None)


def _announce(photos: tuple[PhotoFile, ...], output: Path, jobs: int | None) -> None:
    from morphkit.jobs import Workers

    at_once = Workers(jobs).at_once(len(photos))
    several = f", {at_once} at a time," if at_once > 1 else ""
    click.echo(
        f"Fitting {_photos(len(photos))}{several} into {output}: a folder a photo, such as "
        f"{output / photos[0].name}, with summary.csv, summary.json and index.html of them all.",
        err=True,
    )


def _follow(outcomes: Iterator[PhotoOutcome], report: _Report) -> None:
    """Tell of each photo as it is done, and of all in the end."""
    from morphkit.cli.progress import StageProgress

    with _explaining(report), StageProgress(announce=False, bars=not report.as_json) as progress:
        report.tell = progress.say
        progress("Fitting photos", 0, report.total)
        for outcome in outcomes:
            report.add(outcome)
            progress("Fitting photos", report.done, report.total)
    report.conclude()


@contextmanager
def _explaining(report: _Report) -> Iterator[None]:
    """Say what remains of a run that is cut short."""
    try:
        yield
    except BaseException:
        kept = report.done - report.failed
        if kept:
            click.echo(f"{_photos(kept)} fitted and kept; the same command goes on from there.", err=True)
        raise


@dataclass
class _Report:
    """What a person, or with `as_json` a program, is told of a run."""

    output: Path
    total: int
    as_json: bool
    debug: bool
    done: int = 0
    reused: int = 0
    failed: int = 0
    exit_code: int = 0
    named: list[Path] = field(default_factory=list)
    tell: Callable[[str], None] = field(default=partial(click.echo, err=True))

    def single(self, outcome: PhotoOutcome) -> None:
        """Tell of the only photo."""
        self.add(outcome)
        if not outcome.usable or outcome.folder is None or self.as_json:
            return
        again = " (by an earlier run; nothing has changed)" if outcome.status == "reused" else ""
        page = outcome.folder / "report.html"
        click.echo(f"{outcome.photo}: {page if page.is_file() else outcome.folder}{again}")
        for note in outcome.figures.notes if outcome.figures else ():
            click.echo(f"  Note: {note}", err=True)

    def add(self, outcome: PhotoOutcome) -> None:
        """Count a photo, and tell of it if it failed or a program asks."""
        self.done += 1
        self.reused += outcome.status == "reused"
        if not outcome.usable:
            self.failed += 1
            self.exit_code = max(self.exit_code, outcome.exit_code)
            self.named = [*self.named, outcome.photo][: _NAMED + 1]
            self.tell(f"Error: {outcome.error}")
            if self.debug and outcome.trace:
                self.tell(outcome.trace)
        if self.as_json:
            click.echo(json.dumps(_finite(outcome.row()), ensure_ascii=False))

    def conclude(self) -> None:
        """Tell of all photos."""
        fitted = self.total - self.failed
        earlier = f", {self.reused} of them by an earlier run" if self.reused else ""
        if not self.as_json:
            click.echo(f"{fitted} of {_photos(self.total)} fitted{earlier}: {self.output / 'index.html'}")
        if self.failed:
            more = ", ..." if self.failed > _NAMED else ""
            names = ", ".join(map(str, self.named[:_NAMED]))
            click.echo(f"{self.failed} of {self.total} failed: {names}{more}.", err=True)


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"


def _finite(row: dict[str, object]) -> dict[str, object]:
    """Return the row with null for NaN, which JSON lacks."""
    return {name: None if value != value else value for name, value in row.items()}
