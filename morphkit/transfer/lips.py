"""Which lip a point belongs to: lips that touch are near in space, far along the surface."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from morphkit.geometry.topology import unique_edges
from morphkit.mesh import LandmarkEmbedding, Mesh

UPPER, LOWER, NEITHER = 1, -1, 0
_UPPER_NAMES = ("49", "50", "51", "52", "53")  # the lips' outer contours; inner points may sit on either lip
_LOWER_NAMES = ("55", "56", "57", "58", "59")
_REACH = 0.5  # of the mouth's width: no lip is farther from its outer contour
_CLEARLY = 0.06  # of the mouth's width: near the corners, neither


def lip_sides(mesh: Mesh, ibug68: LandmarkEmbedding) -> Int[np.ndarray, " v"]:
    """Return UPPER or LOWER for the vertices of and around each lip, NEITHER elsewhere.

    Distances are measured along edges from the lips' outer contours. Sides are told for meshes with a cut
    between the lips, with a mouth behind them, and, halfway, where they are sealed.

    Parameters
    ----------
    mesh : of a face.
    ibug68 : its landmarks; without "48" to "59", no side is told.
    """
    row = {name: i for i, name in enumerate(ibug68.names)}
    if not row.keys() >= {"48", "54", *_UPPER_NAMES, *_LOWER_NAMES}:
        return np.full(len(mesh.vertices), NEITHER)
    corners = mesh.faces[ibug68.face_indices]
    places = np.einsum("nk,nkd->nd", ibug68.barycentrics, mesh.vertices[corners])
    width = float(np.linalg.norm(places[row["48"]] - places[row["54"]]))
    upper, lower = (
        _distances(mesh, corners[[row[name] for name in names]].ravel(), _REACH * width)
        for names in (_UPPER_NAMES, _LOWER_NAMES)
    )
    with np.errstate(invalid="ignore"):  # infinite where both are out of reach
        sides = np.where(upper + _CLEARLY * width < lower, UPPER, NEITHER)
        return np.where(lower + _CLEARLY * width < upper, LOWER, sides)


def _distances(mesh: Mesh, starts: np.ndarray, limit: float) -> np.ndarray:
    """Return each vertex's distance to the nearest start along edges; infinite beyond `limit`."""
    i, j = unique_edges(mesh.faces).T
    lengths = np.linalg.norm(mesh.vertices[i] - mesh.vertices[j], axis=1)
    count = len(mesh.vertices)
    graph = coo_array((np.maximum(lengths, 1e-9), (i, j)), shape=(count, count)).tocsr()
    found: np.ndarray = dijkstra(graph, directed=False, indices=np.unique(starts), min_only=True, limit=limit)
    return found
