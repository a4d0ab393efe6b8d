"""Photos of small heads under known light, for the tests of fitting several photos and videos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from fitting_head import small_head

from morphkit.fitting.dense import dense_model
from morphkit.fitting.landmark import Face
from morphkit.fitting.look import Look, draw
from morphkit.fitting.pose import Pose, rotation_matrix
from morphkit.fitting.window import Window
from morphkit.io.color import linear_to_srgb_uint8
from morphkit.rendering.rasterizer import get_rasterizer

SIDE = 160
MODEL = small_head()
_DENSE = dense_model(MODEL)
_LIGHT = np.zeros((9, 3))
_LIGHT[0], _LIGHT[1], _LIGHT[2], _LIGHT[3] = [4.2, 4.0, 3.8], -0.9, -1.4, 0.7


@dataclass(frozen=True, eq=False)
class Shot:
    """A photo, its 68 landmarks (outline unknown), and what it shows."""

    photo: np.ndarray
    landmarks: np.ndarray
    look: Look


def shot(
    identity: np.ndarray, albedo: np.ndarray, expression: np.ndarray, yaw: float, *, seed: int = 0
) -> Shot:
    """Return a photo of someone."""
    rng = np.random.default_rng(seed)
    rotation = rotation_matrix(np.array([0.05, yaw, 0.03])) @ np.diag([1.0, -1.0, -1.0])
    centre = np.array([SIDE / 2, SIDE / 2])
    pose = Pose(rotation, np.array([2.0, -3.0]), 0.6, 1.4 * SIDE, centre)
    look = Look(Face(pose, identity, expression), albedo, _LIGHT)
    wall = Window(np.full((SIDE, SIDE, 3), 0.2, np.float32), np.ones((SIDE, SIDE), bool), 0.0, 0.0, 1.0)
    with torch.no_grad():
        picture = draw(look, _DENSE, wall, get_rasterizer("numba"))
    vertices = MODEL.instance(identity, expression).astype(np.float64)
    landmarks = pose.project(MODEL.landmarks["ibug68"].landmarks(vertices, MODEL.faces).points)
    landmarks += 0.5 * rng.normal(size=landmarks.shape)
    landmarks[:17] = np.nan
    return Shot(linear_to_srgb_uint8(picture.image), landmarks, look)
