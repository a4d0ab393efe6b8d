"""Colours of a scan, carried over to the registered mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.raster import rasterize
from morphkit.geometry.rays import ShortRayQuery
from morphkit.geometry.sampling import surface_colors
from morphkit.geometry.views import turn
from morphkit.mesh import Mesh

_YAWS = (-0.6, 0.0, 0.6)  # radians; a scanner looks from there
_PIXEL = 0.2  # millimetres
_WIDEST = 2048  # pixels
_BEHIND = 0.4  # millimetres by which what is in sight may lie behind what its pixel shows


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


def in_sight(
    mesh: Mesh, part: Bool[np.ndarray, " v"], rotation: Float[np.ndarray, "3 3"]
) -> Bool[np.ndarray, " v"]:
    """Return which vertices of a part are seen from in front of the face or a bit from either side.

    Parameters
    ----------
    mesh : the whole face, millimetres; it covers the part.
    part : such as the eyeballs, of which the lids hide most.
    rotation : from the head's frame (y up, z out of the face) to the mesh's.
    """
    seen = np.zeros(len(part), dtype=bool)
    if not part.any():
        return seen
    for yaw in _YAWS:
        turned = mesh.vertices @ rotation @ turn(yaw).T
        low, high = turned[part].min(axis=0), turned[part].max(axis=0)
        width, height = np.ceil((high - low)[:2] / _PIXEL).astype(int).clip(2, _WIDEST).tolist()
        far = np.abs(turned[:, 2]).max() + 1.0
        middle, half = 0.5 * (low + high)[:2], 0.5 * (high - low)[:2].clip(_PIXEL)
        clip = np.column_stack([(turned[:, :2] - middle) / half, -turned[:, 2] / far, np.ones(len(part))])
        first = rasterize(clip, mesh.faces, height, width).depth
        at = (0.5 * (clip[part, :2] + 1.0) * (width, height)).astype(int).clip(0, (width - 1, height - 1))
        seen[part] |= clip[part, 2] < first[at[:, 1], at[:, 0]] + _BEHIND / far
    return seen


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
