"""Hair as a shell around the skull, with a hairline and strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from morphkit.training.synthesis.fields import noise, smoothstep
from morphkit.training.synthesis.surfaces import Surface

_ROWS, _COLUMNS = 31, 49
_ELEVATIONS = np.radians(np.linspace(-90, 90, _ROWS))
_AZIMUTHS = np.linspace(-np.pi, np.pi, _COLUMNS)  # from the back over the right side and the nose
_NEIGHBOURS, _REACH = 4, 0.2  # vertices that tell how far a direction reaches; radians, about
_BEYOND = 1.1  # of the ellipsoid, where a model has no skull
_HIDDEN = np.radians(14.0)  # so far below the hairline, the shell lies inside the head
COLORS = np.array([  # linear RGB: black, dark brown, brown, chestnut, blond, red, grey, white
    [0.010, 0.009, 0.008], [0.022, 0.015, 0.011], [0.055, 0.032, 0.018], [0.090, 0.042, 0.020],
    [0.260, 0.170, 0.085], [0.160, 0.050, 0.018], [0.160, 0.150, 0.140], [0.450, 0.430, 0.400],
])  # fmt: skip
_FREQUENCIES = np.array([0.3, 0.22, 0.17, 0.08, 0.1, 0.03, 0.07, 0.03])
_DYED = 0.03  # the share of heads


@dataclass(frozen=True, eq=False)
class Scalp:
    """Which vertices of a topology lie in which direction from the middle of the head.

    Attributes
    ----------
    vertices : (rows, columns, k) the nearest to each direction of the shell.
    known : (rows, columns) whether there are any: not of a model of the face alone.
    """

    vertices: Int[np.ndarray, "rows columns k"]
    known: Bool[np.ndarray, "rows columns"]

    @classmethod
    def of(
        cls,
        mean: Float[np.ndarray, "v 3"],
        landmarks: Float[np.ndarray, "68 3"],
        candidates: Int[np.ndarray, " c"],
    ) -> Scalp:
        """Return those of a mean head, from the candidates (all but ears, say)."""
        centre, axes = _ellipsoid(landmarks)
        offsets = (mean[candidates] - centre) / axes
        length = np.linalg.norm(offsets, axis=1, keepdims=True)
        outer = length[:, 0] > 0.6  # not the mouth's inside, nor the neck's
        tree = cKDTree((offsets / length)[outer])
        found = tree.query(_directions(), k=np.arange(1, _NEIGHBOURS + 1))
        distance, place = np.asarray(found[0]), np.asarray(found[1])
        return cls(candidates[outer][place], distance[..., 0] < _REACH)


@dataclass(frozen=True, eq=False)
class Skull:
    """How far from its middle a head reaches in the directions of the shell; head frame, millimetres."""

    centre: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3"]
    reach: Float[np.ndarray, "rows columns"]

    @classmethod
    def of(
        cls, landmarks: Float[np.ndarray, "68 3"], vertices: Float[np.ndarray, "v 3"], scalp: Scalp
    ) -> Skull:
        """Return that of a person; an ellipsoid where the model has no skull, and below the brows."""
        centre, axes = _ellipsoid(landmarks)
        reach = np.linalg.norm((vertices[scalp.vertices] - centre) / axes, axis=-1).max(axis=-1)
        reach = np.where(scalp.known, reach, _BEYOND)
        level = int(np.argmin(np.abs(_ELEVATIONS)))
        reach[:level] = np.maximum(reach[level], 1.0)
        return cls(centre, axes, reach)


def _ellipsoid(landmarks: Float[np.ndarray, "68 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return middle and half axes of a skull, as far as the face tells them."""
    brows, ears = landmarks[17:27], landmarks[[0, 16]]
    centre = np.array([ears[:, 0].mean(), brows[:, 1].mean() + 5.0, ears[:, 2].mean() - 10.0])
    half = abs(ears[1, 0] - ears[0, 0]) / 2
    return centre, np.array([half, 1.35 * half, max(brows[:, 2].max() - centre[2], 1.05 * half)])


def _directions() -> Float[np.ndarray, "rows columns 3"]:
    elevation, azimuth = np.meshgrid(_ELEVATIONS, _AZIMUTHS, indexing="ij")
    across, along = np.sin(azimuth) * np.cos(elevation), np.cos(azimuth) * np.cos(elevation)
    return np.stack([across, np.sin(elevation), along], axis=-1)


