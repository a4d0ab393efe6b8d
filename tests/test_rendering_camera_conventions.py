"""Cameras of other tools: OpenCV's, OpenGL's and the paper's, against their formulas written out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.autograd import gradcheck

from morphkit.rendering import OrthographicCamera, PerspectiveCamera, weak_perspective
from morphkit.rendering.camera_conventions import (
    deng2019_camera,
    from_opencv,
    from_opengl,
    to_deng2019,
    to_opencv,
    to_opengl,
    upright,
)
from morphkit.rendering.crops import ImageTransform
from morphkit.rendering.rotations import axis_angle_to_matrix


@pytest.fixture
def camera() -> PerspectiveCamera:
    return PerspectiveCamera.from_parameters(
        torch.tensor([900.0, 1200.0], dtype=torch.float64),
        torch.tensor([[0.1, -0.4, 0.2], [0.3, 0.2, 0.0]], dtype=torch.float64),
        torch.tensor([[10.0, -20.0, 700.0], [0.0, 0.0, 900.0]], dtype=torch.float64),
        320,
        240,
        torch.tensor([[150.0, 130.0], [170.0, 111.0]], dtype=torch.float64),
    )


@pytest.fixture
def points(rng) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(-80, 80, (2, 12, 3)))


def opencv_pixels(points, rvec, tvec, fx, fy, cx, cy):
    """Return cv2.projectPoints' formula, without distortion: whole numbers are pixel centres."""
    turned = Rotation.from_rotvec(rvec).apply(points) + tvec
    x, y = turned[:, 0] / turned[:, 2], turned[:, 1] / turned[:, 2]
    return np.stack([fx * x + cx, fy * y + cy], axis=1)


@pytest.mark.parametrize("steps", ["plain", "turned", "mirrored"])
def test_opencv_sees_the_same_pixels(camera, points, steps):
    whole = ImageTransform.identity(320, 240)
    picture = {
        "plain": whole,
        "turned": whole.rotate(0.7).resize(160, 120).crop(3, 4, 100, 90),
        "mirrored": whole.flip().rotate(-2.0),
    }[steps]
    camera = camera.through(picture)
    theirs = to_opencv(camera)
    for k in range(2):
        (fx, skew, cx), (below, fy, cy), _ = theirs.K[k].tolist()
        assert skew == pytest.approx(0, abs=1e-10)
        assert below == 0
        pixels = opencv_pixels(
            points[k].numpy(), theirs.rvec[k].numpy(), theirs.tvec[k].numpy(), fx, fy, cx, cy
        )
        np.testing.assert_allclose(pixels + 0.5, camera.project(points)[k].numpy(), rtol=0, atol=1e-9)
    for rotation in (theirs.R, theirs.rvec):
        back = from_opencv(theirs.K, rotation, theirs.tvec, camera.width, camera.height)
        torch.testing.assert_close(back.project(points), camera.project(points))


def test_opencv_round_trip(camera):
    theirs = to_opencv(camera)
    back = from_opencv(theirs.K, theirs.R, theirs.tvec, 320, 240)
    torch.testing.assert_close(back.K, camera.K, rtol=1e-15, atol=0)
    torch.testing.assert_close(back.R, camera.R, rtol=0, atol=0)
    torch.testing.assert_close(back.t, camera.t, rtol=0, atol=0)


def test_the_first_pixel_s_centre_is_opencv_s_zero(camera):
    """A point that this camera sees at (0.5, 0.5) lies at (0, 0) in OpenCV's picture."""
    ray = torch.linalg.solve(camera.K, torch.tensor([0.5, 0.5, 1.0]).double().expand(2, 3)[..., None])[..., 0]
    theirs = to_opencv(camera)
    image = (theirs.K @ ray[..., None])[..., 0]
    torch.testing.assert_close(image[:, :2] / image[:, 2:], torch.zeros(2, 2).double(), rtol=0, atol=1e-12)


def test_opencv_has_no_sheared_camera(camera):
    sheared = ImageTransform.identity(320, 240).resize(320, 120).rotate(0.5)
    with pytest.raises(ValueError, match="no skew"):
        to_opencv(camera.through(sheared))


def test_upright_changes_nothing_that_is_seen(camera, points):
    turned = camera.through(ImageTransform.identity(320, 240).rotate(2.5).resize(99, 222))
    same = upright(turned)
    torch.testing.assert_close(same.project(points), turned.project(points))
    torch.testing.assert_close(
        same.to_clip(same.to_camera(points)), turned.to_clip(turned.to_camera(points)), rtol=0, atol=1e-9
    )
    assert (same.K[:, 1, 0] == 0).all()
    assert (same.K[:, 1, 1] > 0).all()
    identity = torch.eye(3).double().expand(2, 3, 3)
    torch.testing.assert_close(same.R @ same.R.transpose(1, 2), identity, rtol=0, atol=1e-12)
    again = upright(same)
    torch.testing.assert_close(again.K, same.K)
    torch.testing.assert_close(again.R, same.R)


