"""The template's topology: cut the head out of the base mesh, subdivide it once, split quads to triangles.

Everything is linear in the base vertices: `subdivision` is a sparse matrix, so that each morph target goes
through the same smoothing as the mesh. The mouth's inside and the finest quads stay coarse: they keep
their (smoothed) corners and meet the fine ones without cracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from assets import MILLIMETRES_PER_UNIT, MPFB, Assets, BaseMesh
from atlas import pack_atlas

NECK_LOOP_START = (815, 7523)  # two neighbours on the edge loop around the base of the neck
FINE_EDGE = 3.1  # quads whose mean edge is longer than this (mm) are subdivided
FINE_EDGE_EAR = 3.6
HEAD_SEED = 5399  # a vertex on the head, to tell the two sides of the loop apart
EYE_GROUPS = ("helper-l-eye", "helper-r-eye")
EYE_GROWTH = (
    1.045  # undoes the shrinking that subdivision brings to so coarse a ball, so that the lids still touch it
)


@dataclass(frozen=True, eq=False)
class HeadTopology:
    """The template's connectivity and the linear map from base vertices to its own.

    Attributes
    ----------
    base_index : (b,) base-mesh vertices in use.
    subdivision : (v, b) sparse.
    faces : (f, 3) triangles, counter-clockwise from outside.
    uv : (f, 3, 2) per-corner texture coordinates, repacked for the head.
    old_uv : (v, 2) where the vertex lies in MakeHuman's atlas, to read region masks.
    mirror : (v,) left-right map.
    parts : (v,) 0 skin, 1 inside the mouth, 2 left eyeball, 3 right eyeball.
    eye_poles : the left and right eyeballs' foremost vertices, in the pupils' middle.
    origin : (3,) base-mesh position, millimetres, that becomes the template's origin.
    """

    base_index: np.ndarray
    subdivision: sp.csr_matrix
    faces: np.ndarray
    uv: np.ndarray
    old_uv: np.ndarray
    mirror: np.ndarray
    parts: np.ndarray
    eye_poles: tuple[int, int]
    origin: np.ndarray

    def lift(self, base: np.ndarray) -> np.ndarray:
        """Return base-mesh rows (n, c), any linear quantity, on the template's vertices (v, c)."""
        return self.subdivision @ base[self.base_index]


def build_topology(assets: Assets, base: BaseMesh) -> HeadTopology:
    """Cut, subdivide and triangulate."""
    chosen = _head_quads(base)
    quads, corners = base.quads[chosen], base.texture_quads[chosen]
    sock = sample_mask(assets, "inside-mouth", base.texture[corners].mean(1)) > 0.5
    fine = _fine_quads(assets, base, chosen, sock)
    partner = assets.mirror(len(base.vertices))
    base_index = np.unique(quads)
    local = np.full(len(base.vertices), -1)
    local[base_index] = np.arange(len(base_index))
    part_of_quad = np.where(sock, 1, 0)
    for part, group in enumerate(EYE_GROUPS, start=2):
        part_of_quad[base.groups[chosen] == group] = part
    texture = pack_atlas(corners, base.texture, quads, base.vertices, part_of_quad)
    surface = _Subdivider(local[quads], texture[corners], local[partner[base_index]], fine)
    subdivision, faces, uv, mirror = surface.result()
    parts = surface.vertex_parts(part_of_quad)
    for part in (2, 3):
        subdivision = _grow(subdivision, parts == part, EYE_GROWTH)
    rest = subdivision @ base.vertices[base_index]
    poles = (_pole(rest, parts == 2), _pole(rest, parts == 3))
    old_uv = _per_vertex(local[quads], base.texture[corners], subdivision)
    return HeadTopology(base_index, subdivision, faces, uv, old_uv, mirror, parts, poles, _origin(rest))


def sample_mask(assets: Assets, name: str, uv: np.ndarray) -> np.ndarray:
    """Return a MakeHuman region mask's value at texture coordinates (n, 2)."""
    picture = assets.image(f"{MPFB}/textures/mpfb_{name}.jpg")
    height, width = picture.shape
    row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
    return picture[row, column]


