"""What the photometric fit solves for, and how it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from morphkit.fitting.dense import DenseModel
from morphkit.fitting.landmark import POSE, Face
from morphkit.fitting.window import Window
from morphkit.rendering.camera import PerspectiveCamera
from morphkit.rendering.rasterizer import Rasterizer
from morphkit.rendering.renderer import render

_DIMMED = 0.5  # of a light's mean, to which one step may lower it


@dataclass(frozen=True, eq=False)
class Look:
    """A face as a photo shows it.

    Attributes
    ----------
    face : camera, identity and expression.
    albedo : coefficients in standard deviations.
    light : (9, 3) spherical harmonics of the incoming radiance, camera axes.
    """

    face: Face
    albedo: Float[np.ndarray, " a"]
    light: Float[np.ndarray, "9 3"]

    def moved(self, step: Float[np.ndarray, " p"]) -> Look:
        """Return the look after a step in (pose, identity, expression, albedo, light)."""
        shape = POSE + len(self.face.identity) + len(self.face.expression)
        by_face, by_albedo, by_light = np.split(step, [shape, shape + len(self.albedo)])
        light = self.light + by_light.reshape(9, 3)
        # No step puts the light out: a photo that counts next to nothing has no energy to refuse it.
        light[0] = np.maximum(light[0], _DIMMED * np.maximum(self.light[0], 0.0))
        return Look(self.face.moved(by_face), self.albedo + by_albedo, light)


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn look in a window, and the pixels of it that are compared with the photo.

    Attributes
    ----------
    image : (s, s, 3) linear RGB, antialiased over the photo.
    row, column : (n,) the compared pixels.
    faces : (n, 3) the vertices of the triangle that each sees.
    barycentrics : (n, 3) where on it.
    normals : (n, 3) unit, camera axes.
    albedo : (n, 3) linear RGB.
    attention : (n,) weight, less where the surface turns away.
    """

    image: Float[np.ndarray, "s s 3"]
    row: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    faces: Int[np.ndarray, "n 3"]
    barycentrics: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    albedo: Float[np.ndarray, "n 3"]
    attention: Float[np.ndarray, " n"]

    @property
    def compared(self) -> Bool[np.ndarray, "s s"]:
        """Which pixels are compared."""
        mask = np.zeros(self.image.shape[:2], dtype=bool)
        mask[self.row, self.column] = True
        return mask


DARK = 0.004  # linear; keeps the square root's slope finite
_JUMP = 10.0  # millimetres of depth between neighbouring pixels that mean another surface
_GRAZING = 0.2  # cosine below which a surface is seen too obliquely to be compared


def draw(look: Look, model: DenseModel, window: Window, rasterizer: Rasterizer) -> Picture:
    """Render a look over its window of the photo."""
    pose, size = look.face.pose, len(window.image)
    plain = window.camera(pose)
    K, R, t = (tensor(value)[None] for value in (plain.K, plain.R, plain.t))
    vertices, albedo = model.vertices(look.face), model.albedo_colors(look.albedo)
    rendering = render(
        tensor(vertices)[None],
        torch.from_numpy(model.faces),
        tensor(albedo)[None],
        tensor(look.light)[None],
        PerspectiveCamera(K, R, t, size, size),
        rasterizer,
        tensor(window.image)[None],
    )
    face_ids, normals = rendering.face_ids[0].numpy(), rendering.normals[0].numpy()
    smooth = _unbroken(rendering.depth[0].numpy())
    compared = _compared(face_ids, normals, model, window) & smooth
    row, column = np.nonzero(compared)
    faces = model.faces[face_ids[compared]]
    rays = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], axis=1) @ np.linalg.inv(plain.K).T
    barycentrics = _pierced(plain.to_camera(vertices)[faces], rays)
    at_pixels = np.einsum("nk,nkc->nc", barycentrics, albedo[faces])
    facing = -normals[compared][:, 2].clip(-1.0, 0.0)
    image = rendering.image[0].numpy()
    return Picture(image, row, column, faces, barycentrics, normals[compared], at_pixels, facing)


def residuals(picture: Picture, window: Window) -> Float[np.ndarray, "n 3"]:
    """Return drawn minus photographed colour at the compared pixels, as square roots of linear light."""
    at = picture.row, picture.column
    return color_root(np.maximum(picture.image[at], 0.0)) - color_root(window.image[at])


def color_root(linear: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return the square root of linear light, by which dark and light skin are compared alike."""
    root: np.ndarray = np.sqrt(linear + DARK)
    return root


def _compared(
    face_ids: Int[np.ndarray, "s s"], normals: Float[np.ndarray, "s s 3"], model: DenseModel, window: Window
) -> Bool[np.ndarray, "s s"]:
    seen = (face_ids >= 0) & window.usable & (normals[..., 2] < -_GRAZING)
    compared: np.ndarray = seen & model.attention[face_ids.clip(0)]
    return compared


def _unbroken(depth: Float[np.ndarray, "s s"]) -> Bool[np.ndarray, "s s"]:
    """Return the pixels around which the surface is whole: no outline, no lip before a gap."""
    height = ndimage.maximum_filter(depth, 3) - ndimage.minimum_filter(depth, 3)
    unbroken: np.ndarray = (height < _JUMP) & (ndimage.minimum_filter(depth, 3) > 0)
    return unbroken


def _pierced(corners: Float[np.ndarray, "n 3 3"], rays: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Return where rays from the origin pierce triangles, as barycentric weights."""
    a, b, c = corners.transpose(1, 0, 2)
    volumes = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=1)
    weights = np.einsum("nkd,nd->nk", volumes, rays)
    total = weights.sum(axis=1, keepdims=True)
    pierced: np.ndarray = np.where(
        np.abs(total) > 1e-9, weights / np.where(total == 0, 1.0, total), 1.0 / 3.0
    )
    return pierced


def tensor(values: Float[np.ndarray, "*shape"]) -> torch.Tensor:
    """Return values as float32."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
