"""`morphkit get`: models with open licences."""

from __future__ import annotations

from pathlib import Path

import click

from morphkit.cli import options


def _names(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Return what a shell may complete a name to."""
    from morphkit.commands.downloads import downloads

    return [name for name in downloads() if name.startswith(begun)]


@click.command(short_help="Download a model with an open licence.")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=_names)
@click.option("-o", "--output", type=options.FILE, metavar="DIR", help="Where it goes.  [default: ./NAME]")
@click.option("--mirror", metavar="URL", help="Take the files from this copy; they must be the same.")
@options.json_option()
def get(name: str | None, output: Path | None, mirror: str | None, as_json: bool) -> None:
    """Download a model with an open licence from its authors, every file checked by its SHA-256.

    Without a NAME, says what there is. This is the only command that uses a network, and nothing but these
    files is asked for. A download that was cut short goes on where it was.
    """
    from morphkit.cli.progress import StageProgress
    from morphkit.commands.downloads import downloads
    from morphkit.commands.downloads import get as run

    if name is None:
        _list(as_json)
        return
    wanted = downloads().get(name)
    if wanted is not None:
        click.echo(f"{wanted.title}: {wanted.licence}. {wanted.page}", err=True)
        click.echo(f"{wanted.megabytes} MB go into {output or Path(name)}/", err=True)
    with StageProgress(announce=not as_json) as progress:
        model = run(name, output, mirror=mirror, progress=progress)
    if as_json:
        options.print_json({"name": name, "model": model})
    else:
        click.echo(f"Model: {model}\nSee it with: morphkit info {model}")


def _list(as_json: bool) -> None:
    from morphkit.commands.downloads import downloads

    known = downloads().values()
    if as_json:
        fields = ("name", "title", "licence", "page", "megabytes")
        options.print_json({"downloads": [{key: getattr(one, key) for key in fields} for one in known]})
        return
    for one in known:
        click.echo(f"{one.name}: {one.title}, {one.megabytes} MB, {one.licence}, {one.page}")
