"""The 478 landmarks seen in one rendered view of a scan, and the head's pose that they tell."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from morphkit.geometry.normals import vertex_normals
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.robust import robust_weight
from morphkit.geometry.similarity import Similarity
from morphkit.geometry.views import Shading, View, render_view, turn
from morphkit.landmarks.canonical import canonical_face
from morphkit.landmarks.faces import landmarks_near
from morphkit.landmarks.pyramid import Pyramid
from morphkit.mesh import Mesh

# Millimetres of the canonical face, whose eyes are 89 apart; on a scan they are scaled with its pose.
_CENTRE = np.array([0.0, -5.0, 40.0])  # what a view is centred on
_RADIUS = 130.0  # and how much around it shows
_TYPICAL = 5.0  # how far a real face's points lie from the canonical ones
_FARTHEST = (
    30.0  # a point farther off lies on something else, such as the back of the head seen through an eye
)
_ROUGHEST = (
    8.0  # a point farther off than its neighbours, by this much, lies beyond a silhouette or on a spike
)
_NEIGHBOURS = 10

_GRAZING = 0.3  # least cosine between the surface and the line of sight
_RIGHT_LIDS, _LEFT_LIDS = (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380)
_SIZE = 384  # of a view, pixels


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one view tells.

    Attributes
    ----------
    points : (478, 3) surface points in the scan's frame; NaN where nothing trustworthy was seen.
    weights : (478,) trust, 0..1; zero where `points` is NaN.
    presence : the landmark network's confidence, 0..1.
    """

    points: Float[np.ndarray, "478 3"]
    weights: Float[np.ndarray, "478"]
    presence: float


@functools.cache
def canonical_points() -> Float[np.ndarray, "478 3"]:
    """Return the canonical face's vertices and, for each iris point, the middle of its eye. Millimetres."""
    vertices = canonical_face().vertices
    eyes = [np.tile(vertices[list(lids)].mean(axis=0), (5, 1)) for lids in (_RIGHT_LIDS, _LEFT_LIDS)]
    return np.vstack([vertices, *eyes])


def frame_face(
    mesh: Mesh,
    pose: Similarity,
    yaw: float,
    pitch: float,
    shading: Shading,
    normals: Float[np.ndarray, "v 3"] | None = None,
) -> View:
    """Render a portrait of a head whose pose (canonical face to scan) is known, turned by the two angles.

    `normals` are the mesh's own, where several portraits of it are taken.
    """
    return render_view(
        mesh,
        turn(yaw, pitch) @ pose.rotation.T,
        size=_SIZE,
        centre=pose.apply(_CENTRE[None])[0],
        radius=_RADIUS * pose.scale,
        shading=shading,
        normals=normals,
    )


def sight(view: View, pose: Similarity, face_count: int | None = None) -> Sighting:
    """Run the landmark network on a portrait and put its points on the surface.

    Points on triangles from `face_count` on, which only close holes (`cap_holes`), are not trusted.
    """
    expected = view.camera.project(pose.apply(canonical_points()))
    found, presence = landmarks_near(Pyramid(view.image), expected)
    seen = view.back_project(found[:, :2])
    points = seen.points
    weights = np.maximum(_facing(view, pose), 0)
    weights[(weights < _GRAZING) | ~_plausible(points, pose)] = 0
    if face_count is not None:
        weights[seen.face_indices >= face_count] = 0
    points[weights == 0] = np.nan
    return Sighting(points, weights, presence)


def fit_pose(points: Float[np.ndarray, "478 3"]) -> tuple[Similarity, float]:
    """Fit the canonical face to points, NaN where missing, robustly (Geman-McClure weights).

    Returns
    -------
    pose : canonical face to scan.
    residual : weighted rms distance, in millimetres of the canonical face; infinite for a hollow face (the
        inside of a mask), which renders like a face but fits its mirror image better.
    """
    seen = np.isfinite(points).all(axis=1)
    pose, residual = _fit(canonical_points()[seen], points[seen])
    _, mirrored = _fit(canonical_points()[seen] * (1, 1, -1), points[seen])
    return pose, residual if residual < mirrored else np.inf


def _fit(source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]) -> tuple[Similarity, float]:
    weights = np.ones(len(source))
    for _ in range(8):
        pose = fit_similarity(source, target, weights)
        distances = np.linalg.norm(pose.apply(source) - target, axis=1) / pose.scale
        weights = robust_weight(distances, _TYPICAL)
    return pose, float(np.sqrt(np.average(distances**2, weights=np.sqrt(weights))))


def _facing(view: View, pose: Similarity) -> Float[np.ndarray, "478"]:
    """Return the cosines between the posed canonical face's normals and the lines of sight."""
    mesh = canonical_face()
    normals = np.zeros((478, 3))
    normals[:468] = vertex_normals(mesh.vertices, mesh.faces)
    normals[468:] = (0, 0, 1)
    eye = -view.camera.R.T @ view.camera.t
    towards = eye - pose.apply(canonical_points())
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    cosines: Float[np.ndarray, "478"] = np.einsum("nd,nd->n", pose.rotate(normals), towards)
    return cosines


def _plausible(points: Float[np.ndarray, "478 3"], pose: Similarity) -> np.ndarray:
    """Tell which points lie about where a face has them, and near where their neighbours do."""
    offsets = (points - pose.apply(canonical_points())) / pose.scale
    near = np.linalg.norm(offsets, axis=1) < _FARTHEST  # False for NaN
    offsets[~near] = np.nan
    around = offsets[_neighbours()]
    counts = np.isfinite(around[..., 0]).sum(axis=1)
    usual = np.zeros_like(offsets)
    usual[counts > 0] = np.nanmedian(around[counts > 0], axis=1)
    smooth = np.linalg.norm(offsets - usual, axis=1) < _ROUGHEST
    return near & smooth & (counts > 2)


@functools.cache
def _neighbours() -> np.ndarray:
    points = canonical_points()
    indices = np.asarray(cKDTree(points[:468]).query(points, _NEIGHBOURS + 1)[1])
    return indices[:, 1:]
