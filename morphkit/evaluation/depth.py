"""How wrong a fitted face's depths are, vertex by vertex: what depth deviations can be held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.evaluation.crop import FaceCrop
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.rays import ShortRayQuery
from morphkit.geometry.sampling import interpolate
from morphkit.geometry.similarity import Similarity
from morphkit.mesh import Mesh

_REACH = 15.0  # millimetres
_FACING = 0.2  # cosine between a normal and the way to the camera; beyond it a ray only grazes the surface


@dataclass(frozen=True, eq=False)
class DepthErrors:
    """Depth errors of the vertices of a fit whose true depth is known.

    Attributes
    ----------
    vertices : (n,) which vertices of the fit.
    errors : (n,) true less fitted depth along the camera's z, in the fit's units: positive where the true
        face is farther from the camera.
    """

    vertices: Int[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]


def depth_errors(
    fitted: Mesh,
    truth: Mesh,
    similarity: Similarity,
    forward: Float[np.ndarray, "3"],
    *,
    crop: FaceCrop | Bool[np.ndarray, " v"] | None = None,
    reach: float = _REACH,
) -> DepthErrors:
    """Return how much farther from the camera the true surface is than each vertex of a fit.

    From every vertex that is measured, a ray runs along the camera's z both ways to the nearest sheet of the
    true surface that faces the camera as the vertex does. Left out are vertices that face away from the
    camera or nearly so, and those whose ray meets nothing, or another sheet first, within reach.

    Parameters
    ----------
    fitted : with its triangles counter-clockwise seen from outside, millimetres.
    truth : likewise, in any frame.
    similarity : from the fit's frame to the truth's: `scan_to_mesh`'s. The truth is brought onto the fit by
        its inverse, since one photo tells neither size nor distance.
    forward : (3,) the camera's z in the fit's frame: the third row of its R.
    crop : which vertices are measured: a ball in the *truth's* frame (`now_crop`'s), or a mask (v,) of the
        fit's vertices, or None for all.
    reach : how far rays go to either side, in the fit's units.

    Raises
    ------
    ValueError
        When `forward` has no direction, the mask another length, or a mesh no triangles or vertices that are
        not finite.
    """
    length = float(np.linalg.norm(forward))
    if not (np.isfinite(length) and length > 0):
        raise ValueError("forward: expected a direction")
    towards = -forward / length
    placed = Mesh(similarity.inverse().apply(truth.vertices), truth.faces)
    facing = vertex_normals(fitted.vertices, fitted.faces) @ towards > _FACING
    measured = np.flatnonzero(_measured(fitted.vertices, similarity, crop) & facing)
    points = fitted.vertices[measured]
    rays = np.tile(towards, (len(points), 1)).astype(np.float64)
    hits = ShortRayQuery(placed, reach).cast(points, rays, min_cosine=_FACING)
    met, points = measured[hits.hit], points[hits.hit]
    found = interpolate(
        placed.vertices, placed.faces, hits.face_indices[hits.hit], hits.barycentrics[hits.hit]
    )
    return DepthErrors(met, (points - found) @ towards)


def depth_shifts(
    displacements: Float[np.ndarray, "*n v 3"],
    mesh: Mesh,
    forward: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "*n v"]:
    """Return how far a surface moves along the camera's z where its vertices are displaced.

    A displaced vertex leaves its ray: what the ray meets then is d·n / z·n farther away, to first order, for
    a displacement d, the camera's z and the surface's normal n. The deviation that `depth_errors` are to be
    held against is that of these shifts, over a posterior's samples (less their mean) or, squared and summed,
    over its factors; the deviation of the vertices' own z counts sliding along the surface too.

    Parameters
    ----------
    displacements : (..., v, 3) of the mesh's vertices.
    mesh : the fit.
    forward : (3,) the camera's z in its frame.

    Returns
    -------
    (..., v) shifts along z, in the displacements' units; NaN where the surface is nearly edge-on to the
    camera, which `depth_errors` leaves out as well.

    Raises
    ------
    ValueError
        When there are displacements of another number of vertices.
    """
    if displacements.shape[-2:] != mesh.vertices.shape:
        raise ValueError(f"displacements: expected (..., {len(mesh.vertices)}, 3), got {displacements.shape}")
    normals = vertex_normals(mesh.vertices, mesh.faces)
    slopes = normals @ (forward / np.linalg.norm(forward))
    slopes = np.where(slopes < -_FACING, slopes, np.nan)
    shifts: np.ndarray = np.einsum("...vd,vd->...v", displacements, normals) / slopes
    return shifts


def _measured(
    vertices: np.ndarray, similarity: Similarity, crop: FaceCrop | np.ndarray | None
) -> Bool[np.ndarray, " v"]:
    if crop is None:
        return np.ones(len(vertices), bool)
    if isinstance(crop, FaceCrop):
        return crop.contains(similarity.apply(vertices))
    if crop.shape != (len(vertices),):
        raise ValueError(f"crop: expected a mask of shape {(len(vertices),)}, got {crop.shape}")
    return crop
