"""Cameras, and how they lead from the world to clip space and to pixels.

World and camera are in millimetres. Camera axes are OpenCV's: x right, y down, z forward. Pixels: x right, y
down, the outer corner of the picture is (0, 0), so that the first pixel's centre is (0.5, 0.5). Clip space
keeps y **down**: the rasterizer's row 0, at NDC y = -1, is then the top of the picture, and nothing is ever
turned over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.rendering.crops import ImageTransform, Number
from morphkit.rendering.rotations import axis_angle_to_matrix, facing

NEAR, FAR = 50.0, 50_000.0  # millimetres; a face closer than 5 cm is out of focus, one at 50 m a dot
REACH = 5_000.0  # millimetres that an orthographic camera, which stands nowhere, draws either way

_Same = TypeVar("_Same", bound="_PosedCamera")  # not typing.Self, which the checks at run time don't know


@runtime_checkable
class Camera(Protocol):
    """What a renderer asks of a batch of cameras."""

    @property
    def width(self) -> int:
        """The picture's width in pixels."""
        ...

    @property
    def height(self) -> int:
        """The picture's height in pixels."""
        ...

    def to_camera(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 3"]:
        """Return world points in camera coordinates, millimetres."""
        ...

    def to_clip(self, points_camera: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 4"]:
        """Return points in camera coordinates in the rasterizer's: x right, y down."""
        ...

    def project(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 2"]:
        """Return the pixels of world points."""
        ...

    def through(self, transform: ImageTransform) -> Camera:
        """Return the camera of the picture that a transform makes of this camera's picture."""
        ...


@dataclass(frozen=True, eq=False)
class _PosedCamera(ABC):
    """What perspective and orthographic cameras share: K, a pose, and a picture's size.

    K need not be upper triangular: in a turned or mirrored picture the same camera has another K.
    """

    K: Float[Tensor, "batch 3 3"]
    R: Float[Tensor, "batch 3 3"]
    t: Float[Tensor, "batch 3"]
    width: int
    height: int
    near: float
    far: float

    @abstractmethod
    def clip_matrix(self) -> Float[Tensor, "batch 4 4"]:
        """Return the matrix from camera to clip coordinates, for columns."""

    def to_camera(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 3"]:
        """Return world points in camera coordinates, millimetres."""
        return points @ self.R.transpose(1, 2) + self.t[:, None]

    def to_clip(self, points_camera: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 4"]:
        """Return points in camera coordinates in the rasterizer's: x right, y down, z/w from -1 to 1."""
        matrix = self.clip_matrix()
        return points_camera @ matrix[:, :, :3].transpose(1, 2) + matrix[:, None, :, 3]

    def through(self: _Same, transform: ImageTransform) -> _Same:
        """Return the camera of the picture that a transform makes of this camera's.

        So a face fitted in a crop is carried back into its photo by the inverse of the crop's transform. The
        pose, and with it depth, normals and light, stays: only K changes, even where the picture is turned or
        mirrored.

        Raises
        ------
        ValueError
            If the transform starts from pictures of another size.
        """
        if transform.source != (self.width, self.height):
            raise ValueError(
                f"transform must start from this camera's {self.width} × {self.height} pixels, "
                f"got {transform.source[0]} × {transform.source[1]}"
            )
        K = transform.matrix.to(self.K) @ self.K
        R, t = self.R.expand(len(K), -1, -1), self.t.expand(len(K), -1)
        width, height = transform.target
        return replace(self, K=K, R=R, t=t, width=width, height=height)

    def crop(self: _Same, left: Number, top: Number, width: int, height: int) -> _Same:
        """Return the camera of the part of the picture that starts at pixel (left, top)."""
        return self.through(self._whole().crop(left, top, width, height))

    def resize(self: _Same, width: int, height: int) -> _Same:
        """Return the camera of the picture resampled to another size."""
        return self.through(self._whole().resize(width, height))

    def flip(self: _Same) -> _Same:
        """Return the camera of the mirrored picture."""
        return self.through(self._whole().flip())

    def _whole(self) -> ImageTransform:
        return ImageTransform.identity(self.width, self.height)

    def _ndc_rows(self) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch 3"]]:
        """Return the first rows of K with pixels as NDC: 0..width and 0..height become -1..1."""
        across, down, one = self.K.unbind(dim=1)
        return across * (2 / self.width) - one, down * (2 / self.height) - one


@dataclass(frozen=True, eq=False)
class PerspectiveCamera(_PosedCamera):
    """A batch of pinhole cameras: pixel = K (R X + t), divided by its third coordinate.

    Attributes
    ----------
    K : (batch, 3, 3) intrinsics in pixels; the last row is (0, 0, 1).
    R : (batch, 3, 3) rotations from world to camera.
    t : (batch, 3) translations from world to camera, millimetres.
    width, height : size of the picture in pixels.
    near, far : depth range that is drawn, millimetres along the camera's z.
    """

    near: float = NEAR
    far: float = FAR

    @classmethod
    def from_parameters(
        cls,
        focal: Float[Tensor, " batch"],
        axis_angle: Float[Tensor, "batch 3"],
        translation: Float[Tensor, "batch 3"],
        width: int,
        height: int,
        principal_point: Float[Tensor, "batch 2"] | None = None,
    ) -> PerspectiveCamera:
        """Return cameras with square pixels, differentiable in every parameter.

        Parameters
        ----------
        focal : focal length in pixels.
        axis_angle : the rotation that follows `facing()`, radians times unit axis, in camera axes.
        translation : the world's origin in camera coordinates, millimetres.
        width, height : size of the picture in pixels.
        principal_point : pixels; the picture's centre if None.
        """
        if principal_point is None:
            principal_point = focal.new_tensor([width / 2, height / 2]).expand(len(focal), 2)
        R = axis_angle_to_matrix(axis_angle) @ facing().to(axis_angle)
        return cls(square_intrinsics(focal, principal_point), R, translation, width, height)

    def project(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 2"]:
        """Return the pixels of world points in front of the camera, differentiable in both."""
        image = self.to_camera(points) @ self.K.transpose(1, 2)
        return image[..., :2] / image[..., 2:]

    def clip_matrix(self) -> Float[Tensor, "batch 4 4"]:
        """Return the matrix from camera to clip coordinates, for columns; w is the camera's z."""
        span = self.far - self.near
        x, y = self._ndc_rows()
        w = self.K[:, 2]
        linear = torch.stack([x, y, w * ((self.far + self.near) / span), w], dim=1)
        offset = self.K.new_tensor([0, 0, -2 * self.far * self.near / span, 0])
        return torch.cat([linear, offset.expand(len(linear), 4)[:, :, None]], dim=2)


@dataclass(frozen=True, eq=False)
class OrthographicCamera(_PosedCamera):
    """A batch of cameras infinitely far away: pixel = K (x, y, 1) of the camera's (x, y, z) = R X + t.

    With equal scales in K this is the scaled orthographic or **weak perspective** camera; `weak_perspective`
    makes it from a pinhole camera.

    Attributes
    ----------
    K : (batch, 3, 3), its left part in pixels per millimetre, its last column in pixels, its last row
        (0, 0, 1).
    R : (batch, 3, 3) rotations from world to camera.
    t : (batch, 3) translations from world to camera, millimetres; the third moves depth only.
    width, height : size of the picture in pixels.
    near, far : depth range that is drawn, millimetres along the camera's z; `near` may be negative.
    """

    near: float = -REACH
    far: float = REACH

    @classmethod
    def from_parameters(
        cls,
        scale: Float[Tensor, " batch"],
        axis_angle: Float[Tensor, "batch 3"],
        translation: Float[Tensor, "batch 2"],
        width: int,
        height: int,
    ) -> OrthographicCamera:
        """Return cameras with pixel = scale · (R X)_xy + translation, differentiable in every parameter.

        Parameters
        ----------
        scale : pixels per millimetre.
        axis_angle : the rotation that follows `facing()`, radians times unit axis, in camera axes.
        translation : the pixel of the world's origin.
        width, height : size of the picture in pixels.
        """
        R = axis_angle_to_matrix(axis_angle) @ facing().to(axis_angle)
        return cls(square_intrinsics(scale, translation), R, torch.zeros_like(axis_angle), width, height)

    def project(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 2"]:
        """Return the pixels of world points, differentiable in both."""
        across = self.to_camera(points)[..., :2]
        return across @ self.K[:, :2, :2].transpose(1, 2) + self.K[:, None, :2, 2]

    def clip_matrix(self) -> Float[Tensor, "batch 4 4"]:
        """Return the matrix from camera to clip coordinates, for columns; w is 1."""
        span = self.far - self.near
        x, y = (
            torch.stack([row[:, 0], row[:, 1], torch.zeros_like(row[:, 2]), row[:, 2]], dim=1)
            for row in self._ndc_rows()
        )
        z = self.K.new_tensor([0, 0, 2 / span, -(self.far + self.near) / span]).expand(len(x), 4)
        w = self.K.new_tensor([0, 0, 0, 1]).expand(len(x), 4)
        return torch.stack([x, y, z, w], dim=1)


def weak_perspective(camera: PerspectiveCamera, depth: Float[Tensor, " batch"]) -> OrthographicCamera:
    """Return the cameras that see everything as if it lay at one depth, as far as a pinhole camera sees it.

    At that depth both agree; a point (x, y) in front or behind by dz is off by the share dz / depth of its
    distance from the principal point. Depths stay what they were.

    Parameters
    ----------
    camera : pinhole cameras.
    depth : millimetres along the camera's z, of the head's middle say.
    """
    flat = torch.diag_embed(torch.stack([1 / depth, 1 / depth, torch.ones_like(depth)], dim=1))
    return OrthographicCamera(
        camera.K @ flat, camera.R, camera.t, camera.width, camera.height, camera.near, camera.far
    )


def square_intrinsics(
    scale: Float[Tensor, " batch"], principal_point: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch 3 3"]:
    """Return K of square pixels: a focal length (or scale) and the pixel of the optical axis."""
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    x, y = principal_point.unbind(dim=1)
    rows = [scale, zero, x, zero, scale, y, zero, zero, one]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)
