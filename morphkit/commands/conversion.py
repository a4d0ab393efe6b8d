"""`morphkit convert`: a model in another layout, and what that layout cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morphkit.archive import load_model, with_albedo, with_linear_albedo
from morphkit.archive.formats import recognise, writable
from morphkit.archive.source import ModelSource
from morphkit.commands.model_files import ensure_writes_model, write_model
from morphkit.errors import BadInputError
from morphkit.morphable import MorphableModel


@dataclass(frozen=True)
class Conversion:
    """A model that was written in another layout.

    Attributes
    ----------
    model : the file that was read.
    source_layout : its layout.
    output : the file that was written.
    layout : the layout of that.
    notes : sentences on what reading left out, what was lost, and whether coefficients mean something else.
    """

    model: Path
    source_layout: str
    output: Path
    layout: str
    notes: tuple[str, ...]


def convert(
    model: str | Path,
    output: str | Path,
    *,
    layout: str | None = None,
    albedo: str | Path | None = None,
    linear_albedo: bool = False,
) -> Conversion:
    """Write a model in another layout, and read it again to see what became of it.

    Parameters
    ----------
    model : a file or folder that `morphkit.load_model` reads.
    output : the new file, whose suffix tells the layout if `layout` does not.
    layout : a key of `morphkit.archive.formats.FORMATS`.
    albedo : a file whose albedo part takes the place of the model's.
    linear_albedo : carry colours in sRGB over to linear light (`morphkit.archive.with_linear_albedo`).

    Raises
    ------
    BadInputError
        If a file is no model, the layout cannot be written, or the output would overwrite an input.
    OutputError
        If the file cannot be written, or does not give back the same faces.
    """
    path, target = Path(model), Path(output)
    ensure_writes_model(target, (model, albedo), layout)
    source = recognise(ModelSource(path))
    read = load_model(path)
    if albedo is not None:
        read = with_albedo(read, albedo)
    if linear_albedo:
        read = _linear(read, path)
    notes = [f"Read: {note}" for note in read.provenance.get("read_notes", ())]
    _, said = write_model(target, read, layout)
    return Conversion(path, source.title, target, writable(layout, target).title, (*notes, *said))


def _linear(model: MorphableModel, path: Path) -> MorphableModel:
    try:
        return with_linear_albedo(model)
    except ValueError as error:
        raise BadInputError(f"{path}: {error}; leave --linear-albedo out.") from error
