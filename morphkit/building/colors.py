"""Colours of a scan, carried over to the registered mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.sampling import surface_colors
from morphkit.mesh import Mesh


@dataclass(frozen=True)
class ColorSettings:
    """When a scan's colour is trusted at a registered vertex.

    Attributes
    ----------
    max_distance : millimetres to the scan's surface.
    min_cosine : between the vertex normal and the scan's, so that nothing is read through a lip or an ear.
    """

    max_distance: float = 2.0
    min_cosine: float = 0.5


def has_colors(mesh: Mesh) -> bool:
    """Tell whether a mesh carries colours: a texture with coordinates, or vertex colours."""
    return mesh.colors is not None or (mesh.texture is not None and mesh.uv is not None)


def transfer_colors(
    scan: Mesh, registered: Mesh, settings: ColorSettings | None = None
) -> Float[np.ndarray, "v 3"]:
    """Return linear RGB (float32) at the vertices of `registered`, NaN where the scan has none to give.

    A vertex takes the colour of the closest point of the scan among the triangles that face the same way, if
    that is near enough and not on the scan's border (beyond which the truth is missing).
    """
    settings = settings or ColorSettings()
    query = ClosestPointQuery(scan)
    normals = vertex_normals(registered.vertices, registered.faces)
    closest = query.query(registered.vertices, normals=normals, min_cosine=settings.min_cosine)
    near = closest.distances <= settings.max_distance
    trusted = near & ~query.touches_boundary(closest)
    return surface_colors(scan, np.where(trusted, closest.face_indices, -1), closest.barycentrics)
