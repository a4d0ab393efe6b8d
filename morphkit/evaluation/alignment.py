"""Bringing a fitted face onto the true one: by seven points, then by its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from morphkit.errors import MorphkitError
from morphkit.geometry.closest_point import ClosestPointQuery
from morphkit.geometry.normals import face_normals
from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity

_STEPS = 100
_STILL = 1e-4  # of the true face's units (millimetres): a step that moves no point farther ends the search
_TOUCHING = 1e-6  # nearer than that, the surface's normal says where it lies
_LEAST_GAIN = 1e-7  # of the energy; less, and the search is over too
_LEAST_DAMPING = 1e-3
_SLIGHT = 1e-12


class MisalignedError(MorphkitError):
    """A fit that cannot be brought onto the true face."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How a fitted face lies on the true one.

    Attributes
    ----------
    similarity : from the fit's frame to the true one.
    distances : (n,) from each true point to the fitted surface, in the true face's units.
    converged : whether the search came to rest; otherwise it was stopped at its number of steps.
    """

    similarity: Similarity
    distances: Float[np.ndarray, " n"]
    converged: bool


def align_by_points(
    fitted: Float[np.ndarray, "7 3"],
    truth: Float[np.ndarray, "7 3"],
    *,
    metrical: bool = False,
    tolerance: float = 0.12,
) -> Similarity:
    """Return the similarity (metrical: the rigid motion) of a fit's seven points onto the true ones.

    Parameters
    ----------
    fitted, truth : (7, 3) in the order of `NOW_POINTS`.
    metrical : the fit's size counts.
    tolerance : the largest root mean square distance that is left between them, as a share of the true
        distance between the outer corners of the eyes.

    Raises
    ------
    MisalignedError
        When more is left: the points are in another order, mirrored, in other units (metrical), or no face's.
    """
    if not np.isfinite(fitted).all() or np.ptp(fitted, axis=0).max() == 0:
        raise MisalignedError("its seven points are not seven places")
    similarity = fit_similarity(fitted, truth, scale=not metrical)
    left = np.sqrt(((similarity.apply(fitted) - truth) ** 2).sum(axis=1).mean())
    allowed = tolerance * np.linalg.norm(truth[0] - truth[3])
    if not (left <= allowed and similarity.scale > 0):
        size, true_size = (float(np.linalg.norm(points[0] - points[3])) for points in (fitted, truth))
        hint = f"; its eyes are {size:.3g} mm apart, not {true_size:.3g}" if metrical else ""
        raise MisalignedError(
            f"its seven points do not match the true ones: {left:.3g} mm are left between them{hint}"
        )
    return similarity


def refine(
    query: ClosestPointQuery,
    points: Float[np.ndarray, "n 3"],
    start: Similarity,
    *,
    metrical: bool = False,
    steps: int = _STEPS,
) -> Alignment:
    """Return the similarity (metrical: the rigid motion) nearest `start` that fits a surface best to points.

    Best is the least sum of squared distances from the points to the surface, measured where the points are:
    iterative closest points with damped Gauss-Newton steps on the distances (Fitzgibbon 2003), which arrives
    in some ten steps where point-to-point steps need hundreds. No point is weighted down: the
    evaluation that this is for has none either.

    Parameters
    ----------
    query : the fitted surface, in its own frame.
    points : (n, 3) of the true face.
    start : from the fit's frame to the true one.
    metrical : keep `start`'s scale.
    steps : at most so many.
    """
    centre = points.mean(axis=0)
    reach = float(np.linalg.norm(points - centre, axis=1).max())
    here, damping = _measure(query, points, start), _LEAST_DAMPING
    for _ in range(steps):
        hessian, gradient = _normal_equations(here, centre, reach, metrical)
        step = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), -gradient)
        there = _measure(query, points, _moved(here.similarity, step, centre, reach), here.faces)
        gain = here.energy - there.energy
        if gain > 0:
            here, damping = there, max(0.1 * damping, _LEAST_DAMPING)
        else:
            damping = 10.0 * damping
        if reach * np.abs(step).sum() < _STILL or 0 < gain < _LEAST_GAIN * here.energy:
            return Alignment(here.similarity, here.distances, True)
    return Alignment(here.similarity, here.distances, False)


@dataclass(frozen=True, eq=False)
class _State:
    """Where a similarity brings the surface: its points nearest the true ones, and the way from there."""

    similarity: Similarity
    surface: np.ndarray
    directions: np.ndarray
    distances: np.ndarray
    faces: np.ndarray

    @property
    def energy(self) -> float:
        return float(self.distances @ self.distances)


def _measure(
    query: ClosestPointQuery, points: np.ndarray, similarity: Similarity, hints: np.ndarray | None = None
) -> _State:
    closest = query.query(similarity.inverse().apply(points), hints=hints)
    surface = similarity.apply(closest.points)
    offsets = points - surface
    distances = np.linalg.norm(offsets, axis=1)
    directions = offsets / np.maximum(distances, _TOUCHING)[:, None]
    touching = distances < _TOUCHING
    if touching.any():
        triangles = query.mesh.faces[closest.face_indices[touching]]
        directions[touching] = similarity.rotate(face_normals(query.mesh.vertices, triangles))
    return _State(similarity, surface, directions, distances, closest.face_indices)


def _normal_equations(
    state: _State, centre: np.ndarray, reach: float, metrical: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the distances: a turn about the centre, then a shift and growth in shares of reach."""
    arms = (state.surface - centre) / reach
    jacobian = -np.column_stack(
        [np.cross(arms, state.directions), state.directions, np.sum(arms * state.directions, axis=1)]
    )
    jacobian = jacobian[:, :6] if metrical else jacobian
    hessian = jacobian.T @ jacobian
    hessian += _SLIGHT * np.trace(hessian) * np.eye(len(hessian))  # what the points leave open stays as it is
    return hessian, jacobian.T @ (state.distances / reach)


def _moved(similarity: Similarity, step: np.ndarray, centre: np.ndarray, reach: float) -> Similarity:
    growth = float(np.exp(step[6])) if len(step) == 7 else 1.0
    rotation = Rotation.from_rotvec(step[:3]).as_matrix()
    shift = centre + reach * step[3:6] - growth * rotation @ centre
    return Similarity(growth, rotation, shift).compose(similarity)
