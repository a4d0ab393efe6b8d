"""`morphkit complete`: a model file with everything that fitting needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from morphkit.archive import load_model, save_model
from morphkit.building.outputs import ensure_model_path
from morphkit.morphable import MorphableModel
from morphkit.transfer import complete_model


@dataclass(frozen=True, eq=False)
class Completion:
    """A completed model.

    Attributes
    ----------
    model : with what was added.
    added : the names of that.
    origin : the model that it came from, and its licence.
    """

    model: MorphableModel
    added: tuple[str, ...]
    origin: str


def complete(model: str | Path, output: str | Path, *, source: str | Path | None = None) -> Completion:
    """Write a model with what it lacks of expressions, masks, mirror map and landmark sets.

    Parameters
    ----------
    model : a model file, of any topology.
    output : the new file (.h5).
    source : the model file to take from; None is the embedded head.

    Raises
    ------
    BadInputError
        When a file is no model, or the output would overwrite one that is read.
    RegistrationError
        When the two heads cannot be laid onto each other.
    """
    ensure_model_path(Path(output), (), (model, source))
    before = load_model(model)
    whole = complete_model(before, None if source is None else load_model(source))
    save_model(output, whole)
    if whole is before:
        return Completion(whole, (), "")
    record = whole.provenance["completed"][-1]
    return Completion(whole, tuple(record["added"]), f"{record['from']} ({record['licence']})")
