"""What a click meets, and what there is to say of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from morphkit.morphable import MorphableModel

_NEAR = 6.0  # millimetres within which a landmark is named


@dataclass(frozen=True, eq=False)
class Picked:
    """A vertex.

    Attributes
    ----------
    index : of the vertex.
    position : (3,) millimetres, in the model's frame.
    landmark : the nearest landmark, as "set name", or None if none is near.
    distance : to it, millimetres; NaN without one.
    deviations : millimetres by which the vertex strays among people, by group ("identity", "expression").
    masks : the names of the masks that it lies in.
    """

    index: int
    position: Float[np.ndarray, "3"]
    landmark: str | None
    distance: float
    deviations: dict[str, float]
    masks: tuple[str, ...]


def meet(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    origin: Float[np.ndarray, "3"],
    direction: Float[np.ndarray, "3"],
) -> int | None:
    """Return the vertex next to where a ray first meets the front of a surface, or None if it misses.

    Every triangle is tried (Möller & Trumbore 1997): one click is too rare for a tree.
    """
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    first, second = b - a, c - a
    across = np.cross(direction, second)
    determinant = np.einsum("fd,fd->f", first, across)
    facing = determinant > 1e-12 * max(float(np.abs(determinant).max(initial=0.0)), 1e-300)
    inverse = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=facing)
    from_corner = origin - a
    u = inverse * np.einsum("fd,fd->f", from_corner, across)
    turned = np.cross(from_corner, first)
    v = inverse * (turned @ direction)
    depth = inverse * np.einsum("fd,fd->f", second, turned)
    hit = np.flatnonzero(facing & (u >= 0) & (v >= 0) & (u + v <= 1) & (depth > 0))
    if not len(hit):
        return None
    nearest = hit[np.argmin(depth[hit])]
    weights = np.array([1 - u[nearest] - v[nearest], u[nearest], v[nearest]])
    return int(faces[nearest, np.argmax(weights)])


def describe(model: MorphableModel, vertices: Float[np.ndarray, "v 3"], index: int) -> Picked:
    """Return what there is to say of a vertex of an instance of a model."""
    position = vertices[index]
    near: tuple[float, str] | None = None
    for name, embedding in model.landmarks.items():
        placed = embedding.landmarks(vertices, model.faces)
        distances = np.linalg.norm(placed.points - position, axis=1)
        if len(distances):
            best = int(np.argmin(distances))
            candidate = float(distances[best]), f"{name} {placed.names[best]}"
            near = candidate if near is None else min(near, candidate)
    named = near is not None and near[0] <= _NEAR
    groups = {"identity": model.identity, "expression": model.expression}
    deviations = {
        name: float(np.sqrt(np.trace(group.covariance(index))))
        for name, group in groups.items()
        if group is not None
    }
    masks = tuple(name for name, mask in model.masks.items() if mask[index])
    landmark, distance = (near[1], near[0]) if near is not None and named else (None, float("nan"))
    return Picked(index, position.copy(), landmark, distance, deviations, masks)
