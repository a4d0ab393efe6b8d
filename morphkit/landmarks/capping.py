"""Holes closed for the eye: a picture of a scan must not show the background through eyes or mouth."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from morphkit.geometry.topology import boundary_face_edges, edge_chains, face_edges
from morphkit.mesh import Mesh


def cap_holes(mesh: Mesh, widest: float) -> Mesh:
    """Return the mesh with each hole up to `widest` closed by a fan of triangles around its middle.

    A landmark network sees white eyes where a mesh has none, and moves the lids. The mesh's own vertices and
    triangles come first and unchanged, so whatever has a face index from ``len(mesh.faces)`` on is a cap.
    Colours run from the rim inwards.

    Parameters
    ----------
    mesh : of any kind; wider openings, such as a scan's border, stay.
    widest : twice the rim's greatest distance from its middle, in the units of the mesh.
    """
    on_rim = np.flatnonzero(boundary_face_edges(mesh.faces))
    rim = face_edges(mesh.faces)[on_rim]
    if len(rim) == 0:
        return mesh
    hole = edge_chains(rim)
    narrow = _widths(mesh.vertices[rim[:, 0]], hole)[hole] <= widest
    on_rim, rim = on_rim[narrow], rim[narrow]
    hole = np.unique(hole[narrow], return_inverse=True)[1]
    if len(rim) == 0:
        return mesh
    caps = np.column_stack([rim[:, ::-1], len(mesh.vertices) + hole])
    return Mesh(
        vertices=np.vstack([mesh.vertices, _means(mesh.vertices[rim[:, 0]], hole)]),
        faces=np.vstack([mesh.faces, caps]).astype(mesh.faces.dtype),
        colors=None
        if mesh.colors is None
        else np.vstack([mesh.colors, _means(mesh.colors[rim[:, 0]], hole)]),
        uv=None if mesh.uv is None else np.concatenate([mesh.uv, _cap_uv(mesh.uv, on_rim)]),
        texture=mesh.texture,
        source=mesh.source,
    )


def _widths(points: Float[np.ndarray, "e 3"], hole: Int[np.ndarray, " e"]) -> Float[np.ndarray, " h"]:
    widths = np.zeros(hole.max() + 1)
    np.maximum.at(widths, hole, 2 * np.linalg.norm(points - _means(points, hole)[hole], axis=1))
    return widths


def _means(values: np.ndarray, group: Int[np.ndarray, " e"]) -> np.ndarray:
    """Return the mean rows of each group; NaN rows are left out where others are known."""
    known = np.isfinite(values).all(axis=1)
    count = np.bincount(group[known], minlength=group.max() + 1)[:, None]
    sums = [np.bincount(group[known], column[known], group.max() + 1) for column in values.T]
    means = np.full((len(count), values.shape[1]), np.nan)
    np.divide(np.column_stack(sums), count, out=means, where=count > 0)
    return means.astype(values.dtype)


def _cap_uv(uv: Float[np.ndarray, "f 3 2"], on_rim: Int[np.ndarray, " e"]) -> Float[np.ndarray, "e 3 2"]:
    """Return the caps' texture coordinates: the rim edge's, and its middle, so that no seam is crossed."""
    edge = uv[:, [1, 2, 2, 0, 0, 1]].reshape(-1, 2, 2)[on_rim]
    return np.concatenate([edge[:, ::-1], edge.mean(axis=1, keepdims=True)], axis=1)
