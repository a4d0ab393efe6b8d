"""`morphkit convert`: a model in another layout, and what that layout cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from morphkit.archive import load_model, save_model, with_albedo, with_linear_albedo
from morphkit.archive.formats import recognise, writable
from morphkit.archive.source import ModelSource
from morphkit.errors import BadInputError
from morphkit.morphable import MorphableModel

_GROUPS = ("identity", "expression", "albedo")


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
    """
    path, target = Path(model), Path(output)
    kind = writable(layout, target)
    for given in (path, albedo):
        if given is not None and target.exists() and target.samefile(given):
            raise BadInputError(f"{target} would overwrite the model that is read; choose another file.")
    source = recognise(ModelSource(path))
    read = load_model(path)
    if albedo is not None:
        read = with_albedo(read, albedo)
    if linear_albedo:
        read = _linear(read, path)
    notes = [f"Read: {note}" for note in read.provenance.get("read_notes", ())]
    written = read
    if kind.orthonormal and not _is_orthonormal(read):
        written = read.orthonormalized()
        notes.append(
            "The bases were made orthonormal, as the layout needs: coefficients mean something else."
        )
    save_model(target, written, layout=kind.key)
    notes += _lost(written, load_model(target))
    return Conversion(path, source.title, target, kind.title, tuple(notes))


def _linear(model: MorphableModel, path: Path) -> MorphableModel:
    said = str(model.provenance.get("albedo_color_space", "linear"))
    if model.albedo is None:
        raise BadInputError(f"{path} has no colours to make linear; leave --linear-albedo out.")
    if said.startswith("linear"):
        raise BadInputError(f"The colours of {path} are linear already; leave --linear-albedo out.")
    return with_linear_albedo(model)


def _is_orthonormal(model: MorphableModel) -> bool:
    groups = (getattr(model, name) for name in _GROUPS)
    return all(group is None or group.is_orthonormal for group in groups)


def _lost(before: MorphableModel, after: MorphableModel) -> list[str]:
    """Return a sentence on what the file does not hold; empty if it holds everything."""
    lost = [
        name
        for name in (*_GROUPS, "expression_units", "uv", "mirror")
        if getattr(before, name) is not None and getattr(after, name) is None
    ]
    lost += [f"landmarks {name}" for name in before.landmarks.keys() - after.landmarks.keys()]
    masks = before.masks.keys() - after.masks.keys()
    lost += [f"{len(masks)} masks"] if masks else []
    lost += ["provenance"] if before.provenance and not _keeps_provenance(before, after) else []
    sentences = [f"The layout has no place for: {', '.join(lost)}."] if lost else []
    off = float(np.abs(before.instance() - after.instance()).max(initial=0.0))
    return [*sentences, f"The mean differs by {off:.2g} mm."] if off > _PRECISE else sentences


def _keeps_provenance(before: MorphableModel, after: MorphableModel) -> bool:
    return all(after.provenance.get(key) == value for key, value in before.provenance.items())


_PRECISE = 1e-3  # millimetres
