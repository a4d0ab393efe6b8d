"""Landmark embeddings for a head that lacks them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from morphkit.errors import NoFaceError
from morphkit.geometry.closest_point import ClosestPointQuery, ClosestPoints
from morphkit.geometry.normals import face_normals
from morphkit.landmarks import embed_landmarks
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.transfer.surface_map import SurfaceMap

LANDMARK_SETS = ("ibug68", "mediapipe478")
"""What fitting compares photos with."""

_NEAR = 3.0  # millimetres of the source, from a carried landmark to the target
_FACING = 0.3  # least cosine between the surfaces there: lips and lids that touch are not mixed up
_ENOUGH = 0.5  # of a set's points, below which it is looked for on the target itself


def find_embeddings(
    mesh: Mesh, source: Mapping[str, LandmarkEmbedding], surface_map: SurfaceMap
) -> dict[str, LandmarkEmbedding]:
    """Return "ibug68" and "mediapipe478" on the target.

    They are carried over from the source. A set that it lacks, or of which the target has less than half, is
    found on rendered views of the target's mean, in its colours, if a face is found there.

    Parameters
    ----------
    mesh : the target, with its colours if there are any.
    source : the source's embeddings by set name.
    surface_map : from the source to the target.
    """
    wanted = {name: source[name] for name in LANDMARK_SETS if name in source}
    carried = transfer_embeddings(wanted, surface_map)
    poor = [
        name
        for name in LANDMARK_SETS
        if name not in carried or len(carried[name].names) < _ENOUGH * len(source[name].names)
    ]
    if not poor:
        return carried
    try:
        found = embed_landmarks(mesh)
    except NoFaceError:
        return carried
    return carried | {name: found[name] for name in poor}


def transfer_embeddings(
    embeddings: Mapping[str, LandmarkEmbedding], surface_map: SurfaceMap
) -> dict[str, LandmarkEmbedding]:
    """Return the source's landmarks on the target; those that it does not reach are left out."""
    query = ClosestPointQuery(surface_map.target)
    normals = face_normals(surface_map.fitted, surface_map.source.faces)
    carried = {
        name: _carried(embedding, normals, surface_map, query) for name, embedding in embeddings.items()
    }
    return {name: embedding for name, embedding in carried.items() if embedding.names}


def _carried(
    embedding: LandmarkEmbedding,
    normals: Float[np.ndarray, "g 3"],
    surface_map: SurfaceMap,
    query: ClosestPointQuery,
) -> LandmarkEmbedding:
    points = embedding.landmarks(surface_map.fitted, surface_map.source.faces).points
    limit = _NEAR * surface_map.scale
    closest = _preferred(
        query.query(points, normals=normals[embedding.face_indices], min_cosine=_FACING),
        query.query(points),
        limit,
    )
    near = np.flatnonzero(closest.distances <= limit)
    return LandmarkEmbedding(
        tuple(embedding.names[i] for i in near), closest.face_indices[near], closest.barycentrics[near]
    )


def _preferred(facing: ClosestPoints, anyhow: ClosestPoints, limit: float) -> ClosestPoints:
    """Return the points that face the same way where these are near enough, else the nearest."""
    take = (facing.distances <= limit)[:, None]
    return ClosestPoints(
        np.where(take, facing.points, anyhow.points),
        np.where(take[:, 0], facing.distances, anyhow.distances),
        np.where(take[:, 0], facing.face_indices, anyhow.face_indices),
        np.where(take, facing.barycentrics, anyhow.barycentrics),
    )