def opengl_window(view, projection, points, width, height):
    """Return OpenGL's pipeline: clip, divide, viewport with its origin at the bottom left; depth in 0..1."""
    columns = np.concatenate([points, np.ones((len(points), 1))], axis=1).T
    clip = projection @ (view @ columns)
    ndc = clip[:3] / clip[3]
    return np.stack([(ndc[0] + 1) * width / 2, (ndc[1] + 1) * height / 2, (ndc[2] + 1) / 2], axis=1)


def cameras(camera):
    depth = torch.tensor([650.0, 880.0], dtype=torch.float64)
    return {"perspective": camera, "orthographic": weak_perspective(camera, depth)}


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_opengl_sees_the_same_picture_from_below(camera, points, kind):
    camera = cameras(camera)[kind]
    theirs = to_opengl(camera)
    clip = camera.to_clip(camera.to_camera(points))
    for k in range(2):
        window = opengl_window(
            theirs.view[k].numpy(), theirs.projection[k].numpy(), points[k].numpy(), 320, 240
        )
        pixels = camera.project(points)[k].numpy()
        np.testing.assert_allclose(window[:, 0], pixels[:, 0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(240 - window[:, 1], pixels[:, 1], rtol=0, atol=1e-9)
        depth = (clip[k, :, 2] / clip[k, :, 3]).numpy()
        np.testing.assert_allclose(2 * window[:, 2] - 1, depth, rtol=0, atol=1e-12)


def test_opengl_projection_is_glfrustum(camera):
    """The frustum whose near plane is cut out by the picture's edges, by the formula of glFrustum."""
    for k, projection in enumerate(to_opengl(camera).projection):
        fx, fy, cx, cy = (camera.K[k, i, j].item() for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
        n, f = camera.near, camera.far
        left, right, top, bottom = -n * cx / fx, n * (320 - cx) / fx, n * cy / fy, -n * (240 - cy) / fy
        expected = [
            [2 * n / (right - left), 0, (right + left) / (right - left), 0],
            [0, 2 * n / (top - bottom), (top + bottom) / (top - bottom), 0],
            [0, 0, -(f + n) / (f - n), -2 * f * n / (f - n)],
            [0, 0, -1, 0],
        ]
        np.testing.assert_allclose(projection.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_opengl_projection_is_glortho():
    """A camera of 2 pixels per millimetre sees 160 × 120 mm: the formula of glOrtho."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    middle = torch.tensor([[160.0, 120.0]], dtype=torch.float64)
    camera = OrthographicCamera.from_parameters(torch.tensor([2.0]).double(), zero, middle, 320, 240)
    n, f = camera.near, camera.far
    expected = [
        [1 / 80, 0, 0, 0],
        [0, 1 / 60, 0, 0],
        [0, 0, -2 / (f - n), -(f + n) / (f - n)],
        [0, 0, 0, 1],
    ]
    theirs = to_opengl(camera)
    np.testing.assert_allclose(theirs.projection[0].numpy(), expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(theirs.view[0].numpy(), np.eye(4))


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
@pytest.mark.parametrize("factor", [1.0, 7.0])
def test_opengl_round_trip(camera, kind, factor):
    """Even for a projection that was multiplied, which draws the same picture."""
    camera = cameras(camera)[kind].through(ImageTransform.identity(320, 240).rotate(0.2).flip())
    theirs = to_opengl(camera)
    back = from_opengl(theirs.view, factor * theirs.projection, 320, 240)
    assert type(back) is type(camera)
    torch.testing.assert_close(back.K, camera.K, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(back.R, camera.R, rtol=0, atol=0)
    torch.testing.assert_close(back.t, camera.t, rtol=0, atol=0)
    assert (back.near, back.far) == pytest.approx((camera.near, camera.far), rel=1e-9)


def test_other_opengl_matrices_are_refused(camera):
    theirs = to_opengl(camera)
    with pytest.raises(ValueError, match="rotation and a translation"):
        from_opengl(2 * theirs.view, theirs.projection, 320, 240)
    with pytest.raises(ValueError, match="work on columns"):
        from_opengl(theirs.view, theirs.projection.transpose(1, 2).contiguous(), 320, 240)
    mixed = torch.stack([theirs.projection[0], to_opengl(cameras(camera)["orthographic"]).projection[1]])
    with pytest.raises(ValueError, match="last row"):
        from_opengl(theirs.view, mixed, 320, 240)
    endless = theirs.projection.clone()
    endless[:, 2, 2] = -1
    with pytest.raises(ValueError, match="finite"):
        from_opengl(theirs.view, endless, 320, 240)
    uneven = theirs.projection * torch.tensor([1.0, 1, 1, 1])
    uneven[1, 2, 3] *= 2
    with pytest.raises(ValueError, match="the same throughout"):
        from_opengl(theirs.view, uneven, 320, 240)


def deng2019_pixels(vertices, angles, translation):
    """Return the public implementations' projection of decimetres: u right, v **up** from the bottom."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    x, y, z = (vertices @ (about_z @ about_y @ about_x).T + translation).T
    return np.stack([1015 * x / (10 - z) + 112, 1015 * y / (10 - z) + 112], axis=1)


def test_deng2019_by_hand():
    """One decimetre beside the axis at ten, 101.5 pixels; the nose, half one nearer, is bigger."""
    zero = torch.zeros(1, 3, dtype=torch.float64)
    camera = deng2019_camera(zero, zero)
    points = torch.tensor([[[0.0, 0, 0], [100, 0, 0], [0, 100, 0], [100, 100, 50]]], dtype=torch.float64)
    expected = [[112, 112], [213.5, 112], [112, 10.5], [112 + 1015 / 9.5, 112 - 1015 / 9.5]]
    torch.testing.assert_close(camera.project(points)[0], torch.tensor(expected).double())
    assert math.degrees(2 * math.atan(camera.width / 2 / camera.K[0, 0, 0].item())) == pytest.approx(
        12.5936, abs=5e-5
    )
    assert (camera.near, camera.far) == (500, 1500)
    moved = deng2019_camera(zero, torch.tensor([[0.2, 0.1, -0.5]]).double())
    expected = [[112 + 203 / 10.5, 112 - 101.5 / 10.5]]
    torch.testing.assert_close(moved.project(points[:, :1])[0], torch.tensor(expected).double())
    # the subject's left (x) turned towards the camera by a quarter turn about y: -z, so farther away
    quarter = deng2019_camera(torch.tensor([[0.0, math.pi / 2, 0]], dtype=torch.float64), zero)
    assert quarter.to_camera(points[:, 1:2])[0, 0].tolist() == pytest.approx([0, 0, 1100], abs=1e-9)


def test_deng2019_formula_and_its_half_pixel(rng):
    angles, translation = rng.uniform(-1, 1, (3, 3)), rng.uniform(-0.5, 0.5, (3, 3))
    vertices = rng.uniform(-1, 1, (3, 9, 3))
    tensors = [torch.from_numpy(values) for values in (angles, translation, 100 * vertices)]
    drawn = deng2019_camera(*tensors[:2]).project(tensors[2]).numpy()
    compared = deng2019_camera(*tensors[:2], compat="landmarks").project(tensors[2]).numpy()
    for k in range(3):
        u, v = deng2019_pixels(vertices[k], angles[k], translation[k]).T
        np.testing.assert_allclose(drawn[k], np.stack([u, 224 - v], axis=1), rtol=0, atol=1e-9)
        # landmarks are kept as 224 - 1 - row, row counted from 0 at the first pixel's centre
        np.testing.assert_allclose(compared[k] - 0.5, np.stack([u, 223 - v], axis=1), rtol=0, atol=1e-9)
    back = to_deng2019(deng2019_camera(*tensors[:2]))
    torch.testing.assert_close(back[0], tensors[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(back[1], tensors[1], rtol=0, atol=1e-12)


def test_unknown_compatibility_is_refused():
    zero = torch.zeros(1, 3)
    with pytest.raises((ValueError, TypeError), match="compat"):
        deng2019_camera(zero, zero, compat="neither")


def test_gradients(camera, points, rng):
    def numbers(K, axis_angle, t, points):
        camera = PerspectiveCamera(K, axis_angle_to_matrix(axis_angle), t, 320, 240)
        cv, gl = to_opencv(upright(camera)), to_opengl(camera)
        back = from_opengl(gl.view, gl.projection, 320, 240)
        return cv.K, cv.R, cv.tvec, gl.view, gl.projection, back.project(points)

    inputs = [camera.K, 0.3 * torch.ones(2, 3).double(), camera.t, points[:, :2]]
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    # only what a camera's K may hold: fx, fy, cx, cy
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]]).double()
    base = camera.K.detach()
    assert gradcheck(lambda K, a, t, p: numbers(base + mask * (K - base), a, t, p), inputs, fast_mode=True)

    def deng(angles, translation):
        made = deng2019_camera(angles, translation)
        return made.project(points), *to_deng2019(made)

    values = [torch.from_numpy(rng.uniform(-0.4, 0.4, (2, 3))).requires_grad_() for _ in range(2)]
    assert gradcheck(deng, values)
