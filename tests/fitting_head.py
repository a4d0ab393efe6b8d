"""A small head with known statistics, for the tests of fitting: an egg with a nose, eyes and a chin."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel

# iBUG-68 in millimetres, x and y of the head frame: jaw, brows, nose, eyes, mouth.
_JAW = [(-70 * np.cos(a), 5 - 75 * np.sin(a)) for a in np.linspace(0, np.pi, 17)]
_BROWS = [(-52, 38), (-45, 44), (-36, 46), (-26, 44), (-16, 40)]
_NOSE = [(0, 30), (0, 20), (0, 10), (0, 0), (-14, -10), (-7, -12), (0, -13), (7, -12), (14, -10)]
_EYE = [(-44, 26), (-36, 30), (-27, 30), (-19, 25), (-27, 22), (-36, 22)]
_LEFT_EYE = [(19, 25), (27, 30), (36, 30), (44, 26), (36, 22), (27, 22)]
_LIPS = [(-26, -38), (-17, -33), (-7, -30), (0, -31), (7, -30), (17, -33), (26, -38)]
_LOWER = [(17, -44), (7, -48), (0, -49), (-7, -48), (-17, -44)]
_INNER = [(-22, -38), (-8, -36), (0, -37), (8, -36), (22, -38), (8, -40), (0, -41), (-8, -40)]
POINTS68 = np.array(
    [*_JAW, *_BROWS, *[(-x, y) for x, y in _BROWS[::-1]], *_NOSE, *_EYE, *_LEFT_EYE, *_LIPS, *_LOWER, *_INNER]
)

_DENSE = tuple(f"mp{i}" for i in range(68))  # stand-ins, lest a fit searches the egg for the real ones


@cache
def small_head(identity: int = 12, expression: int = 4, albedo: int = 6) -> MorphableModel:
    """Return a morphable model of about 2,500 vertices: random identity, a mouth that moves, freckles."""
    vertices, faces = _egg(64, 40)
    rng = np.random.default_rng(11)
    embedding = _embed(vertices, faces, POINTS68)
    shape = _group(vertices, _waves(vertices, rng, identity, 45.0), np.geomspace(2.5, 0.6, identity))
    moves = _waves(vertices, rng, expression, 30.0)
    moves *= np.exp(-((vertices - [0, -40, 80]) ** 2).sum(axis=1) / (2 * 25.0**2))[None, :, None]
    motion = _group(np.zeros_like(vertices), moves, np.geomspace(0.4, 0.2, expression))
    skin = np.tile([0.42, 0.27, 0.21], (len(vertices), 1)) + 0.05 * _waves(vertices, rng, 1, 12.0)[0]
    colors = _group(skin, _waves(vertices, rng, albedo, 25.0), np.geomspace(0.03, 0.015, albedo))
    face = (vertices[:, 2] > 5) & (vertices[:, 1] > -80)
    _, mirror = cKDTree(vertices * [-1, 1, 1]).query(vertices)
    return MorphableModel(
        faces,
        shape,
        motion,
        colors,
        landmarks={"ibug68": embedding, "mediapipe478": replace(embedding, names=_DENSE)},
        masks={"face": face},
        mirror=mirror.astype(np.int32),
    )


def _egg(around: int, along: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a closed, welded egg with nose, eye sockets and chin, counter-clockwise seen from outside."""
    height = np.linspace(0, np.pi, along + 2)[1:-1]
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    a, b = np.meshgrid(height, turn, indexing="ij")
    ring = np.stack([np.sin(a) * np.sin(b), np.cos(a), np.sin(a) * np.cos(b)], axis=2).reshape(-1, 3)
    unit = np.vstack([ring, [[0, 1, 0], [0, -1, 0]]])
    vertices = unit * [78, 108, 88]
    front = (vertices[:, 2] > 0)[:, None] * np.array([0, 0, 1.0])

    def bump(x: float, y: float, width: float, size: float) -> np.ndarray:
        square = (vertices[:, 0] - x) ** 2 + (vertices[:, 1] - y) ** 2
        return size * np.exp(-square / (2 * width**2))[:, None] * front

    vertices = vertices + bump(0, 0, 11, 22) + bump(-31, 26, 11, -9) + bump(31, 26, 11, -9)
    vertices = vertices + bump(0, -72, 16, 9) + bump(0, -40, 14, 5)
    i, j = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    here, right = (i * around + j).ravel(), (i * around + (j + 1) % around).ravel()
    below, across = here + around, right + around
    top, bottom = len(ring), len(ring) + 1
    k = np.arange(around)
    last = (along - 1) * around
    caps = [
        np.stack([np.full(around, top), k, (k + 1) % around], axis=1),
        np.stack([np.full(around, bottom), last + (k + 1) % around, last + k], axis=1),
    ]
    sides = [np.stack([here, below, right], axis=1), np.stack([right, below, across], axis=1)]
    return vertices, np.concatenate([*sides, *caps]).astype(np.int32)


def _waves(vertices: np.ndarray, rng: np.random.Generator, count: int, length: float) -> np.ndarray:
    """Return `count` smooth random vector fields with features of about `length` millimetres."""
    frequencies = rng.normal(size=(count, 6, 3)) / length
    amplitudes, phases = rng.normal(size=(count, 6, 3)), rng.uniform(0, 2 * np.pi, (count, 6))
    waves = np.sin(np.einsum("vd,ckd->ckv", vertices, frequencies) + phases[:, :, None])
    return np.einsum("ckv,ckd->cvd", waves, amplitudes) / np.sqrt(6)


def _group(mean: np.ndarray, directions: np.ndarray, deviations: np.ndarray) -> LinearModel:
    """Return a group whose vertices move by about `deviations` for each standard deviation."""
    basis, _ = np.linalg.qr(directions.reshape(len(directions), -1).T)
    scale = deviations * np.sqrt(len(mean))
    return LinearModel(mean.astype(np.float32), np.asfortranarray(basis, dtype=np.float32), scale)


def _embed(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> LandmarkEmbedding:
    """Put points of the frontal view onto the surface below them."""
    corners = vertices[faces]
    a, b, c = (corners[:, k, :2] for k in range(3))

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    area = cross(b - a, c - a)
    front = area > 1e-9  # counter-clockwise in the frontal view
    q = points[:, None]
    weights = np.stack([cross(b - q, c - q), cross(c - q, a - q), cross(a - q, b - q)], axis=2)
    weights = weights / np.where(front, area, 1.0)[None, :, None]
    inside = np.where(front, weights.min(axis=2), -np.inf)
    chosen = inside.argmax(axis=1)
    picked = weights[np.arange(len(points)), chosen].clip(0, None)
    names = tuple(str(i) for i in range(len(points)))
    return LandmarkEmbedding(names, chosen.astype(np.int32), picked / picked.sum(axis=1, keepdims=True))
