"""What scans do not show, taken from another model: expressions, masks, mirror map, landmark sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from morphkit.archive import load_default_model, load_model
from morphkit.errors import BadInputError, RegistrationError
from morphkit.morphable import MorphableModel
from morphkit.transfer import complete_model

DEFAULT, NONE = "default", "none"


def expressions_source(expressions_from: str | Path) -> Callable[[], MorphableModel] | None:
    """Return what loads the model that completes another; None for `NONE`. A file is read at once.

    Raises
    ------
    BadInputError
        When it is neither `DEFAULT` nor `NONE` nor a model file with expressions.
    """
    if str(expressions_from) == NONE:
        return None
    if str(expressions_from) == DEFAULT:
        return load_default_model
    source = load_model(expressions_from)
    if source.expression is None:
        raise BadInputError(f"{expressions_from} has no expressions; give a model that has some.")
    return lambda: source


def completed(
    model: MorphableModel, source: Callable[[], MorphableModel] | None, *, instead: bool
) -> tuple[MorphableModel, tuple[str, ...]]:
    """Return the model with what it lacks, and sentences on what was added or could not be.

    Parameters
    ----------
    model : just built.
    source : loads what completes it, or None.
    instead : expressions that are the template's, not the scans', give way to the source's, or to none.
    """
    if instead and not model.provenance.get("expression_scan_count", 0):
        model = replace(model, expression=None, expression_units=None)
    if source is None:
        return model, ()
    try:
        whole = complete_model(model, source())
    except RegistrationError as error:
        return model, (f"What the scans do not show could not be added: {error}.",)
    if whole is model:
        return model, ()
    record = whole.provenance["completed"][-1]
    origin = f"{record['from']} ({record['licence']})"
    return whole, (f"Not from these scans, but carried over from {origin}: {', '.join(record['added'])}.",)
