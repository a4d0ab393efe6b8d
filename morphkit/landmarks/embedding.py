"""A template's landmarks, found on it as on a scan: what detected scan landmarks are to be compared with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.landmarks.scans import ScanLandmarks, ScanLandmarkSettings, detect_scan_landmarks
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh


def embed_landmarks(mesh: Mesh, settings: ScanLandmarkSettings | None = None) -> dict[str, LandmarkEmbedding]:
    """Find "ibug68" and "mediapipe478" on a template and tie them to its surface.

    A 2D network places its points otherwise than hands do (by some millimetres, at brows and jaw above all),
    but on every head alike: embedded this way the template carries the same bias as a scan's detected
    landmarks, and it cancels. Points that no view shows on the surface, such as the irises of a template
    without eyeballs, are not among the 478; the 68 are complete.

    Raises
    ------
    NoFaceError
        When no view shows a face.
    """
    found = detect_scan_landmarks(mesh, settings or ScanLandmarkSettings())
    query = ClosestPointQuery(mesh)
    return {
        "ibug68": _embed(query, found.ibug68),
        "mediapipe478": _embed(query, _seen(found)),
    }


def _seen(found: ScanLandmarks) -> Landmarks:
    names = found.mediapipe478.names
    return found.mediapipe478.select(name for name, seen in zip(names, found.seen, strict=True) if seen)


def _embed(query: ClosestPointQuery, landmarks: Landmarks) -> LandmarkEmbedding:
    closest = query.query(landmarks.points)
    barycentrics: Float[np.ndarray, "n 3"] = closest.barycentrics
    return LandmarkEmbedding(landmarks.names, closest.face_indices, barycentrics)
