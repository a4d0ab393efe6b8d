"""Which vertices the scan supports, and how far the whole registration can be trusted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from morphkit.geometry.laplacian import vertex_areas
from morphkit.geometry.normals import face_areas, face_normals
from morphkit.geometry.similarity import Similarity
from morphkit.registration.prepared import LandmarkPairs, PreparedTemplate
from morphkit.registration.result import Diagnosis, Verdict
from morphkit.registration.settings import GateSettings
from morphkit.registration.target import SurfaceMatches

_LIMITS = (
    # figure, doubtful beyond, failed beyond, worse when larger?, wording
    ("covered", 0.5, 0.12, False, "only {:.0%} of the template found the scan"),
    ("distance", 0.5, 1.0, True, "the surface lies {:.1f} mm from the scan"),
    ("landmark_error", 5.0, 9.0, True, "landmarks are off by {:.1f} mm"),
    ("flipped", 0.005, 0.03, True, "{:.1%} of the triangles are folded over"),
    ("strain", 0.3, 0.5, True, "the shape is unlike a face: the template had to stretch by {:.0%}"),
    ("resizing", 0.35, 0.7, True, "the scan's size is unlike the template's: is it in millimetres?"),
)


def gate(
    match: SurfaceMatches,
    normals: Float[np.ndarray, "v 3"],
    passive: Bool[np.ndarray, " v"],
    settings: GateSettings,
) -> Bool[np.ndarray, " v"]:
    """Return which vertices have a scan point that is near, faces the same way and is not on its border."""
    cosine = np.einsum("vd,vd->v", match.normals, normals)
    near = match.closest.distances <= settings.max_distance
    return match.usable & near & (cosine >= settings.min_cosine) & ~passive


def diagnose(
    prepared: PreparedTemplate,
    vertices: Float[np.ndarray, "v 3"],
    valid: Bool[np.ndarray, " v"],
    distances: Float[np.ndarray, " v"],
    landmarks: LandmarkPairs | None,
    similarity: Similarity,
    strain: float | None,
    judged: Bool[np.ndarray, " v"],
) -> Diagnosis:
    """Return the figures; `judged` are the vertices that a scan of a face should cover."""
    faces = prepared.mesh.faces
    area = vertex_areas(vertices, faces) * judged
    supported = area * valid
    rest_normals, now_normals = face_normals(prepared.mesh.vertices, faces), face_normals(vertices, faces)
    flipped = np.einsum("fd,fd->f", rest_normals, now_normals) < -0.2
    size = face_areas(prepared.mesh.vertices, faces)
    error = None
    if landmarks is not None:
        error = float(
            np.median(np.linalg.norm(_registered(landmarks, prepared, vertices) - landmarks.target, axis=1))
        )
    return Diagnosis(
        covered=float(supported.sum() / max(area.sum(), 1e-12)),
        distance=float((supported * np.where(valid, distances, 0)).sum() / max(supported.sum(), 1e-12)),
        landmark_error=error,
        flipped=float(size[flipped].sum() / size.sum()),
        strain=strain,
        resizing=abs(float(np.log(similarity.scale))) if landmarks is None else None,
    )


def judge(diagnosis: Diagnosis) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict and a clause for each figure that speaks against the registration."""
    reasons, failed = [], False
    for name, doubtful, hopeless, larger_is_worse, wording in _LIMITS:
        value = getattr(diagnosis, name)
        if value is None:
            continue
        sign = 1 if larger_is_worse else -1
        if sign * value > sign * doubtful:
            reasons.append(wording.format(value))
            failed |= sign * value > sign * hopeless
    if not reasons:
        return "good", ()
    return ("failed" if failed else "doubtful"), tuple(reasons)


def _registered(landmarks: LandmarkPairs, prepared: PreparedTemplate, vertices: np.ndarray) -> np.ndarray:
    corners = prepared.mesh.faces[landmarks.face_indices]
    return np.einsum("nk,nkd->nd", landmarks.barycentrics, vertices[corners])
