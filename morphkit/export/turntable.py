"""A mesh that turns in a page: what the page's script draws, as numbers of few bytes in one packed text.

`templates/turntable.js.jinja` is the other half. Everything is an array of whole numbers: each column's
differences from row to row, modulo 256 to the number of bytes, the lowest bytes of all values first; all
arrays one after the other, deflated, in base64.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt8

from morphkit.export.html import image_uri
from morphkit.geometry.thinning import thinned
from morphkit.io.color import linear_to_srgb_uint8

_LEVELS = 16383  # steps across a mesh: 0.02 mm of a head
_COLOR_STEP = 1 / 2048  # of a colour slider's offsets, linear
_UV_LEVELS = 65535
_MOST_FACES = 40_000
_TEXTURE_SIDE = 1024
_ROOM = 1.1  # around what is framed, for ears and chin


@dataclass(frozen=True, eq=False)
class Skin:
    """One way to colour a mesh; with neither colours nor a texture it is clay.

    Attributes
    ----------
    name : on its button.
    colors : (v, 3) linear RGB, or None.
    texture : (h, w, 3) sRGB, to be laid on by the mesh's `uv`, or None.
    lit : whether the lamp shines on it; light that the colours contain already needs none.
    """

    name: str
    colors: Float[np.ndarray, "v 3"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    lit: bool = True


@dataclass(frozen=True, eq=False)
class Slider:
    """A direction in which the mesh moves, or its first skin's colours change.

    Attributes
    ----------
    name : beside it.
    offsets : (v, 3) millimetres, or linear RGB, that one of its units adds.
    low, high, start : of its values.
    unit : written after its value; sliders of "σ" take part in random faces.
    colors : whether the offsets are colours.
    """

    name: str
    offsets: Float[np.ndarray, "v 3"]
    low: float = -3.0
    high: float = 3.0
    start: float = 0.0
    unit: str = "σ"
    colors: bool = False


@dataclass(frozen=True, eq=False)
class Turntable:
    """A mesh to turn.

    Attributes
    ----------
    label : what it is, for those who cannot see it.
    vertices : (v, 3) millimetres where the sliders stand at zero, y up, the face towards +z.
    faces : (f, 3) counter-clockwise seen from outside.
    skins : at least one; the first is shown first.
    sliders : what can be moved.
    uv : (f, 3, 2) where the corners lie in textures, v up; None without textures.
    framed : (v,) the vertices that the view is framed by; None for all.
    still : (h, w, 3) the picture that is shown without scripts, without WebGL, and in print.
    """

    label: str
    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    skins: Sequence[Skin]
    still: UInt8[np.ndarray, "h w 3"]
    sliders: Sequence[Slider] = ()
    uv: Float[np.ndarray, "f 3 2"] | None = None
    framed: Bool[np.ndarray, " v"] | None = None


@dataclass
class _Arrays:
    """Arrays of whole numbers, packed in the order in which they came."""

    shapes: list[list[Any]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    def add(self, name: str, values: Integer[np.ndarray, "n c"], size: int) -> str:
        """Add numbers that fit into `size` bytes, and return their name."""
        steps = np.diff(values.astype(np.int64), axis=0, prepend=0) % 256**size
        planes = [(steps >> 8 * place & 255).astype(np.uint8).tobytes() for place in range(size)]
        self.shapes.append([name, *values.shape, size])
        self.parts.append(b"".join(planes))
        return name

    @property
    def text(self) -> str:
        return base64.b64encode(zlib.compress(b"".join(self.parts), 6)).decode("ascii")


def turntable_values(turntable: Turntable) -> dict[str, Any]:
    """Return what the template's `turntable` macro needs: the words, and the packed mesh."""
    return {
        "label": turntable.label,
        "still": image_uri(turntable.still),
        "skins": [skin.name for skin in turntable.skins],
        "sliders": [
            {"name": s.name, "low": s.low, "high": s.high, "start": s.start, "unit": s.unit}
            for s in turntable.sliders
        ],
        "random": any(s.unit == "σ" for s in turntable.sliders),
        "data": packed(turntable),
    }


