"""A fit that nobody fitted: a head's mean, seen from the front, for the tests of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from morphkit.export.camera import PhotoCamera
from morphkit.fitting.result import FitResult
from morphkit.fitting.seen import SeenLandmarks
from morphkit.geometry.views import turn
from morphkit.morphable import MorphableModel

SIZE = 300


def symmetric_mean(head: MorphableModel) -> np.ndarray:
    """Return the mean, each vertex averaged with its mirror image."""
    mean = head.identity.mean.astype(np.float64)
    symmetric: np.ndarray = 0.5 * (mean + mean[head.mirror] * [-1, 1, 1])
    return symmetric


def front_camera(yaw: float = 0.0) -> PhotoCamera:
    """Return a camera 80 cm before the face, turned about it."""
    K = np.array([[900.0, 0, 150], [0, 900, 150], [0, 0, 1]])
    return PhotoCamera(K, np.diag([1.0, -1, -1]) @ turn(yaw), np.array([0.0, 0, 800]), SIZE, SIZE)


def fit_by_nobody(head: MorphableModel, photo: np.ndarray, skin: np.ndarray) -> FitResult:
    """Return a fit of the mean to a photo by `front_camera`; light changes nothing of the skin."""
    vertices = head.instance().astype(np.float64)
    return FitResult(
        photo=photo,
        source=Path("a.png"),
        model=head,
        identity=np.zeros(4),
        expression=np.zeros(3),
        albedo=np.zeros(2),
        camera=front_camera(),
        sh_coefficients=np.eye(9, 3),
        vertices=vertices,
        neutral=vertices,
        albedo_colors=skin,
        lit_colors=skin,
        seen=SeenLandmarks("ibug68", (), np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool)),
        landmark_error=0.0,
        landmark_energies=(1.0,),
        photometric_energies=(1.0,),
        timings={},
        notes=(),
        converged=True,
    )
