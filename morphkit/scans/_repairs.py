"""Single repairs of a triangle mesh: each takes a mesh and returns a mesh and how much it changed.

All are a few passes over the elements, so that none can hang, whatever the connectivity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from morphkit.mesh import Mesh
from morphkit.scans import _kernels

_LARGEST = 1e15  # coordinates beyond are no numbers of a scanner in any unit


def keep_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """Return the mesh with some faces only; vertices stay."""
    uv = None if mesh.uv is None else mesh.uv[keep]
    return replace(mesh, faces=mesh.faces[keep], uv=uv)


def drop_stray_faces(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove faces with a corner that is no vertex."""
    keep = np.all((mesh.faces >= 0) & (mesh.faces < len(mesh.vertices)), axis=1)
    return (mesh, 0) if keep.all() else (keep_faces(mesh, keep), int((~keep).sum()))


def drop_nonfinite(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove vertices that are NaN, infinite or as good as infinite, with their faces."""
    bad = ~(np.abs(mesh.vertices) < _LARGEST).all(axis=1)
    if not bad.any():
        return mesh, 0
    mesh = keep_faces(mesh, ~bad[mesh.faces].any(axis=1))
    return replace(mesh, vertices=np.where(bad[:, None], 0.0, mesh.vertices)), int(bad.sum())


def merge_duplicate_vertices(mesh: Mesh) -> tuple[Mesh, int]:
    """Let faces use one of several vertices at exactly the same place, the first."""
    bits = np.ascontiguousarray(mesh.vertices + 0.0).view(np.int64)  # + 0.0: -0 and 0 are one place
    first = _kernels.first_alike(bits)
    used = np.zeros(len(first), bool)
    used[mesh.faces] = True
    merged = int((used & (first != np.arange(len(first)))).sum())
    if not merged:
        return mesh, 0
    return replace(mesh, faces=first[mesh.faces]), merged


def drop_degenerate_faces(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove faces without area."""
    _, areas, longest = _kernels.area_vectors(mesh.vertices, mesh.faces)
    keep = 2 * areas > 1e-10 * longest
    return (mesh, 0) if keep.all() else (keep_faces(mesh, keep), int((~keep).sum()))


def drop_duplicate_faces(mesh: Mesh) -> tuple[Mesh, int]:
    """Remove all but the first of faces on the same three vertices, whatever their winding."""
    a, b, c = mesh.faces.T
    low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
    corners = np.stack([low, a.astype(np.int64) + b + c - low - high, high], axis=1)
    keep = _kernels.first_alike(corners) == np.arange(len(corners))
    return (mesh, 0) if keep.all() else (keep_faces(mesh, keep), int((~keep).sum()))


def open_nonmanifold_edges(mesh: Mesh, edges: Edges) -> tuple[Mesh, int]:
    """Remove faces until no edge has more than two; returns how many edges had.

    At each such edge the faces that hang loose elsewhere go first (fins have boundary edges), then those
    with more such edges, then the smaller.
    """
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
    label = face_components(mesh)
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
    reach, around, degree = _kernels.stand_outs(mesh.vertices, edges.ends)
    limit = np.where(_on_boundary(edges, len(mesh.vertices)), 2 * factor, factor) * around
    spike = (reach > limit) & (degree > 2)
    near = edges.ends[spike[edges.ends].any(axis=1)]  # the spikes' edges, in both directions
    i, j = np.r_[near[:, 0], near[:, 1]], np.r_[near[:, 1], near[:, 0]]
    calm = (~spike[j]).astype(np.float64)
    spike &= np.bincount(i, calm, len(spike)) > 0
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
    label = _kernels.join(rows, columns, 2 * f)
    as_is, turned = label[:f], label[f:]
    one_sided = as_is == turned
    area = np.bincount(as_is, face_areas(mesh), label.max() + 1)
    # Faces of a component fall into two camps; the one of more area is right.
    turn = (area[turned] > area[as_is]) | ((area[turned] == area[as_is]) & (turned < as_is))
    turn &= ~one_sided
    return turn_faces(mesh, turn), int(turn.sum()), len(np.unique(as_is[one_sided]))


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
    areas: np.ndarray = _kernels.area_vectors(mesh.vertices, mesh.faces)[1]
    return areas


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
    """Return the edges of a mesh."""
    faces = np.ascontiguousarray(faces)
    order, number = _kernels.sort_half_edges(faces, int(faces.max(initial=-1)) + 1)
    counts = np.bincount(number)
    first = order[np.cumsum(counts) - counts]
    start, end = faces[first // 3, first % 3], faces[first // 3, (first + 1) % 3]
    return Edges(number, counts, order, np.stack([np.minimum(start, end), np.maximum(start, end)], axis=1))


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


def face_components(mesh: Mesh) -> np.ndarray:
    """Return the (f,) component of each face, through shared vertices."""
    a, b, c = mesh.faces.T
    label = _kernels.join(np.r_[a, b], np.r_[b, c], len(mesh.vertices))
    return label[a]
