"""A model to turn in a page, with sliders along its first modes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from morphkit.export.build_pictures import ALBEDO_REACH, SHAPE_REACH, mean_head
from morphkit.export.openings import Openings
from morphkit.export.turntable import Skin, Slider, Turntable
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel

_SHAPE_MODES, _EXPRESSION_MODES, _ALBEDO_MODES = 5, 3, 3


def model_turntable(model: MorphableModel, *, expression: bool) -> Turntable:
    """Return the mean head, with sliders for the first modes of shape, albedo and, if wanted, expression."""
    mesh = replace(model.mesh(), uv=None)
    openings = Openings.of(mesh.vertices, mesh.faces)
    shape = _sliders("shape", model.identity, _SHAPE_MODES, openings)
    if expression and model.expression is not None:
        shape += _sliders("expression", model.expression, _EXPRESSION_MODES, openings)
    skins, albedo = [Skin("shape")], []
    if model.albedo is not None:
        skins.insert(0, Skin("albedo", openings.colored(model.albedo.mean)))
        albedo = _sliders("albedo", model.albedo, _ALBEDO_MODES, openings, colors=True)
    closed = openings.closed(mesh)
    return Turntable(
        "The model's mean", closed.vertices, closed.faces, skins, mean_head(model), [*shape, *albedo]
    )


def _sliders(
    name: str, group: LinearModel, most: int, openings: Openings, *, colors: bool = False
) -> list[Slider]:
    """Return sliders of a group's first modes, a standard deviation their unit."""
    reach = ALBEDO_REACH if colors else SHAPE_REACH
    extended = openings.colored if colors else openings.extended
    return [
        Slider(f"{name} {mode + 1}", extended(_offsets(group, mode)), -reach, reach, colors=colors)
        for mode in range(min(most, group.n_components))
    ]


def _offsets(group: LinearModel, mode: int) -> Float[np.ndarray, "v 3"]:
    """Return what a standard deviation of a mode adds."""
    direction = np.zeros(mode + 1)
    direction[mode] = 1.0
    offsets: Float[np.ndarray, "v 3"] = group.instance(direction) - group.instance(np.zeros(0))
    return offsets
