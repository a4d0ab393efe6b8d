"""The sliders of a face's coefficients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from morphkit.linear import LinearModel
from morphkit.viewer.state import FaceState
from morphkit.viewer.wording import one_line

RANGE = 3.0  # standard deviations to either side, more where the start lies beyond
_STEP = 0.01
_MOST = 60  # sliders of one group; more are of no use to a hand, and slow the page down
_TITLES = {"identity": "Identity", "expression": "Expression", "albedo": "Albedo"}


class Sliders:
    """Sliders for the leading components of every group, and for named expression units where there are any.

    Parameters
    ----------
    gui : viser's.
    state : the face that they are about.
    shown : how many of a group are at hand; the others are folded away.
    """

    def __init__(self, gui: Any, state: FaceState, shown: int) -> None:
        self._gui, self._shown = gui, shown
        self._components: dict[tuple[str, int], Any] = {}
        self._units: dict[str, Any] = {}
        for name in _TITLES:
            if name == "expression" and state.model.expression_units is not None:
                self._add_units(state)
            elif state.count(name):
                self._add_components(name, state)

    def on_update(self, callback: Any) -> None:
        """Have something called whenever a slider moves."""
        for slider in (*self._components.values(), *self._units.values()):
            slider.on_update(lambda _: callback())

    def pull(self, state: FaceState) -> bool:
        """Move the face to where the sliders are; return whether it moved.

        The sliders are read now, not when they told of a movement: of many movements the last one counts.
        """
        moved = False
        for (name, index), slider in self._components.items():
            if slider.value != _shown(state.group(name)[index]):
                state.move(name, index, float(slider.value))
                moved = True
        strengths = state.strengths
        for name, slider in self._units.items():
            if slider.value != _shown(strengths[name]):
                state.move_unit(name, float(slider.value))
                moved = True
        return moved

    def push(self, state: FaceState) -> None:
        """Move the sliders to where the face is."""
        for (name, index), slider in self._components.items():
            _put(slider, state.group(name)[index])
        for name, strength in state.strengths.items():
            if name in self._units:
                _put(self._units[name], strength)

    def _add_components(self, name: str, state: FaceState) -> None:
        group: LinearModel = getattr(state.model, name)
        count = min(state.count(name), _MOST)
        values = state.group(name)
        limit = max(RANGE, float(math.ceil(np.abs(values).max(initial=0.0))))
        largest = group.standard_deviations.max(initial=0.0)

        def add(index: int) -> None:
            share = group.standard_deviations[index] / largest if largest else 0.0
            self._components[name, index] = self._gui.add_slider(
                f"{index + 1}",
                min=-limit,
                max=limit,
                step=_STEP,
                initial_value=_shown(values[index]),
                hint=f"{_TITLES[name]} {index + 1}, in standard deviations; {share:.0%} of the largest one",
            )

        self._fold(name, range(count), add)

    def _add_units(self, state: FaceState) -> None:
        units, group = state.model.expression_units, state.model.expression
        assert units is not None  # noqa: S101 - the caller has looked
        assert group is not None  # noqa: S101 - units are directions in it
        lengths = np.linalg.norm(units.coefficients * group.standard_deviations, axis=1)
        strengths = state.strengths

        def add(index: int) -> None:
            name = units.names[index]
            self._units[name] = self._gui.add_slider(
                one_line(name), min=0.0, max=1.0, step=_STEP, initial_value=_shown(strengths[name])
            )

        self._fold("expression", np.argsort(-lengths, kind="stable").tolist(), add)  # the liveliest first

    def _fold(self, name: str, order: Any, add: Any) -> None:
        with self._gui.add_folder(_TITLES[name], expand_by_default=name == "identity"):
            for index in order[: self._shown]:
                add(index)
            if len(order) > self._shown:
                with self._gui.add_folder("more", expand_by_default=False):
                    for index in order[self._shown :]:
                        add(index)


def _put(slider: Any, value: float) -> None:
    slider.value = _shown(min(max(value, slider.min), slider.max))


def _shown(value: float) -> float:
    """Return a coefficient as a slider holds it; the face itself keeps all its digits."""
    return round(float(value), 2)
