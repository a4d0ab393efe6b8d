"""Landmark embeddings for a head that lacks them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from morphkit.errors import NoFaceError
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.landmarks import embed_landmarks
from morphkit.mesh import LandmarkEmbedding, Mesh
from morphkit.transfer.surface_map import SurfaceMap

_NEAR = 3.0  # millimetres of the source, from a carried landmark to the target


def find_embeddings(
    mesh: Mesh, source: Mapping[str, LandmarkEmbedding], surface_map: SurfaceMap
) -> dict[str, LandmarkEmbedding]:
    """Return "ibug68" and "mediapipe478" on the target.

    They are found on rendered views of its mean, in its colours, so that they carry the detector's bias, as a
    photo's points do; where no face is found, the source's are carried over.

    Parameters
    ----------
    mesh : the target, with its colours if there are any.
    source : the source's embeddings by set name.
    surface_map : from the source to the target.
    """
    try:
        return embed_landmarks(mesh)
    except NoFaceError:
        return transfer_embeddings(source, surface_map)


def transfer_embeddings(
    embeddings: Mapping[str, LandmarkEmbedding], surface_map: SurfaceMap
) -> dict[str, LandmarkEmbedding]:
    """Return the source's landmarks on the target; those that it does not reach are left out."""
    query = ClosestPointQuery(surface_map.target)
    carried = {name: _carried(embedding, surface_map, query) for name, embedding in embeddings.items()}
    return {name: embedding for name, embedding in carried.items() if embedding.names}


def _carried(
    embedding: LandmarkEmbedding, surface_map: SurfaceMap, query: ClosestPointQuery
) -> LandmarkEmbedding:
    points = embedding.landmarks(surface_map.fitted, surface_map.source.faces).points
    closest = query.query(points)
    near = np.flatnonzero(closest.distances <= _NEAR * surface_map.scale)
    return LandmarkEmbedding(
        tuple(embedding.names[i] for i in near), closest.face_indices[near], closest.barycentrics[near]
    )
