"""What comes between the camera and a face: glasses, hands, masks, microphones, strands of hair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFilter

from morphkit.training.synthesis.fields import Grid, Layer, Picture, grid_noise
from morphkit.training.synthesis.hair import COLORS
from morphkit.training.synthesis.settings import SynthesisSettings

_FINER = 2  # masks are drawn twice as fine, and averaged
_LIT = np.array([0.55, 0.27, 0.17])  # of a hand in the light, linear RGB


@dataclass(frozen=True, eq=False)
class Covering:
    """Something before the face.

    Attributes
    ----------
    color : (h, w, 3) linear RGB.
    opacity : (h, w) 0..1.
    """

    color: Picture
    opacity: Layer

    def over(self, picture: Picture) -> Picture:
        """Return a picture with it in front."""
        share = self.opacity[..., None]
        return picture * (1 - share) + self.color * share


@dataclass(frozen=True, eq=False)
class Scene:
    """What coverings are placed by.

    Attributes
    ----------
    grid : the picture's.
    landmarks : (68, 2) where the face's points are, millimetres as the grid has them.
    """

    grid: Grid
    landmarks: Float[np.ndarray, "68 2"]


def draw_coverings(
    rng: np.random.Generator, scene: Scene, settings: SynthesisSettings
) -> tuple[Covering, ...]:
    """Draw what covers a face: nothing for the most part."""
    found = []
    if rng.random() < settings.glasses:
        found.append(_glasses(rng, scene))
    if rng.random() < settings.occluders:
        kind = _KINDS[int(rng.choice(len(_KINDS), p=_SHARES))]
        found.append(kind(rng, scene))
    return tuple(found)


def _glasses(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return a frame around both eyes, its glasses clear or dark."""
    points = scene.landmarks
    eyes = np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    across = eyes[1] - eyes[0]
    axis = np.array([[1.0, 0.0], [0.0, 1.0]]) if not across.any() else _frame(across)
    widths = np.array([np.linalg.norm(points[39] - points[36]), np.linalg.norm(points[45] - points[42])])
    half_high = rng.uniform(13, 24)
    corner = rng.uniform(2.0, 5.0)  # of the superellipse: 2 is round
    mask = _Mask(scene.grid)
    dark = rng.random() < 0.3
    line = rng.uniform(1.0, 4.5)
    rims = []
    for eye, width in zip(eyes, widths, strict=True):
        turn = np.linspace(0, 2 * np.pi, 40)
        unit = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        unit = np.sign(unit) * np.abs(unit) ** (2 / corner)
        rim = eye + (unit * [0.95 * width, half_high] + [0, 4.0]) @ axis
        rims.append(rim)
        if dark:
            mask.polygon(rim)
        mask.line([*rim, rim[0]], line)
    mask.line([_towards(rims[0], rims[1]), points[27], _towards(rims[1], rims[0])], line)
    mask.line([_towards(rims[0], points[0]), points[0]], line)
    mask.line([_towards(rims[1], points[16]), points[16]], line)
    color = np.clip(np.exp(rng.uniform(np.log(0.008), np.log(0.25))) * np.exp(rng.normal(0, 0.5, 3)), 0, 0.8)
    return mask.covering(rng, color, soft=0.4, opacity=rng.uniform(0.8, 1.0) if dark else 1.0, rough=0.2)


