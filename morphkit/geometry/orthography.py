"""Scaled orthography: where a small, distant thing stands, from a handful of its points in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

MIN_POINTS = 4

_STEPS = 50
_STILL = 1e-12  # relative change of the error that ends the steps
_RIDGE = 1e-3  # of the points' variance, for the start: faces are shallow
_COINCIDENT = 1e-9  # extent of points, relative to where they lie, below which they have none


@dataclass(frozen=True, eq=False)
class ScaledOrthography:
    """A camera that sees all depths at one scale: ``pixel = scale · (rotation · X)_xy + shift``.

    Attributes
    ----------
    rotation : (3, 3) to OpenCV camera axes: x right, y down, z into the scene.
    scale : pixels per millimetre.
    shift : (2,) pixels; where the points' origin appears.
    """

    rotation: Float[np.ndarray, "3 3"]
    scale: float
    shift: Float[np.ndarray, "2"]

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of points."""
        pixels: Float[np.ndarray, "n 2"] = self.scale * (points @ self.rotation.T)[:, :2] + self.shift
        return pixels


def fit_orthography(points: Float[np.ndarray, "n 3"], pixels: Float[np.ndarray, "n 2"]) -> ScaledOrthography:
    """Return the scaled orthographic camera that shows points nearest to pixels (least squares).

    Gauss-Newton from two starts, of which the better end counts: the affine camera's nearest scaled rotation
    (Hartley & Zisserman, 2nd edition, algorithm 14.1, ridged), and points that look into the camera. Nearly
    flat points seen from the front have a second, worse optimum.

    Parameters
    ----------
    points : (n, 3) millimetres; not all in one place.
    pixels : (n, 2).

    Raises
    ------
    ValueError
        With fewer than four points, or when one is not finite or all lie in one place.
    """
    if len(points) < MIN_POINTS or len(points) != len(pixels):
        raise ValueError(
            f"points, pixels: expected at least {MIN_POINTS} of each, got {len(points)}, {len(pixels)}"
        )
    for name, values in (("points", points), ("pixels", pixels)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: expected finite coordinates")
        if np.ptp(values, axis=0).max() <= _COINCIDENT * max(float(np.abs(values).max()), 1.0):
            raise ValueError(f"{name}: all lie in one place")
    middle, target = points.mean(axis=0), pixels.mean(axis=0)
    centred, aims = points - middle, pixels - target
    scale = float(np.sqrt((aims**2).sum() / (centred[:, :2] ** 2).sum().clip(1e-300)))
    starts = ((_nearest_rotation(centred, aims), scale), (_turned_rotation(centred, aims), scale))
    ends = [_refined(centred, aims, *start) for start in starts]
    rotation, scale, _ = min(ends, key=lambda end: end[2])
    return ScaledOrthography(rotation, scale, target - scale * (rotation @ middle)[:2])


def _nearest_rotation(points: np.ndarray, pixels: np.ndarray) -> Float[np.ndarray, "3 3"]:
    gram = points.T @ points
    affine = np.linalg.solve(gram + _RIDGE * np.trace(gram) * np.eye(3), points.T @ pixels).T
    u, _, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    return np.vstack([rows, np.cross(rows[0], rows[1])])


def _turned_rotation(points: np.ndarray, pixels: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """Return the rotation of points that look into the camera, turned about its axis to fit."""
    seen = points[:, :2] * (1.0, -1.0)
    cosine, sine = (seen * pixels).sum(), (seen[:, 0] * pixels[:, 1] - seen[:, 1] * pixels[:, 0]).sum()
    about_z = Rotation.from_rotvec([0.0, 0.0, np.arctan2(sine, cosine)]).as_matrix()
    rotation: np.ndarray = about_z @ np.diag([1.0, -1.0, -1.0])
    return rotation


def _refined(
    points: np.ndarray, pixels: np.ndarray, rotation: np.ndarray, scale: float
) -> tuple[np.ndarray, float, float]:
    """Return rotation, scale and squared error after damped Gauss-Newton steps; points are centred."""
    rotation, scale = rotation, _best_scale(points @ rotation.T, pixels)
    error = _error(points @ rotation.T, pixels, scale)
    damping = 1e-6
    for _ in range(_STEPS):
        turned = points @ rotation.T
        jacobian = _jacobian(turned, scale)
        gram = jacobian.T @ jacobian
        residual = (pixels - scale * turned[:, :2]).reshape(-1)
        step = np.linalg.solve(gram + damping * np.diag(np.diag(gram) + 1e-12), jacobian.T @ residual)
        candidate = Rotation.from_rotvec(step).as_matrix() @ rotation
        size = _best_scale(points @ candidate.T, pixels)
        new = _error(points @ candidate.T, pixels, size)
        if new > error:
            damping *= 10.0
            if damping > 1e6:
                break
            continue
        settled = error - new <= _STILL * (error + 1e-300)
        rotation, scale, error, damping = candidate, size, new, max(damping / 10.0, 1e-12)
        if settled:
            break
    return rotation, scale, error


def _best_scale(turned: np.ndarray, pixels: np.ndarray) -> float:
    seen = turned[:, :2]
    return max(float((seen * pixels).sum() / max((seen**2).sum(), 1e-300)), 1e-12)


def _error(turned: np.ndarray, pixels: np.ndarray, scale: float) -> float:
    return float(((pixels - scale * turned[:, :2]) ** 2).sum())


def _jacobian(turned: np.ndarray, scale: float) -> Float[np.ndarray, "m 3"]:
    """Return the derivatives of the pixels by a small rotation the scale staying the best.

    Hence they have no part along the seen points (variable projection).
    """
    x, y, z = turned.T
    zero = np.zeros_like(x)
    by_turn = scale * np.stack([zero, z, -y, -z, zero, x], axis=1).reshape(-1, 3)
    seen = turned[:, :2].reshape(-1, 1)
    square = float((seen**2).sum())
    return by_turn if square == 0.0 else by_turn - seen @ (seen.T @ by_turn) / square
