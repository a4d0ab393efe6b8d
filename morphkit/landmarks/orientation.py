"""Where the face is on a scan, and which way it looks: found on rendered views, whatever the orientation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from morphkit.geometry.similarity import Similarity
from morphkit.geometry.views import Shading, View, render_view, turn
from morphkit.landmarks.detector import Detection, detect_boxes
from morphkit.landmarks.faces import confirm, find_landmarks
from morphkit.landmarks.pyramid import Pyramid
from morphkit.landmarks.sighting import canonical_points, fit_pose, frame_face, sight
from morphkit.mesh import Mesh

_FRONTAL = ((0.0, 0.0), (0.6, 0.0), (-0.6, 0.0), (0.0, 0.5), (0.0, -0.5))  # yaw, pitch tried first, radians
_ROLLS = (np.pi, np.pi / 2, -np.pi / 2)  # tried next
_SIZE = 256  # of a searching view, pixels
_SMALLEST = 0.15  # of a face in a searching view
_DIRECTIONS = 48  # of the search over all orientations: neighbours are about 30 degrees apart
_TURNS = (0.0, 2 * np.pi / 3, -2 * np.pi / 3)  # of each view; the detector bears 60 degrees
_CANDIDATES = 12  # looked at closely
_LIKELY, _STRIKING = 0.3, 0.75  # detector scores: worth a look, worth it at once
_SURE_SCORE, _SURE_PRESENCE, _SURE_RESIDUAL = 0.4, 0.7, 6.0  # least, least, and most in millimetres


@dataclass(frozen=True, eq=False)
class FacePose:
    """A face found on a scan.

    Attributes
    ----------
    similarity : MediaPipe's canonical face (millimetres, head frame) to the scan.
    score : the detector's confidence in the frontal portrait, 0..1.
    presence : the landmark network's, 0..1.
    residual : rms distance to the canonical face, in its millimetres.
    """

    similarity: Similarity
    score: float
    presence: float
    residual: float

    @property
    def sure(self) -> bool:
        """Whether this is a face beyond doubt; the hollow inside of a mask, or a chance pattern, is not."""
        return (
            self.score >= _SURE_SCORE and self.presence >= _SURE_PRESENCE and self.residual <= _SURE_RESIDUAL
        )


def find_face_pose(mesh: Mesh, shading: Shading) -> FacePose | None:
    """Find the face of a scan; None when there is none.

    First as if the scan stood upright and looked about along +z; then upside down or lying on a side; then
    from all directions.
    """
    for candidates in (_upright_candidates, _rolled_candidates, _all_candidates):
        for view, detection in candidates(mesh, shading):
            pose = _examine(mesh, view, detection, shading)
            if pose is not None and pose.sure:
                return pose
    return None


def _upright_candidates(mesh: Mesh, shading: Shading) -> Iterator[tuple[View, Detection]]:
    for yaw, pitch in _FRONTAL:
        view = render_view(mesh, turn(yaw, pitch), size=2 * _SIZE, shading=shading)
        yield from ((view, found) for found in detect_boxes(Pyramid(view.image), smallest=_SMALLEST))


def _rolled_candidates(mesh: Mesh, shading: Shading) -> Iterator[tuple[View, Detection]]:
    for yaw, pitch in _FRONTAL:
        view = render_view(mesh, turn(yaw, pitch), size=_SIZE, shading=shading)
        pyramid = Pyramid(view.image)
        for angle in _ROLLS:
            yield from ((view, found) for found in detect_boxes(pyramid, smallest=_SMALLEST, angle=angle))


def _all_candidates(mesh: Mesh, shading: Shading) -> Iterator[tuple[View, Detection]]:
    """Yield what looks like a face from any direction: the striking at once, the rest by score.

    The inside of a mask looks like a face too, so surfaces seen from behind come last; last, not never,
    because a scan may be wound the wrong way round.
    """
    outside: list[tuple[View, Detection]] = []
    inside: list[tuple[View, Detection]] = []
    for rotation in _rotations():
        view = render_view(mesh, rotation, size=_SIZE, shading=shading)
        pyramid = Pyramid(view.image)
        for angle in _TURNS:
            for box in detect_boxes(pyramid, smallest=_SMALLEST, threshold=_LIKELY, angle=angle)[:1]:
                if not _seen_from_outside(view, box):
                    inside.append((view, box))
                elif box.score < _STRIKING:
                    outside.append((view, box))
                else:
                    yield view, box
    for candidates in (outside, inside):
        yield from sorted(candidates, key=lambda candidate: -candidate[1].score)[:_CANDIDATES]


def _seen_from_outside(view: View, detection: Detection) -> bool:
    """Tell whether most of what fills a box faces the camera, by the winding of its triangles."""
    height, width = view.face_index.shape
    left, right = np.clip(detection.box[[0, 2]], 0, width).astype(int)
    top, bottom = np.clip(detection.box[[1, 3]], 0, height).astype(int)
    seen = view.face_index[top:bottom, left:right]
    a, b, c = view.mesh.vertices[view.mesh.faces[seen[seen >= 0]]].transpose(1, 0, 2)
    eye = -view.camera.R.T @ view.camera.t
    towards = np.einsum("nd,nd->n", np.cross(b - a, c - a), eye - a)
    return bool((towards > 0).sum() * 2 > len(towards))


def _rotations() -> Iterator[Float[np.ndarray, "3 3"]]:
    """Yield rotations that bring evenly spread directions (a Fibonacci lattice) to the front, +z."""
    index = np.arange(_DIRECTIONS)
    pitch = np.arcsin(1 - (2 * index + 1) / _DIRECTIONS)
    yaw = index * (np.pi * (3 - np.sqrt(5)))
    for one_yaw, one_pitch in zip(yaw, pitch, strict=True):
        yield turn(float(one_yaw), float(one_pitch))


def _examine(mesh: Mesh, view: View, detection: Detection, shading: Shading) -> FacePose | None:
    """Place the landmarks, turn the head to the front, and look again twice."""
    face = find_landmarks(Pyramid(view.image), detection)
    points = view.back_project(face.points478[:, :2]).points
    presence = face.presence
    for _ in range(2):
        if presence < 0.1 or np.isfinite(points[:, 0]).sum() < 100:
            return None
        pose, residual = fit_pose(points)
        if residual > 2 * _SURE_RESIDUAL:
            return None
        portrait = frame_face(mesh, pose, 0.0, 0.0, shading)
        sighting = sight(portrait, pose)
        points, presence = sighting.points, sighting.presence
    if np.isfinite(points[:, 0]).sum() < 100:
        return None
    pose, residual = fit_pose(points)
    score = confirm(Pyramid(portrait.image), portrait.camera.project(pose.apply(canonical_points())))
    return FacePose(pose, score, presence, residual)
