"""Small models with everything in them, for the layouts that write: a ball of a head, in millimetres."""

from __future__ import annotations

import numpy as np

from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel, NamedDirections


def sphere(rows: int = 12, columns: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices of a closed ball of radius one, and its faces, counter-clockwise from outside."""
    polar = np.linspace(0, np.pi, rows + 2)[1:-1]
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    ring = np.stack([np.sin(around), np.zeros(columns), np.cos(around)], axis=1)
    belts = [ring * np.sin(p) + np.array([0.0, np.cos(p), 0.0]) for p in polar]
    vertices = np.concatenate([*belts, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]])
    index = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1], right[:-1], index[1:], right[1:]
    belt = np.concatenate([np.stack([a, c, d], -1).reshape(-1, 3), np.stack([a, d, b], -1).reshape(-1, 3)])
    top = np.stack([np.full(columns, rows * columns), index[0], right[0]], axis=1)
    bottom = np.stack([np.full(columns, rows * columns + 1), right[-1], index[-1]], axis=1)
    return vertices, np.concatenate([belt, top, bottom]).astype(np.int32)


def head(rows: int = 12, columns: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return a ball as large as a head, (v, 3) float64 millimetres, and its faces."""
    vertices, faces = sphere(rows, columns)
    return vertices * np.array([75.0, 110.0, 95.0]) + np.array([0.0, 10.0, 5.0]), faces


def group(rng: np.random.Generator, mean: np.ndarray, count: int, scale: float) -> LinearModel:
    """Return a group of orthonormal components, each about `scale` at a vertex at first."""
    basis, _ = np.linalg.qr(rng.standard_normal((mean.size, count)))
    deviations = np.sqrt(mean.size) * scale * 1.5 ** -np.arange(count, dtype=float)
    return LinearModel(mean.astype(np.float32), np.asfortranarray(basis, np.float32), deviations)


def make_model(
    rng: np.random.Generator, rows: int = 12, columns: int = 16, points: int = 68
) -> MorphableModel:
    """Return a model that has all that a model can have."""
    mean, faces = head(rows, columns)
    f, v = len(faces), len(mean)
    named = tuple(str(i) for i in range(points))
    return MorphableModel(
        faces,
        group(rng, mean, 6, 2.0),
        expression=group(rng, np.zeros_like(mean), 4, 1.0),
        albedo=group(rng, rng.uniform(0.2, 0.8, mean.shape), 3, 0.05),
        expression_units=NamedDirections(("jawOpen", "mouthSmileLeft"), rng.standard_normal((2, 4))),
        uv=rng.uniform(0.01, 1, (v, 2)).astype(np.float32)[faces],
        landmarks={
            "ibug68": LandmarkEmbedding(
                named, rng.integers(0, f, points).astype(np.int32), rng.dirichlet(np.ones(3), points)
            )
        },
        masks={"face": mean[:, 2] > 0, "skin": np.ones(v, bool)},
        mirror=np.arange(v, dtype=np.int32)[::-1].copy(),
        provenance={"licence": "CC0", "scans": ["α.ply"], "settings": {"components": 6}},
    )