@dataclass(frozen=True, eq=False)
class Hair:
    """A head of hair, in a pose.

    Attributes
    ----------
    skull : that it covers.
    color : (3,) linear RGB.
    thickness : of the skull's reach.
    front, side, back : elevation of the hairline, radians from the brows' height; at the temples it falls
        from `front` to `side` between the azimuths of `opening`.
    opening : (2,) radians from the nose.
    parting : how much higher the hairline is on one side, radians a radian.
    length : how far what hangs down is drawn out.
    curl : size of the locks.
    R, t : the pose.
    seed : of the noise.
    """

    skull: Skull
    color: Float[np.ndarray, "3"]
    thickness: float
    front: float
    side: float
    back: float
    opening: tuple[float, float]
    parting: float
    length: float
    curl: float
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    seed: int

    def surface(self) -> Surface:
        """Return the shell in camera axes; where there is no hair it hides inside the head."""
        elevation, azimuth = np.meshgrid(_ELEVATIONS, _AZIMUTHS, indexing="ij")
        direction = _directions()
        lumps = noise(2.5 * direction[..., 0] + 7, 2.5 * direction[..., 1] + 3 * direction[..., 2], self.seed)
        above = self._above(azimuth, elevation)
        grown = 0.035 + self.thickness * (1 + 0.35 * lumps) * smoothstep(above, 0.0, 0.5)
        reach = self.skull.reach * (1 + grown)
        stretch = np.where(elevation < 0, self.length, 1.0)
        offset = direction * reach[..., None] * self.skull.axes
        offset[..., 1] *= stretch
        offset[above < -_HIDDEN] = 0.0
        points = (self.skull.centre + offset).reshape(-1, 3) @ self.R.T + self.t
        uv = np.stack([azimuth, elevation], axis=-1).reshape(-1, 2)
        return Surface(points, uv, (_ROWS, _COLUMNS))

    def look(
        self,
        azimuth: Float[np.ndarray, " n"],
        elevation: Float[np.ndarray, " n"],
        toward: Float[np.ndarray, " n"],
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        """Return albedo and opacity of points; `toward` is the cosine between the normal and the camera."""
        wave = azimuth + self.curl * noise(2 * azimuth, 3 * elevation, self.seed + 1)
        strands = noise(34 * wave, 2.2 * elevation, self.seed + 2, octaves=3, gain=0.7)
        above = self._above(azimuth, elevation) + 0.07 * strands
        opacity = smoothstep(above, -0.02, 0.12) * smoothstep(toward + 0.12 * strands, 0.0, 0.25)
        albedo = self.color * np.exp(0.35 * strands)[:, None] * (0.6 + 0.4 * np.abs(toward))[:, None]
        return albedo.astype(np.float32), opacity.astype(np.float32)

    def _above(self, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
        """Return how far above the hairline points are, radians."""
        away = np.abs(azimuth)
        line = self.front + self.parting * azimuth
        line = line + (self.side - line) * smoothstep(away, *self.opening)
        line = line + (self.back - line) * smoothstep(away, self.opening[1] + 0.2, self.opening[1] + 0.9)
        return elevation - line


def draw_hair(
    rng: np.random.Generator, skull: Skull, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, "3"]
) -> Hair:
    """Draw a head of hair: short, long, or with a fringe; now and then of a colour that hair has not."""
    color = COLORS[rng.choice(len(COLORS), p=_FREQUENCIES)] * np.exp(rng.normal(0, 0.25))
    if rng.random() < _DYED:
        color = rng.uniform(0.01, 0.5, 3)
    long, fringe = rng.random() < 0.45, rng.random() < 0.25
    front = np.radians(rng.uniform(4, 22) if fringe else rng.uniform(30, 58))
    side, back = (-90, -90) if long else (rng.uniform(-20, 10), rng.uniform(-45, -25))
    start = np.radians(rng.uniform(45, 68))
    return Hair(
        skull,
        np.clip(color, 0.004, 0.7),
        rng.uniform(0.04, 0.22) if long else np.exp(rng.uniform(np.log(0.02), np.log(0.2))),
        float(front),
        float(np.radians(side)),
        float(np.radians(back)),
        (float(start), float(start + np.radians(rng.uniform(10, 25)))),
        float(rng.normal(0, 0.12)),
        rng.uniform(1.2, 2.6) if long else 1.0,
        float(abs(rng.normal(0, 0.12))),
        R,
        t,
        int(rng.integers(1 << 30)),
    )
