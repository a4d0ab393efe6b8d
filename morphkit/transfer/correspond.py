"""Two heads of any topology to a map between their surfaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from morphkit.errors import RegistrationError
from morphkit.geometry.closest_point import ClosestPointQuery, ClosestPoints, closest_points
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.topology import boundary_vertices, connected_components
from morphkit.mesh import Mesh, Template
from morphkit.morphable import MorphableModel
from morphkit.registration import register
from morphkit.transfer.guides import Guides, find_guides
from morphkit.transfer.lips import LOWER, NEITHER, UPPER, lip_sides
from morphkit.transfer.parts import small_parts
from morphkit.transfer.surface_map import SurfaceMap

_NEAR = 3.0  # millimetres of the source, from a vertex to its counterpart
_MIN_COSINE = 0.4  # between the normals of the two
_ON_BORDER = 1e-6  # weight of inner corners below which a point lies on the border
_COVERED = 0.9  # of a part's vertices; those of parts with fewer counterparts have none


def correspond(source: MorphableModel | Template, target: MorphableModel | Template) -> SurfaceMap:
    """Find each target vertex's counterpart on the source.

    The source is registered to the target (`morphkit.registration`), guided by landmarks that the same
    network finds on both; where it finds no face, by the "ibug68" that both bring. Each target vertex then
    takes the nearest point of the deformed source among those that face the same way, do not lie on the other
    lip, are on an eyeball only if the vertex is, and on teeth or other small parts only if the vertex's own
    part is small. Heads of one topology need none of that.

    Parameters
    ----------
    source : a model, whose mean is taken, or a template; in millimetres; its mask "eyes" tells eyeballs.
    target : of any topology, covering any part of a head, in any frame and unit.

    Raises
    ------
    RegistrationError
        When there are no landmarks to go by, or the source cannot be laid onto the target.
    """
    one, other = _template(source), _template(target)
    if (
        np.array_equal(one.mesh.faces, other.mesh.faces)
        and one.mesh.vertices.shape == other.mesh.vertices.shape
    ):
        return _same_topology(one.mesh, other.mesh)
    guides = find_guides(one, other)
    eyes = one.masks.get("eyes", np.zeros(len(one.mesh.vertices), dtype=bool))
    parts = Parts(eyes, small_parts(one.mesh) & ~eyes, small_parts(other.mesh))
    # what lies inside a head goes with it: what is seen of the other would pull it out
    passive = {**guides.template.masks, "eyes": parts.eyes | parts.inner}
    found = register(other.mesh, replace(guides.template, masks=passive), landmarks=guides.landmarks)
    if found.verdict == "failed":
        raise RegistrationError(f"the heads could not be laid onto each other: {'; '.join(found.reasons)}")
    fitted = replace(one.mesh, vertices=found.mesh.vertices)
    return matched(one.mesh, fitted, other.mesh, parts, guides, found.similarity.scale)


@dataclass(frozen=True, eq=False)
class Parts:
    """The source's vertices on eyeballs, and on other small parts; the target's on small parts."""

    eyes: Bool[np.ndarray, " s"]
    inner: Bool[np.ndarray, " s"]
    of_target: Bool[np.ndarray, " v"]


def _template(head: MorphableModel | Template) -> Template:
    return head if isinstance(head, Template) else head.template()


def _same_topology(source: Mesh, target: Mesh) -> SurfaceMap:
    """Return the map between meshes of the same triangles."""
    v = len(target.vertices)
    face_indices, barycentrics, valid = np.zeros(v, np.int32), np.zeros((v, 3)), np.zeros(v, dtype=bool)
    barycentrics[:, 0] = 1.0
    for corner, vertices in enumerate(source.faces.T):
        face_indices[vertices] = np.arange(len(vertices), dtype=np.int32)
        barycentrics[vertices] = np.eye(3)[corner]
        valid[vertices] = True
    fitted = target.vertices.astype(np.float64)
    return SurfaceMap(source, target, fitted, face_indices, barycentrics, np.zeros(v), valid)


def matched(
    source: Mesh, fitted: Mesh, target: Mesh, parts: Parts, guides: Guides, scale: float
) -> SurfaceMap:
    """Return each target vertex's nearest compatible point of the fitted source.

    Parameters
    ----------
    source, fitted : at rest, and laid onto the target.
    target : in its own frame and units.
    parts : what is no skin.
    guides : the lips' landmarks on both.
    scale : the target's units for a millimetre of the source.
    """
    normals = vertex_normals(target.vertices, target.faces)
    v = len(target.vertices)
    face_indices, barycentrics = np.zeros(v, np.int32), np.zeros((v, 3))
    distances, facing = np.zeros(v), np.zeros(v, dtype=bool)
    for vertices, faces in _groups(source, fitted, target, parts, guides):
        query = ClosestPointQuery(Mesh(fitted.vertices, fitted.faces[faces]))
        found, facing[vertices] = _nearest(query, target.vertices[vertices], normals[vertices])
        face_indices[vertices] = faces[found.face_indices]
        barycentrics[vertices], distances[vertices] = found.barycentrics, found.distances
    near = facing & (distances <= _NEAR * scale) & _inside(fitted, face_indices, barycentrics)
    valid = _by_parts(near, target, parts.eyes[source.faces[face_indices]].any(axis=1))
    return SurfaceMap(source, target, fitted.vertices, face_indices, barycentrics, distances, valid)


def _inside(fitted: Mesh, face_indices: np.ndarray, barycentrics: np.ndarray) -> Bool[np.ndarray, " v"]:
    """Tell which points do not lie on the border, where the nearest point may be no counterpart."""
    border = boundary_vertices(fitted.faces, len(fitted.vertices))[fitted.faces[face_indices]]
    inside: np.ndarray = (barycentrics * ~border).sum(axis=1) > _ON_BORDER
    return inside


def _nearest(
    query: ClosestPointQuery, points: np.ndarray, normals: np.ndarray
) -> tuple[ClosestPoints, np.ndarray]:
    """Return the nearest points that face like `normals`, or any where there are none, and which do."""
    found = query.query(points, normals=normals, min_cosine=_MIN_COSINE)
    facing = found.face_indices >= 0
    if facing.all():
        return found, facing
    anyhow = query.query(points)
    chosen = (
        np.where(facing.reshape(-1, *[1] * (one.ndim - 1)), one, other)
        for one, other in (
            (found.points, anyhow.points),
            (found.distances, anyhow.distances),
            (found.face_indices, anyhow.face_indices),
            (found.barycentrics, anyhow.barycentrics),
        )
    )
    return ClosestPoints(*chosen), facing


def _groups(
    source: Mesh, fitted: Mesh, target: Mesh, parts: Parts, guides: Guides
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]]]:
    """Yield vertices of the target, and the source's faces that they may lie on; together all vertices."""
    seeing, inner = (which[source.faces].any(axis=1) for which in (parts.eyes, parts.inner))
    eyeballs = _eyeballs(fitted, seeing, target, parts.of_target)
    rest = parts.of_target & ~eyeballs
    for vertices, faces in ((eyeballs, seeing), (rest, ~seeing)):
        if vertices.any():
            yield np.flatnonzero(vertices), np.flatnonzero(faces)
    of_source, of_target = lip_sides(source, guides.source68), lip_sides(target, guides.target68)
    for side in (UPPER, LOWER, NEITHER):
        vertices = np.flatnonzero((of_target == side) & ~parts.of_target)
        across = (of_source[source.faces] == -side).any(axis=1) & (side != NEITHER)
        if len(vertices):
            yield vertices, np.flatnonzero(~seeing & ~inner & ~across)


