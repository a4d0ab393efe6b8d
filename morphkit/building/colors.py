"""Colours of a scan, carried over to the registered mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.rays import ShortRayQuery
from morphkit.geometry.sampling import surface_colors
from morphkit.mesh import Mesh


@dataclass(frozen=True)
class ColorSettings:
    """When a scan's colour is trusted at a registered vertex.

    Attributes
    ----------
    max_distance : millimetres along the vertex normal to the scan's surface, on either side.
    min_cosine : between the vertex normal and the scan's.
    """

    max_distance: float = 2.0
    min_cosine: float = 0.5


def has_colors(mesh: Mesh) -> bool:
    """Tell whether a mesh carries colours: a texture with coordinates, or vertex colours."""
    return mesh.colors is not None or (mesh.texture is not None and mesh.uv is not None)


def transfer_colors(
    scan: Mesh,
    registered: Mesh,
    settings: ColorSettings | None = None,
    *,
    valid: Bool[np.ndarray, " v"] | None = None,
) -> Float[np.ndarray, "v 3"]:
    """Return linear RGB (float32) at the vertices of `registered`, NaN where the scan has none to give.

    A vertex takes the colour where its normal, followed both ways, first meets a triangle of the scan that
    faces the same way (Gerig et al. 2018, section 4). Beyond the scan's border and in its holes there is
    none; where another sheet covers the vertex (hair, the other lip) its colour is not known.

    Parameters
    ----------
    scan : with colours or a texture of any size, which is read only where it is needed.
    registered : in the scan's frame, millimetres.
    settings : what is near enough.
    valid : the vertices that registration trusts; the others get no colour.

    Raises
    ------
    ValueError
        When the scan has neither colours nor a texture.
    """
    settings = settings or ColorSettings()
    normals = vertex_normals(registered.vertices, registered.faces)
    rays = ShortRayQuery(scan, settings.max_distance)
    hits = rays.cast(registered.vertices, normals, min_cosine=settings.min_cosine)
    trusted = hits.hit if valid is None else hits.hit & valid
    return surface_colors(scan, np.where(trusted, hits.face_indices, -1), hits.barycentrics)
