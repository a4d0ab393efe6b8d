"""`morphkit complete`: a model file with everything that fitting needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morphkit.archive import load_model
from morphkit.commands.model_files import ensure_writes_model, write_model
from morphkit.morphable import MorphableModel
from morphkit.transfer import complete_model


@dataclass(frozen=True, eq=False)
class Completion:
    """A completed model.

    Attributes
    ----------
    model : with what was added, as it was written.
    added : the names of that.
    origin : the model that it came from, and its licence.
    notes : sentences on what to know of the file.
    """

    model: MorphableModel
    added: tuple[str, ...]
    origin: str
    notes: tuple[str, ...] = ()


def complete(model: str | Path, output: str | Path, *, source: str | Path | None = None) -> Completion:
    """Write a model with what it lacks of expressions, masks, mirror map and landmark sets.

    Parameters
    ----------
    model : a model file, of any topology.
    output : the new file; its suffix tells the layout.
    source : the model file to take from; None is the embedded head.

    Raises
    ------
    BadInputError
        When a file is no model, or the output would overwrite one that is read.
    RegistrationError
        When the two heads cannot be laid onto each other.
    """
    ensure_writes_model(Path(output), (model, source))
    before = load_model(model)
    whole = complete_model(before, None if source is None else load_model(source))
    written, notes = write_model(Path(output), whole)
    if whole is before:
        return Completion(written, (), "", notes)
    record = whole.provenance["completed"][-1]
    return Completion(written, tuple(record["added"]), f"{record['from']} ({record['licence']})", notes)
