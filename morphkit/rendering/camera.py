"""Pinhole cameras, and how they lead from the world to clip space and to pixels.

World and camera are in millimetres. Camera axes are OpenCV's: x right, y down, z forward. Pixels: x right, y
down, the outer corner of the picture is (0, 0), so that the first pixel's centre is (0.5, 0.5). Clip space
keeps y **down**: the rasterizer's row 0, at NDC y = -1, is then the top of the picture, and nothing is ever
turned over.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

NEAR, FAR = 50.0, 50_000.0  # millimetres; a face closer than 5 cm is out of focus, one at 50 m a dot


@dataclass(frozen=True, eq=False)
class PerspectiveCamera:
    """A batch of pinhole cameras: pixel = K (R X + t), divided by its third coordinate.

    Attributes
    ----------
    K : (batch, 3, 3) intrinsics in pixels.
    R : (batch, 3, 3) rotations from world to camera.
    t : (batch, 3) translations from world to camera, millimetres.
    width, height : size of the picture in pixels.
    near, far : depth range that is drawn, millimetres along the camera's z.
    """

    K: Float[Tensor, "batch 3 3"]
    R: Float[Tensor, "batch 3 3"]
    t: Float[Tensor, "batch 3"]
    width: int
    height: int
    near: float = NEAR
    far: float = FAR

    @classmethod
    def from_parameters(
        cls,
        focal: Float[Tensor, "batch"],
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
        zero, one = torch.zeros_like(focal), torch.ones_like(focal)
        rows = [focal, zero, principal_point[:, 0], zero, focal, principal_point[:, 1], zero, zero, one]
        K = torch.stack(rows, dim=1).reshape(-1, 3, 3)
        R = axis_angle_to_matrix(axis_angle) @ facing().to(axis_angle)
        return cls(K, R, translation, width, height)

    def to_camera(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 3"]:
        """Return world points in camera coordinates."""
        return points @ self.R.transpose(1, 2) + self.t[:, None]

    def project(self, points: Float[Tensor, "#batch n 3"]) -> Float[Tensor, "batch n 2"]:
        """Return the pixels of world points in front of the camera, differentiable in both."""
        image = self.to_camera(points) @ self.K.transpose(1, 2)
        return image[..., :2] / image[..., 2:]

    def to_clip(self, points_camera: Float[Tensor, "batch n 3"]) -> Float[Tensor, "batch n 4"]:
        """Return points in camera coordinates in the rasterizer's: x right, y down, w the camera's z."""
        span = self.far - self.near
        across, down, w = self.K.unbind(dim=1)
        x, y, z = (
            across * (2 / self.width) - w,
            down * (2 / self.height) - w,
            w * ((self.far + self.near) / span),
        )
        offset = self.K.new_tensor([0, 0, -2 * self.far * self.near / span, 0])
        return points_camera @ torch.stack([x, y, z, w], dim=2) + offset

    def through(self, pixels: Float[Tensor, "3 3"], width: int, height: int) -> PerspectiveCamera:
        """Return the camera of a picture whose pixels are `pixels` @ this one's, in homogeneous coordinates.

        So a face fitted in a crop is carried back into its photo by the inverse of the crop's matrix.
        """
        return PerspectiveCamera(
            pixels.to(self.K) @ self.K, self.R, self.t, width, height, self.near, self.far
        )

    def crop(self, left: float, top: float, width: int, height: int) -> PerspectiveCamera:
        """Return the camera of the part of the picture that starts at pixel (left, top)."""
        return self.through(crop_matrix(left, top), width, height)

    def resize(self, width: int, height: int) -> PerspectiveCamera:
        """Return the camera of the picture resampled to another size."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0], dtype=torch.float64)
        return self.through(torch.diag(scale), width, height)


def crop_matrix(left: float, top: float, scale: float = 1.0) -> Float[Tensor, "3 3"]:
    """Return the matrix from a photo's pixels to those of a crop from (left, top), then scaled."""
    rows = [[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1]]
    return torch.tensor(rows, dtype=torch.float64)


def facing() -> Float[Tensor, "3 3"]:
    """Return the rotation by which a head (y up, face towards +z) looks into a camera (y down, z forward)."""
    return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def axis_angle_to_matrix(axis_angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Return rotation matrices by Rodrigues' formula, with exact gradients at and near zero."""
    square = (axis_angle**2).sum(dim=1)
    small = square < 1e-6
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    # sin a / a and (1 - cos a) / a², by their series where those would divide by nearly zero
    first = torch.where(small, 1 - square / 6 + square**2 / 120, angle.sin() / angle)
    second = torch.where(small, 0.5 - square / 24 + square**2 / 720, (1 - angle.cos()) / safe)
    x, y, z = axis_angle.unbind(dim=1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + first[:, None, None] * cross + second[:, None, None] * (cross @ cross)


def matrix_to_axis_angle(rotation: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Return axis times angle, in 0..pi, of rotation matrices; it carries no gradient."""
    vectors = Rotation.from_matrix(rotation.detach().cpu().double().numpy()).as_rotvec()
    return torch.from_numpy(vectors).to(rotation)
