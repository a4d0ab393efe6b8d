"""Single repairs of a triangle mesh: each takes a mesh and returns a mesh and how much it changed.

All are a few sorts and sparse-graph passes, so that none can hang, whatever the connectivity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from morphkit.mesh import Mesh


def keep_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """Return the mesh with some faces only; vertices stay."""
    uv = None if mesh.uv is None else mesh.uv[keep]
    return replace(mesh, faces=mesh.faces[keep], uv=uv)


def drop_nonfinite(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove vertices that are NaN or infinite, with their faces."""
    bad = ~np.isfinite(mesh.vertices).all(axis=1)
    if not bad.any():
        return mesh, 0
    mesh = keep_faces(mesh, ~bad[mesh.faces].any(axis=1))
    return replace(mesh, vertices=np.where(bad[:, None], 0.0, mesh.vertices)), int(bad.sum())


def merge_duplicate_vertices(mesh: Mesh) -> tuple[Mesh, int]:
    """Let faces use one of several vertices at exactly the same place, the first."""
    first = _first_alike(mesh.vertices)
    used = np.zeros(len(first), bool)
    used[mesh.faces] = True
    merged = int((used & (first != np.arange(len(first)))).sum())
    if not merged:
        return mesh, 0
    return replace(mesh, faces=first[mesh.faces].astype(np.int32)), merged


