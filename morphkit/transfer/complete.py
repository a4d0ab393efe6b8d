"""A model with everything that fitting needs, from one that lacks some of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from threadpoolctl import threadpool_limits

from morphkit.archive import load_default_model
from morphkit.morphable import MorphableModel
from morphkit.transfer.correspond import correspond
from morphkit.transfer.embeddings import find_embeddings
from morphkit.transfer.expressions import transfer_expressions
from morphkit.transfer.masks import transfer_masks
from morphkit.transfer.mirror import transfer_mirror
from morphkit.transfer.surface_map import SurfaceMap

_SETS = ("ibug68", "mediapipe478")


def complete_model(
    model: MorphableModel, source: MorphableModel | None = None, *, expressions: bool = True
) -> MorphableModel:
    """Return the model with what it lacks of expressions, masks, mirror map and landmark sets.

    What the model has stays as it is. The rest comes from `source` through a map between the two means
    (`correspond`), landmark sets from the detector; the provenance's list "completed" says what. The mirror
    map is added only where the model's triangles are symmetric.

    Parameters
    ----------
    model : of any topology, covering any part of a head.
    source : the embedded head (CC0) when None.
    expressions : add an expression group and its named units.

    Raises
    ------
    RegistrationError
        When something is missing, and the two heads cannot be laid onto each other.
    """
    source = load_default_model() if source is None else source
    missing = _missing(model, source, expressions)
    if not missing:
        return model
    with threadpool_limits(limits=1, user_api="blas"):  # sums must not depend on the machine
        added = _added(model, source, correspond(source, model), missing)
    if not added:
        return model
    completed = replace(model, **added)
    records = [*model.provenance.get("completed", []), _record(source, model, completed)]
    return replace(completed, provenance={**model.provenance, "completed": records})


def _missing(model: MorphableModel, source: MorphableModel, expressions: bool) -> frozenset[str]:
    """Return the names of the fields with gaps."""
    gaps = {
        "expression": expressions and model.expression is None,
        "masks": bool(source.masks.keys() - model.masks.keys()),
        "mirror": model.mirror is None,
        "landmarks": any(name not in model.landmarks for name in _SETS),
    }
    return frozenset(name for name, gap in gaps.items() if gap)


def _added(
    model: MorphableModel, source: MorphableModel, surface_map: SurfaceMap, missing: frozenset[str]
) -> dict[str, Any]:
    """Return new values of fields, those only that say more than before."""
    added: dict[str, Any] = {}
    if "expression" in missing and source.expression is not None:
        found = transfer_expressions(source, surface_map)
        added |= {"expression": found.group, "expression_units": found.units}
    if "masks" in missing:
        lacking = {name: mask for name, mask in source.masks.items() if name not in model.masks}
        masks = transfer_masks(lacking, surface_map)
        added |= {"masks": {**model.masks, **masks}} if masks else {}
    if "mirror" in missing and source.mirror is not None:
        mirror = transfer_mirror(source.mirror, surface_map)
        added |= {} if mirror is None else {"mirror": mirror}
    if "landmarks" in missing:
        found_sets = find_embeddings(model.mesh(), source.landmarks, surface_map)
        if found_sets.keys() - model.landmarks.keys():
            added["landmarks"] = {**found_sets, **model.landmarks}
    return added


def _record(source: MorphableModel, before: MorphableModel, after: MorphableModel) -> dict[str, Any]:
    """Return what was added and from where, JSON-serialisable."""
    fields = ("expression", "mirror")
    added = [name for name in fields if getattr(before, name) is None and getattr(after, name) is not None]
    added += [f"mask {name}" for name in after.masks if name not in before.masks]
    added += [f"landmarks {name}" for name in after.landmarks if name not in before.landmarks]
    return {
        "from": source.provenance.get("name", "a model without a name"),
        "licence": source.provenance.get("licence", "not stated"),
        "added": added,
    }
