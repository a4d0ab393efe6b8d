"""`morphkit fit --same-person` and `--video`: many pictures, one person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

import click

from morphkit.cli import options
from morphkit.cli.progress import StageProgress

if TYPE_CHECKING:
    from morphkit.fitting import FitSettings, SubjectFit
    from morphkit.fitting.batch import PhotoFile


@dataclass(frozen=True)
class HowToFit:
    """What the command line says about the fit, whatever is fitted."""

    model: Path | None
    settings: FitSettings
    rasterizer: Literal["numba", "torch", "nvdiffrast"]
    files: tuple[str, ...]
    as_json: bool


def fit_person(photos: tuple[PhotoFile, ...], output: Path, how: HowToFit) -> int:
    """Fit one person, write the files, tell of each photo, and return the exit code.

    Raises
    ------
    MorphkitError
        When no photo can be used, or the output cannot be written.
    """
    from morphkit.fitting import fit_images
    from morphkit.fitting.models import model_to_fit
    from morphkit.fitting.subject_output import write_subject
    from morphkit.io.atomic import ensure_writable

    ensure_writable(output / "report.html")
    model = model_to_fit(how.model)
    with StageProgress(announce=False, bars=not how.as_json) as progress:
        result = fit_images(
            [photo.path for photo in photos],
            model,
            landmarks=[photo.landmarks for photo in photos],
            settings=how.settings,
            names=[str(PurePosixPath(photo.name).with_name(photo.path.name)) for photo in photos],
            rasterizer=how.rasterizer,
            progress=progress,
        )
    names = [photos[index].name for index in result.indices]
    write_subject(result, output, names=names, files=how.files)
    tell_person(result, photos, output, how.as_json)
    return max((failure.error.exit_code for failure in result.failures), default=0)


def fit_film(video: Path, rate: float | None, output: Path, how: HowToFit) -> int:
    """Fit a video, write the files, tell of it, and return the exit code.

    Raises
    ------
    MorphkitError
        When the video cannot be used, or the output cannot be written.
    """
    from morphkit.fitting import fit_video, write_video_fit
    from morphkit.fitting.models import model_to_fit
    from morphkit.io.atomic import ensure_writable

    ensure_writable(output / "track.npz")
    model = model_to_fit(how.model)
    with StageProgress(announce=False, bars=not how.as_json) as progress:
        result = fit_video(
            video, model, rate=rate, settings=how.settings, rasterizer=how.rasterizer, progress=progress
        )
        write_video_fit(result, output)
    found, count = int(result.found.sum()), len(result.looks)
    if how.as_json:
        options.print_json({"video": video, "frames": count, "found": found, "notes": result.notes})
        return 0
    click.echo(f"{video}: the face in {found} of {count} frames; {output / 'track.npz'}, overlay beside it")
    for note in result.notes:
        click.echo(f"  Note: {note}", err=True)
    return 0


def tell_person(
    result: SubjectFit, photos: tuple[PhotoFile, ...], output: Path, as_json: bool, made: str = "fitted"
) -> None:
    """Tell of a person that was fitted, or made in another way, and of each photo."""
    for failure in result.failures:
        click.echo(f"Error: {failure.error}", err=True)
    if as_json:
        for row in _rows(result, photos, made):
            options.print_json(row)
        return
    for index, weight in zip(result.indices, result.weights, strict=True):
        click.echo(f"{photos[index].path}: counted {100.0 * weight:.0f} %")
    count = len(result.photos)
    click.echo(f"One person from {count} of {len(photos)} photos: {output / 'report.html'}")
    for note in result.notes:
        click.echo(f"  Note: {note}", err=True)


def _rows(result: SubjectFit, photos: tuple[PhotoFile, ...], made: str) -> list[dict[str, object]]:
    """Return one row for each photo, in their order."""
    rows: dict[int, dict[str, object]] = {
        failure.index: {"status": "failed", "error": str(failure.error)} for failure in result.failures
    }
    for index, weight, off in zip(result.indices, result.weights, result.disagreements, strict=True):
        known = {} if off != off else {"disagreement": float(off)}
        rows[index] = {"status": made, "weight": float(weight), **known}
    return [{"photo": str(photo.path), "name": photo.name, **rows[i]} for i, photo in enumerate(photos)]
