"""`morphkit view`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from morphkit.cli import options


@click.command(short_help="Look at a model or a fit in the browser.")
@click.argument("source", type=options.FILE, required=False, metavar="[MODEL|FIT_DIR]")
@click.option(
    "--model",
    type=options.FILE,
    metavar="MODEL",
    help="The model that the fit is of.  [default: the file that the fit names]",
)
@click.option(
    "--photo", type=options.FILE, metavar="PHOTO", help="The fit's photo, if it does not lie beside it."
)
@click.option(
    "-o",
    "--output",
    type=options.FILE,
    metavar="OUT_DIR",
    help="Write exports there too, not only download them.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Whom the page is for; 0.0.0.0 is everyone who reaches this machine.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one."
)
@click.option(
    "--components",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Sliders at hand in each group; more are folded away.",
)
@click.option("--dark", is_flag=True, help="A dark page.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random faces.")
@click.option(
    "--browser/--no-browser", default=True, help="Open the page in the browser, or only say its address."
)
@options.json_option("Print the page's address as one JSON object, then serve it.")
def view(
    source: Path | None,
    model: Path | None,
    photo: Path | None,
    output: Path | None,
    host: str,
    port: int,
    components: int,
    dark: bool,
    seed: int,
    browser: bool,
    as_json: bool,
) -> None:
    """Look at a model (default: the embedded head) or a fit in the browser.

    FIT_DIR is a folder that morphkit fit wrote. Pages of other sites in the same browser are refused.
    Ctrl-C ends it.
    """
    from morphkit.viewer import view as run
    from morphkit.viewer.wording import one_line

    viewer = run(
        source,
        model=model,
        photo=photo,
        output=output,
        host=host,
        port=port,
        components=components,
        dark=dark,
        seed=seed,
        browser=browser,
    )
    with viewer, suppress(KeyboardInterrupt):  # the way to end it
        title = viewer.session.subject.title
        if as_json:
            options.print_json({"title": title, "url": viewer.url})
        else:
            click.echo(f"{one_line(title)}: {viewer.url} (Ctrl-C ends it)")
        viewer.wait()
