"""The panel beside the face, and what its parts do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from morphkit.errors import MorphkitError
from morphkit.geometry.normals import face_normals
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.viewer.comparing import legend
from morphkit.viewer.exporting import FORMATS
from morphkit.viewer.lighting import PRESETS, Lamps, lamps_like, one_lamp
from morphkit.viewer.look import colorings, tint_of
from morphkit.viewer.pinning import PinTab
from morphkit.viewer.session import COLORS, OVERLAY, SIDE, Session
from morphkit.viewer.sliders import Sliders
from morphkit.viewer.stage import Stage
from morphkit.viewer.wording import one_line, plain

_PHOTO_LIGHT, _MOVED = "the photo's", "movable"
_HELD = np.array([0.15, 0.35, 0.75])  # linear, of the held face as an overlay
_LANDMARK_COLORS = ((220, 30, 40), (20, 110, 220), (30, 150, 60), (200, 120, 0))
_BEFORE_SKIN = 1.2  # millimetres by which landmarks are drawn before the skin, to be seen whole
_PHOTO_SIDE = 512  # pixels of the photo in the panel


class Panel:
    """Builds the panel and keeps it and the scene in step with a session.

    Parameters
    ----------
    server : viser's.
    session : what it is about.
    request : asks for `draw` to be called, soon and in another thread.
    components : sliders at hand in each group.
    dark : a dark page.
    """

    def __init__(
        self, server: Any, session: Session, request: Callable[[], None], components: int, dark: bool
    ) -> None:
        self._server, self._gui, self._session, self._request = server, server.gui, session, request
        self._dark = dark
        self._stage = Stage(server, session.subject.model)
        self._drawn: dict[str, Any] = {}
        self._gui.configure_theme(dark_mode=dark, show_logo=False, show_share_button=False)
        tabs = self._gui.add_tab_group()
        with tabs.add_tab("Face"):
            self._add_face(components)
        with tabs.add_tab("Look"):
            self._add_look()
        with tabs.add_tab("Compare"):
            self._add_compare()
        with tabs.add_tab("Points"):
            self._points = PinTab(server, session, self._stage, self._changed)
        with tabs.add_tab("Files"):
            self._add_files()

    def push(self) -> None:
        """Set the sliders to where the face is."""
        with self._session.lock, self._server.atomic():
            self._sliders.push(self._session.state)

    def draw(self) -> None:
        """Send what has changed to the browser."""
        session = self._session
        with session.lock:
            self._sliders.pull(session.state)
            vertices, held = session.state.vertices, session.held
            coloring = session.coloring()
        with self._server.atomic():
            self._stage.draw("face", vertices, coloring.colors, unlit=coloring.unlit)
            self._draw_held(held)
            self._draw_landmarks(vertices)
            self._points.draw(vertices)
            self._draw_scale(coloring.scale)

    def _changed(self) -> None:
        """Show what a button did to the face."""
        self.push()
        self._request()

    def _button(self, label: str, *actions: Callable[[], object], hint: str | None = None) -> None:
        button = self._gui.add_button(label, hint=hint)

        def act(_: Any) -> None:
            for action in actions:
                action()
            self._changed()

        button.on_click(act)

    # --- the tabs ---------------------------------------------------------------------------------------

    def _add_face(self, components: int) -> None:
        session = self._session
        named = [name for name in ("identity", "expression", "albedo") if session.state.count(name)]
        random = self._gui.add_button_group("Random", [name.capitalize() for name in named])

        def draw_one(_: Any) -> None:
            session.randomize(str(random.value).lower())
            self._changed()

        random.on_click(draw_one)
        if session.subject.factor is not None:
            hint = "A face that explains the photo nearly as well"
            self._button("Sample the fit's posterior", session.sample, hint=hint)
        self._button("Reset", session.reset, self._points_cleared)
        self._sliders = Sliders(self._gui, session.state, components)
        self._sliders.on_update(self._request)
        for note in session.subject.notes:
            self._gui.add_markdown(f"*{plain(note)}*")

    def _points_cleared(self) -> None:
        self._points.clear()

    def _add_look(self) -> None:
        gui, session, subject = self._gui, self._session, self._session.subject
        ways = colorings(subject)
        coloring = gui.add_dropdown("Colours", ways, initial_value=session.wishes.coloring)
        self._scale_of_colors = gui.add_image(legend(1.0, self._dark), visible=False)

        def recolor(_: Any) -> None:
            session.wishes.coloring = coloring.value
            self._request()

        coloring.on_update(recolor)
        self._add_light()
        self._add_boxes("Landmarks", list(subject.model.landmarks), session.wishes.landmarks, None)
        self._add_boxes("Masks", list(subject.model.masks), session.wishes.masks, tint_of)
        self._add_photo()

    def _add_light(self) -> None:
        gui, subject = self._gui, self._session.subject
        presets: dict[str, Lamps] = dict(PRESETS)
        if subject.sh_coefficients is not None:
            rotation = None if subject.camera is None else subject.camera.R
            presets[_PHOTO_LIGHT] = lamps_like(subject.sh_coefficients, rotation)
        # a fit shares brightness out between skin and light: by another light its skin may be too dark
        start = _PHOTO_LIGHT if _PHOTO_LIGHT in presets else "studio"
        with gui.add_folder("Light"):
            chosen = gui.add_dropdown("Light", (*presets, _MOVED), initial_value=start)
            ranges = {"To the side": (-180, 180, 35), "Up": (-90, 90, 35)}
            angles = [
                gui.add_slider(label, min=low, max=high, step=1, initial_value=at, visible=False)
                for label, (low, high, at) in ranges.items()
            ]
            strengths = [
                gui.add_slider(label, min=0.0, max=2.0, step=0.01, initial_value=at, visible=False)
                for label, at in (("Lamp", 0.8), ("Ambient", 0.3))
            ]
        moved = (*angles, *strengths)

        def relight(_: Any = None) -> None:
            movable = chosen.value == _MOVED
            for slider in moved:
                slider.visible = movable
            lamps = one_lamp(*(float(s.value) for s in moved)) if movable else presets[chosen.value]
            with self._server.atomic():
                self._stage.light(lamps)
            self._server.flush()

        for part in (chosen, *moved):
            part.on_update(relight)
        relight()

    def _add_boxes(self, title: str, names: list[str], wished: list[str], tint: Any) -> None:
        if not names:
            return
        with self._gui.add_folder(title, expand_by_default=len(names) <= 3):
            for number, name in enumerate(names):
                color = "" if tint is None else _hex(tint(number))
                box = self._gui.add_checkbox(one_line(name), False, hint=f"tinted {color}" if color else None)

                def check(_: Any, box: Any = box, name: str = name) -> None:
                    with self._session.lock:
                        (wished.append if box.value else wished.remove)(name)
                    self._request()

                box.on_update(check)

    def _add_photo(self) -> None:
        gui, subject = self._gui, self._session.subject
        if subject.photo is None:
            return
        with gui.add_folder("Photo"):
            step = -(-max(subject.photo.shape[:2]) // _PHOTO_SIDE)
            gui.add_image(subject.photo[::step, ::step], label=one_line(subject.caption), format="jpeg")
            if subject.camera is None:
                return
            behind = gui.add_checkbox("Behind the face", False)
            from_camera, from_front = (
                gui.add_button("View from its camera"),
                gui.add_button("View from the front"),
            )
        photo, camera = subject.photo, subject.camera

        def hang(_: Any) -> None:
            if behind.value:
                self._stage.show_photo(photo, camera)
            else:
                self._stage.remove("photo")

        behind.on_update(hang)
        from_camera.on_click(lambda event: self._stage.look_from(event.client, camera))
        from_front.on_click(lambda event: self._stage.look_from_front(event.client))

    def _add_compare(self) -> None:
        session = self._session
        self._button("Hold this face", session.hold, hint="Keep a copy, and compare what follows with it")
        self._button("Swap", session.swap, hint="Hold the face on the screen, show the held one")
        self._button("Let go", session.release)
        way = self._gui.add_dropdown("Show", (COLORS, SIDE, OVERLAY), initial_value=session.wishes.comparison)
        self._apart = self._gui.add_markdown("No face is held.")
        self._scale_of_distances = self._gui.add_image(legend(1.0, self._dark), visible=False)

        def recompare(_: Any) -> None:
            session.wishes.comparison = way.value
            self._request()

        way.on_update(recompare)

    def _add_files(self) -> None:
        session = self._session
        said = self._gui.add_markdown("Meshes in millimetres (GLB in metres), coefficients as JSON.")

        def give(event: Any, suffix: str) -> None:
            try:
                name, content, path = session.export(suffix)
            except (MorphkitError, OSError) as error:
                said.content = plain(error)
                return
            if event.client is not None:
                event.client.send_file_download(name, content, save_immediately=True)
            said.content = plain(f"Downloaded {name}" + ("." if path is None else f"; written to {path}."))

        for suffix in FORMATS:
            label = "Coefficients (.json)" if suffix == "json" else f"Mesh (.{suffix})"
            button = self._gui.add_button(label)
            button.on_click(lambda event, suffix=suffix: give(event, suffix))

    # --- what is drawn ----------------------------------------------------------------------------------

    def _draw_held(self, held: Any) -> None:
        way = self._session.wishes.comparison
        for name, wanted in (("held_beside", SIDE), ("held_over", OVERLAY)):
            if held is None or way != wanted:
                self._stage.remove(name)
                self._drawn.pop(name, None)
            elif self._drawn.get(name) is not held:  # it stands still while the face moves
                vertices, colors = held[1], held[2]
                if wanted == SIDE:
                    self._stage.draw(name, self._stage.aside(vertices), colors)
                else:
                    over = np.broadcast_to(_HELD, vertices.shape)
                    self._stage.draw(name, vertices, over, opacity=0.45)
                self._drawn[name] = held
        if held is None:
            self._apart.content = "No face is held."
        else:
            apart = np.linalg.norm(self._session.state.vertices - held[1], axis=1)
            face = apart[self._session.subject.model.face_mask]
            text = f"On the face: median {np.median(face):.2f} mm, most {face.max(initial=0.0):.2f} mm."
            self._apart.content = text

    def _draw_landmarks(self, vertices: np.ndarray) -> None:
        model, wanted = self._session.subject.model, list(self._session.wishes.landmarks)
        for number, (name, embedding) in enumerate(model.landmarks.items()):
            if name in wanted:
                points = embedding.landmarks(vertices, model.faces).points
                out = face_normals(vertices, model.faces[embedding.face_indices])
                before = points + _BEFORE_SKIN * out
                self._stage.points(f"landmarks_{number}", before, _LANDMARK_COLORS[number % 4])
            else:
                self._stage.remove(f"landmarks_{number}")

    def _draw_scale(self, end: float | None) -> None:
        compared = self._session.held is not None and self._session.wishes.comparison == COLORS
        for picture, here in ((self._scale_of_colors, not compared), (self._scale_of_distances, compared)):
            picture.visible = here and end is not None
            if picture.visible and self._drawn.get("scale") != end:
                picture.image = legend(float(end or 1.0), self._dark)
        self._drawn["scale"] = end


def _hex(color: np.ndarray) -> str:
    return "#" + bytes(linear_to_srgb_uint8(color)).hex()
