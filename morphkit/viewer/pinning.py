"""The tab about points: what was clicked on, and pins that pull the face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from morphkit.viewer.picking import Picked
from morphkit.viewer.session import Session
from morphkit.viewer.stage import Stage
from morphkit.viewer.wording import plain

_MARK = (255, 140, 0)
_ASK = "Click on the face: which vertex it is, and how far it strays."


class PinTab:
    """Builds the tab, listens to clicks and draws marks and pins.

    Parameters
    ----------
    server : viser's.
    session : what it is about.
    stage : where marks and pins are drawn.
    changed : is called when the face has moved otherwise than by its sliders.
    """

    def __init__(self, server: Any, session: Session, stage: Stage, changed: Callable[[], None]) -> None:
        self._gui, self._session, self._stage, self._changed = server.gui, session, stage, changed
        self._handles: dict[int, Any] = {}
        self._said = self._gui.add_markdown(_ASK)
        pin = self._gui.add_button("Pin it", hint="Hold the vertex; drag its arrows, and the face follows")
        pin.on_click(lambda _: self._pin())
        give = self._gui.add_slider(
            "Gives by, mm", min=0.1, max=10.0, step=0.1, initial_value=session.give,
            hint="How well the pins are known: their standard deviation",
        )  # fmt: skip
        sample = self._gui.add_button("Sample people with these pins")
        free = self._gui.add_button("Take the pins out")
        self._count = self._gui.add_markdown("No pins.")

        def loosen(_: Any) -> None:
            session.give = float(give.value)
            self._act(session.obey_pins)

        give.on_update(loosen)
        sample.on_click(lambda _: self._act(session.sample))
        free.on_click(lambda _: self._act(self.clear))
        server.scene.on_click()(self._clicked)

    def clear(self) -> None:
        """Take all pins out; the face stays."""
        with self._session.lock:
            self._session.pins.clear()
        for index in list(self._handles):
            self._stage.remove(f"pin_{index}")
        self._handles.clear()
        self._tell()

    def draw(self, vertices: np.ndarray) -> None:
        """Draw the mark of the picked vertex where the vertex is now."""
        index = self._session.picked
        if index is None:
            self._stage.remove("picked")
        else:
            self._stage.points("picked", vertices[[index]], _MARK)

    def _act(self, action: Callable[[], object]) -> None:
        action()
        self._changed()

    def _clicked(self, event: Any) -> None:
        origin = self._stage.point_of(event.ray_origin)
        picked = self._session.pick(origin, np.asarray(event.ray_direction, np.float64))
        self._said.content = _ASK if picked is None else told(picked)
        self._changed()

    def _pin(self) -> None:
        index = self._session.pin()
        if index is None or index in self._handles:
            return
        handle = self._stage.place_handle(f"pin_{index}", self._session.pins[index])
        self._handles[index] = handle

        def dragged(_: Any) -> None:
            self._session.drag_pin(index, self._stage.point_of(handle.position))
            self._act(self._session.obey_pins)

        handle.on_update(dragged)
        self._tell()

    def _tell(self) -> None:
        count = len(self._handles)
        self._count.content = "No pins." if not count else f"{count} pin{'s' if count > 1 else ''}."


def told(picked: Picked) -> str:
    """Return what there is to say of a vertex, as Markdown."""
    x, y, z = picked.position
    lines = [f"**Vertex {picked.index}** at ({x:.1f}, {y:.1f}, {z:.1f}) mm"]
    if picked.landmark is not None:
        lines.append(f"{picked.distance:.1f} mm from landmark {plain(picked.landmark)}")
    lines += [f"strays by {mm:.2f} mm with {plain(group)}" for group, mm in picked.deviations.items()]
    if picked.masks:
        lines.append(f"in {plain(', '.join(picked.masks))}")
    return "  \n".join(lines)
