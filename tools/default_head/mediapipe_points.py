"""MediaPipe's 478 landmarks on the template: its canonical mesh registered to the mean head, and its network.

The canonical mesh is an artist's face: registration carries it over by geometry alone. The landmark network
puts some points a few millimetres elsewhere on real people, and photos are read through the network. So
portraits of several heads are shown to it, and where the two agree to `AGREEMENT` their middle is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head import HeadTopology

from morphkit.errors import NoFaceError
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.landmarks import canonical_face, detect_scan_landmarks, to_ibug68
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.registration import register

AGREEMENT = 4.0  # millimetres
IRIS_RING = 5.9  # radius of the ring of four iris points, millimetres
RIGHT_IRIS, LEFT_IRIS = range(468, 473), range(473, 478)
LID_LINING = 1.06  # reach of the lids' inside, in radii of the eyeball
NAMES = tuple(f"mp{i}" for i in range(478))


@dataclass(frozen=True, eq=False)
class Portraits:
    """Heads to show to the network, the mean first: vertices (v, 3) and colours (v, 3) each."""

    shapes: list[np.ndarray]
    colours: list[np.ndarray]


def mediapipe_embedding(
    topology: HeadTopology, portraits: Portraits
) -> tuple[LandmarkEmbedding, dict[str, float]]:
    """Return the 478 points, and how far apart network and registration were (median, 90 %; mm)."""
    mean = Mesh(portraits.shapes[0], topology.faces, colors=portraits.colours[0].astype(np.float32))
    seen = _network_points(topology, portraits)
    registered = _registered_points(mean, seen)
    apart = np.linalg.norm(seen[:468] - registered, axis=1)
    points = np.where((apart < AGREEMENT)[:, None], 0.5 * (seen[:468] + registered), registered)
    points = _symmetric(points)
    rings = [
        _iris(topology, portraits.shapes[0], seen[list(ring)], side)
        for ring, side in ((RIGHT_IRIS, 1), (LEFT_IRIS, 0))
    ]
    skin = _on_part(topology, mean, _outer_skin(topology, portraits.shapes[0]), points)
    balls = _on_part(topology, mean, topology.parts >= 2, np.concatenate(rings))
    embedding = LandmarkEmbedding(
        NAMES, np.concatenate([skin[0], balls[0]]).astype(np.int32), np.concatenate([skin[1], balls[1]])
    )
    return embedding, {"median_mm": float(np.median(apart)), "p90_mm": float(np.percentile(apart, 90))}


def _network_points(topology: HeadTopology, portraits: Portraits) -> np.ndarray:
    """Return the network's 478 points on the mean head: the median over the portraits that it recognised."""
    mean = portraits.shapes[0]
    found = []
    for shape, colour in zip(portraits.shapes, portraits.colours, strict=True):
        mesh = Mesh(shape, topology.faces, colors=colour.astype(np.float32))
        try:
            points = detect_scan_landmarks(mesh).mediapipe478.points
        except NoFaceError:
            continue
        on = ClosestPointQuery(mesh).query(points)
        found.append(np.einsum("nk,nkd->nd", on.barycentrics, mean[topology.faces[on.face_indices]]))
    return np.median(found, axis=0)


def _registered_points(mean: Mesh, seen: np.ndarray) -> np.ndarray:
    """Return the canonical mesh registered to the mean head, guided by the network's inner 51 points."""
    canonical = canonical_face()
    points = to_ibug68(np.vstack([canonical.vertices, np.zeros((10, 3))]))[17:]
    names = tuple(str(i) for i in range(17, 68))
    on = ClosestPointQuery(canonical).query(points)
    template = Template(canonical, {"ibug68": LandmarkEmbedding(names, on.face_indices, on.barycentrics)})
    guides = Landmarks(names, to_ibug68(seen)[17:], np.full(51, 1.0))
    return np.asarray(register(mean, template, landmarks=guides).mesh.vertices)


def _symmetric(points: np.ndarray) -> np.ndarray:
    """Return the 468 points made left-right symmetric; partners come from the canonical mesh."""
    rest = canonical_face().vertices
    distance = np.linalg.norm(rest[:, None] - rest[None] * (-1.0, 1.0, 1.0), axis=2)
    return 0.5 * (points + points[distance.argmin(1)] * (-1.0, 1.0, 1.0))


def _iris(topology: HeadTopology, mean: np.ndarray, seen: np.ndarray, side: int) -> np.ndarray:
    """Return an iris's centre and ring on its eyeball, ordered and turned as the network has them."""
    pole = mean[topology.eye_poles[side]]
    around = seen[1:, :2] - seen[0, :2]
    quarter = np.round(np.arctan2(around[:, 1], around[:, 0]) / (np.pi / 2)) * (np.pi / 2)
    ring = pole + IRIS_RING * np.stack([np.cos(quarter), np.sin(quarter), np.zeros(4)], axis=1)
    return np.vstack([pole, ring])


def _outer_skin(topology: HeadTopology, mean: np.ndarray) -> np.ndarray:
    """Return the skin without the lids' lining, which hugs the eyeballs' ellipsoids."""
    outer = topology.parts == 0
    for part in (2, 3):
        ball = mean[topology.parts == part]
        low, high = ball.min(0), ball.max(0)
        outer &= np.linalg.norm((2 * mean - low - high) / (high - low), axis=1) > LID_LINING
    return outer


def _on_part(
    topology: HeadTopology, mean: Mesh, part: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles of a part of the template, and weights, closest to points."""
    rows = np.flatnonzero(part[topology.faces].all(1))
    on = ClosestPointQuery(Mesh(mean.vertices, topology.faces[rows])).query(points)
    return rows[on.face_indices], on.barycentrics
