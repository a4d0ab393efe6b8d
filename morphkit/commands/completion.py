"""`morphkit complete`: a model file with everything that fitting needs."""

from __future__ import annotations

from pathlib import Path

from morphkit.archive import load_model, save_model
from morphkit.building.outputs import ensure_model_path
from morphkit.morphable import MorphableModel
from morphkit.transfer import complete_model


def complete(model: str | Path, output: str | Path, *, source: str | Path | None = None) -> MorphableModel:
    """Write a model with what it lacks of expressions, masks, mirror map and landmark sets, and return it.

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
    whole = complete_model(load_model(model), None if source is None else load_model(source))
    save_model(output, whole)
    return whole