def _hand(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return a palm and fingers that come in from below or from a side."""
    points, mask = scene.landmarks, _Mask(scene.grid)
    target = points[int(rng.choice([2, 5, 8, 11, 14, 33, 48, 54, 57]))] + rng.normal(0, 10, 2)
    angle = rng.uniform(0.15, 0.85) * np.pi if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    out = np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-out[1], out[0]])
    palm = target + 75 * out
    mask.line([palm, palm + 260 * out], 78.0)
    for finger in range(int(rng.integers(2, 5))):
        root = palm + side * (finger - 1.5) * 19
        bend = root + (-out + side * rng.normal(0, 0.2)) * rng.uniform(30, 45)
        mask.line([root, bend, bend + (-out + side * rng.normal(0, 0.35)) * rng.uniform(15, 40)], 17.0)
    tone = np.exp(rng.uniform(np.log(0.12), np.log(1.1)))
    return mask.covering(rng, np.clip(_LIT * tone, 0, 0.85), soft=1.0, rough=0.12, shade=0.5)


def _mask(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return a face mask from the nose's bridge to under the chin, with its bands."""
    points, mask = scene.landmarks, _Mask(scene.grid)
    middle = points[[2, 14, 30, 8]].mean(axis=0)
    top = points[28] + rng.uniform(0, 0.9) * (points[30] - points[28])
    outline = np.array([top, points[1], *points[2:15], points[15]])
    outline[3:-2] = middle + (outline[3:-2] - middle) * rng.uniform(1.02, 1.1)
    mask.polygon(outline)
    mask.line([points[2], points[0] - [0, 10]], 2.0)
    mask.line([points[14], points[16] - [0, 10]], 2.0)
    color = [[0.25, 0.45, 0.6], [0.7, 0.7, 0.7], [0.02, 0.02, 0.025], rng.uniform(0.02, 0.7, 3)]
    return mask.covering(rng, np.array(color[int(rng.integers(4))]), soft=1.0, rough=0.12, shade=0.4)


def _bar(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return a microphone, a pen, a phone, a cup: a bar with a thick end."""
    points, mask = scene.landmarks, _Mask(scene.grid)
    near = points[int(rng.choice([3, 8, 13, 33, 51, 57]))] + rng.normal(0, 14, 2)
    angle = rng.uniform(0.1, 0.9) * np.pi
    far = near + 400 * np.array([np.cos(angle), np.sin(angle)])
    mask.line([near, far], rng.uniform(8, 45))
    if rng.random() < 0.7:
        mask.line([near, near + 0.05 * (far - near)], rng.uniform(30, 75))
    return mask.covering(rng, _any_color(rng), soft=rng.uniform(0.5, 4), rough=0.3, shade=0.8)


def _strands(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return locks that fall over the face from above."""
    points, mask = scene.landmarks, _Mask(scene.grid)
    start = points[17:27].mean(axis=0) + np.array([rng.normal(0, 30), -75.0])
    sway = rng.normal(0, 40)
    for _ in range(int(rng.integers(4, 26))):
        root = start + rng.normal(0, [22.0, 8.0])
        length, lean = rng.uniform(40, 190), sway + rng.normal(0, 14)
        share = np.linspace(0, 1, 8)[:, None]
        curve = root + share * [0, length] + np.sin(share * np.pi / 2) * [lean, 0]
        mask.line(list(curve), rng.uniform(0.5, 5))
    color = COLORS[int(rng.integers(len(COLORS)))] * rng.uniform(0.7, 1.6)
    return mask.covering(rng, color, soft=0.4, rough=0.4, opacity=rng.uniform(0.75, 1.0))


def _patch(rng: np.random.Generator, scene: Scene) -> Covering:
    """Return a blob or a plate of any colour anywhere."""
    points, mask = scene.landmarks, _Mask(scene.grid)
    middle = points[int(rng.integers(68))] + rng.normal(0, 25, 2)
    turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 9))))
    reach = np.exp(rng.uniform(np.log(12), np.log(60), len(turn)))
    mask.polygon(middle + reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return mask.covering(rng, _any_color(rng), soft=np.exp(rng.uniform(-1, 1.6)), rough=0.6, shade=0.6)


_Kind = Callable[[np.random.Generator, Scene], Covering]
_KINDS: tuple[_Kind, ...] = (_hand, _mask, _bar, _strands, _patch)
_SHARES = (0.3, 0.12, 0.15, 0.25, 0.18)


class _Mask:
    """A shape drawn in millimetres, with smooth edges."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._image = Image.new("L", (_FINER * grid.width, _FINER * grid.height))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Float[np.ndarray, "n 2"]) -> None:
        self._draw.polygon(self._places(points), fill=255)

    def line(self, points: Sequence[Float[np.ndarray, "2"]], width: float) -> None:
        """Draw a line with round ends and corners, `width` millimetres wide."""
        places, radius = self._places(np.array(points)), _FINER * width / self._grid.step / 2
        self._draw.line(places, fill=255, width=max(1, round(2 * radius)))
        for x, y in places if radius > 1 else []:
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    def covering(
        self,
        rng: np.random.Generator,
        color: Float[np.ndarray, "3"],
        *,
        soft: float,
        rough: float,
        opacity: float = 1.0,
        shade: float = 0.0,
    ) -> Covering:
        """Return the shape in a colour, its edge blurred over `soft` millimetres.

        `rough` is the strength of its texture, `shade` of its light from one side.
        """
        grid = self._grid
        image = self._image.reduce(_FINER)
        image = image.filter(ImageFilter.GaussianBlur(float(soft / grid.step)))
        texture = rough * grid_noise(grid, rng, rng.uniform(3, 30), 3, 0.6)
        if shade:
            x, y = grid.coordinates()
            angle = rng.uniform(0, 2 * np.pi)
            texture = texture + shade * np.tanh((np.cos(angle) * x + np.sin(angle) * y) / 60)
        lit = (color * np.exp(texture)[..., None]).astype(np.float32)
        return Covering(lit, np.asarray(image, np.float32) * np.float32(opacity / 255))

    def _places(self, points: Float[np.ndarray, "n 2"]) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in _FINER * self._grid.pixels(points)]


def _frame(across: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2 2"]:
    """Return the unit vectors along and across a direction, as rows."""
    along = across / np.linalg.norm(across)
    return np.array([along, [-along[1], along[0]]])


def _towards(rim: Float[np.ndarray, "n 2"], goal: Float[np.ndarray, "..."]) -> Float[np.ndarray, "2"]:
    """Return the point of a rim that is nearest to a point, or to the middle of another rim."""
    place = goal.reshape(-1, 2).mean(axis=0)
    return rim[np.argmin(((rim - place) ** 2).sum(axis=1))]


def _any_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    return np.clip(np.exp(rng.uniform(np.log(0.01), np.log(0.8))) * np.exp(rng.normal(0, 0.4, 3)), 0.004, 0.9)
