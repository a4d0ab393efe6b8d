"""A client of the viewer without a browser: it speaks viser's protocol over a websocket."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import trimesh
import viser
import zstandard
from websockets.sync.client import connect
from websockets.typing import Subprotocol

_CAMERA = {
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.0, 0.0, 5.0),
    "fov": 0.4,
    "near": 0.01,
    "far": 1000.0,
    "image_height": 600,
    "image_width": 800,
    "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, 1.0, 0.0),
}


class Wire:
    """Connects to a viewer and keeps what it is told: widgets by label, surfaces by name.

    `options` are those of `websockets.sync.client.connect`, such as the page (`origin`) it says it is.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._socket = connect(
            url.replace("http", "ws", 1),
            subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
            max_size=None,
            compression=None,
            **options,
        )
        self.widgets: dict[str, dict[str, Any]] = {}
        self.labels: dict[str, str] = {}
        self.surfaces: dict[str, bytes] = {}
        self.updates = 0
        self.received = 0
        self._tell("ViewerCameraMessage", **_CAMERA)  # by which a client says that it is there

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def listen(self, until: Callable[[], object], seconds: float = 20.0) -> None:
        """Take in messages until something holds."""
        end = time.monotonic() + seconds
        while not until():
            payload = self._socket.recv(timeout=max(end - time.monotonic(), 0.01))
            self.received += len(payload)
            for message in self._decoded(payload):
                self._note(message)

    def set(self, label: str, value: Any) -> None:
        """Do what a person does who moves a widget."""
        self._tell("GuiUpdateMessage", uuid=self.labels[label], updates={"value": float(value)})

    def press(self, label: str) -> None:
        """Do what a person does who presses a button."""
        self._tell("GuiUpdateMessage", uuid=self.labels[label], updates={"value": True})

    def click(self, origin: tuple[float, ...], direction: tuple[float, ...]) -> None:
        """Do what a person does who clicks into the scene."""
        self._tell(
            "ScenePointerMessage",
            event_type="click",
            ray_origin=origin,
            ray_direction=direction,
            screen_pos=((0.5, 0.5),),
            modifier=None,
        )

    @property
    def markdown(self) -> list[str]:
        """What the page says in Markdown."""
        said = (message["props"].get("_markdown") for message in self.widgets.values())
        return [text for text in said if text is not None]

    def vertices(self, name: str = "/face") -> np.ndarray:
        """Return a surface's vertices as they were sent last."""
        scene = trimesh.load(io.BytesIO(self.surfaces[name]), file_type="glb", process=False)
        (mesh,) = scene.dump()
        return np.asarray(mesh.vertices)

    def _tell(self, kind: str, **fields: Any) -> None:
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def _note(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "GlbMessage":
            self.surfaces[message["name"]] = message["props"]["glb_data"]
        elif kind == "SceneNodeUpdateMessage" and "glb_data" in message["updates"]:
            self.surfaces[message["name"]] = message["updates"]["glb_data"]
            self.updates += 1
        elif kind == "GuiUpdateMessage":
            self.widgets[message["uuid"]]["props"].update(message["updates"])
        elif kind.startswith("Gui") and "uuid" in message and "props" in message:
            self.widgets[message["uuid"]] = message
            label = message["props"].get("label")
            if isinstance(label, str):
                self.labels.setdefault(label, message["uuid"])

    @staticmethod
    def _decoded(payload: bytes) -> list[dict[str, Any]]:
        size = int.from_bytes(payload[8:16], "little")
        packed = zstandard.ZstdDecompressor().decompress(
            payload[16 : 16 + size], max_output_size=int.from_bytes(payload[:8], "little")
        )
        said = msgspec.msgpack.decode(packed)
        messages: list[dict[str, Any]] = said if isinstance(said, list) else said["messages"]
        return messages
