"""A source's texture coordinates on a target's triangles, whole on one side of every seam."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.normals import face_normals
from morphkit.geometry.topology import edge_neighbours
from morphkit.mesh import Mesh
from morphkit.transfer.surface_map import SurfaceMap

_INSIDE = 1e-6  # weight of corners off the seams, below which a point lies on a seam
_SURPRISE = 0.5  # of a triangle's length in the texture: beyond, one of its edges may have jumped across it
_RINGS = 24  # of source triangles around a target triangle's middle, in which its corners are looked for
_ON = 1e-6  # of the source's size: two distances that are the same


def transfer_uv(
    uv: Float[np.ndarray, "g 3 2"] | None, surface_map: SurfaceMap
) -> Float[np.ndarray, "f 3 2"] | None:
    """Return the texture coordinates of a target's triangle corners; None without any.

    A corner takes those of the source's surface where the map has its vertex. A triangle that lies on a seam
    belongs to the side that its middle lies on: its corners take the nearest points that can be reached from
    there without a seam, so that no triangle is stretched across the texture. Beyond the source, coordinates
    are those of its border.

    Parameters
    ----------
    uv : (g, 3, 2) of the source's triangle corners.
    surface_map : from the source, whose triangles these are.
    """
    if uv is None:
        return None
    source, target = surface_map.source, surface_map.target
    if np.array_equal(source.faces, target.faces):
        return uv
    own = uv[surface_map.face_indices].astype(np.float64)
    at_vertices = np.einsum("vk,vkd->vd", surface_map.barycentrics, own)
    carried = at_vertices[target.faces]
    torn = _torn(uv, carried, surface_map)
    if len(torn):
        carried[torn] = _mended(uv, torn, surface_map)
    return carried.astype(np.float32)


def _welded(uv: np.ndarray, faces: np.ndarray) -> Int[np.ndarray, "g 3"]:
    """Return the triangles on vertices that are split where their coordinates differ."""
    rows = np.column_stack([faces.reshape(-1), uv.reshape(-1, 2)]).astype(np.float64)
    welded: np.ndarray = np.unique(rows, axis=0, return_inverse=True)[1]
    return welded.reshape(-1, 3).astype(np.int32)


def _torn(uv: np.ndarray, carried: np.ndarray, surface_map: SurfaceMap) -> Int[np.ndarray, " t"]:
    """Return the target's triangles that touch a seam, or jump across the texture."""
    source, target = surface_map.source, surface_map.target
    seam = _on_seams(uv, source.faces, len(source.vertices))
    weight = (surface_map.barycentrics * ~seam[source.faces[surface_map.face_indices]]).sum(axis=1)
    touching = (weight < _INSIDE)[target.faces].any(axis=1)
    jumping = _surprises(uv, carried, surface_map)
    return np.flatnonzero(touching | jumping)


def _on_seams(uv: np.ndarray, faces: np.ndarray, count: int) -> Bool[np.ndarray, " s"]:
    """Tell which vertices have several coordinates."""
    pairs = np.unique(np.column_stack([faces.reshape(-1), _welded(uv, faces).reshape(-1)]), axis=0)
    seams: np.ndarray = np.bincount(pairs[:, 0], minlength=count) > 1
    return seams


def _surprises(uv: np.ndarray, carried: np.ndarray, surface_map: SurfaceMap) -> Bool[np.ndarray, " f"]:
    """Tell which triangles' coordinates are not what their corners' surroundings promise."""
    source, target = surface_map.source, surface_map.target
    slopes = _slopes(uv.astype(np.float64), surface_map.fitted[source.faces])[surface_map.face_indices]
    corners = target.vertices[target.faces]
    surprise, usual = np.zeros(len(corners)), np.zeros(len(corners))
    for corner in range(3):
        other = (corner + 1) % 3
        promised = np.einsum(
            "fcd,fd->fc", slopes[target.faces[:, corner]], corners[:, other] - corners[:, corner]
        )
        off = carried[:, other] - carried[:, corner] - promised
        surprise = np.maximum(surprise, np.linalg.norm(off, axis=1))
        usual = np.maximum(usual, np.linalg.norm(promised, axis=1))
    surprising: np.ndarray = surprise > _SURPRISE * usual + 1e-9
    return surprising


def _slopes(uv: np.ndarray, triangles: np.ndarray) -> Float[np.ndarray, "g 2 3"]:
    """Return how the coordinates change along the surface of each triangle; zero where it has no area."""
    edges, moves = triangles[:, 1:] - triangles[:, :1], uv[:, 1:] - uv[:, :1]
    gram = edges @ edges.transpose(0, 2, 1)
    determinant = gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2
    adjugate = np.stack([gram[:, 1, 1], -gram[:, 0, 1], -gram[:, 0, 1], gram[:, 0, 0]], axis=1)
    safe = np.where(determinant > 1e-24, determinant, np.inf)
    inverse = (adjugate / safe[:, None]).reshape(-1, 2, 2)
    slopes: np.ndarray = moves.transpose(0, 2, 1) @ inverse @ edges
    return slopes


