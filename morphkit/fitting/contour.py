"""What landmarks say about a face: outline ones meet the silhouette that it shows in its current pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from morphkit.fitting.landmark import Face, Observations, Spans
from morphkit.fitting.points import PointModel, landmark_points, vertex_points
from morphkit.fitting.pose import Pose
from morphkit.fitting.seen import SeenLandmarks
from morphkit.fitting.spans import SeenSpans
from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.topology import unique_edges
from morphkit.morphable import MorphableModel

_REACH = 40.0  # millimetres that an outline landmark may be from its place on the mean face
_FACING = 0.7  # cosine beyond which its place faces the camera too squarely to be an outline
_PLAIN = 2.0  # times the deviation of an outline landmark when it is taken for a place on the skin


@dataclass(frozen=True, eq=False)
class LandmarkObserver:
    """Turns seen landmarks into observations for a face: fixed ones as they are, outline ones slid.

    Attributes
    ----------
    seen : the landmarks in the photo.
    points : the model's points of the same landmarks.
    band : the model's vertices near the outline landmarks, with the triangles among them, or None.
    pairs : the model's points of the landmarks' spans, or None.
    """

    seen: SeenLandmarks
    points: PointModel
    band: _Band | None
    pairs: _Pairs | None = None

    def __call__(self, face: Face) -> Observations:
        """Return the observations whose silhouette correspondence suits `face`."""
        precision = 1.0 / (self.seen.deviations * face.pose.scale)
        whitening = precision[:, None, None] * np.eye(2)
        spans = None if self.pairs is None else self.pairs.spans(face.pose)
        if self.band is None:
            return Observations(self.points, self.seen.pixels, whitening, spans)
        slid = _slide(self.seen, self.points, self.band, face)
        whitening[self.seen.on_outline] /= _PLAIN
        whitening[slid.landmarks] = precision[slid.landmarks, None, None] * (
            slid.normals[:, :, None] * slid.normals[:, None, :]
        )
        return Observations(_replaced(self.points, slid), self.seen.pixels, whitening, spans)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The spans that the model has points of."""

    seen: SeenSpans
    first: PointModel
    second: PointModel

    def spans(self, pose: Pose) -> Spans:
        """Return the spans along the face's height or width in the photo, as a pose shows these.

        They are the less sure the farther the face is turned away.
        """
        axes = pose.rotation[:2, :2].T
        right, up = axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
        along = np.where(self.seen.wide[:, None], right, up)
        facing = max(0.0, -float(pose.rotation[2, 2]))
        precision = facing / (self.seen.deviations * pose.scale)
        whitening = precision[:, None, None] * along[:, :, None] * along[:, None, :]
        return Spans(self.first, self.second, self.seen.pixels, whitening)


@dataclass(frozen=True, eq=False)
class _Band:
    points: PointModel
    faces: Int[np.ndarray, "f 3"]
    edges: Int[np.ndarray, "e 2"]


@dataclass(frozen=True, eq=False)
class _Slid:
    landmarks: Int[np.ndarray, " m"]
    points: PointModel
    normals: Float[np.ndarray, "m 2"]


def landmark_observer(model: MorphableModel, seen: SeenLandmarks) -> LandmarkObserver:
    """Prepare a model for landmarks that were seen; names that it does not embed are left out."""
    embedding = model.landmarks[seen.set_name]
    seen = seen.among(embedding.names)
    position = {name: i for i, name in enumerate(embedding.names)}
    points = landmark_points(model, embedding).take(np.array([position[name] for name in seen.names]))
    band = _band(model, points.mean[seen.on_outline]) if seen.on_outline.any() else None
    return LandmarkObserver(seen, points, band, _pairs(model, seen.spans))


def _pairs(model: MorphableModel, spans: SeenSpans | None) -> _Pairs | None:
    """Return the spans of iBUG points that a model has, or None; without expressions its lips cannot part."""
    embedding = model.landmarks.get("ibug68")
    if spans is None or embedding is None or model.expression is None:
        return None
    place = {name: i for i, name in enumerate(embedding.names)}
    spans = spans.among(place)
    points = landmark_points(model, embedding)
    first, second = (
        points.take(np.array([place[name] for name in names], dtype=int))
        for names in (spans.first, spans.second)
    )
    return _Pairs(spans, first, second)


