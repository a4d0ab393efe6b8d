"""Landmarks on a scan: found on pictures of it from several sides, and put back on its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from morphkit.errors import NoFaceError
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.similarity import Similarity
from morphkit.geometry.views import Shading
from morphkit.landmarks.capping import cap_holes
from morphkit.landmarks.ibug import IBUG68_GROUPS, to_ibug68
from morphkit.landmarks.orientation import FacePose, find_face_pose
from morphkit.landmarks.sighting import Sighting, canonical_points, frame_face, sight
from morphkit.landmarks.uncertainty import point_covariances
from morphkit.mesh import Landmarks, Mesh

# Millimetres of the canonical face.
_AGREEMENT = 2.0  # by which views may differ before the odd one loses weight
_REACH = 15.0  # how far around a point that no view shows its neighbours tell about it
_WIDEST = 70.0  # hole that is closed in the pictures: an open mouth, not a scan's border
# Standard deviations of the 68 points as mixtures of the 478, against anatomy, beside the detector's errors.
_CONVENTION_68 = {"jaw": 5.0, "brows": 3.0, "nose": 1.5, "eyes": 1.5, "mouth": 1.5}


@dataclass(frozen=True)
class ScanLandmarkSettings:
    """How a scan is looked at.

    Attributes
    ----------
    angles : (yaw, pitch) of the portraits, radians, after the head has been turned to the front.
    """

    angles: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.4, 0.0), (-0.4, 0.0), (0.0, 0.25), (0.0, -0.25))


@dataclass(frozen=True, eq=False)
class ScanLandmarks:
    """Landmarks found on a scan, in its own frame and units.

    Attributes
    ----------
    ibug68 : points "0".."67", with covariances. The jaw (0..16) is the least certain.
    mediapipe478 : points "mp0".."mp477", with covariances.
    seen : (478,) whether any view showed the point on the surface; the others are vertices near where
        their neighbours suggest.
    spread : (478,) rms distance of the views' points to the merged one, scan units; infinite where not seen.
    pose : where the head is: MediaPipe's canonical face (`canonical_face`) to the scan.
    score : the detector's confidence in the frontal portrait, 0..1.
    presence : the landmark network's, 0..1.
    views : how many portraits were used.
    """

    ibug68: Landmarks
    mediapipe478: Landmarks
    seen: Bool[np.ndarray, "478"]
    spread: Float[np.ndarray, "478"]
    pose: Similarity
    score: float
    presence: float
    views: int

    @property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """The rotation from the head frame (y up, face towards +z) to the scan."""
        return self.pose.rotation


def detect_scan_landmarks(
    mesh: Mesh, settings: ScanLandmarkSettings = ScanLandmarkSettings()
) -> ScanLandmarks:
    """Find the face of a scan, in whatever orientation, and 68 and 478 landmarks on its surface.

    Portraits from several sides (as clay, and in the scan's colours if it has any) go through the 2D landmark
    network; its points are put back on the surface, and the portraits' answers are merged robustly. Such
    points differ from hand-set ones systematically: compare them with points found the same way
    (`embed_landmarks`) on the template.

    Parameters
    ----------
    mesh : a scan of a head, without or with its surroundings; any units, any orientation.
    settings : the portraits to take.

    Raises
    ------
    NoFaceError
        When no view shows a face.
    """
    shadings: tuple[Shading, ...] = ("shaded",)
    if mesh.colors is not None or mesh.texture is not None:
        shadings = ("shaded", "lit")
    found = _find_pose(mesh, shadings)
    pose, sightings = found.similarity, _sightings(mesh, found.similarity, shadings, settings)
    points, spread, seen = _merge(sightings, pose)
    points[~seen] = _nearest_vertices(mesh, points[~seen])
    covariances = point_covariances(spread, seen, pose)
    dense = Landmarks(tuple(f"mp{index}" for index in range(478)), points).with_covariances(covariances)
    return ScanLandmarks(
        ibug68=_ibug68(points, covariances, pose.scale),
        mediapipe478=dense,
        seen=seen,
        spread=np.where(seen, pose.scale * spread, np.inf),
        pose=pose,
        score=found.score,
        presence=found.presence,
        views=len(sightings),
    )


def _sightings(
    mesh: Mesh, pose: Similarity, shadings: tuple[Shading, ...], settings: ScanLandmarkSettings
) -> list[Sighting]:
    """Look at the portraits, holes closed."""
    capped = cap_holes(mesh, _WIDEST * pose.scale)
    normals = vertex_normals(capped.vertices, capped.faces)
    return [
        sight(frame_face(capped, pose, yaw, pitch, shading, normals), pose, len(mesh.faces))
        for yaw, pitch in settings.angles
        for shading in shadings
    ]


def _find_pose(mesh: Mesh, shadings: tuple[Shading, ...]) -> FacePose:
    for shading in reversed(shadings):
        found = find_face_pose(mesh, shading)
        if found is not None:
            return found
    name = "the mesh" if mesh.source is None else str(mesh.source)
    raise NoFaceError(
        f"No face was found on {name} from any side; give its landmarks in a file, or leave it out."
    )


def _merge(
    sightings: list[Sighting], pose: Similarity
) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "478"], Bool[np.ndarray, "478"]]:
    """Merge views into points, their spread (canonical millimetres) and whether a point was seen at all."""
    points = np.stack([sighting.points for sighting in sightings])
    trust = np.stack([sighting.weights**2 for sighting in sightings])
    seen: Bool[np.ndarray, "478"] = np.any(trust > 0, axis=0)
    merged = np.full((478, 3), np.nan)
    merged[seen] = np.nanmedian(points[:, seen], axis=0)
    points = np.nan_to_num(points)
    for _ in range(5):
        distances = np.linalg.norm(points - merged, axis=2) / pose.scale
        weights = np.where(trust > 0, trust / (1 + (distances / _AGREEMENT) ** 2), 0)[:, seen]
        merged[seen] = np.einsum("vn,vnd->nd", weights, points[:, seen]) / weights.sum(axis=0)[:, None]
    spread = np.zeros(478)
    spread[seen] = np.sqrt((weights * distances[:, seen] ** 2).sum(axis=0) / weights.sum(axis=0))
    merged[~seen] = _guess(merged, seen, pose)
    return merged, spread, seen


def _guess(
    points: Float[np.ndarray, "478 3"], seen: Bool[np.ndarray, "478"], pose: Similarity
) -> Float[np.ndarray, "n 3"]:
    """Place unseen points as the canonical face has them, moved as the seen ones around them are."""
    expected = pose.apply(canonical_points())
    canonical = canonical_points()
    distances = np.linalg.norm(canonical[~seen, None] - canonical[None, seen], axis=2)
    nearest = distances.min(axis=1, keepdims=True)
    weights = np.exp(-(distances**2 - nearest**2) / (2 * _REACH**2))
    weights /= weights.sum(axis=1, keepdims=True)
    guessed: Float[np.ndarray, "n 3"] = expected[~seen] + weights @ (points - expected)[seen]
    return guessed


def _nearest_vertices(mesh: Mesh, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    used = mesh.vertices[np.unique(mesh.faces)]
    nearest: Float[np.ndarray, "n 3"] = used[cKDTree(used).query(points)[1]]
    return nearest


def _ibug68(
    points: Float[np.ndarray, "478 3"], covariances: Float[np.ndarray, "478 3 3"], scale: float
) -> Landmarks:
    """Mix the 478 into the 68; neighbours err together, so their covariances are mixed as they are."""
    convention = np.concatenate(
        [np.full(len(IBUG68_GROUPS[name]), _CONVENTION_68[name]) for name in _CONVENTION_68]
    )
    mixed = to_ibug68(covariances.reshape(478, 9)).reshape(68, 3, 3)
    mixed += ((scale * convention) ** 2)[:, None, None] * np.eye(3)
    return Landmarks(tuple(map(str, range(68))), to_ibug68(points)).with_covariances(mixed)