def drop_degenerate_faces(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove faces without area."""
    a, b = _face_sides(mesh)
    longest = np.maximum(np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b))
    keep = _lengths(_cross(a, b)) > 1e-10 * longest
    return (mesh, 0) if keep.all() else (keep_faces(mesh, keep), int((~keep).sum()))


def drop_duplicate_faces(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove all but the first of faces on the same three vertices, whatever their winding."""
    corners = np.sort(mesh.faces, axis=1).astype(np.int64)
    pairs = corners[:, 0] * len(mesh.vertices) + corners[:, 1]
    order = np.lexsort((corners[:, 2], pairs))  # stable: the first of several comes first
    same = (np.diff(pairs[order]) == 0) & (np.diff(corners[order, 2]) == 0)
    if not same.any():
        return mesh, 0
    keep = np.ones(len(corners), bool)
    keep[order[1:][same]] = False
    return keep_faces(mesh, keep), int((~keep).sum())


def open_nonmanifold_edges(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove faces until no edge has more than two; returns how many edges had.

    At each such edge the faces that hang loose elsewhere go first (fins have boundary edges), then those
    with more such edges, then the smaller.
    """
    edges = find_edges(mesh.faces)
    edge, counts = edges.number, edges.counts
    excess = counts > 2
    if not excess.any():
        return mesh, 0
    at_face = edge.reshape(-1, 3)
    loose = (counts[at_face] == 1).sum(axis=1)
    tangled = excess[at_face].sum(axis=1)
    rank = np.empty(len(mesh.faces), np.int64)
    rank[np.lexsort((-face_areas(mesh), tangled, loose))] = np.arange(len(mesh.faces))
    involved = np.flatnonzero(excess[edge])
    order = involved[np.lexsort((rank[involved // 3], edge[involved]))]
    starts = np.flatnonzero(np.r_[True, np.diff(edge[order]) != 0])
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    keep = np.ones(len(mesh.faces), bool)
    keep[order[place >= 2] // 3] = False
    return keep_faces(mesh, keep), int(excess.sum())


def drop_small_components(mesh: Mesh, share: float) -> tuple[Mesh, int]:
    """Remove components with less than `share` of the largest one's area."""
    label = _face_components(mesh)
    area = np.bincount(label, face_areas(mesh))
    small = area < share * area.max(initial=0.0)
    small &= np.bincount(label, minlength=len(area)) > 0  # vertices without faces are no pieces
    return keep_faces(mesh, ~small[label]), int(small.sum())


def flatten_spikes(mesh: Mesh, edges: Edges, factor: float) -> tuple[Mesh, int]:
    """Bring vertices that stick out alone back to the mean of their neighbours.

    A vertex is a spike when it is farther from that mean than `factor` times its neighbours' other edges are
    long (twice that on the boundary, where the mean lies to one side anyway). It is moved, not removed: a
    hole would cost more surface than the spike does.
    """
    count = len(mesh.vertices)
    low, high = edges.ends.T
    i, j = np.r_[low, high], np.r_[high, low]
    degree = np.bincount(i, minlength=count)
    length = np.tile(np.linalg.norm(mesh.vertices[low] - mesh.vertices[high], axis=1), 2)
    total = np.bincount(i, length, count)
    other = (total[j] - length) / np.maximum(degree[j] - 1, 1)  # the neighbour's edges but this one
    around = np.bincount(i, other, count) / np.maximum(degree, 1)
    reach = np.linalg.norm(mesh.vertices - _mean(mesh.vertices, i, j, np.ones(len(i))), axis=1)
    limit = np.where(_on_boundary(edges, count), 2 * factor, factor) * around
    spike = (reach > limit) & (degree > 2)
    calm = (~spike[j]).astype(np.float64)
    spike &= np.bincount(i, calm, count) > 0
    if not spike.any():
        return mesh, 0
    here = spike[i]
    target = _mean(mesh.vertices, i[here], j[here], calm[here])
    return replace(mesh, vertices=np.where(spike[:, None], target, mesh.vertices)), int(spike.sum())


def unify_winding(mesh: Mesh, edges: Edges) -> tuple[Mesh, int, int]:
    """Turn faces so that neighbours agree; each component follows the majority of its area.

    Returns
    -------
    mesh, number of turned faces, number of one-sided (Möbius-like) components, which stay as they are.
    """
    first, second, agree = _face_pairs(mesh.faces, edges)
    if agree.all():
        return mesh, 0, 0
    # Every face has two nodes, as it is (k) and turned (k + f); an edge joins the nodes that agree.
    f = len(mesh.faces)
    partner = np.where(agree, second, second + f)
    rows, columns = np.r_[first, first + f], np.r_[partner, (partner + f) % (2 * f)]
    label = _components(rows, columns, 2 * f)
    as_is, turned = label[:f], label[f:]
    one_sided = as_is == turned
    area = np.bincount(as_is, face_areas(mesh), label.max() + 1)
    # Faces of a component fall into two camps; the one of more area is right.
    turn = (area[turned] > area[as_is]) | ((area[turned] == area[as_is]) & (turned < as_is))
    turn &= ~one_sided
    return turn_faces(mesh, turn), int(turn.sum()), len(np.unique(as_is[one_sided]))


def turn_outward(mesh: Mesh) -> tuple[Mesh, bool]:
    """Turn all faces over if the largest component looks inwards.

    A shell around its own centroid has Σ area n·(c − centroid) > 0 when its normals point outwards; where
    that is undecided (a nearly flat piece), nothing is done.
    """
    label = _face_components(mesh)
    largest = keep_faces(mesh, label == np.argmax(np.bincount(label, face_areas(mesh))))
    a, b = _face_sides(largest)
    centers = largest.vertices[largest.faces[:, 0]] + (a + b) / 3
    normals = _cross(a, b) / 2
    area = _lengths(normals)
    arms = centers - np.average(centers, axis=0, weights=area)
    outward = float(np.einsum("ij,ij->", normals, arms)) / float(np.sum(area * _lengths(arms)))
    if outward > -0.05:
        return mesh, False
    return turn_faces(mesh, np.ones(len(mesh.faces), bool)), True


def drop_unreferenced(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove vertices that no face uses, keeping the order of the others."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    if used.all():
        return mesh, 0
    position = np.cumsum(used) - 1
    colors = None if mesh.colors is None else mesh.colors[used]
    kept = replace(
        mesh, vertices=mesh.vertices[used], faces=position[mesh.faces].astype(np.int32), colors=colors
    )
    return kept, int((~used).sum())


# --- topology --------------------------------------------------------------------------------------------


def face_areas(mesh: Mesh) -> np.ndarray:
    """Return the (f,) areas."""
    return _lengths(_cross(*_face_sides(mesh))) / 2


def _face_sides(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    first = mesh.vertices[mesh.faces[:, 0]]
    return mesh.vertices[mesh.faces[:, 1]] - first, mesh.vertices[mesh.faces[:, 2]] - first


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cross products of rows (numpy's own takes twice the time for millions of rows)."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths


def turn_faces(mesh: Mesh, turn: np.ndarray) -> Mesh:
    """Reverse the winding of some faces, their texture corners with them."""
    faces = np.where(turn[:, None], mesh.faces[:, ::-1], mesh.faces)
    uv = None if mesh.uv is None else np.where(turn[:, None, None], mesh.uv[:, ::-1], mesh.uv)
    return replace(mesh, faces=faces, uv=uv)


@dataclass(frozen=True)
class Edges:
    """The undirected edges of a mesh.

    Attributes
    ----------
    number : (3f,) the edge of each half-edge; 3i, 3i + 1, 3i + 2 are those of face i.
    counts : (e,) faces at each edge.
    order : (3f,) half-edges, edge after edge.
    ends : (e, 2) vertices, the smaller first.
    """

    number: np.ndarray
    counts: np.ndarray
    order: np.ndarray
    ends: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """Where each edge's half-edges begin in `order`."""
        starts: np.ndarray = np.cumsum(self.counts) - self.counts
        return starts


def find_edges(faces: np.ndarray) -> Edges:
    """Return the edges of a mesh, by one sort."""
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    base = np.int64(faces.max(initial=0)) + 1
    key = np.minimum(start, end) * base + np.maximum(start, end)
    order = np.argsort(key, kind="stable")
    key = key[order]
    new = np.r_[True, key[1:] != key[:-1]] if len(key) else np.zeros(0, bool)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new) - 1
    starts = np.flatnonzero(new)
    counts = np.diff(np.r_[starts, len(key)])
    return Edges(number, counts, order, np.stack([key[starts] // base, key[starts] % base], axis=1))


def _on_boundary(edges: Edges, vertex_count: int) -> np.ndarray:
    mask = np.zeros(vertex_count, bool)
    mask[edges.ends[edges.counts == 1]] = True
    return mask


def _face_pairs(faces: np.ndarray, edges: Edges) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the faces on both sides of each edge that has two, and whether their windings agree."""
    at = edges.first[edges.counts == 2]
    a, b = edges.order[at], edges.order[at + 1]
    origin = faces.reshape(-1)
    return a // 3, b // 3, origin[a] != origin[b]


def _mean(values: np.ndarray, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean over neighbours j of each i, (v, 3)."""
    total = np.maximum(np.bincount(i, weights, len(values)), 1e-300)
    sums = [np.bincount(i, weights * column[j], len(values)) for column in values.T]
    return np.stack(sums, axis=1) / total[:, None]


def _components(rows: np.ndarray, columns: np.ndarray, count: int) -> np.ndarray:
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    label: np.ndarray = csgraph.connected_components(graph.tocsr(), directed=False)[1]
    return label


def _face_components(mesh: Mesh) -> np.ndarray:
    """Return the (f,) component of each face, through shared vertices."""
    faces = mesh.faces
    rows, columns = np.r_[faces[:, 0], faces[:, 1]], np.r_[faces[:, 1], faces[:, 2]]
    label = _components(rows, columns, len(mesh.vertices))
    return label[faces[:, 0]]


def _first_alike(points: np.ndarray) -> np.ndarray:
    """Return for each point the lowest index of a point at exactly the same place.

    Sorts a 64-bit mix of the coordinates' bits; points whose mix collides by chance are merely not merged.
    """
    bits = np.ascontiguousarray(points + 0.0).view(np.uint64)  # + 0.0: -0 and 0 are one place
    mix = np.zeros(len(points), np.uint64)
    for axis, multiplier in enumerate((0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)):
        mix = (mix ^ (bits[:, axis] ^ (bits[:, axis] >> np.uint64(29)))) * np.uint64(multiplier)
        mix ^= mix >> np.uint64(32)
    order = np.argsort(mix, kind="stable")
    different = (mix[order[1:]] != mix[order[:-1]]) | (points[order[1:]] != points[order[:-1]]).any(axis=1)
    starts = np.r_[True, different] if len(order) else np.zeros(0, bool)
    first = np.empty(len(points), np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first