def _band(model: MorphableModel, outline: Float[np.ndarray, "n 3"]) -> _Band:
    near = cKDTree(outline).query(model.identity.mean)[0] <= _REACH
    near &= _outline_mask(model)
    vertices = np.flatnonzero(near)
    number = np.full(len(near), -1)
    number[vertices] = np.arange(len(vertices))
    faces = number[model.faces[near[model.faces].all(axis=1)]].astype(np.int32)
    return _Band(vertex_points(model, vertices), faces, unique_edges(faces))


def _outline_mask(model: MorphableModel) -> Bool[np.ndarray, " v"]:
    allowed = np.ones(len(model.identity.mean), dtype=bool)
    for name in ("ears", "eyes", "lips"):
        if name in model.masks:
            allowed &= ~model.masks[name]
    return allowed


def _slide(seen: SeenLandmarks, points: PointModel, band: _Band, face: Face) -> _Slid:
    """Match outline landmarks with the nearest points of the contour generator (Hertzmann & Zorin 2000)."""
    vertices = band.points.at(face.identity, face.expression)
    normals = vertex_normals(vertices, band.faces)
    facing = _facing(face.pose, vertices, normals)
    a, b = band.edges[np.sign(facing[band.edges]).prod(axis=1) < 0].T
    share = (facing[a] / (facing[a] - facing[b]))[:, None]
    crossings = (1.0 - share) * vertices[a] + share * vertices[b]
    outward = ((1.0 - share) * normals[a] + share * normals[b]) @ face.pose.rotation.T

    landmarks = np.flatnonzero(seen.on_outline)
    places = points.at(face.identity, face.expression)[landmarks]
    nearest, found = _nearest(face.pose.project(crossings), crossings, seen.pixels[landmarks], places)
    found &= _facing_at(places, vertices, facing) < _FACING
    chosen = nearest[found]
    flat = outward[chosen, :2]
    model = _between(band.points, a[chosen], b[chosen], share[chosen])
    return _Slid(landmarks[found], model, flat / np.linalg.norm(flat, axis=1, keepdims=True))


def _facing(
    pose: Pose, vertices: Float[np.ndarray, "v 3"], normals: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, " v"]:
    """Return the cosine between each normal and the direction to the camera."""
    to_camera = -pose.rotation.T @ pose.translation - vertices
    cosine: np.ndarray = (normals * to_camera).sum(axis=1) / np.linalg.norm(to_camera, axis=1)
    return cosine


def _nearest(
    crossing_pixels: Float[np.ndarray, "c 2"],
    crossings: Float[np.ndarray, "c 3"],
    pixels: Float[np.ndarray, "n 2"],
    places: Float[np.ndarray, "n 3"],
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return, for each landmark, the crossing nearest in the photo among those in reach on the head."""
    if len(crossings) == 0:
        return np.zeros(len(pixels), dtype=int), np.zeros(len(pixels), dtype=bool)
    distances = np.linalg.norm(crossing_pixels[None] - pixels[:, None], axis=2)
    distances[np.linalg.norm(crossings[None] - places[:, None], axis=2) > _REACH] = np.inf
    nearest = distances.argmin(axis=1)
    return nearest, np.isfinite(distances[np.arange(len(pixels)), nearest])


def _facing_at(
    places: Float[np.ndarray, "n 3"], vertices: Float[np.ndarray, "v 3"], facing: Float[np.ndarray, " v"]
) -> Float[np.ndarray, " n"]:
    """Return how squarely places on the skin face the camera: the cosine of the nearest vertex."""
    cosine: np.ndarray = facing[cKDTree(vertices).query(places)[1]]
    return cosine


def _between(
    points: PointModel, a: Int[np.ndarray, " m"], b: Int[np.ndarray, " m"], share: Float[np.ndarray, "m 1"]
) -> PointModel:
    first, second, s = points.take(a), points.take(b), share[:, :, None]
    return PointModel(
        first.mean + share * (second.mean - first.mean),
        first.identity + s * (second.identity - first.identity),
        first.expression + s * (second.expression - first.expression),
    )


def _replaced(points: PointModel, slid: _Slid) -> PointModel:
    mean, identity, expression = points.mean.copy(), points.identity.copy(), points.expression.copy()
    mean[slid.landmarks] = slid.points.mean
    identity[slid.landmarks] = slid.points.identity
    expression[slid.landmarks] = slid.points.expression
    return PointModel(mean, identity, expression)