def _by_parts(valid: np.ndarray, target: Mesh, eyeballs: np.ndarray) -> Bool[np.ndarray, " v"]:
    """Return `valid`, but alike in small parts: eyeballs move as one; teeth, not covered, must not tear."""
    parts = connected_components(target.faces, len(target.vertices))
    sizes = np.bincount(parts)
    covered = np.bincount(parts, valid) > _COVERED * sizes
    covered[np.argmax(sizes)] = True
    alike: np.ndarray = (valid & covered[parts]) | eyeballs
    return alike


def _eyeballs(fitted: Mesh, seeing: np.ndarray, target: Mesh, small: np.ndarray) -> Bool[np.ndarray, " v"]:
    """Return the vertices of small parts of the target that lie on the source's eyeballs."""
    parts = connected_components(target.faces, len(target.vertices))
    sizes = np.bincount(parts)
    among = np.flatnonzero(small & (sizes > 1)[parts])
    eyeballs = np.zeros(len(parts), dtype=bool)
    if not seeing.any() or len(among) == 0:
        return eyeballs
    to_eyes, to_rest = (
        closest_points(Mesh(fitted.vertices, fitted.faces[which]), target.vertices[among]).distances
        for which in (seeing, ~seeing)
    )
    nearer = np.bincount(parts[among], to_eyes - to_rest, len(sizes)) < 0
    eyeballs[among] = nearer[parts[among]]
    return eyeballs
