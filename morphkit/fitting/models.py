"""The model that photos are fitted with: any, with the landmarks that fitting goes by."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from morphkit.archive import resolve_model
from morphkit.morphable import MorphableModel
from morphkit.transfer import embed_model

FOUND = "landmarks_found_for_this_fit"
"""The provenance's entry of a model whose file has no landmarks: the sentence to tell."""


def model_to_fit(model: MorphableModel | str | os.PathLike[str] | None) -> MorphableModel:
    """Return a model, or that of a file, with the landmarks it lacks; None is the embedded head.

    They are found anew each time, some seconds' work; nothing is kept beside the file.

    Raises
    ------
    BadInputError
        When the file cannot be read.
    RegistrationError
        When no landmarks could be found on the model.
    """
    given = resolve_model(model)
    embedded = embed_model(given)
    if embedded is given:
        return given
    sentence = _sentence(embedded.provenance["completed"][-1]["added"])
    return replace(embedded, provenance={**embedded.provenance, FOUND: sentence})


def model_notes(model: MorphableModel) -> tuple[str, ...]:
    """Return what is to be said of a model from `model_to_fit`."""
    return (str(model.provenance[FOUND]),) if FOUND in model.provenance else ()


def _sentence(added: Sequence[str]) -> str:
    sets = " and ".join(name.removeprefix("landmarks ") for name in added)
    return (
        f"The model's file lacks the landmarks {sets}; they were found on its mean for this fit. "
        "morphkit complete writes a model that has them."
    )
