"""The scene in the browser: the face, its company, lights and the camera."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from morphkit.export.camera import PhotoCamera
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.morphable import MorphableModel
from morphkit.viewer.lighting import MOST_LAMPS, Lamps
from morphkit.viewer.surface import SurfaceWriter

_UNIT = 0.01  # of the scene, in millimetres' place: a head is two units high, as browsers' cameras like it
_FIELD_OF_VIEW = math.radians(25)
_FILLED = 0.72  # of the view's height by the face, at the start
_REACH = 50.0  # scene units, beyond anything in view
_BEHIND = 350.0  # millimetres from the face to the photo behind it
_ASIDE = 1.15  # widths of the head between two faces side by side


class Stage:
    """Draws a model's faces through viser. Points that come and go are in the model's frame, millimetres.

    Parameters
    ----------
    server : viser's.
    model : whose faces are drawn.
    """

    def __init__(self, server: Any, model: MorphableModel) -> None:
        self._server, self._model = server, model
        mean = model.instance()
        self._middle = model.face_middle
        seen = mean[model.face_mask]
        self.height = float(np.ptp(seen[:, 1])) or 1.0
        self.width = float(np.ptp(mean[:, 0])) or 1.0
        self._write = SurfaceWriter(model.faces, model.n_vertices, _UNIT)
        self._nodes: dict[str, Any] = {}
        self._prepare()

    def draw(
        self, name: str, vertices: Float[np.ndarray, "v 3"], colors: Float[np.ndarray, "v 3"], **material: Any
    ) -> None:
        """Draw a face, or draw it anew; `material` is as `SurfaceWriter` takes it."""
        content = self._write(vertices - self._middle, colors, **material)
        if name in self._nodes:
            self._nodes[name].glb_data = content
        else:
            add = self._server.scene.add_glb
            self._nodes[name] = add(f"/{name}", content, cast_shadow=False, receive_shadow=False)

    def aside(self, vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """Return a face put beside another, to its left in the view: the panel is at the right."""
        return vertices - np.array([_ASIDE * self.width, 0.0, 0.0])

    def points(self, name: str, points: Float[np.ndarray, "n 3"], color: tuple[int, int, int]) -> None:
        """Draw points, or draw them anew."""
        placed = self.placed(points).astype(np.float32)
        if name in self._nodes:
            self._nodes[name].points = placed
            return
        self._nodes[name] = self._server.scene.add_point_cloud(
            f"/{name}",
            placed,
            color,
            point_size=0.01 * self.height * _UNIT,
            point_shape="circle",
            point_shading="flat",
            precision="float32",
        )

    def remove(self, name: str) -> None:
        """Take something off the stage, if it is there."""
        node = self._nodes.pop(name, None)
        if node is not None:
            node.remove()

    def light(self, lamps: Lamps) -> None:
        """Light the scene."""
        ambient = self._nodes["ambient"]
        ambient.color, ambient.intensity = _light_color(lamps.ambient)
        for i in range(MOST_LAMPS):
            node = self._nodes[f"lamp_{i}"]
            node.visible = i < len(lamps.colors)
            if node.visible:
                node.color, node.intensity = _light_color(lamps.colors[i])
                node.position = tuple(_REACH * lamps.directions[i])

    def place_handle(self, name: str, point: Float[np.ndarray, "3"]) -> Any:
        """Return a handle at a point, for a person to drag; `point_of` tells where it is."""
        handle = self._server.scene.add_transform_controls(
            f"/{name}", scale=0.2, disable_rotations=True, position=tuple(self.placed(point))
        )
        self._nodes[name] = handle
        return handle

    def placed(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Return points in the scene."""
        return (points - self._middle) * _UNIT

    def point_of(self, placed: Any) -> Float[np.ndarray, "3"]:
        """Return where a point of the scene lies in the model's frame, millimetres."""
        return np.asarray(placed, np.float64) / _UNIT + self._middle

    def show_photo(self, photo: UInt8[np.ndarray, "h w 3"], camera: PhotoCamera) -> None:
        """Hang the photo behind the face, where its camera saw it."""
        distance = float((camera.R @ self._middle + camera.t)[2]) + _BEHIND
        focal = camera.K[0, 0]
        width, height = camera.width * distance / focal, camera.height * distance / camera.K[1, 1]
        shift = np.array([camera.width / 2 - camera.K[0, 2], camera.height / 2 - camera.K[1, 2]]) / focal
        centre = camera.R.T @ (np.append(shift * distance, distance) - camera.t)
        self._nodes["photo"] = self._server.scene.add_image(
            "/photo",
            photo,
            width * _UNIT,
            height * _UNIT,
            format="jpeg",
            cast_shadow=False,
            receive_shadow=False,
            wxyz=_quaternion(camera.R.T),
            position=tuple(self.placed(centre)),
        )

    def look_from(self, client: Any, camera: PhotoCamera) -> None:
        """Move a person's view to where the photo was taken from."""
        place = -camera.R.T @ camera.t
        depth = float((camera.R @ self._middle + camera.t)[2])
        client.camera.up_direction = tuple(-camera.R[1])
        client.camera.position = tuple(self.placed(place))
        client.camera.look_at = tuple(self.placed(place + depth * camera.R[2]))
        client.camera.fov = 2 * math.atan(camera.height / (2 * camera.K[1, 1]))

    def look_from_front(self, client: Any) -> None:
        """Move a person's view back to the start."""
        client.camera.up_direction = (0.0, 1.0, 0.0)
        client.camera.position = (0.0, 0.0, self._distance)
        client.camera.look_at = (0.0, 0.0, 0.0)
        client.camera.fov = _FIELD_OF_VIEW

    @property
    def _distance(self) -> float:
        depth = float(np.ptp(self._model.instance()[self._model.face_mask][:, 2]))
        return (self.height / (2 * _FILLED * math.tan(_FIELD_OF_VIEW / 2)) + depth / 2) * _UNIT

    def _prepare(self) -> None:
        scene, camera = self._server.scene, self._server.initial_camera
        scene.set_up_direction("+y")
        scene.configure_default_lights(False)
        scene.configure_environment_map(None)
        camera.up, camera.look_at, camera.fov = (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), _FIELD_OF_VIEW
        camera.position = (0.0, 0.0, self._distance)
        self._nodes["ambient"] = scene.add_light_ambient("/light/ambient")
        for i in range(MOST_LAMPS):
            self._nodes[f"lamp_{i}"] = scene.add_light_directional(f"/light/lamp_{i}", visible=False)
        # Browsers throw away the compiled shader with the last surface that uses it, hence at every movement
        # of the face, and compiling it anew takes longer than all else. These flat triangles, which nobody
        # can see, keep one surface of each kind for good.
        flat = SurfaceWriter(np.array([[0, 1, 2]]), 3)
        corners = _REACH * np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
        for unlit in (False, True):
            content = flat(corners, np.ones((3, 3)), unlit=unlit)
            scene.add_glb(f"/light/kept_{unlit}", content, cast_shadow=False, receive_shadow=False)


def _light_color(color: Float[np.ndarray, "3"]) -> tuple[tuple[int, int, int], float]:
    """Return a light's colour and intensity: a browser's lamp of intensity π shows an albedo as it is."""
    most = float(color.max())
    red, green, blue = linear_to_srgb_uint8(color / most if most > 0 else color).tolist()
    return (red, green, blue), math.pi * most


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float, float]:
    """Return a rotation as a unit quaternion (w, x, y, z)."""
    from scipy.spatial.transform import Rotation

    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return (w, x, y, z)
