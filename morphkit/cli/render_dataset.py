"""`morphkit render-dataset`."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options
from morphkit.cli.progress import StageProgress


@click.command("render-dataset", short_help="Render photos of a model's faces, with their truth.")
@click.argument("model", type=options.FILE, required=False, metavar="[MODEL.H5]")
@click.option(
    "-o", "--output", type=options.FILE, required=True, metavar="OUT_DIR", help="The dataset's folder."
)
@click.option("-n", "--count", type=click.IntRange(min=1), required=True, help="How many photos.")
@click.option(
    "--people", type=click.IntRange(min=1), help="How many persons they show.  [default: each another]"
)
@click.option("--photos", is_flag=True, help="Write whole photos, too, with landmarks and truth; slower.")
@click.option(
    "--size", type=click.IntRange(32, 1024), default=224, show_default=True, help="Of the crops, pixels."
)
@click.option(
    "--expressions",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="How strong expressions get; 0 is neutral.",
)
@click.option(
    "--max-yaw", type=click.FloatRange(0, 90), default=60.0, show_default=True, help="Of the heads, degrees."
)
@click.option(
    "--landmarks",
    type=click.Choice(["noisy", "true", "detected"]),
    default="noisy",
    show_default=True,
    help="Errors like a detector's, none, or the detector's own.",
)
@click.option(
    "--tones",
    type=click.Choice(["even", "model"]),
    default="even",
    show_default=True,
    help="Skin tones in equal shares, or as often as the model has them.",
)
@click.option(
    "--backgrounds",
    type=options.FILE,
    metavar="DIR",
    help="Pictures to cut backgrounds from.  [default: made up]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same photos."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one a core, at most 8]")
@click.option(
    "--rasterizer",
    type=click.Choice(["numba", "torch", "nvdiffrast"]),
    default="numba",
    show_default=True,
    help="nvdiffrast needs an NVIDIA GPU.",
)
@options.json_option()
def render_dataset(
    model: Path | None,
    output: Path,
    count: int,
    people: int | None,
    photos: bool,
    size: int,
    expressions: float,
    max_yaw: float,
    landmarks: str,
    tones: str,
    backgrounds: Path | None,
    seed: int,
    jobs: int | None,
    rasterizer: str,
    as_json: bool,
) -> None:
    """Render photos of a model's faces (default: the embedded head), with exact truth.

    Identity, expression, skin, light, camera, background, hair, clothes and what covers a face vary. The same
    seed gives the same photos; a run that was cut short goes on, and a longer one extends a shorter one.
    """
    from morphkit.training.synthesis import SynthesisSettings
    from morphkit.training.synthesis import render_dataset as run

    settings = SynthesisSettings(
        size=size,
        expressions=expressions,
        max_yaw=max_yaw,
        landmarks=landmarks,  # type: ignore[arg-type]
        tones=tones,  # type: ignore[arg-type]
    )
    with StageProgress() as progress:
        result = run(
            output, count, model=model, settings=settings, people=people, photos=photos, seed=seed, jobs=jobs,
            backgrounds=backgrounds, rasterizer=rasterizer, progress=progress,  # type: ignore[arg-type]
        )  # fmt: skip
    if as_json:
        shown = {
            "dataset": output, "faces": count, "rendered": result.rendered,
            "contact_sheet": result.contact_sheet, "photos": result.photos,
        }  # fmt: skip
        options.print_json(shown)
        return
    click.echo(f"{count} faces in {output}, {result.rendered} of them new.")
    click.echo(f"Contact sheet: {result.contact_sheet}")
    if result.photos is not None:
        click.echo(f"Photos: {result.photos}")
