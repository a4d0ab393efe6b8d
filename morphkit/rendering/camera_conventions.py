"""Cameras of other tools, in and out: OpenCV, OpenGL, and the public code of Deng et al. 2019."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from morphkit.rendering.camera import OrthographicCamera, PerspectiveCamera, square_intrinsics
from morphkit.rendering.rotations import (
    angles_to_matrix,
    axis_angle_to_matrix,
    facing,
    matrix_to_angles,
    matrix_to_axis_angle,
)

DENG2019_FOCAL, DENG2019_SIZE = 1015.0, 224  # pixels: a field of view of 12.59 degrees
DENG2019_DISTANCE = 10.0  # decimetres from the camera to the origin of their camera-aligned axes
_DENG2019_AXIS = {"raster": (112.0, 112.0), "landmarks": (112.5, 111.5)}  # pixels
_DECIMETRE = 100.0  # millimetres
_SKEW = 1e-5  # of the focal length, from which a picture is called sheared


@dataclass(frozen=True, eq=False)
class OpenCVCamera:
    """Cameras as OpenCV's functions take them: **whole numbers are pixel centres**; without distortion.

    Attributes
    ----------
    K : (batch, 3, 3) camera matrix: fx, fy, cx, cy.
    R : (batch, 3, 3) rotation from world to camera.
    tvec : (batch, 3) translation, millimetres.
    """

    K: Float[Tensor, "batch 3 3"]
    R: Float[Tensor, "batch 3 3"]
    tvec: Float[Tensor, "batch 3"]

    @property
    def rvec(self) -> Float[Tensor, "batch 3"]:
        """R as axis times angle, as cv2.Rodrigues gives it; it carries no gradient."""
        return matrix_to_axis_angle(self.R)


def to_opencv(camera: PerspectiveCamera) -> OpenCVCamera:
    """Return cameras as OpenCV takes them.

    A turn of the picture within K becomes one of the camera (`upright`): OpenCV reads fx, fy, cx and cy only.

    Raises
    ------
    ValueError
        If the picture was sheared, or turned after it was resized unevenly: OpenCV has no such camera.
    """
    camera = upright(camera)
    skew = float((camera.K[:, 0, 1] / camera.K[:, 1, 1]).detach().abs().max())
    if skew > _SKEW:
        raise ValueError(
            f"camera must have no skew to be one of OpenCV's, got {skew:.3g} of the focal length"
        )
    return OpenCVCamera(_moved(camera.K, -0.5), camera.R, camera.t)


def from_opencv(
    K: Float[Tensor, "batch 3 3"],
    rotation: Float[Tensor, "batch 3 3"] | Float[Tensor, "batch 3"],
    tvec: Float[Tensor, "batch 3"],
    width: int,
    height: int,
) -> PerspectiveCamera:
    """Return cameras from OpenCV's; undistort the photo first.

    Parameters
    ----------
    K : camera matrix with whole numbers at pixel centres.
    rotation : R, or rvec.
    tvec : translation; millimetres.
    width, height : size of the picture in pixels.
    """
    R = axis_angle_to_matrix(rotation) if rotation.ndim == 2 else rotation
    return PerspectiveCamera(_moved(K, 0.5), R, tvec, width, height)


def upright(camera: PerspectiveCamera) -> PerspectiveCamera:
    """Return cameras with the same pictures and depths, and an upper triangular K with fy > 0.

    A turn of the picture that K holds goes into R and t, so the camera's axes turn with it: light given in
    camera axes must follow (`rotate_light`, by the new R times the old one's transpose). A mirrored picture
    keeps fx < 0.
    """
    (a, b), (c, d) = (camera.K[:, row, :2].unbind(dim=1) for row in range(2))
    length = torch.hypot(c, d)
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    rows = [d / length, -c / length, zero, c / length, d / length, zero, zero, zero, one]
    turn = torch.stack(rows, dim=1).reshape(-1, 3, 3)
    across, down = (a * d - b * c) / length, (a * c + b * d) / length
    linear = torch.stack([across, down, zero, length], dim=1).reshape(-1, 2, 2)
    K = torch.cat([torch.cat([linear, camera.K[:, :2, 2:]], dim=2), camera.K[:, 2:]], dim=1)
    return replace(camera, K=K, R=turn @ camera.R, t=(turn @ camera.t[:, :, None])[:, :, 0])


@dataclass(frozen=True, eq=False)
class OpenGLCamera:
    """Cameras as OpenGL takes them, for columns: clip = projection · view · (X, 1).

    Eye axes are x right, y up, z towards the viewer; NDC runs from -1 to 1, y up and z away from the viewer.

    Attributes
    ----------
    view : (batch, 4, 4) from world to eye, millimetres.
    projection : (batch, 4, 4) from eye to clip.
    """

    view: Float[Tensor, "batch 4 4"]
    projection: Float[Tensor, "batch 4 4"]


def to_opengl(camera: PerspectiveCamera | OrthographicCamera) -> OpenGLCamera:
    """Return cameras as OpenGL takes them; row 0 of what it reads back is the bottom of the picture."""
    pose = torch.cat([camera.R, camera.t[:, :, None]], dim=2)
    last = pose.new_tensor([0.0, 0, 0, 1]).expand(len(pose), 1, 4)
    turned = _signs(camera.K, 1, -1, -1)
    view = turned @ torch.cat([pose, last], dim=1)
    return OpenGLCamera(view, _signs(camera.K, 1, -1, 1) @ camera.clip_matrix() @ turned)


def from_opengl(
    view: Float[Tensor, "batch 4 4"], projection: Float[Tensor, "batch 4 4"], width: int, height: int
) -> PerspectiveCamera | OrthographicCamera:
    """Return cameras from OpenGL's matrices, which work on columns; perspective or not, as `projection` is.

    Raises
    ------
    ValueError
        If `view` holds more than a rotation and a translation, or if `projection` is neither perspective nor
        orthographic, or if near and far planes aren't finite and the same throughout the batch.
    """
    pose = _signs(view, 1, -1, -1) @ view
    _refuse_other_views(pose)
    clip = _signs(projection, 1, -1, 1) @ projection @ _signs(projection, 1, -1, -1)
    kind, columns = _kind(clip.detach())
    clip = clip / clip[:, 3:, columns[-1:]]
    rows = clip[:, :2, columns] + clip.new_tensor([0.0, 0.0, 1.0])
    linear = rows * (0.5 * clip.new_tensor([[width], [height]]))
    last = clip.new_tensor([0.0, 0.0, 1.0]).expand(len(clip), 1, 3)
    K = torch.cat([linear, last], dim=1)
    near, far = _depth_range(clip.detach(), kind)
    return kind(K, pose[:, :3, :3], pose[:, :3, 3], width, height, near, far)


def deng2019_camera(
    angles: Float[Tensor, "batch 3"],
    translation: Float[Tensor, "batch 3"],
    compat: Literal["raster", "landmarks"] = "raster",
) -> PerspectiveCamera:
    """Return the cameras of Deng et al. 2019, arXiv 1903.08527, section 3.1, and of its public code.

    Focal length 1015 pixels, a picture of 224 × 224, one metre from the head; near and far half a metre
    either way. Their public implementations turn row vectors in decimetres, y up, by v Rᵀ + translation with
    R = Rz Ry Rx, and look at them from z = 10. These cameras do the same to points in **millimetres**.

    Parameters
    ----------
    angles : about x, y and z in radians, as their coefficients 224 to 226.
    translation : in **decimetres**, as their coefficients 254 to 256.
    compat : the PyTorch implementation draws its pictures with the optical axis at pixel (112, 112), the
        picture's middle, but compares landmarks as if it were at (112.5, 111.5). "raster" is the consistent
        choice; "landmarks" gives the pixels of its landmarks.

    Raises
    ------
    ValueError
        If `compat` is neither.
    """
    if compat not in _DENG2019_AXIS:
        raise ValueError(f"compat must be one of {', '.join(_DENG2019_AXIS)}, got {compat!r}")
    principal_point = angles.new_tensor(_DENG2019_AXIS[compat]).expand(len(angles), 2)
    focal = angles.new_full((len(angles),), DENG2019_FOCAL)
    turn = facing().to(angles)
    away = angles.new_tensor([0.0, 0.0, DENG2019_DISTANCE])
    near, far = (_DECIMETRE * (DENG2019_DISTANCE + reach) for reach in (-5, 5))
    return PerspectiveCamera(
        square_intrinsics(focal, principal_point),
        turn @ angles_to_matrix(angles),
        _DECIMETRE * (translation @ turn + away),
        DENG2019_SIZE,
        DENG2019_SIZE,
        near,
        far,
    )


def to_deng2019(camera: PerspectiveCamera) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch 3"]]:
    """Return angles (radians) and translation (decimetres) of `deng2019_camera` for a camera's pose."""
    turn = facing().to(camera.R)
    away = camera.t.new_tensor([0.0, 0.0, DENG2019_DISTANCE])
    return matrix_to_angles(turn @ camera.R), (camera.t / _DECIMETRE - away) @ turn


def _moved(K: Float[Tensor, "batch 3 3"], by: float) -> Float[Tensor, "batch 3 3"]:
    """Return K with its principal point moved by the same number of pixels right and down."""
    return K + K.new_tensor([[0.0, 0.0, by], [0.0, 0.0, by], [0.0, 0.0, 0.0]])


def _signs(like: Tensor, x: int, y: int, z: int) -> Float[Tensor, "4 4"]:
    return torch.diag(like.new_tensor([x, y, z, 1.0]))


def _refuse_other_views(pose: Float[Tensor, "batch 4 4"]) -> None:
    """Raise ValueError unless a matrix is a rotation and a translation."""
    R, last = pose.detach()[:, :3, :3], pose.detach()[:, 3]
    gap = (R @ R.transpose(1, 2) - torch.eye(3).to(R)).abs().amax()
    if gap > _SKEW or (torch.linalg.det(R) < 0).any() or (last - last.new_tensor([0, 0, 0, 1])).any():
        raise ValueError("view must hold a rotation and a translation only, without scale or mirror")


def _kind(
    clip: Float[Tensor, "batch 4 4"],
) -> tuple[type[PerspectiveCamera] | type[OrthographicCamera], list[int]]:
    """Return what cameras clip matrices mean, and the columns that make their K."""
    none = clip.abs() <= _SKEW * clip[:, 3:].abs().amax(dim=2, keepdim=True)
    straight = none[:, 2, :2].all() & none[:, 3, :2].all()
    if straight and (clip[:, 3, 2] > 0).all() and none[:, :, 3][:, [0, 1, 3]].all():
        return PerspectiveCamera, [0, 1, 2]
    if straight and (clip[:, 3, 3] > 0).all() and none[:, [0, 1, 3], 2].all():
        return OrthographicCamera, [0, 1, 3]
    raise ValueError(
        "projection must work on columns and be perspective, last row (0, 0, -1, 0), or orthographic, "
        "last row (0, 0, 0, 1), throughout the batch"
    )


def _depth_range(
    clip: Float[Tensor, "batch 4 4"], kind: type[PerspectiveCamera] | type[OrthographicCamera]
) -> tuple[float, float]:
    """Return where along z a clip matrix reaches NDC -1 and 1."""
    slope, offset = clip[:, 2, 2].double(), clip[:, 2, 3].double()
    if kind is PerspectiveCamera:
        planes = torch.stack([-offset / (1 + slope), offset / (1 - slope)], dim=1)
    else:
        planes = torch.stack([(-1 - offset) / slope, (1 - offset) / slope], dim=1)
    in_order = torch.isfinite(planes).all() & (planes[:, 0] < planes[:, 1]).all()
    if not in_order or (planes - planes[:1]).abs().max() > _SKEW * planes.abs().max():
        raise ValueError(
            f"near and far must be finite, in order, the same throughout the batch, got {planes.tolist()}"
        )
    near, far = planes[0].tolist()
    return near, far
