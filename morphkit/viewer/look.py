"""How a face is coloured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.io.color import srgb_to_linear
from morphkit.viewer.comparing import distance_colors, distances, scale_end
from morphkit.viewer.state import FaceState
from morphkit.viewer.subject import Subject
from morphkit.viewer.tone import untoned

ALBEDO, PHOTO, CLAY, SPREAD, DISTANCE = "albedo", "photo", "clay", "spread of people", "distance to held"

_CLAY = np.array([0.62, 0.57, 0.53])  # linear
_TINTS = np.array(  # linear, one for each mask in turn
    [
        [0.9, 0.1, 0.1],
        [0.1, 0.35, 0.9],
        [0.1, 0.65, 0.2],
        [0.9, 0.6, 0.05],
        [0.6, 0.15, 0.8],
        [0.05, 0.7, 0.7],
    ]
)
_TINTED = 0.5


@dataclass(frozen=True, eq=False)
class Coloring:
    """Colours to draw.

    Attributes
    ----------
    colors : (v, 3) linear RGB.
    unlit : whether they are shown as they are, whatever the lights.
    scale : millimetres at the end of the scale of colours, or None where they say none.
    """

    colors: Float[np.ndarray, "v 3"]
    unlit: bool = False
    scale: float | None = None


def colorings(subject: Subject) -> tuple[str, ...]:
    """Return the ways in which a subject can be coloured, the first to begin with."""
    painted = () if subject.painted is None else (PHOTO,)
    albedo = () if subject.model.albedo is None else (ALBEDO,)
    return (*painted, *albedo, CLAY, SPREAD)


def colored(
    how: str,
    subject: Subject,
    state: FaceState,
    vertices: Float[np.ndarray, "v 3"],
    held: Float[np.ndarray, "v 3"] | None = None,
) -> Coloring:
    """Return a face's colours; without a held face, the distance to it is nil."""
    if how == ALBEDO and state.colors is not None:
        return Coloring(_linear(state))
    if how == PHOTO and subject.painted is not None:
        return Coloring(untoned(subject.painted), unlit=True)
    if how in (SPREAD, DISTANCE):
        spread = how == SPREAD
        apart = state.spread if spread else distances(vertices, vertices if held is None else held)
        end = scale_end(apart[state.model.face_mask])
        return Coloring(untoned(distance_colors(apart, end)), unlit=True, scale=end)
    return Coloring(np.broadcast_to(_CLAY, vertices.shape))


def tinted(coloring: Coloring, state: FaceState, masks: list[str]) -> Coloring:
    """Return colours with the regions of some masks tinted, each mask in a colour of its own."""
    colors = coloring.colors
    for name in masks:
        inside = state.model.masks[name][:, None]
        tint = tint_of(list(state.model.masks).index(name))
        colors = np.where(inside, (1 - _TINTED) * colors + _TINTED * tint, colors)
    return Coloring(colors, coloring.unlit, coloring.scale)


def tint_of(number: int) -> Float[np.ndarray, "3"]:
    """Return the colour of a model's mask, linear RGB."""
    return _TINTS[number % len(_TINTS)]


def _linear(state: FaceState) -> Float[np.ndarray, "v 3"]:
    """Return the albedo as light, decoded where the model says that it is not."""
    colors = state.colors
    assert colors is not None  # noqa: S101 - the caller has looked
    space = str(state.model.provenance.get("albedo_color_space", "linear"))
    return srgb_to_linear(colors) if space.lower().startswith("srgb") else colors