def _mended(uv: np.ndarray, torn: np.ndarray, surface_map: SurfaceMap) -> Float[np.ndarray, "t 3 2"]:
    """Return coordinates of triangles' corners, each found on the side of the triangle's middle.

    Of triangles that reach beyond the source, all corners get those of the point nearest to the middle.
    """
    source, target = surface_map.source, surface_map.target
    corners = target.vertices[target.faces[torn]]
    middles = corners.mean(axis=1)
    normals = face_normals(target.vertices, target.faces[torn])
    query = ClosestPointQuery(Mesh(surface_map.fitted, source.faces))
    facing, anyhow = query.query(middles, normals=normals), query.query(middles)
    anchors = np.where(facing.face_indices >= 0, facing.face_indices, anyhow.face_indices)
    weights = np.where((facing.face_indices >= 0)[:, None], facing.barycentrics, anyhow.barycentrics)
    middle = np.einsum("nk,nkd->nd", weights, uv[anchors].astype(np.float64))
    mended = np.repeat(middle[:, None], 3, axis=1)
    within = surface_map.valid[target.faces[torn]].all(axis=1)
    near = surface_map.distances[target.faces[torn[within]]]
    near = near + _ON * float(np.ptp(surface_map.fitted, axis=0).max())
    triangles = surface_map.fitted[source.faces]
    neighbours = edge_neighbours(_welded(uv, source.faces)) // 3  # -1 stays -1
    mended[within] = _reached(
        uv.astype(np.float64), triangles, neighbours, anchors[within], corners[within], near
    )
    return mended


def _reached(
    uv: np.ndarray,
    triangles: np.ndarray,
    neighbours: np.ndarray,
    anchors: np.ndarray,
    corners: np.ndarray,
    enough: np.ndarray,
) -> Float[np.ndarray, "t 3 2"]:
    """Return the coordinates at the points nearest to corners, among source triangles grown from anchors.

    A corner is found as soon as a triangle is as near as the map has it: growing on, around a seam's end,
    would come to the other side.

    Parameters
    ----------
    uv, triangles, neighbours : (g, 3, 2), (g, 3, 3) and (g, 3) of the source; -1 at seams.
    anchors : (t,) source triangles.
    corners, enough : (t, 3, 3) and (t, 3) points, and how near is near enough.
    """
    values, distances = np.zeros((len(anchors), 3, 2)), np.full((len(anchors), 3), np.inf)
    row, face = np.arange(len(anchors)), anchors.astype(np.int64)
    seen = row * len(triangles) + face
    for _ in range(_RINGS):
        weights, apart = _nearest_in_triangles(triangles[face], corners[row])
        apart = np.where((distances <= enough)[row], np.inf, apart)
        order = np.argsort(-apart, axis=0, kind="stable")  # the nearest is written last
        for corner in range(3):
            pick = order[:, corner]
            pick = pick[apart[pick, corner] < distances[row[pick], corner]]
            distances[row[pick], corner] = apart[pick, corner]
            values[row[pick], corner] = np.einsum("nk,nkd->nd", weights[pick, corner], uv[face[pick]])
        on = neighbours[face]
        keys = np.repeat(row, 3).reshape(-1, 3) * len(triangles) + on
        wanting = np.asarray((distances > enough).any(axis=1))
        keys = np.unique(keys[(on >= 0) & wanting[row, None]])
        keys = keys[~np.isin(keys, seen)]
        if len(keys) == 0:
            break
        seen = np.concatenate([seen, keys])
        row, face = np.divmod(keys, len(triangles))
    return values


def _nearest_in_triangles(
    triangles: Float[np.ndarray, "n 3 3"], points: Float[np.ndarray, "n p 3"]
) -> tuple[Float[np.ndarray, "n p 3"], Float[np.ndarray, "n p"]]:
    """Return barycentric weights of, and distances to, the nearest point of each triangle to its points."""
    best = _plane_weights(triangles, points)
    outside = (best < 0).any(axis=2)
    nearest = np.where(outside, np.inf, _apart(triangles, points, best))
    for corner in range(3):
        start, end = triangles[:, None, corner], triangles[:, None, (corner + 1) % 3]
        along = end - start
        square = np.maximum((along**2).sum(axis=2), 1e-300)
        share = np.clip(((points - start) * along).sum(axis=2) / square, 0.0, 1.0)
        weights = np.zeros_like(best)
        weights[..., corner], weights[..., (corner + 1) % 3] = 1.0 - share, share
        apart = _apart(triangles, points, weights)
        best = np.where((apart < nearest)[..., None], weights, best)
        nearest = np.minimum(apart, nearest)
    return best, nearest


def _plane_weights(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the barycentric weights of points' feet on triangles' planes; -1 where there is none."""
    one, other = (triangles[:, None, k] - triangles[:, None, 0] for k in (1, 2))
    normal = np.cross(one, other)
    square = (normal**2).sum(axis=2)
    foot = points - triangles[:, None, 0]
    safe = np.maximum(square, 1e-300)
    second = (np.cross(foot, other) * normal).sum(axis=2) / safe
    third = (np.cross(one, foot) * normal).sum(axis=2) / safe
    weights = np.stack([1.0 - second - third, second, third], axis=2)
    return np.where(square[..., None] > 1e-24, weights, -1.0)


def _apart(triangles: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return distances of points to points of triangles, given by weights."""
    return np.linalg.norm(np.einsum("npk,nkd->npd", weights, triangles) - points, axis=2)
