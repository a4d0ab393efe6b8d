"""Pictures of a few people in which one thing at a time is hard: yaw, skin, what hides them, size, coding."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sweep_props import Prop, glasses, hand, microphone

MONK = ("f6ede4", "f3e7db", "f7ead0", "eadaba", "d7bd96", "a07e56", "825c43", "604134", "3a312a", "292420")
YAWS = tuple(range(-75, 76, 15))
SIZES = (40, 80, 160, 320, 640, 1280, 2560, 4000)  # a face of 180 mm from chin to hair, pixels
_PLAIN = 512  # side of a picture
_DRAWN_FACE = 640  # a larger face is enlarged from a drawn one of this size: the skins hold no more
_HUGE = 2000  # side from which a picture is a JPEG of quality 95: a PNG of noise takes 100 MB
_FACE = 180.0  # millimetres
_HEAD = 235.0
_NEUTRAL = np.array(
    [2.3, 0, -0.42, 0, 0, 0, 0.1, 0, 0]
)  # white, from the camera's side; 0.9 on what faces it
_SPECULAR = 0.75  # linear, of the window that a clear lens reflects


@dataclass(frozen=True)
class Shot:
    """One picture of a person: which row of the table it belongs to, and what differs from the plain one."""

    row: str
    value: str
    yaw: float = 0.0
    tone: str | None = None
    exposed: bool = False  # for this tone: its mean green at a quarter of the sensor's range
    prop: str | None = None
    face: int | None = None
    quality: int | None = None
    grey: str | None = None


def shots() -> Iterator[Shot]:
    """Yield every picture of one person."""
    yield Shot("plain", "plain")
    yield from (Shot("yaw", f"{yaw:+d}", yaw=yaw) for yaw in YAWS if yaw)
    yield from (Shot("tone", f"{i + 1:02d}", tone=tone) for i, tone in enumerate(MONK))
    exposed = (1, 4, 7, 10)
    yield from (Shot("exposed", f"{i:02d}", tone=MONK[i - 1], exposed=True) for i in exposed)
    for prop in ("glasses", "sunglasses", "hand-mouth", "hand-cheek", "microphone"):
        yield Shot("hidden", prop, prop=prop)
    yield from (Shot("size", f"{size:04d}", face=size) for size in SIZES)
    yield Shot("coding", "jpeg20", quality=20)
    yield Shot("coding", "grey", grey="RGB")
    yield Shot("coding", "grey1", grey="L")


@dataclass(frozen=True, eq=False)
class Person:
    """Who is photographed: shape, skin, camera; the same in all of their pictures."""

    number: int
    mesh: np.ndarray
    neutral: np.ndarray
    skin: Any
    focal: float
    span: float
    centre: np.ndarray = field(repr=False)


def make_pictures(generator: Path, folder: Path, people: int, seed: int, only: str | None = None) -> None:
    """Render every person's shots by the generator's modules in a folder, and write them with their truth."""
    sys.path.insert(0, str(generator))
    g, maker = importlib.import_module("gtlib"), importlib.import_module("make_photos")
    ict = g.ICT()
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "topology.npz", faces=ict.face_faces, landmarks68=ict.lm68, mean=ict.neutral[: g.N_FACE]
    )
    for number in range(people):
        person = _person(g, ict, seed, number)
        for shot in shots():
            if only is None or shot.row in only.split(","):
                _write(g, maker, ict, person, shot, folder, seed)


def _person(g: Any, ict: Any, seed: int, number: int) -> Person:
    rng = np.random.default_rng([seed, number, 2])
    weights = ict.sample_identity(rng)
    skin = g.PhotoSkin(ict, ict.mesh(weights), str(rng.choice(g.photo_ids()[:60])))
    mesh = ict.mesh(weights, ict.sample_expression(rng, int(rng.integers(1, 4)), 0.6))
    focal, span = rng.uniform(35, 85), rng.uniform(0.62, 0.85)
    centre = mesh[ict.lm68].mean(0) + np.array([0, 12, -35])
    return Person(number, mesh, ict.mesh(weights), skin, focal, span, centre)


def _write(g: Any, maker: Any, ict: Any, person: Person, shot: Shot, folder: Path, seed: int) -> None:
    wanted = _PLAIN if shot.face is None else round(shot.face / (person.span * _FACE / _HEAD))
    drawn = wanted if shot.face is None else round(_DRAWN_FACE / (person.span * _FACE / _HEAD))
    camera = _camera(g, person, shot.yaw, drawn)
    rng = np.random.default_rng([seed, person.number, 3])
    background = maker.background(rng, _PLAIN)
    linear = _render(g, ict, person, shot, camera, drawn, background)
    linear = _resized(linear, wanted)
    noise = rng.standard_normal(linear.shape, dtype=np.float32)
    linear = linear + noise * np.sqrt(2e-4 * np.maximum(linear, 0) + 4e-6).astype(np.float32)
    name = f"photo_{person.number:02d}_{shot.row}_{shot.value}"
    _save(g.to_uint8(g.linear_to_srgb(linear)), shot, folder / name)
    K, R, t = camera
    scale = np.diag([wanted / drawn, wanted / drawn, 1.0])
    face = person.mesh[: g.N_FACE].astype(np.float32)
    neutral = person.neutral[: g.N_FACE].astype(np.float32)
    np.savez(folder / "truth" / f"{name}.npz", vertices=face, neutral=neutral, K=scale @ K, R=R, t=t)
    content = {"row": shot.row, "value": shot.value, "identity": person.number, "size": [wanted, wanted]}
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    print(name, wanted, flush=True)


def _save(picture: np.ndarray, shot: Shot, path: Path) -> None:
    image = Image.fromarray(picture)
    if shot.grey is not None:
        image = image.convert("L").convert(shot.grey)
    if shot.quality is None and len(picture) < _HUGE:
        image.save(path.with_suffix(".png"), compress_level=2)
    else:
        image.save(path.with_suffix(".jpg"), quality=shot.quality or 95)


def _resized(linear: np.ndarray, side: int) -> np.ndarray:
    if len(linear) == side:
        return linear
    channels = [Image.fromarray(linear[..., k].astype(np.float32)) for k in range(3)]
    return np.stack([np.asarray(c.resize((side, side), Image.Resampling.LANCZOS)) for c in channels], axis=2)


def _camera(g: Any, person: Person, yaw: float, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    focal = person.focal / 36 * side
    K = np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]])
    R = np.diag([1.0, -1, -1]) @ g.rotation(0.0, yaw, 0.0)
    return K, R, np.array([0, 0, focal * _HEAD / (person.span * side)]) - R @ person.centre


def _render(
    g: Any, ict: Any, person: Person, shot: Shot, camera: Any, side: int, background: np.ndarray
) -> np.ndarray:
    """Return the linear picture: the head with what is opaque, then the lenses over it."""
    props = _props(person.mesh[ict.lm68], person.skin, shot.prop)
    solid, lenses = [p for p in props if p.opacity == 1.0], [p for p in props if p.opacity < 1.0]
    samples = 2 if side <= 1024 else 1
    gain = 0.25 / _linear(g, shot.tone)[1] if shot.exposed and shot.tone is not None else 1.0
    light = gain * _NEUTRAL[:, None] * np.ones(3)
    color, depth = _head(g, ict, person, shot.tone, camera, side * samples, light, samples)
    for prop in solid:
        color, depth = _over(g, prop, color, depth, camera, side, samples, light)
    for prop in lenses:
        color, depth = _over(g, prop, color, depth, camera, side, samples, light)
    hit = np.isfinite(depth).astype(float).reshape(side * samples, -1, 1)
    picture = g.box_down(color.reshape(side * samples, side * samples, 3), samples)
    return picture + _resized(background, side) * (1 - g.box_down(hit, samples))


def _props(marks: np.ndarray, skin: Any, name: str | None) -> list[Prop]:
    if name in ("glasses", "sunglasses"):
        return glasses(marks, dark=name == "sunglasses")
    if name == "microphone":
        return microphone(marks)
    return [] if name is None else hand(marks, skin.skin_colour, on=name.removeprefix("hand-"))


def _head(
    g: Any,
    ict: Any,
    person: Person,
    tone: str | None,
    camera: Any,
    side: int,
    light: np.ndarray,
    samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    K, R, t = camera
    faces, (vertices, attributes) = g.subdivide(ict.faces, [person.mesh, person.skin.attrs])
    _, (normals,) = g.subdivide(ict.faces, [g.vertex_normals(person.mesh, ict.faces)])
    eyes = ict.part_of["sclera_left"] | ict.part_of["sclera_right"] | ict.part_of["teeth"]
    _, (skin,) = g.subdivide(ict.faces, [1.0 - eyes.astype(float)[:, None]])
    triangle, weights, distance = g.cast_image(
        vertices, faces, K, R, t, side // samples, side // samples, samples
    )
    hit = triangle >= 0
    corners, weights = faces[triangle[hit]], weights[hit]

    def at(values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nkc->nc", weights, values[corners])

    albedo = person.skin.colour(at(attributes))
    if tone is not None:
        albedo = _recolored(g, albedo, person.skin.skin_colour, tone, at(skin))
    color = np.zeros((side * side, 3))
    color[hit] = albedo * _shading(g, at(normals) @ R.T, light)
    return color, np.where(hit, distance, np.inf)


def _recolored(g: Any, albedo: np.ndarray, mean: np.ndarray, tone: str, skin: np.ndarray) -> np.ndarray:
    """Bring the mean skin colour to a tone; spots and lips keep their ratio to it, eyes their colour."""
    gain = _linear(g, tone) / mean
    return np.clip(albedo * (skin * gain + 1.0 - skin), 0.0, 1.0)


def _linear(g: Any, tone: str) -> np.ndarray:
    return g.srgb_to_linear(np.array([int(tone[k : k + 2], 16) for k in (0, 2, 4)]) / 255)


def _over(
    g: Any, prop: Prop, color: np.ndarray, depth: np.ndarray, camera: Any, side: int, samples: int, light: Any
) -> tuple[np.ndarray, np.ndarray]:
    K, R, t = camera
    triangle, weights, distance = g.cast_image(prop.vertices, prop.faces, K, R, t, side, side, samples)
    seen = (triangle >= 0) & (distance < depth)
    normals = g.vertex_normals(prop.vertices, prop.faces)
    own = np.einsum("nk,nkc->nc", weights[seen], normals[prop.faces[triangle[seen]]]) @ R.T
    own /= np.linalg.norm(own, axis=1, keepdims=True) + 1e-12
    own *= np.where(own[:, 2:] > 0, -1.0, 1.0)  # towards the camera
    painted = np.array(prop.albedo) * _shading(g, own, light)
    opacity = np.full((len(own), 1), prop.opacity)
    if prop.opacity < 1.0:  # a lens reflects a window, brighter towards one of its corners
        place = (prop.vertices[prop.faces[triangle[seen]]] * weights[seen][:, :, None]).sum(axis=1)
        across = (place - prop.vertices.mean(axis=0))[:, :2] @ [0.06, 0.08]
        window = 1 / (1 + np.exp(-12 * (across - 0.6))) * 1 / (1 + np.exp(12 * (across - 2.0)))
        opacity = opacity + (1 - opacity) * 0.8 * window[:, None]
        painted = painted + (_SPECULAR - painted) * window[:, None] * 0.8
    color, depth = color.copy(), depth.copy()
    color[seen] = opacity * painted + (1 - opacity) * color[seen]
    depth[seen] = distance[seen]
    return color, depth


def _shading(g: Any, normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    unit = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)
    return np.maximum(g.sh_basis(unit) @ light, 0.02)
