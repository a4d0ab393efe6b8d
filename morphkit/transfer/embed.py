"""The landmarks that fitting needs, on a model that has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from threadpoolctl import threadpool_limits

from morphkit.archive import load_default_model
from morphkit.errors import NoFaceError, RegistrationError
from morphkit.landmarks import embed_landmarks
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import MorphableModel
from morphkit.transfer.correspond import correspond
from morphkit.transfer.embeddings import LANDMARK_SETS, find_embeddings

_FEWEST = 51  # of a set's points: the 68 without the jaw


def lacking_landmarks(model: MorphableModel) -> tuple[str, ...]:
    """Return which of "ibug68" and "mediapipe478" a model lacks, or has few points of."""
    return tuple(
        name
        for name in LANDMARK_SETS
        if name not in model.landmarks or len(model.landmarks[name].names) < _FEWEST
    )


def embed_model(model: MorphableModel, source: MorphableModel | None = None) -> MorphableModel:
    """Return the model with the 68 and 478 landmarks that photos are fitted by; those it has stay.

    They are carried over from a source, whose mean is registered to the model's; where that fails, they are
    found on rendered views of the mean. The provenance's list "completed" says so. `complete_model` adds
    expressions, masks and a mirror map too.

    Parameters
    ----------
    model : of any topology, covering the face at least; a model that lacks nothing is returned as it is.
    source : with both sets; the embedded head when None.

    Raises
    ------
    RegistrationError
        When the source cannot be laid onto the model, and no face is found on it either.
    """
    lacking = lacking_landmarks(model)
    if not lacking:
        return model
    source = load_default_model() if source is None else source
    found, origin = _found(model, source)
    added = {name: found[name] for name in lacking if name in found}
    if not added:
        raise RegistrationError("none of the landmarks that fitting needs lie on the model")
    record: dict[str, Any] = {
        "from": source.provenance.get("name", "a model without a name") if origin else "the model's own look",
        "licence": source.provenance.get("licence", "not stated") if origin else "not needed",
        "added": [f"landmarks {name}" for name in added],
    }
    records = [*model.provenance.get("completed", []), record]
    return replace(
        model,
        landmarks={**model.landmarks, **added},
        provenance={**model.provenance, "completed": records},
    )


def _found(model: MorphableModel, source: MorphableModel) -> tuple[dict[str, LandmarkEmbedding], bool]:
    """Return the sets, and whether the source had a part in them."""
    try:
        with threadpool_limits(limits=1, user_api="blas"):  # sums must not depend on the machine
            return find_embeddings(model.mesh(), source.landmarks, correspond(source, model)), True
    except RegistrationError as error:
        try:
            return embed_landmarks(model.mesh()), False
        except NoFaceError:
            raise RegistrationError(
                f"the model's landmarks could not be found: {error}; embed them by hand, with build-basis "
                "--template-landmarks, or give a model whose mean shows a face"
            ) from error
