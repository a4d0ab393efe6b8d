"""What a person does with a face: moves it, compares it, draws others, pins points, takes it away."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from morphkit.mesh import Mesh
from morphkit.viewer.exporting import exported, save
from morphkit.viewer.look import ALBEDO, CLAY, DISTANCE, Coloring, colored, colorings, tinted
from morphkit.viewer.picking import Picked, describe, meet
from morphkit.viewer.sampling import Pins, pinned, random_group, sampled
from morphkit.viewer.sliders import RANGE
from morphkit.viewer.state import FaceCoefficients, FaceState
from morphkit.viewer.subject import Subject

SIDE, OVERLAY, COLORS = "beside", "overlay", "distance in colour"


@dataclass
class Wishes:
    """What a person wants to see.

    Attributes
    ----------
    coloring : one of `morphkit.viewer.look.colorings`.
    masks : the names of the masks that are tinted.
    landmarks : the names of the landmark sets that are drawn.
    comparison : how the held face is shown: SIDE, OVERLAY or COLORS.
    """

    coloring: str
    masks: list[str] = field(default_factory=list)
    landmarks: list[str] = field(default_factory=list)
    comparison: str = COLORS


class Session:
    """One face on the screen. Methods may be called from any thread; each holds `lock`.

    Parameters
    ----------
    subject : what is looked at.
    seed : of the random faces.
    output : the folder that exports go to, or None.
    """

    def __init__(self, subject: Subject, seed: int = 0, output: Path | None = None) -> None:
        self.subject, self.output = subject, output
        self.state = FaceState(subject.model, subject.start)
        self.wishes = Wishes(colorings(subject)[0])
        self.lock = threading.RLock()
        self.held: tuple[FaceCoefficients, Float[np.ndarray, "v 3"], Float[np.ndarray, "v 3"]] | None = None
        self.pins: dict[int, Float[np.ndarray, "3"]] = {}
        self.give = 1.0
        self.picked: int | None = None
        self._rng = np.random.default_rng(seed)

    def reset(self) -> None:
        """Go back to the face of the start."""
        with self.lock:
            self.pins.clear()
            self.state.assign(self.subject.start)

    def randomize(self, group: str) -> None:
        """Draw a group's coefficients, or an expression of few named units."""
        with self.lock:
            units = self.subject.model.expression_units
            if group == "expression" and units is not None:
                chosen = self._rng.choice(len(units.names), size=min(4, len(units.names)), replace=False)
                strengths = {units.names[i]: float(self._rng.uniform(0.2, 0.9)) for i in chosen}
                self.state.assign_strengths(strengths)
            elif self.state.count(group):
                model = getattr(self.subject.model, group)
                self.state.assign_group(group, random_group(model, self._rng, RANGE))

    def sample(self) -> None:
        """Draw a face that what is known leaves open: of the pinned points, or else of the fit."""
        with self.lock:
            if self.pins:
                self._obey_pins(self._rng)
            elif self.subject.factor is not None:
                self.state.assign(sampled(self.subject.start, self.subject.factor, self._rng))
            else:
                self.randomize("identity")

    def hold(self) -> None:
        """Keep a copy of the face, to compare others with."""
        with self.lock:
            colors = self.coloring().colors
            self.held = (self.state.coefficients, self.state.vertices, np.array(colors))

    def swap(self) -> None:
        """Hold the face on the screen, and show the one that was held."""
        with self.lock:
            if self.held is not None:
                shown = self.held[0]
                self.hold()
                self.state.assign(shown)

    def release(self) -> None:
        """Hold no face any more."""
        with self.lock:
            self.held = None

    def pick(self, origin: Float[np.ndarray, "3"], direction: Float[np.ndarray, "3"]) -> Picked | None:
        """Pick the vertex that a ray meets; None if it misses the face."""
        with self.lock:
            vertices = self.state.vertices
            index = meet(vertices, self.subject.model.faces, origin, direction)
            self.picked = index
            return None if index is None else describe(self.subject.model, vertices, index)

    def pin(self) -> int | None:
        """Pin the picked vertex where it is, and return it."""
        with self.lock:
            if self.picked is not None:
                self.pins[self.picked] = self.state.vertices[self.picked].copy()
            return self.picked

    def drag_pin(self, index: int, point: Float[np.ndarray, "3"]) -> None:
        """Move a pin."""
        with self.lock:
            if index in self.pins:
                self.pins[index] = point

    def obey_pins(self) -> None:
        """Show the most probable person whose vertices are where the pins hold them."""
        with self.lock:
            if self.pins:
                self._obey_pins(None)

    def coloring(self) -> Coloring:
        """Return the colours to draw."""
        with self.lock:
            held = None if self.held is None else self.held[1]
            compared = held is not None and self.wishes.comparison == COLORS
            how = DISTANCE if compared else self.wishes.coloring
            found = colored(how, self.subject, self.state, self.state.vertices, held)
            return tinted(found, self.state, self.wishes.masks)

    def export(self, suffix: str) -> tuple[str, bytes, Path | None]:
        """Return a file of the face with its name and, with a folder for exports, its path there."""
        with self.lock:
            content = exported(self.state, suffix, self._painted())
        stem = (
            "".join(c if c.isalnum() or c in "-_" else "_" for c in Path(self.subject.title).stem) or "face"
        )
        path = None if self.output is None else save(self.output, stem, suffix, content)
        return f"{stem}.{suffix}", content, path

    def _painted(self) -> Mesh | None:
        """Return the face with the photo's colours if these are on the screen."""
        if self.wishes.coloring in (ALBEDO, CLAY) or self.subject.painted is None:
            return None
        mesh = self.state.mesh
        return Mesh(mesh.vertices, mesh.faces, colors=self.subject.painted.astype(np.float32), uv=mesh.uv)

    def _obey_pins(self, rng: np.random.Generator | None) -> None:
        model = self.subject.model
        pins = Pins(np.array(list(self.pins)), np.array(list(self.pins.values())), self.give)
        offset = self.state.vertices - model.identity.instance(self.state.group("identity"))
        self.state.assign_group("identity", pinned(model.identity, pins, offset, rng))