def _head_quads(base: BaseMesh) -> np.ndarray:
    """Return the indices of the body's quads above the neck loop, then the eyeballs'."""
    body = np.flatnonzero(base.groups == "body")
    quads = base.quads[body]
    loop = set(_edges_of(_walk_loop(quads, *NECK_LOOP_START)))
    edge_of = _quad_edges(quads)
    first, second = [], []
    seen: dict[tuple[int, int], int] = {}
    for quad, edges in enumerate(edge_of):
        for edge in edges:
            if edge in loop:
                continue
            if edge in seen:
                first.append(seen[edge])
                second.append(quad)
            seen[edge] = quad
    graph = sp.coo_matrix((np.ones(len(first)), (first, second)), shape=(len(quads),) * 2)
    label = sp.csgraph.connected_components(graph, directed=False)[1]
    head = body[label == label[np.flatnonzero((quads == HEAD_SEED).any(1))[0]]]
    eyes = [np.flatnonzero(base.groups == group) for group in EYE_GROUPS]
    return np.concatenate([head, *eyes])


def _quad_edges(quads: np.ndarray) -> list[list[tuple[int, int]]]:
    """Return each quad's four undirected edges."""
    return [_edges_of(quad) for quad in quads.tolist()]


def _edges_of(cycle: list[int]) -> list[tuple[int, int]]:
    """Return the undirected edges of a closed cycle of vertices."""
    following = [*cycle[1:], cycle[0]]
    return [(min(a, b), max(a, b)) for a, b in zip(cycle, following, strict=True)]


def _walk_loop(quads: np.ndarray, start: int, then: int) -> list[int]:
    """Follow the edge loop through regular vertices until it closes."""
    faces_of: dict[tuple[int, int], set[int]] = {}
    near: dict[int, set[int]] = {}
    for quad, edges in enumerate(_quad_edges(quads)):
        for a, b in edges:
            faces_of.setdefault((a, b), set()).add(quad)
            near.setdefault(a, set()).add(b)
            near.setdefault(b, set()).add(a)
    loop = [start, then]
    while True:
        a, b = loop[-2:]
        side = faces_of[min(a, b), max(a, b)]
        (onward,) = (c for c in near[b] if c != a and not side & faces_of[min(b, c), max(b, c)])
        if onward == start:
            return loop
        loop.append(onward)


def _fine_quads(assets: Assets, base: BaseMesh, chosen: np.ndarray, sock: np.ndarray) -> np.ndarray:
    """Say which quads are worth subdividing: visible, and long-edged."""
    quads, corners = base.quads[chosen], base.texture_quads[chosen]
    points = base.vertices[quads] * MILLIMETRES_PER_UNIT
    edge = np.linalg.norm(points - np.roll(points, 1, axis=1), axis=2).mean(1)
    ear = sample_mask(assets, "ears", base.texture[corners].mean(1)) > 0.5
    eyeball = np.isin(base.groups[chosen], EYE_GROUPS)
    middle = points.mean(1)[:, 2]
    hidden = sock | (eyeball & (middle < middle[eyeball].mean()))
    return ~hidden & (eyeball | (edge > np.where(ear, FINE_EDGE_EAR, FINE_EDGE)))


def _per_vertex(quads: np.ndarray, uv: np.ndarray, subdivision: sp.csr_matrix) -> np.ndarray:
    """Return one texture coordinate per template vertex: seams take either side."""
    corner = np.zeros((subdivision.shape[1], 2))
    corner[quads.ravel()] = uv.reshape(-1, 2)
    return np.asarray(subdivision @ corner)


def _pole(rest: np.ndarray, ball: np.ndarray) -> int:
    """Return an eyeball's vertex straight ahead of its centre."""
    centre = rest[ball].mean(0)
    front = np.flatnonzero(ball & (rest[:, 2] > centre[2]))
    return int(front[np.argmin(np.linalg.norm(rest[front, :2] - centre[:2], axis=1))])


def _grow(subdivision: sp.csr_matrix, rows: np.ndarray, factor: float) -> sp.csr_matrix:
    """Return the matrix with the chosen vertices scaled about their own centre."""
    inside = rows.astype(float)
    centre = sp.csr_matrix(np.outer(inside, inside / inside.sum()) @ subdivision)
    return (sp.diags(np.where(rows, factor, 1.0)) @ subdivision + (1.0 - factor) * centre).tocsr()


