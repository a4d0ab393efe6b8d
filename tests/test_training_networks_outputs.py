"""What R-Net's numbers mean: the published layouts against the published conventions."""

import numpy as np
import pytest
import torch
from fitting_head import small_head
from torch.autograd import gradcheck

from morphkit.linear import LinearModel
from morphkit.morphable import MorphableModel
from morphkit.rendering import Renderer, ambient_light, get_rasterizer
from morphkit.rendering.camera_conventions import deng2019_camera
from morphkit.rendering.light_conventions import from_deep3d
from morphkit.rendering.rotations import angles_to_matrix, axis_angle_to_matrix, facing, matrix_to_axis_angle
from morphkit.training.networks.angles import angles_to_axis_angle
from morphkit.training.networks.outputs import OutputLayout

PRESETS = ("deng-paper", "deep3d-tf", "deep3d-pt", "morphkit")
DEEP3D = ("deep3d-tf", "deep3d-pt")


def _large_head() -> MorphableModel:
    """As many components as the paper's model has, on a single triangle."""
    mean = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]], dtype=np.float32)

    def group(count: int) -> LinearModel:
        return LinearModel(mean, np.zeros((9, count), np.float32, order="F"), np.ones(count))

    return MorphableModel(np.array([[0, 1, 2]], np.int32), group(199), group(100), group(199))


def _random_heads(layout: OutputLayout, rng: np.random.Generator, batch: int = 3) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(0.3 * rng.normal(size=(batch, n))) for name, n in layout.heads.items()}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [224, 112])
def test_zeros_are_the_mean_face_in_the_middle_of_the_crop_under_even_light(name, size):
    model = small_head()
    layout = OutputLayout.preset(name, model, size)
    decoded = layout.decode(layout.split(torch.zeros(2, layout.length, dtype=torch.float64)))
    found = decoded.coefficients
    for group in (found.identity, found.expression, found.albedo, found.rotation):
        assert not group.any()
    assert found.identity.shape[1] == 12
    origin = torch.from_numpy(model.face_middle.astype(np.float64))[None]
    assert torch.allclose(decoded.camera.to_camera(origin[None])[0, 0], torch.tensor([0, 0, 1000.0]).double())
    middle = torch.full((2, 1, 2), size / 2).double()
    assert torch.allclose(decoded.camera.project(origin[None]), middle, atol=1e-9)
    assert torch.allclose(decoded.camera.R, facing())
    assert not found.light[:, 1:].any()
    assert torch.allclose(decoded.camera.K[:, 0, 0], torch.tensor(1015.0).double() * size / 224)
    if name == "morphkit":
        assert torch.equal(found.light, ambient_light().double().expand(2, -1, -1))


def test_zeros_draw_a_face_that_fills_the_crop():
    model = small_head()
    layout = OutputLayout.preset("morphkit", model, 64)
    decoded = layout.decode(layout.split(torch.zeros(1, layout.length)))
    vertices = torch.from_numpy(model.instance()).float()[None]
    albedo = torch.from_numpy(model.albedo_instance()).float()[None]
    renderer = Renderer(torch.from_numpy(model.faces), get_rasterizer("numba"))
    mask = renderer(vertices, albedo, decoded.coefficients.light, decoded.camera).mask[0]
    assert 0.35 < mask.mean() < 0.75
    assert mask[32, 32] == 1
    rows, columns = torch.nonzero(mask > 0.5, as_tuple=True)
    assert abs(columns.double().mean() - 31.5) < 0.5
    assert abs(rows.double().mean() - 31.5) < 8


