"""The camera as the sparse fits see it: a perspective camera whose parameters hardly disturb each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

MIN_POINTS = 6


@dataclass(frozen=True, eq=False)
class Pose:
    """A perspective camera and a head before it.

    A head point X lies at ``Y = rotation · X`` and projects to
    ``centre + (scale · Y_xy + offset) / (1 + scale · Y_z / focal)``: the usual pinhole camera, with the depth
    of the head's origin written as ``focal / scale``. The picture stays almost the same when only `focal`
    changes (an infinite one is the scaled orthographic camera), so that a solver need not walk the valley
    between focal length and distance.

    Attributes
    ----------
    rotation : (3, 3), head to OpenCV camera axes (x right, y down, z into the scene).
    offset : (2,) where the head's origin projects, pixels from the principal point.
    scale : pixels per millimetre at the depth of the head's origin.
    focal : focal length, pixels.
    centre : (2,) principal point, pixels.
    """

    rotation: Float[np.ndarray, "3 3"]
    offset: Float[np.ndarray, "2"]
    scale: float
    focal: float
    centre: Float[np.ndarray, "2"]

    @property
    def intrinsics(self) -> Float[np.ndarray, "3 3"]:
        """The OpenCV camera matrix K."""
        cx, cy = self.centre
        return np.array([[self.focal, 0.0, cx], [0.0, self.focal, cy], [0.0, 0.0, 1.0]])

    @property
    def translation(self) -> Float[np.ndarray, "3"]:
        """OpenCV's t, millimetres: camera = rotation · head + t."""
        return np.append(self.offset, self.focal) / self.scale

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixels of head-frame points."""
        turned = points @ self.rotation.T
        depth = 1.0 + self.scale / self.focal * turned[:, 2:]
        return self.centre + (self.scale * turned[:, :2] + self.offset) / depth

    def moved(self, step: Float[np.ndarray, "7"]) -> Pose:
        """Return the pose after a small step: rotation vector, offset, log scale, log focal."""
        return replace(
            self,
            rotation=rotation_matrix(step[:3]) @ self.rotation,
            offset=self.offset + step[3:5],
            scale=self.scale * float(np.exp(step[5])),
            focal=self.focal * float(np.exp(step[6])),
        )

    def jacobian(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 2 3"], Float[np.ndarray, "n 2 7"]]:
        """Return the pixels' derivatives by the points and by `moved`'s step (at a zero step)."""
        turned = points @ self.rotation.T
        depth = 1.0 + self.scale / self.focal * turned[:, 2]
        plane = (self.scale * turned[:, :2] + self.offset) / depth[:, None]
        by_turned = np.zeros((len(points), 2, 3))
        by_turned[:, 0, 0] = by_turned[:, 1, 1] = self.scale / depth
        by_turned[:, :, 2] = -plane * (self.scale / self.focal / depth)[:, None]
        by_step = np.empty((len(points), 2, 7))
        by_step[:, :, :3] = by_turned @ cross_matrices(-turned)
        by_step[:, :, 3:5] = np.eye(2) / depth[:, None, None]
        foreshortening = plane * ((depth - 1.0) / depth)[:, None]
        by_step[:, :, 5] = self.scale * turned[:, :2] / depth[:, None] - foreshortening
        by_step[:, :, 6] = foreshortening
        return by_turned @ self.rotation, by_step


def scaled_orthographic(
    points: Float[np.ndarray, "n 3"],
    pixels: Float[np.ndarray, "n 2"],
    weights: Float[np.ndarray, " n"],
    *,
    focal: float,
    centre: Float[np.ndarray, "2"],
) -> Pose:
    """Return the scaled orthographic pose of known points in closed form.

    The affine camera by linear least squares (the Gold Standard algorithm of Hartley & Zisserman, 2nd
    edition, algorithm 14.1), then the nearest scaled rotation. A face is shallow, so the equations are ridged
    by a thousandth.

    Raises
    ------
    ValueError
        With fewer than `MIN_POINTS` points.
    """
    if len(points) < MIN_POINTS:
        raise ValueError(f"points: a pose needs at least {MIN_POINTS} points, got {len(points)}")
    share = weights / weights.sum()
    middle, target = share @ points, share @ pixels
    centred = points - middle
    normal = (centred * share[:, None]).T @ centred
    ridge = 1e-3 * np.trace(normal) * np.eye(3)
    affine = np.linalg.solve(normal + ridge, (centred * share[:, None]).T @ (pixels - target)).T
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    rows = u @ vt
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    scale = float(singular.mean())
    offset = target - centre - scale * (rotation @ middle)[:2]
    return Pose(rotation, offset, scale, focal, centre)


def rotation_matrix(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rotation about `vector` by its length in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3) + cross_matrices(vector[None])[0]
    k = cross_matrices(vector[None] / angle)[0]
    return np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * (k @ k)


def cross_matrices(vectors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Return matrices with ``matrix @ w == cross(vector, w)``."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