def _origin(vertices: np.ndarray) -> np.ndarray:
    """Return the middle of the head, on the midline, level with the ears: half way between front and back."""
    points = vertices * MILLIMETRES_PER_UNIT
    top = points[:, 1].max()
    skull = points[points[:, 1] > top - 180.0]
    widest = skull[np.argmax(skull[:, 0])]
    return np.array([0.0, widest[1], widest[2]])


class _Subdivider:
    """One adaptive Catmull-Clark step (Catmull & Clark 1978) as a sparse matrix.

    New vertices are, in order: all smoothed corners; the midpoints of edges that touch a fine quad; the
    centres of quads with at least one such edge. The boundary loop keeps the cubic B-spline rule.
    """

    def __init__(self, quads: np.ndarray, uv: np.ndarray, partner: np.ndarray, fine: np.ndarray) -> None:
        self.quads, self.uv, self.partner = quads, uv, partner
        self.count = int(quads.max()) + 1
        every = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
        self.edges, edge_of = np.unique(every, axis=0, return_inverse=True)
        self.edge_of = edge_of.reshape(-1, 4)
        self.uses = np.bincount(edge_of.ravel(), minlength=len(self.edges))
        split = np.zeros(len(self.edges), bool)
        split[self.edge_of[fine]] = True
        self.split_edges = np.flatnonzero(split)
        self.centred = np.flatnonzero(split[self.edge_of].any(1))
        self.edge_row = np.full(len(self.edges), -1)
        self.edge_row[self.split_edges] = self.count + np.arange(len(self.split_edges))
        self.centre_row = np.full(len(quads), -1)
        self.centre_row[self.centred] = self.count + len(self.split_edges) + np.arange(len(self.centred))

    def result(self) -> tuple[sp.csr_matrix, np.ndarray, np.ndarray, np.ndarray]:
        """Return the matrix, triangles, their texture corners and the mirror map."""
        faces, uv = self._triangles()
        return self._matrix(), faces, uv, self._mirror()

    def vertex_parts(self, part_of_quad: np.ndarray) -> np.ndarray:
        """Return each new vertex's part: the smallest-numbered part among the quads it touches."""
        parts = np.full(self.count + len(self.split_edges) + len(self.centred), 9)
        np.minimum.at(parts, self.quads.ravel(), np.repeat(part_of_quad, 4))
        on_edge = np.full(len(self.edges), 9)
        np.minimum.at(on_edge, self.edge_of.ravel(), np.repeat(part_of_quad, 4))
        parts[self.edge_row[self.split_edges]] = on_edge[self.split_edges]
        parts[self.centre_row[self.centred]] = part_of_quad[self.centred]
        return parts

    def _matrix(self) -> sp.csr_matrix:
        identity = sp.identity(self.count, format="csr")
        centres = _average(self.quads, self.count)
        ends = _average(self.edges, self.count)
        edge_quads = sp.coo_matrix(
            (
                np.full(self.edge_of.size, 0.5),
                (self.edge_of.ravel(), np.repeat(np.arange(len(self.quads)), 4)),
            ),
            shape=(len(self.edges), len(self.quads)),
        ).tocsr()
        inner = sp.diags((self.uses == 2).astype(float))
        edge_points = (
            inner @ (0.5 * ends + 0.5 * edge_quads @ centres)
            + sp.diags((self.uses == 1).astype(float)) @ ends
        )
        corners = self._smoothed_corners(identity, centres, ends)
        rows = [corners, edge_points[self.split_edges], centres[self.centred]]
        return sp.vstack(rows).tocsr()

    def _smoothed_corners(
        self, identity: sp.csr_matrix, centres: sp.csr_matrix, ends: sp.csr_matrix
    ) -> sp.csr_matrix:
        """Return the rows (F + 2R + (n - 3) P) / n inside and (1, 6, 1) / 8 on the boundary."""
        valence = np.bincount(self.edges.ravel(), minlength=self.count).astype(float)
        around = sp.coo_matrix(
            (np.ones(self.quads.size), (self.quads.ravel(), np.repeat(np.arange(len(self.quads)), 4))),
            shape=(self.count, len(self.quads)),
        ).tocsr()
        along = sp.coo_matrix(
            (np.ones(self.edges.size), (self.edges.ravel(), np.repeat(np.arange(len(self.edges)), 2))),
            shape=(self.count, len(self.edges)),
        ).tocsr()
        inverse = sp.diags(1.0 / valence)
        inside = inverse @ (inverse @ around @ centres + 2.0 * inverse @ along @ ends) + sp.diags(
            (valence - 3) / valence
        )
        rim = self.uses == 1
        rim_edges = along @ sp.diags(rim.astype(float))
        on_rim = np.zeros(self.count)
        on_rim[np.unique(self.edges[rim])] = 1.0
        rim_rule = 0.5 * identity + 0.25 * rim_edges @ ends
        return sp.diags(1.0 - on_rim) @ inside + sp.diags(on_rim) @ rim_rule

    def _triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Fan each centred quad around its centre; cut the others along their symmetric diagonal."""
        faces: list[list[int]] = []
        uv: list[list[np.ndarray]] = []
        first_diagonal = self._diagonals()
        for quad in range(len(self.quads)):
            ring, texture = self._ring(quad)
            if self.centre_row[quad] >= 0:
                self._fan(quad, ring, texture, faces, uv)
                continue
            for a, b, c in ((0, 1, 2), (0, 2, 3)) if first_diagonal[quad] else ((0, 1, 3), (1, 2, 3)):
                faces.append([ring[a], ring[b], ring[c]])
                uv.append([texture[a], texture[b], texture[c]])
        return np.array(faces, np.int32), np.array(uv)

    def _ring(self, quad: int) -> tuple[list[int], list[np.ndarray]]:
        """Return a quad's outline with its split edges' midpoints, and the texture coordinates."""
        ring, texture = [], []
        for k in range(4):
            ring.append(int(self.quads[quad, k]))
            texture.append(self.uv[quad, k])
            middle = self.edge_row[self.edge_of[quad, k]]
            if middle >= 0:
                ring.append(int(middle))
                texture.append(0.5 * (self.uv[quad, k] + self.uv[quad, (k + 1) % 4]))
        return ring, texture

    def _fan(self, quad: int, ring: list[int], texture: list[np.ndarray], faces: list, uv: list) -> None:
        """Append the triangles around a quad's centre."""
        centre, middle = int(self.centre_row[quad]), self.uv[quad].mean(0)
        for k in range(len(ring)):
            j = (k + 1) % len(ring)
            faces.append([ring[k], ring[j], centre])
            uv.append([texture[k], texture[j], middle])

    def _diagonals(self) -> np.ndarray:
        """Return which quads are cut from corner 0 to corner 2, the same on the left as on the right."""
        key = {tuple(sorted(quad)): i for i, quad in enumerate(self.quads.tolist())}
        first = np.ones(len(self.quads), bool)
        for i, quad in enumerate(self.quads.tolist()):
            twin = key[tuple(sorted(self.partner[quad].tolist()))]
            if i < twin:
                continue
            diagonal = {int(self.partner[self.quads[twin, 0]]), int(self.partner[self.quads[twin, 2]])}
            first[i] = diagonal == {quad[0], quad[2]} if i != twin else True
        return first

    def _mirror(self) -> np.ndarray:
        """Return the left-right map of all new vertices."""
        edge_key = {tuple(edge): i for i, edge in enumerate(self.edges.tolist())}
        quad_key = {tuple(sorted(quad)): i for i, quad in enumerate(self.quads.tolist())}
        edges = [edge_key[tuple(sorted(self.partner[e].tolist()))] for e in self.edges[self.split_edges]]
        quads = [quad_key[tuple(sorted(self.partner[q].tolist()))] for q in self.quads[self.centred]]
        return np.concatenate([self.partner, self.edge_row[edges], self.centre_row[quads]]).astype(np.int32)


def _average(index: np.ndarray, count: int) -> sp.csr_matrix:
    """Return the matrix whose row i averages the vertices index[i]."""
    n, k = index.shape
    return sp.coo_matrix(
        (np.full(n * k, 1.0 / k), (np.repeat(np.arange(n), k), index.ravel())), shape=(n, count)
    ).tocsr()