def packed(turntable: Turntable) -> dict[str, Any]:
    """Return the mesh, its skins and sliders as values that JSON can hold.

    A mesh of more than 40,000 triangles is thinned first, and loses its textures: skins then need colours,
    too.
    """
    shown = _small(turntable)
    low = shown.vertices.min(axis=0)
    step = float(np.ptp(shown.vertices, axis=0).max()) / _LEVELS or 1.0
    arrays = _Arrays()
    arrays.add("vertices", np.rint((shown.vertices - low) / step).astype(np.int64), 2)
    _add_faces(arrays, shown)
    centre, radius = _frame(shown)
    return {
        "low": low.tolist(),
        "step": step,
        "centre": centre.tolist(),
        "radius": radius,
        "skins": [_skin(arrays, skin, number, shown) for number, skin in enumerate(shown.skins)],
        "sliders": [_slider(arrays, slider, number, step) for number, slider in enumerate(shown.sliders)],
        "arrays": arrays.shapes,
        "packed": arrays.text,
    }


def _frame(shown: Turntable) -> tuple[Float[np.ndarray, "3"], float]:
    """Return the ball that fills the view: what it turns about lies as deep as the middle of the whole."""
    whole = shown.vertices
    framed, room = (whole, 1.0) if shown.framed is None else (whole[shown.framed], _ROOM)
    centre = 0.5 * (framed.min(axis=0) + framed.max(axis=0))
    centre[2] = 0.5 * (whole[:, 2].min() + whole[:, 2].max())
    return centre, room * float(np.linalg.norm(framed - centre, axis=1).max())


def _add_faces(arrays: _Arrays, shown: Turntable) -> None:
    """Add the triangles; with textures, of corners, each a vertex with its place in the texture."""
    if shown.uv is None:
        arrays.add("faces", shown.faces, _bytes(shown.faces))
        return
    places = np.rint(np.clip(shown.uv, 0.0, 1.0) * _UV_LEVELS).astype(np.int64).reshape(-1, 2)
    rows = np.column_stack([shown.faces.reshape(-1), places])
    corners, index = np.unique(rows, axis=0, return_inverse=True)
    arrays.add("faces", index.reshape(-1, 3), _bytes(index))
    arrays.add("corners", corners[:, :1], _bytes(corners[:, 0]))
    arrays.add("places", corners[:, 1:], 2)


def _skin(arrays: _Arrays, skin: Skin, number: int, shown: Turntable) -> dict[str, Any]:
    values: dict[str, Any] = {"lit": skin.lit}
    if skin.texture is not None and shown.uv is not None:
        values["texture"] = image_uri(skin.texture, max_side=_TEXTURE_SIDE, quality=82)
    elif skin.colors is not None:
        values["colors"] = arrays.add(f"colors{number}", linear_to_srgb_uint8(skin.colors), 1)
    return values


def _slider(arrays: _Arrays, slider: Slider, number: int, step: float) -> dict[str, Any]:
    """Add offsets at the slider's far end, to the step of the vertices or colours."""
    reach = max(abs(slider.low), abs(slider.high))
    unit = _COLOR_STEP if slider.colors else step
    ends = np.clip(np.rint(slider.offsets * (reach / unit)), -32768, 32767).astype(np.int64)
    name = arrays.add(f"offsets{number}", ends, 2)
    return {"offsets": name, "scale": unit / reach, "start": slider.start, "colors": slider.colors}


def _small(turntable: Turntable) -> Turntable:
    """Return the mesh with no more triangles than a page should carry."""
    if len(turntable.faces) <= _MOST_FACES:
        return turntable
    chosen, faces = thinned(turntable.vertices, turntable.faces, _MOST_FACES)
    return Turntable(
        turntable.label,
        turntable.vertices[chosen],
        faces,
        [Skin(s.name, None if s.colors is None else s.colors[chosen], lit=s.lit) for s in turntable.skins],
        turntable.still,
        [
            Slider(s.name, s.offsets[chosen], s.low, s.high, s.start, s.unit, s.colors)
            for s in turntable.sliders
        ],
        framed=None if turntable.framed is None else turntable.framed[chosen],
    )


def _bytes(indices: Integer[np.ndarray, "..."]) -> int:
    """Return how many bytes the largest of some indices needs: two or three."""
    return 2 if indices.max(initial=0) < 65536 else 3


def unpacked(values: Mapping[str, Any]) -> dict[str, Int[np.ndarray, "n c"]]:
    """Return the arrays of `packed` by name, as the page's script reads them; for tests."""
    data, place, arrays = zlib.decompress(base64.b64decode(values["packed"])), 0, {}
    for name, rows, columns, size in values["arrays"]:
        count = rows * columns
        planes = np.frombuffer(data, np.uint8, size * count, place).reshape(size, rows, columns)
        place += size * count
        steps = sum(planes[k].astype(np.int64) << 8 * k for k in range(size))
        arrays[name] = np.cumsum(steps, axis=0) % 256**size
    return arrays
