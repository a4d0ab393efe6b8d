"""A look drawn so that every pixel has a gradient by every variable of the fit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.fitting.landmark import POSE
from morphkit.fitting.look import Look, tensor
from morphkit.fitting.pose import Pose
from morphkit.fitting.window import Window
from morphkit.model import FaceModel
from morphkit.rendering import ImageTransform, PerspectiveCamera, Renderer, Rendering
from morphkit.rendering.rotations import axis_angle_to_matrix

_LEAST_ALBEDO = 1e-3


@dataclass(frozen=True, eq=False)
class Moved:
    """A look after a step, in torch.

    Attributes
    ----------
    camera_matrix, rotation, translation : K, R and t of the photo's camera.
    identity, expression, albedo : standard deviations.
    light : as in `Look`.
    """

    camera_matrix: Float[Tensor, "3 3"]
    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    identity: Float[Tensor, " i"]
    expression: Float[Tensor, " e"]
    albedo: Float[Tensor, " a"]
    light: Float[Tensor, "9 3"]

    @classmethod
    def by(cls, look: Look, step: Float[Tensor, " p"]) -> Moved:
        """Return ``look.moved(step)``, differentiable in the step (float32)."""
        groups = look.face.identity, look.face.expression, look.albedo, look.light
        pose, *moves = torch.split(step, [POSE, *(group.size for group in groups)])
        moved = [tensor(group) + move.reshape(group.shape) for group, move in zip(groups, moves, strict=True)]
        return cls(*_camera(look.face.pose, pose), *moved)

    def project(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """Return the photo's pixels of head-frame points."""
        seen = (points @ self.rotation.T + self.translation) @ self.camera_matrix.T
        return seen[:, :2] / seen[:, 2:]


@dataclass(frozen=True, eq=False)
class Scene:
    """A look in its window of the photo.

    Attributes
    ----------
    look : where steps start.
    window : what is drawn over.
    model : coefficients to vertices and albedo.
    renderer : draws them.
    """

    look: Look
    window: Window
    model: FaceModel
    renderer: Renderer

    def albedo(self, moved: Moved) -> Float[Tensor, "1 v 3"]:
        """Return linear RGB, at least a trace above black.

        Raises
        ------
        ValueError
            If the model has no albedo.
        """
        if self.model.albedo is None:
            raise ValueError(
                "model: has no albedo group, so that its colours cannot be compared with a photo's"
            )
        return self.model.albedo(moved.albedo[None]).clamp_min(_LEAST_ALBEDO)

    def draw(self, moved: Moved) -> Rendering:
        """Render over the photo; linear RGB."""
        vertices = self.model.vertices(moved.identity[None], moved.expression[None])
        background = tensor(self.window.image)[None]
        return self.renderer(vertices, self.albedo(moved), moved.light[None], self._camera(moved), background)

    def _camera(self, moved: Moved) -> PerspectiveCamera:
        window, size = self.window, len(self.window.image)
        pose = moved.camera_matrix[None], moved.rotation[None], moved.translation[None]
        cut = ImageTransform.identity(size, size).window(window.left, window.top, window.zoom, size, size)
        return PerspectiveCamera(*pose, size, size).through(cut)


def _camera(start: Pose, step: Float[Tensor, "7"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return K, R and t of ``start.moved(step)``."""
    rotation = axis_angle_to_matrix(step[None, :3])[0] @ tensor(start.rotation)
    offset = tensor(start.offset) + step[3:5]
    scale, focal = start.scale * step[5].exp(), start.focal * step[6].exp()
    translation = torch.cat([offset, focal[None]]) / scale
    cx, cy = tensor(start.centre)
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    matrix = torch.stack([focal, zero, cx, zero, focal, cy, zero, zero, one]).reshape(3, 3)
    return matrix, rotation, translation
