"""A template's landmarks, found on it as on a scan: what detected scan landmarks are to be compared with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.landmarks.scans import ScanLandmarkSettings, detect_scan_landmarks
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh


def embed_landmarks(mesh: Mesh, settings: ScanLandmarkSettings | None = None) -> dict[str, LandmarkEmbedding]:
    """Find "ibug68" and "mediapipe478" on a template and tie them to its surface.

    A 2D network places its points otherwise than hands do (by some millimetres, at brows and jaw above all),
    but on every head alike: embedded this way the template carries the same bias as a scan's detected
    landmarks, and it cancels.

    Raises
    ------
    NoFaceError
        When no view shows a face.
    """
    found = detect_scan_landmarks(mesh, settings or ScanLandmarkSettings())
    query = ClosestPointQuery(mesh)
    return {
        "ibug68": _embed(query, found.ibug68),
        "mediapipe478": _embed(query, found.mediapipe478),
    }


def _embed(query: ClosestPointQuery, landmarks: Landmarks) -> LandmarkEmbedding:
    closest = query.query(landmarks.points)
    barycentrics: Float[np.ndarray, "n 3"] = closest.barycentrics
    return LandmarkEmbedding(landmarks.names, closest.face_indices, barycentrics)
