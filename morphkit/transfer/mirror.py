"""Which vertex of a head lies at the mirrored place, if its triangles are nearly symmetric."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.spatial import cKDTree

from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.topology import unique_edges, vertex_adjacency
from morphkit.mesh import Mesh
from morphkit.transfer.surface_map import SurfaceMap

_ROUNDS = 8  # of finding partners and learning how left and right differ
_RINGS = 6  # over which that is smoothed
_MOST_LEFT = 0.03  # share of vertices without a mutual partner, of a symmetric mesh
_KEPT_EDGES = 0.65  # the mirrored diagonals of quads need not be edges, the quads' sides must
_SHIFT = 0.25  # of an edge: the median distance between a vertex's image and its partner


def transfer_mirror(mirror: Int[np.ndarray, " s"], surface_map: SurfaceMap) -> Int[np.ndarray, " v"] | None:
    """Return each target vertex's partner across the plane of symmetry; None if the target has no such plane.

    The source's map, through the surface map and back, says where partners must be; the target's own
    reflection, corrected by how left and right differ smoothly, says which vertices they are. The result is
    its own inverse, and maps edges onto edges but for diagonals of quads.

    Parameters
    ----------
    mirror : (s,) the source's map.
    surface_map : to the target.
    """
    mesh = surface_map.target
    found = _mutual(_nearest(mesh.vertices, _images(mirror, surface_map)))
    found[~surface_map.valid] = -1
    if (found >= 0).mean() < 0.5:
        return None
    partner, image = _refined(mesh, found)
    if (partner < 0).mean() > _MOST_LEFT:
        return None
    partner = _completed(partner, image, mesh.vertices)
    return partner if _is_symmetric(mesh, partner, image) else None


def _images(mirror: np.ndarray, surface_map: SurfaceMap) -> Float[np.ndarray, "v 3"]:
    """Return where the surface map puts the mirrored point of each vertex's source point."""
    corners = mirror[surface_map.source.faces[surface_map.face_indices]]
    images: np.ndarray = np.einsum("vk,vkd->vd", surface_map.barycentrics, surface_map.fitted[corners])
    return images


def _nearest(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.asarray(cKDTree(vertices).query(points)[1])


def _mutual(nearest: np.ndarray) -> np.ndarray:
    """Return the partners that agree, -1 elsewhere."""
    return np.where(nearest[nearest] == np.arange(len(nearest)), nearest, -1)


def _refined(mesh: Mesh, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mutual partners, and each vertex's mirror image, moved by what left and right differ around."""
    vertices, flipped = mesh.vertices, mesh.vertices * np.array([-1.0, 1.0, 1.0])
    known = np.flatnonzero(partner >= 0)
    image = fit_similarity(flipped[known], vertices[partner[known]], scale=False).apply(flipped)
    blur = vertex_adjacency(mesh.faces, len(vertices)) + sparse.eye_array(len(vertices))
    moved = image
    for _ in range(_ROUNDS):
        mutual = (partner >= 0)[:, None]
        weight, offset = mutual.astype(np.float64), np.where(mutual, vertices[partner] - image, 0.0)
        for _ in range(_RINGS):
            offset, weight = blur @ offset, blur @ weight
        moved = image + offset / np.maximum(weight, 1e-9)
        partner = _mutual(_nearest(vertices, moved))
    return partner, moved


def _completed(partner: np.ndarray, image: np.ndarray, vertices: np.ndarray) -> Int[np.ndarray, " v"]:
    """Return the map with those left over paired, the nearest first; a last odd one with itself."""
    partner = partner.astype(np.int32)
    left = np.flatnonzero(partner < 0)
    costs = np.linalg.norm(image[left][:, None] - vertices[left], axis=2)
    costs += costs.T
    taken = np.zeros(len(left), dtype=bool)
    for flat in np.argsort(costs, axis=None, kind="stable"):
        i, j = divmod(int(flat), len(left))
        if not (taken[i] or taken[j]):
            taken[[i, j]] = True
            partner[left[i]], partner[left[j]] = left[j], left[i]
    return partner


def _is_symmetric(mesh: Mesh, partner: np.ndarray, image: np.ndarray) -> bool:
    """Tell whether images meet their partners, and edges become edges."""
    edges = unique_edges(mesh.faces).astype(np.int64)
    count = len(mesh.vertices)
    mirrored = np.sort(partner[edges].astype(np.int64), axis=1)
    kept = np.isin(mirrored @ [count, 1], edges @ [count, 1]).mean()
    length = np.median(np.linalg.norm(mesh.vertices[edges[:, 0]] - mesh.vertices[edges[:, 1]], axis=1))
    shift = np.median(np.linalg.norm(image - mesh.vertices[partner], axis=1))
    return bool(kept >= _KEPT_EDGES and shift <= _SHIFT * length)