@pytest.mark.parametrize("name", DEEP3D)
def test_deep3d_decodes_as_the_published_camera_and_light(name, rng):
    model = small_head()
    layout = OutputLayout.preset(name, model)
    vector = torch.from_numpy(0.3 * rng.normal(size=(4, layout.length)))
    decoded = layout.decode(layout.split(vector))
    shape = 12 + 4 + 6
    assert torch.equal(decoded.coefficients.identity, vector[:, :12])
    assert torch.equal(decoded.coefficients.expression, vector[:, 12:16])
    assert torch.equal(decoded.coefficients.albedo, vector[:, 16:22])
    angles, gamma, shift = torch.split(vector[:, shape:], [3, 27, 3], dim=1)
    points = torch.from_numpy(rng.uniform(-80, 80, (4, 20, 3)))
    theirs = deng2019_camera(angles, shift)
    origin = points.new_tensor(model.face_middle.tolist())
    assert torch.allclose(decoded.camera.project(points + origin), theirs.project(points), atol=1e-8)
    assert torch.allclose(decoded.camera.to_camera(points + origin), theirs.to_camera(points), atol=1e-8)
    assert torch.allclose(decoded.coefficients.light, from_deep3d(gamma))
    assert torch.equal(decoded.coefficients.translation, decoded.camera.t)
    assert layout.shading == "display"


def test_the_papers_vector_has_239_numbers_and_a_white_light(rng):
    layout = OutputLayout.preset("deng-paper", _large_head())
    assert layout.length == 239
    parts = layout.slices
    assert parts == {
        "identity": slice(0, 80),
        "expression": slice(80, 144),
        "albedo": slice(144, 224),
        "light": slice(224, 233),
        "angles": slice(233, 236),
        "translation": slice(236, 239),
    }
    heads = _random_heads(layout, rng)
    light = layout.decode(heads).coefficients.light
    assert torch.equal(light[..., 0], light[..., 1])
    assert torch.equal(light[..., 0], light[..., 2])
    assert torch.allclose(light, from_deep3d(heads["light"]))


def test_the_public_vectors_have_257_numbers_in_one_order():
    layouts = [OutputLayout.preset(name, _large_head()) for name in DEEP3D]
    assert [layout.length for layout in layouts] == [257, 257]
    ranges = {"identity": (0, 80), "expression": (80, 144), "albedo": (144, 224), "angles": (224, 227)}
    ranges |= {"light": (227, 254), "translation_xy": (254, 256), "translation_z": (256, 257)}
    for layout in layouts:
        assert {name: (part.start, part.stop) for name, part in layout.slices.items()} == ranges


def test_one_vector_means_the_same_to_both_public_implementations(rng):
    vector = torch.from_numpy(0.2 * rng.normal(size=(2, 257)))
    tf, pt = (OutputLayout.preset(name, _large_head()) for name in DEEP3D)
    a, b = (layout.decode(layout.split(vector)) for layout in (tf, pt))
    for name in vars(a.coefficients):
        assert torch.equal(getattr(a.coefficients, name), getattr(b.coefficients, name))
    assert torch.equal(a.camera.K, b.camera.K)


@pytest.mark.parametrize(("size", "shift"), [(224, 0.5), (112, 0.25)])
def test_compat_repeats_the_half_pixel_of_the_public_landmarks(size, shift, rng):
    model = small_head()
    layout = OutputLayout.preset("deep3d-pt", model, size, compat=True)
    heads = _random_heads(layout, rng)
    points = torch.from_numpy(rng.uniform(-50, 50, (1, 9, 3)))
    decoded = layout.decode(heads)
    slip = decoded.landmark_camera.project(points) - decoded.camera.project(points)
    assert torch.allclose(slip, torch.tensor([shift, -shift]).double().expand_as(slip), atol=1e-9)
    if size == 224:
        translation = torch.cat([heads["translation_xy"], heads["translation_z"]], dim=1)
        theirs = deng2019_camera(heads["angles"], translation, compat="landmarks")
        moved = points - points.new_tensor(layout.origin)
        assert torch.allclose(decoded.landmark_camera.project(points), theirs.project(moved), atol=1e-8)
    exact = OutputLayout.preset("deep3d-pt", model, size).decode(heads)
    assert exact.landmark_camera is exact.camera


