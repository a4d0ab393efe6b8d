"""The scene that training draws: against the whole renderer, its landmarks, its gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting_head import small_head

from morphkit.errors import BadInputError
from morphkit.export.comparison import bare_skin, compared_faces
from morphkit.losses.colors import linear_to_srgb
from morphkit.model import FaceModel
from morphkit.morphable import MorphableModel
from morphkit.rendering import Renderer, get_rasterizer
from morphkit.training.networks.outputs import Decoded, OutputLayout
from morphkit.training.scene import FaceScene

SIZE = 112


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return small_head()


@pytest.fixture(scope="module")
def scene(model: MorphableModel) -> FaceScene:
    return FaceScene.from_morphable(model, OutputLayout.preset("morphkit", model, SIZE))


def _vector(layout: OutputLayout, rng: np.random.Generator, batch: int = 2) -> torch.Tensor:
    return torch.from_numpy(0.25 * rng.normal(size=(batch, layout.length))).float()


def _decoded(scene: FaceScene, rng: np.random.Generator, batch: int = 2) -> Decoded:
    return scene.decode(scene.layout.split(_vector(scene.layout, rng, batch)))


def _whole_rendering(model: MorphableModel, decoded: Decoded, background: torch.Tensor):
    face_model = FaceModel.from_morphable(model)
    instance = face_model.instance(decoded.coefficients)
    renderer = Renderer(face_model.faces, get_rasterizer("numba"))
    light = decoded.coefficients.light
    return renderer(instance.vertices, instance.albedo, light, decoded.camera, background)


def test_the_compared_part_looks_as_the_whole_renderer_draws_it(model, scene, rng):
    """Shading at the vertices, and blending outlines in sRGB, change colours by next to nothing."""
    decoded = _decoded(scene, rng)
    photo = torch.from_numpy(rng.uniform(size=(2, SIZE, SIZE, 3))).float()
    picture = scene.draw(decoded, linear_to_srgb(photo))
    whole = _whole_rendering(model, decoded, photo)
    seen = (whole.face_ids >= 0) & torch.from_numpy(compared_faces(model))[whole.face_ids.clamp_min(0)]
    assert torch.equal(picture.seen, seen)
    assert seen.float().mean() > 0.25
    difference = (picture.srgb - linear_to_srgb(whole.image))[seen].abs()
    assert difference.mean() < 2e-3
    assert difference.quantile(0.999) < 0.05


def test_beyond_the_face_the_background_shows(scene, rng):
    photo = torch.from_numpy(rng.uniform(size=(1, SIZE, SIZE, 3))).float()
    picture = scene.draw(_decoded(scene, rng), photo)
    outside = picture.mask == 0
    assert outside.float().mean() > 0.1
    assert torch.equal(picture.srgb[outside], photo.expand(2, -1, -1, -1)[outside])
    assert not picture.seen[outside].any()
    black = scene.draw(_decoded(scene, rng))
    assert not black.srgb[black.mask == 0].any()


def test_only_the_face_is_drawn_unless_the_whole_is_asked_for(model, scene, rng):
    whole = FaceScene.from_morphable(model, scene.layout, whole=True)
    assert len(whole.drawn) == model.n_vertices
    assert len(scene.drawn) < 0.75 * model.n_vertices
    assert model.face_mask[scene.drawn.numpy()].sum() == model.face_mask.sum()
    assert len(scene.compared) == len(scene.model.faces) + 1
    decoded = _decoded(scene, rng)
    assert whole.draw(decoded).mask.sum() > scene.draw(decoded).mask.sum()
    numbers = np.flatnonzero(bare_skin(model))
    assert torch.equal(scene.drawn[scene.bare_skin], torch.from_numpy(numbers))


def test_landmarks_are_the_models_own(model, scene, rng):
    decoded = _decoded(scene, rng)
    c = decoded.coefficients
    for row, (identity, expression) in enumerate(zip(c.identity, c.expression, strict=True)):
        vertices = model.instance(identity.numpy(), expression.numpy())
        points = model.landmarks["ibug68"].landmarks(vertices, model.faces)
        order = np.argsort([int(name) for name in points.names])
        pixels = decoded.camera.project(torch.from_numpy(points.points[order]).float()[None])[row]
        assert torch.allclose(scene.draw(decoded).landmarks[row], pixels, atol=1e-3)
    assert torch.equal(scene.landmarks(decoded), scene.draw(decoded).landmarks)


def test_landmarks_follow_the_slip_that_a_layout_repeats(model, rng):
    layout = OutputLayout.preset("deep3d-pt", model)
    vector = _vector(layout, rng)
    exact, slipped = (
        FaceScene.from_morphable(model, replace(layout, compat=compat)) for compat in (False, True)
    )
    a, b = (scene.landmarks(scene.decode(layout.split(vector))) for scene in (exact, slipped))
    assert torch.allclose(b - a, torch.tensor([0.5, -0.5]).expand_as(a), atol=1e-3)


def test_display_shading_multiplies_srgb_albedo_by_light(model, rng):
    """Under even light b the linear scene shows sRGB(b · albedo), the other b · sRGB(albedo)."""
    layout = OutputLayout.preset("morphkit", model, SIZE)
    vector = torch.zeros(1, layout.length)
    albedo = linear_to_srgb(torch.from_numpy(model.albedo.mean[model.face_mask]))
    for shading in ("linear", "display"):
        scene = FaceScene.from_morphable(model, replace(layout, shading=shading))
        decoded = scene.decode(layout.split(vector))
        half = replace(decoded.coefficients, light=0.5 * decoded.coefficients.light)
        full, dim = (scene.draw(replace(decoded, coefficients=c)) for c in (decoded.coefficients, half))
        solid = full.seen & (full.mask == 1)
        assert torch.allclose(full.srgb[solid].mean(dim=0), albedo.mean(dim=0), atol=0.02)
        ratio = (dim.srgb[solid] / full.srgb[solid]).mean().item()
        assert ratio == pytest.approx(0.5 if shading == "display" else 0.72, abs=0.01)


@pytest.mark.parametrize("name", ["morphkit", "deep3d-tf"])
def test_gradients_of_a_smooth_picture_agree_with_differences(model, name, rng):
    """Along random directions, on a blurred picture; in float32, so a few per cent."""
    scene = FaceScene.from_morphable(model, OutputLayout.preset(name, model, 64))
    vector, target = (
        0.5 * _vector(scene.layout, rng, 1),
        torch.from_numpy(rng.uniform(size=(1, 8, 8, 4))).float(),
    )

    def loss(x: torch.Tensor) -> torch.Tensor:
        picture = scene.draw(scene.decode(scene.layout.split(x)))
        layers = torch.cat([picture.srgb, picture.mask[..., None]], dim=-1).permute(0, 3, 1, 2)
        coarse = torch.nn.functional.avg_pool2d(layers, 8).permute(0, 2, 3, 1)
        return ((coarse - target) ** 2).sum() + 1e-4 * ((picture.landmarks - 30) ** 2).mean()

    start = vector.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(start), start)
    assert gradient.isfinite().all()
    for name_, part in scene.layout.slices.items():
        direction = torch.zeros_like(vector)
        direction[:, part] = gradient[:, part]
        assert direction.any(), name_
        step = 0.02 * direction / direction.norm()
        with torch.no_grad():
            slope = (loss(vector + step) - loss(vector - step)).item() / (2 * step.norm().item())
        assert slope == pytest.approx(direction.norm().item(), rel=0.08), name_


def test_the_outline_pulls_only_when_antialiased(model, rng):
    layout = OutputLayout.preset("morphkit", model, 64)
    pulls = []
    for antialias in (True, False):
        scene = FaceScene.from_morphable(model, layout, antialias=antialias)
        vector = torch.zeros(1, layout.length, requires_grad=True)
        scene.draw(scene.decode(layout.split(vector))).mask.sum().backward()
        pulls.append(vector.grad[:, layout.slices["translation"]].abs().max().item())
    assert pulls[0] > 1
    assert pulls[1] == 0


def test_torchs_rasterizer_draws_the_same(model, scene, rng):
    other = FaceScene.from_morphable(model, scene.layout, "torch")
    decoded = _decoded(scene, rng, 1)
    a, b = scene.draw(decoded), other.draw(decoded)
    assert (a.seen != b.seen).float().mean() < 1e-3
    assert (a.srgb - b.srgb).abs().mean() < 1e-4


def test_models_that_cannot_be_trained_are_refused(model):
    layout = OutputLayout.preset("morphkit", model)
    with pytest.raises(BadInputError, match="The model has no albedo group"):
        FaceScene.from_morphable(replace(model, albedo=None), layout)
    with pytest.raises(BadInputError, match="The model embeds 0 of the 68 ibug68 landmarks"):
        FaceScene.from_morphable(replace(model, landmarks={}), layout)
