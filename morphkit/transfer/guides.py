"""Landmarks that mean the same on two heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from morphkit.errors import NoFaceError, RegistrationError
from morphkit.geometry.closest_point import closest_points
from morphkit.landmarks import ScanLandmarks, detect_scan_landmarks, embed_landmarks
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template

_INFLATION = 6.0  # of detected points' deviations: one network's errors go together
_CONVENTIONS = ((17, 6.0), (27, 3.0), (68, 1.5))  # mm between two people's jaws (below 17), brows, the rest


@dataclass(frozen=True, eq=False)
class Guides:
    """What guides the registration of a source to a target.

    Attributes
    ----------
    template : the source, with the landmark sets to compare `landmarks` with.
    landmarks : on the target.
    source68, target68 : both heads' "ibug68".
    """

    template: Template
    landmarks: Landmarks
    source68: LandmarkEmbedding
    target68: LandmarkEmbedding


def find_guides(source: Template, target: Template) -> Guides:
    """Return landmarks that one network finds on both heads, or those that both bring.

    Two people who set landmarks differ by more than a network on two heads, so found ones are preferred.

    Raises
    ------
    RegistrationError
        When no face is found on one head, and one of them has no "ibug68".
    """
    colored = source.mesh.colors is not None and target.mesh.colors is not None
    try:
        known = embed_landmarks(source.mesh if colored else _clay(source.mesh))
        found = detect_scan_landmarks(target.mesh if colored else _clay(target.mesh))
    except NoFaceError:
        return _brought(source, target)
    return Guides(
        replace(source, landmarks={"mediapipe478": known["mediapipe478"]}),
        found.mediapipe478.select(_seen(found)).less_certain(_INFLATION),
        _more_complete(source.landmarks.get("ibug68"), known["ibug68"]),
        _more_complete(target.landmarks.get("ibug68"), _embedded(target.mesh, found.ibug68)),
    )


def _clay(mesh: Mesh) -> Mesh:
    return replace(mesh, colors=None, uv=None, texture=None)


def _seen(found: ScanLandmarks) -> tuple[str, ...]:
    return tuple(np.array(found.mediapipe478.names)[found.seen].tolist())


def _more_complete(own: LandmarkEmbedding | None, found: LandmarkEmbedding) -> LandmarkEmbedding:
    """Return a head's own landmarks if they are all there, else the found ones."""
    return found if own is None or len(own.names) < len(found.names) else own


def _embedded(mesh: Mesh, landmarks: Landmarks) -> LandmarkEmbedding:
    closest = closest_points(mesh, landmarks.points)
    return LandmarkEmbedding(landmarks.names, closest.face_indices, closest.barycentrics)


def _brought(source: Template, target: Template) -> Guides:
    """Return the heads' own 68 points, as certain as conventions agree."""
    try:
        one, other = source.landmarks["ibug68"], target.landmarks["ibug68"]
    except KeyError:
        raise RegistrationError(
            'no face was found on the head, and it has no "ibug68" landmarks that could stand in'
        ) from None
    landmarks = other.landmarks(target.mesh.vertices, target.mesh.faces)
    deviations = [next(mm for end, mm in _CONVENTIONS if int(name) < end) for name in landmarks.names]
    landmarks = replace(landmarks, standard_deviations=np.array(deviations))
    return Guides(replace(source, landmarks={"ibug68": one}), landmarks, one, other)
