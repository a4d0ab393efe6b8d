"""A source's expressions on another head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from morphkit.directions import NamedDirections
from morphkit.geometry.sampling import farthest_points
from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel
from morphkit.transfer.extension import extended
from morphkit.transfer.stretch import local_maps
from morphkit.transfer.surface_map import SurfaceMap

_FADE = 20.0  # millimetres of the source, over which motion dies out beyond it
_SAMPLES = 1500  # of the fitted source


@dataclass(frozen=True, eq=False)
class TransferredExpressions:
    """Expressions on a target.

    Attributes
    ----------
    group : their statistics, orthonormal, in the target's frame and units.
    units : the source's named units in that group; None if it has none.
    """

    group: LinearModel
    units: NamedDirections | None


def transfer_expressions(source: MorphableModel, surface_map: SurfaceMap) -> TransferredExpressions:
    """Carry a model's expressions over a map.

    Every mode's displacements are taken from the source's surface, turned and stretched like the surface
    around them (`local_maps`), continued across small holes of the map, and faded out beyond it. The
    distribution is the source's: the same coefficients' covariance, in an orthonormal basis again.

    Parameters
    ----------
    source : a model with an expression group, whose mean the map starts from.
    surface_map : to the target.

    Raises
    ------
    ValueError
        When the source has no expressions, or not the map's number of vertices.
    """
    if source.expression is None:
        raise ValueError("source: expected a model with an expression group")
    if source.n_vertices != len(surface_map.source.vertices):
        raise ValueError(f"source: expected {len(surface_map.source.vertices)} vertices, as the map has")
    group = source.expression
    fields = np.column_stack([group.mean.reshape(-1).astype(np.float64), group.basis.astype(np.float64)])
    moved = transferred_offsets(surface_map, fields.reshape(source.n_vertices, 3, -1))
    columns = np.asfortranarray(moved.reshape(-1, moved.shape[2]).astype(np.float32))
    carried = LinearModel(
        columns[:, 0].reshape(-1, 3).copy(),
        columns[:, 1:],
        group.standard_deviations,
        group.noise_variance * surface_map.scale**2,
    )
    orthonormal, rotation = carried.orthonormalized()
    units = source.expression_units
    if units is not None:
        units = replace(units, coefficients=units.coefficients @ rotation.T)
    return TransferredExpressions(orthonormal, units)


def transferred_offsets(
    surface_map: SurfaceMap, offsets: Float[np.ndarray, "s 3 k"]
) -> Float[np.ndarray, "v 3 k"]:
    """Return k fields of the source's displacements as the target's."""
    s, _, k = offsets.shape
    carried = surface_map.carry(offsets.reshape(s, 3 * k)).reshape(-1, 3, k)
    moving = np.flatnonzero(surface_map.valid & carried.any(axis=(1, 2)))
    moved = np.zeros_like(carried)
    moved[moving] = _stretches(surface_map, moving) @ carried[moving]
    fade = _FADE * surface_map.scale
    flat = extended(moved.reshape(-1, 3 * k), surface_map.valid, surface_map.target, fade)
    return flat.reshape(-1, 3, k)


def _stretches(surface_map: SurfaceMap, vertices: np.ndarray) -> Float[np.ndarray, "n 3 3"]:
    """Return the linear maps around these target vertices, from samples of what the map covers."""
    source, fitted = surface_map.source, surface_map.fitted
    covered = np.unique(source.faces[surface_map.face_indices[surface_map.valid]])
    samples = covered[farthest_points(source.vertices[covered], _SAMPLES)]
    return local_maps(surface_map.carry(source.vertices)[vertices], source.vertices[samples], fitted[samples])
