"""A whole model on another mesh: the same people, sampled at other vertices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from morphkit.linear import LinearModel
from morphkit.mesh import Template
from morphkit.morphable import MorphableModel
from morphkit.transfer.beyond import Beyond
from morphkit.transfer.correspond import correspond
from morphkit.transfer.embeddings import transfer_embeddings
from morphkit.transfer.masks import transfer_masks
from morphkit.transfer.mirror import transfer_mirror
from morphkit.transfer.surface_map import SurfaceMap
from morphkit.transfer.uv import transfer_uv

CARRIED = "carried"
"""The mask of the vertices whose values the source has; there is none where it has all of them."""

_BLOCK = 24  # components carried at once


def transfer_model(
    model: MorphableModel, template: MorphableModel | Template, surface_map: SurfaceMap | None = None
) -> MorphableModel:
    """Return a model's faces on another mesh, with the same coefficients.

    Every vertex of the template is tied to a point of the model's mean surface, by registering the mean to
    the template; there the model's mean, modes and colours are interpolated. So ``result.instance(c)`` is
    ``model.instance(c)``, seen at other vertices, in the model's frame; of the template's own shape nothing
    is left where the model reaches. Modes are not orthonormal any more; files that need it hold
    ``result.orthonormalized()``, whose coefficients differ.

    Beyond the model (vertices without a counterpart, see `CARRIED`) the mean goes over smoothly into the
    template's own shape, and modes fade out: identity over decimetres, so that a skull's size varies with the
    face's, expressions over centimetres. Colours fade to the model's mean colour and its variation. Small
    parts without any counterpart, such as teeth, move as wholes with what is around them, and do not express.

    Landmarks, masks and expression units are carried too; the template's own stay where the model has none
    of the name. The template's own uv and mirror map are preferred to the model's, since they suit its
    triangles.

    Parameters
    ----------
    model : whose faces are carried.
    template : a model (its mean is taken) or a template, in any frame and unit.
    surface_map : from the model to the template, if it is known; else it is found (`correspond`).

    Raises
    ------
    RegistrationError
        When the model cannot be laid onto the template.
    """
    target = template if isinstance(template, Template) else template.template()
    with threadpool_limits(limits=1, user_api="blas"):  # sums must not depend on the machine
        surface_map = correspond(model, template) if surface_map is None else surface_map
        identity, expression = _shapes(model, surface_map)
        albedo = None if model.albedo is None else _colors(model.albedo, surface_map)
    masks = {**target.masks, **transfer_masks(model.masks, surface_map)}
    if not surface_map.valid.all():
        masks[CARRIED] = surface_map.valid
    own = template if isinstance(template, MorphableModel) else None
    return MorphableModel(
        faces=target.mesh.faces.astype(np.int32),
        identity=identity,
        expression=expression,
        albedo=albedo,
        expression_units=model.expression_units,
        uv=target.mesh.uv if target.mesh.uv is not None else transfer_uv(model.uv, surface_map),
        landmarks={**target.landmarks, **transfer_embeddings(model.landmarks, surface_map)},
        masks=masks,
        mirror=_mirror(model, own, surface_map),
        provenance={**model.provenance, "transferred": _record(own, surface_map)},
    )


def _shapes(model: MorphableModel, surface_map: SurfaceMap) -> tuple[LinearModel, LinearModel | None]:
    """Return identity and expression at the template's vertices."""
    beyond = Beyond(surface_map)
    whole = beyond.shape(surface_map.carry(model.instance()))
    if model.expression is None:
        return _carried(model.identity, whole, surface_map, beyond.smooth), None
    faded = beyond.faded(surface_map.carry(model.expression.mean.astype(np.float64)))
    identity = _carried(model.identity, whole - faded, surface_map, beyond.smooth)
    return identity, _carried(model.expression, faded, surface_map, beyond.faded)


def _colors(group: LinearModel, surface_map: SurfaceMap) -> LinearModel:
    """Return the albedo; beyond the source it goes over into the average colour, mode by mode."""
    beyond = Beyond(surface_map)
    mean = beyond.averaged(surface_map.carry(group.mean.astype(np.float64)))
    return _carried(group, mean, surface_map, beyond.averaged)


def _carried(
    group: LinearModel, mean: np.ndarray, surface_map: SurfaceMap, extend: Callable[[np.ndarray], np.ndarray]
) -> LinearModel:
    """Return a group with its modes at the template's vertices, a few at a time: they may be gigabytes."""
    v, k = len(mean), group.n_components
    basis = np.empty((3 * v, k), np.float32, order="F")
    for first in range(0, k, _BLOCK):
        block = group.basis[:, first : first + _BLOCK].astype(np.float64)
        values = surface_map.carry(block.reshape(len(group.mean), -1))
        basis[:, first : first + _BLOCK] = extend(values).reshape(3 * v, -1)
    return LinearModel(mean.astype(np.float32), basis, group.standard_deviations, group.noise_variance)


def _mirror(model: MorphableModel, own: MorphableModel | None, surface_map: SurfaceMap) -> np.ndarray | None:
    if own is not None and own.mirror is not None:
        return own.mirror
    return None if model.mirror is None else transfer_mirror(model.mirror, surface_map)


def _record(own: MorphableModel | None, surface_map: SurfaceMap) -> dict[str, Any]:
    """Return where the topology comes from and how well it is covered, JSON-serialisable."""
    provenance = {} if own is None else own.provenance
    valid, distances = surface_map.valid, surface_map.distances / surface_map.scale
    return {
        "onto": provenance.get("name", provenance.get("source", "a mesh without a name")),
        "licence_of_that": provenance.get("licence", "not stated"),
        "vertices": len(valid),
        "carried": int(valid.sum()),
        "median_distance_mm": round(float(np.median(distances[valid])), 4) if valid.any() else None,
    }
