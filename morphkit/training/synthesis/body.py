"""A neck that goes on below the model's, shoulders, and clothes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.geometry.views import turn
from morphkit.training.synthesis.fields import noise, smoothstep
from morphkit.training.synthesis.surfaces import Surface

_COLUMNS = 33
# Height against the neck's rim, and how much wider across and deeper than the rim: millimetres.
_PROFILE = np.array([
    [-2500, 150, 60], [-180, 132, 36], [-125, 126, 32], [-95, 110, 27], [-70, 78, 20], [-50, 42, 13],
    [-32, 14, 7], [-14, 3, 3], [0, -1.5, -1.5], [14, -7, -7], [50, -16, -16],
])  # fmt: skip
_USUAL_RIM = (56.0, 54.0)  # half axes, where the model has no neck
_BELOW_CHIN = 45.0


@dataclass(frozen=True, eq=False)
class Rim:
    """Where the neck ends, head frame, millimetres.

    Attributes
    ----------
    centre : of the rim.
    across, deep : its half axes.
    slope : how much lower it is a millimetre farther in front.
    """

    centre: Float[np.ndarray, "3"]
    across: float
    deep: float
    slope: float

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "68 3"], rim: Float[np.ndarray, "n 3"]) -> Rim:
        """Return a head's rim; from its landmarks alone where it has no neck."""
        if len(rim) > 8:
            low, high = rim.min(axis=0), rim.max(axis=0)
            centre, half = (low + high) / 2, (high - low) / 2
            slope, height = np.polyfit(rim[:, 2] - centre[2], rim[:, 1], 1)
            centre[1] = height
            return cls(centre, float(half[0]), float(half[2]), float(-slope))
        ears = landmarks[[0, 16]].mean(axis=0)
        return cls(np.array([ears[0], landmarks[8, 1] - _BELOW_CHIN, ears[2] - 5.0]), *_USUAL_RIM, 0.2)


@dataclass(frozen=True, eq=False)
class Body:
    """Neck and shoulders in a pose.

    Attributes
    ----------
    rim : of the head.
    points_camera : (n, 3) the surface.
    uv : (n, 2) angle from the front, and height against the rim.
    skin, color, second : (3,) linear RGB of the neck, the clothes, and of their pattern.
    neckline, dip : height of the clothes' edge against the rim, and how much lower it is in front.
    stripes : of the pattern, a millimetre; 0 for none.
    upright : whether they are.
    seed : of the noise.
    """

    points_camera: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    skin: Float[np.ndarray, "3"]
    color: Float[np.ndarray, "3"]
    second: Float[np.ndarray, "3"]
    neckline: float
    dip: float
    stripes: float
    upright: bool
    seed: int

    def surface(self) -> Surface:
        """Return the surface in camera axes."""
        return Surface(self.points_camera, self.uv, (len(_PROFILE), _COLUMNS))

    def look(
        self, angle: Float[np.ndarray, " n"], height: Float[np.ndarray, " n"], toward: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
        """Return albedo and opacity of points; `toward` is the cosine between the normal and the camera."""
        folds = noise(5 * angle, height / 30, self.seed, octaves=3)
        place = 60 * angle if self.upright else height
        striped = smoothstep(np.sin(2 * np.pi * self.stripes * place), -0.15, 0.15) if self.stripes else 0.0
        cloth = self.color + np.multiply.outer(striped * np.ones_like(angle), self.second - self.color)
        cloth = cloth * np.exp(0.12 * folds)[:, None]
        edge = self.neckline - self.dip * smoothstep(np.cos(angle), 0.75, 1.0)
        bare = smoothstep(height - edge, -1.5, 1.5)[:, None]
        shadow = 1 - 0.35 * smoothstep(height, -30.0, 10.0)[:, None]  # of the chin
        albedo = bare * self.skin * shadow + (1 - bare) * cloth
        return albedo.astype(np.float32), smoothstep(toward, 0.0, 0.12).astype(np.float32)


def draw_body(
    rng: np.random.Generator,
    rim: Rim,
    skin: Float[np.ndarray, "3"],
    R: Float[np.ndarray, "3 3"],
    t: Float[np.ndarray, "3"],
    pose: Float[np.ndarray, "3"],
) -> Body:
    """Draw shoulders that turn with the head only in part."""
    pitch, yaw, roll = pose * rng.uniform(0.2, 0.9)
    back = turn(pose[1], pose[0], pose[2]).T @ turn(yaw, pitch, roll)
    height, across, deep = _PROFILE.T
    broad = rng.uniform(0.85, 1.15)
    angle = np.linspace(-np.pi, np.pi, _COLUMNS)
    width = rim.across + np.where(across > 0, broad, 1.0) * across
    ring = np.stack([
        np.multiply.outer(width, np.sin(angle)), np.repeat(height[:, None], _COLUMNS, axis=1),
        np.multiply.outer(rim.deep + deep, np.cos(angle)),
    ], axis=-1)  # fmt: skip
    ring[..., 1] -= rim.slope * ring[..., 2] * smoothstep(height, -120.0, -5.0)[:, None]
    turned = smoothstep(-height, 0.0, 60.0)[:, None, None]
    points = (1 - turned) * ring + turned * (ring @ back.T)
    uv = np.stack(np.broadcast_arrays(angle[None], height[:, None]), axis=-1).reshape(-1, 2)
    dark, light = rng.uniform(0.01, 0.12), rng.uniform(0.2, 0.85)
    colors = np.where(rng.random(2) < 0.5, dark, light)[:, None] * np.exp(rng.normal(0, 0.45, (2, 3)))
    return Body(
        points_camera=(rim.centre + points.reshape(-1, 3)) @ R.T + t,
        uv=uv,
        skin=skin,
        color=np.clip(colors[0], 0.004, 0.9),
        second=np.clip(colors[1], 0.004, 0.9),
        neckline=rng.uniform(-45, 8),
        dip=float(rng.choice([0, 0, rng.uniform(10, 90)])),
        stripes=float(rng.choice([0, 0, rng.uniform(0.01, 0.12)])),
        upright=bool(rng.random() < 0.4),
        seed=int(rng.integers(1 << 30)),
    )