def test_our_own_numbers_by_hand(rng):
    model = small_head()
    layout = OutputLayout.preset("morphkit", model)
    heads = {name: torch.zeros(1, n, dtype=torch.float64) for name, n in layout.heads.items()}
    heads["translation"] = torch.tensor([[1.0, -2.0, 3.0]], dtype=torch.float64)
    heads["rotation"] = torch.tensor([[0.1, 0.4, -0.2]], dtype=torch.float64)
    heads["light"][0, 3] = 0.25  # the red of the second harmonic
    decoded = layout.decode(heads)
    origin = torch.tensor([[layout.origin]], dtype=torch.float64)
    assert torch.allclose(decoded.camera.to_camera(origin), torch.tensor([[[10.0, -20, 1030]]]).double())
    assert torch.allclose(decoded.camera.R, axis_angle_to_matrix(heads["rotation"]) @ facing())
    assert torch.equal(decoded.coefficients.rotation, heads["rotation"])
    light = decoded.coefficients.light - ambient_light().double()
    assert light[0, 1].tolist() == [0.25, 0, 0]
    assert layout.shading == "linear"


@pytest.mark.parametrize("name", PRESETS)
def test_coefficients_hold_the_cameras_pose(name, rng):
    layout = OutputLayout.preset(name, small_head())
    decoded = layout.decode(_random_heads(layout, rng))
    turned = axis_angle_to_matrix(decoded.coefficients.rotation) @ facing()
    assert torch.allclose(turned, decoded.camera.R, atol=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_a_vector_survives_the_heads(name, rng):
    layout = OutputLayout.preset(name, small_head())
    vector = torch.from_numpy(rng.normal(size=(3, layout.length)))
    assert torch.equal(layout.vector(layout.split(vector)), vector)


@pytest.mark.parametrize("name", PRESETS)
def test_decoding_has_the_right_gradient_even_at_zero(name, rng):
    layout = OutputLayout.preset(name, small_head(2, 1, 1))

    def decode(vector: torch.Tensor) -> tuple[torch.Tensor, ...]:
        decoded = layout.decode(layout.split(vector))
        found = decoded.coefficients
        points = vector.new_tensor([[[10.0, -20.0, 90.0], [-30.0, 5.0, 60.0]]])
        return found.rotation, found.light, found.translation, decoded.camera.project(points)

    for scale in (0.0, 0.3):
        vector = torch.from_numpy(scale * rng.normal(size=(1, layout.length))).requires_grad_()
        assert gradcheck(decode, vector)


def test_axis_angle_of_euler_angles(rng):
    angles = torch.from_numpy(rng.uniform(-1.5, 1.5, (200, 3)))
    assert torch.allclose(
        angles_to_axis_angle(angles), matrix_to_axis_angle(angles_to_matrix(angles)), atol=1e-7
    )
    large = torch.tensor([[3.0, 1.0, -2.5], [-2.9, -1.2, 3.1]]).double()
    assert torch.allclose(
        axis_angle_to_matrix(angles_to_axis_angle(large)), angles_to_matrix(large), atol=1e-12
    )
    near = torch.tensor([[2.0e-3, 1e-5, -3e-4], [1.9e-3, -4e-4, 2e-5], [0.0, 0.0, 0.0]]).double()
    expected = matrix_to_axis_angle(angles_to_matrix(near))
    assert torch.allclose(angles_to_axis_angle(near), expected, rtol=0, atol=1e-12)


def test_what_does_not_fit_is_refused():
    model = small_head()
    layout = OutputLayout.preset("morphkit", model)
    with pytest.raises(ValueError, match=r"name must be one of deng-paper, .*got 'deng'"):
        OutputLayout.preset("deng", model)
    with pytest.raises(ValueError, match="compat is for the deep3d presets, got 'morphkit'"):
        OutputLayout.preset("morphkit", model, compat=True)
    with pytest.raises(ValueError, match=f"vector must have {layout.length} columns, got 7"):
        layout.split(torch.zeros(1, 7))
    with pytest.raises(ValueError, match="heads must be"):
        layout.decode({"identity": torch.zeros(1, 12)})


def test_a_model_of_one_group_has_no_empty_heads():
    whole = small_head()
    model = MorphableModel(whole.faces, whole.identity)
    layout = OutputLayout.preset("deng-paper", model)
    assert dict(layout.heads) == {"identity": 12, "light": 9, "angles": 3, "translation": 3}
    found = layout.decode(layout.split(torch.zeros(2, layout.length))).coefficients
    assert found.expression.shape == (2, 0)
    assert found.albedo.shape == (2, 0)
    assert np.allclose(model.face_middle, model.identity.mean.mean(axis=0), atol=1e-4)
