"""The loss of a batch by its terms: against photos, and against the truth."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from fitting_head import small_head
from torch import nn

from morphkit.losses import EnergyWeights, ibug68_weights
from morphkit.losses.colors import linear_to_srgb
from morphkit.losses.face_chips import DLIB_CHIP
from morphkit.losses.face_network import FaceNetwork
from morphkit.morphable import MorphableModel
from morphkit.rendering import ImageTransform, PerspectiveCamera, rotate_light
from morphkit.rendering.lighting import reflection_basis
from morphkit.training.networks.outputs import Decoded, OutputLayout
from morphkit.training.scene import FaceScene
from morphkit.training.terms import Photos, landmark_term, weak_terms
from morphkit.training.truth import SupervisedWeights, TrueFaces, TruthMetrics, supervised_terms

SIZE = 64
EVERYTHING = EnergyWeights.preset("deng2019")


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return small_head()


@pytest.fixture(scope="module")
def scene(model: MorphableModel) -> FaceScene:
    return FaceScene.from_morphable(model, OutputLayout.preset("morphkit", model, SIZE))


@pytest.fixture(scope="module")
def metrics(model: MorphableModel, scene: FaceScene) -> TruthMetrics:
    return TruthMetrics.from_morphable(model, scene.layout)


def _decoded(scene: FaceScene, seed: int, batch: int = 2) -> Decoded:
    vector = 0.3 * np.random.default_rng(seed).normal(size=(batch, scene.layout.length))
    return scene.decode(scene.layout.split(torch.from_numpy(vector).float()))


def _photos(scene: FaceScene, decoded: Decoded) -> Photos:
    with torch.no_grad():
        grey = torch.full((len(decoded.camera.K), SIZE, SIZE, 3), 0.5)
        picture = scene.draw(decoded, grey)
    return Photos(picture.srgb, torch.ones(picture.mask.shape), picture.landmarks)


@pytest.fixture(scope="module")
def network() -> FaceNetwork:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.AvgPool2d(15), nn.Flatten(), nn.Linear(300, 8))
    return FaceNetwork(layers.requires_grad_(False), DLIB_CHIP)


def test_the_true_face_costs_its_coefficients_alone(scene, network):
    decoded = _decoded(scene, 1)
    photos = _photos(scene, decoded)
    picture = scene.draw(decoded, photos.srgb)
    terms = weak_terms(scene, picture, decoded.coefficients, photos, EVERYTHING, network)
    assert list(terms) == ["coefficient", "photometric", "landmark", "perceptual", "flattening", "monochrome"]
    assert terms["photometric"] < 2e-4
    assert terms["landmark"] < 1e-9
    assert terms["perceptual"] < 1e-5
    c = decoded.coefficients
    prior = ((c.identity**2).sum() + 0.8 * (c.expression**2).sum() + 1.7e-3 * (c.albedo**2).sum()) / 2
    assert terms["coefficient"].item() == pytest.approx(3e-4 * prior.item(), rel=1e-5)
    skin = linear_to_srgb(picture.albedo)[:, scene.bare_skin]
    variance = skin.var(dim=1, unbiased=False).sum(dim=1).mean()
    assert terms["flattening"].item() == pytest.approx(5 * variance.item(), rel=1e-4)
    assert terms["monochrome"].item() == pytest.approx(
        10 * c.light.var(dim=2, unbiased=False).mean().item(), rel=1e-4
    )


def test_terms_without_weight_or_network_are_left_out(scene):
    decoded = _decoded(scene, 1)
    photos = _photos(scene, decoded)
    none = EnergyWeights(0.0, 0.0, 0.2, 1.0, 1.0, 1.0)
    assert list(weak_terms(scene, scene.draw(decoded), decoded.coefficients, photos, none)) == ["coefficient"]


def test_the_photometric_term_counts_attended_pixels_that_are_seen(scene):
    """The photo is the picture plus 0.1 in red wherever it counts, and absurd elsewhere."""
    decoded = _decoded(scene, 2)
    picture = scene.draw(decoded)
    weights = EnergyWeights(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    photo = picture.srgb + torch.tensor([0.1, 0.0, 0.0])
    attention = torch.ones(picture.mask.shape)
    attention[:, :, : SIZE // 2] = 0.25
    photo[:, 0] = 99.0  # not seen
    photo[:, 31, 31] = 99.0
    attention[:, 31, 31] = 0.0
    photos = Photos(photo, attention, picture.landmarks)
    found = weak_terms(scene, picture, decoded.coefficients, photos, weights)["photometric"]
    assert picture.seen[:, 31, 31].all()
    assert not picture.seen[:, 0].any()
    assert found.item() == pytest.approx(np.sqrt(0.1**2 + 1e-6) - 1e-3, rel=1e-4)


@pytest.mark.parametrize("size", [224, 112])
def test_landmarks_count_in_pixels_of_the_papers_crop(size):
    """One point of weight 20 off by 3, 4 pixels of 224, one unknown: 20 · 25 / 68."""
    observed = torch.full((1, 68, 2), 50.0)
    predicted = observed.clone()
    predicted[0, 30] += torch.tensor([3.0, 4.0]) * size / 224
    observed[0, 5, 0] = float("nan")
    predicted[0, 5] = 7.0
    predicted.requires_grad_()
    loss = landmark_term(predicted, observed, size)
    assert ibug68_weights()[30] == 20
    assert loss.item() == pytest.approx(20 * 25 / 68, rel=1e-5)
    loss.backward()
    assert predicted.grad.isfinite().all()
    assert not predicted.grad[0, 5].any()
    assert predicted.grad[0, 30].all()


def test_embeddings_of_the_photos_may_be_given(scene, network):
    decoded, other = _decoded(scene, 3), _decoded(scene, 4)
    photos = _photos(scene, other)
    picture = scene.draw(decoded, photos.srgb)
    weights = replace(EVERYTHING, photometric_weight=0.0)

    def perceptual(given: Photos, chips: str = "predicted") -> float:
        terms = weak_terms(scene, picture, decoded.coefficients, given, weights, network, chips)
        return terms["perceptual"].item()

    asked = perceptual(photos)
    own = replace(photos, embeddings=torch.zeros(2, 8) + torch.arange(8.0))
    assert perceptual(own) != pytest.approx(asked)
    by_given = perceptual(photos, "given")
    assert by_given != pytest.approx(asked, abs=1e-6)
    unknown = photos.landmarks.clone()
    unknown[:, 3] = float("nan")
    assert perceptual(replace(photos, landmarks=unknown), "given") == pytest.approx(asked)


def test_every_term_pulls_on_what_it_compares(scene, network):
    photos = _photos(scene, _decoded(scene, 5))
    start = torch.zeros(2, scene.layout.length, requires_grad=True)
    decoded = scene.decode(scene.layout.split(start + torch.linspace(0, 0.02, scene.layout.length)))
    picture = scene.draw(decoded, photos.srgb)
    weights = replace(EVERYTHING, perceptual_weight=1.0)
    terms = weak_terms(scene, picture, decoded.coefficients, photos, weights, network)
    pulls = {}
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(term, start, retain_graph=True, allow_unused=True)
        assert gradient.isfinite().all(), name
        pulls[name] = {head for head, part in scene.layout.slices.items() if gradient[:, part].any()}
    shape, pose = {"identity", "expression"}, {"rotation", "translation"}
    assert pulls == {
        "coefficient": shape | {"albedo"},
        "photometric": shape | pose | {"albedo", "light"},
        "landmark": shape | pose,
        "perceptual": shape | pose | {"albedo", "light"},
        "flattening": {"albedo"},
        "monochrome": {"light"},
    }


def _truth(decoded: Decoded) -> TrueFaces:
    c = decoded.coefficients
    return TrueFaces(c.identity, c.expression, c.albedo, c.light, decoded.camera)


def test_the_truth_costs_nothing(scene, metrics):
    decoded = _decoded(scene, 6)
    terms = supervised_terms(decoded, _truth(decoded), metrics, SupervisedWeights())
    assert list(terms) == ["true_identity", "true_expression", "true_albedo", "true_light", "true_pose"]
    assert all(term.item() == pytest.approx(0, abs=1e-9) for term in terms.values())


def test_shapes_are_compared_in_square_millimetres_of_the_face(model, scene):
    """With nothing left out: the mean squared distance of the face's vertices, reckoned from the vertices."""
    metrics = TruthMetrics.from_morphable(model, scene.layout, similar_alike=False)
    decoded, other = _decoded(scene, 7), _decoded(scene, 8)
    terms = supervised_terms(decoded, _truth(other), metrics, SupervisedWeights(albedo=1.0))
    a, b, face = decoded.coefficients, other.coefficients, model.face_mask
    for name, group in (("identity", model.identity), ("expression", model.expression)):
        away = (getattr(a, name) - getattr(b, name)).numpy()
        expected = np.mean([(group.offset(row)[face] ** 2).sum(axis=1).mean() for row in away])
        assert terms[f"true_{name}"].item() == pytest.approx(expected, rel=1e-4)
    small = replace(other.coefficients, albedo=a.albedo + 1e-3)
    near = _truth(replace(other, coefficients=small))
    found = supervised_terms(decoded, near, metrics, SupervisedWeights(albedo=1.0))["true_albedo"]
    rows = [linear_to_srgb(torch.from_numpy(model.albedo.mean + s * model.albedo.offset(np.full(6, 1e-3))))
            for s in (0.0, 1.0)]  # fmt: skip
    displayed = ((rows[1] - rows[0])[torch.from_numpy(face)] ** 2).sum(dim=1).mean()
    assert found.item() == pytest.approx(displayed.item(), rel=5e-3)


@pytest.mark.parametrize("name", ["deng-paper", "deep3d-tf", "deep3d-pt"])
def test_light_of_displayed_colours_is_not_compared_with_radiance(model, scene, name):
    layout = OutputLayout.preset(name, model, SIZE)
    decoded = layout.decode(layout.split(torch.zeros(2, layout.length)))
    truth = _truth(_decoded(scene, 3))
    terms = supervised_terms(decoded, truth, TruthMetrics.from_morphable(model, layout), SupervisedWeights())
    assert list(terms) == ["true_identity", "true_expression", "true_albedo", "true_pose"]


def test_size_and_place_do_not_count_unless_asked_for(model, scene):
    """Components that only enlarge and shift the face are free, or cost their millimetres."""
    mean = model.identity.mean.astype(np.float64)
    moves = np.stack([mean - mean.mean(axis=0), np.tile([0.0, 1.0, 0.0], (len(mean), 1))])
    basis, _ = np.linalg.qr(moves.reshape(2, -1).T)
    group = replace(
        model.identity, basis=np.asfortranarray(basis, dtype=np.float32), standard_deviations=np.ones(2)
    )
    alike = replace(model, identity=group)
    free = TruthMetrics.from_morphable(alike, scene.layout)
    counted = TruthMetrics.from_morphable(alike, scene.layout, similar_alike=False)
    assert free.identity.abs().max() < 1e-6 * counted.identity.abs().max()


def test_known_components_beyond_the_predicted_count_in_full(model, metrics):
    layout = OutputLayout.preset("morphkit", model.truncate(identity=5), SIZE)
    decoded = layout.decode(layout.split(torch.zeros(1, layout.length)))
    truth = replace(_truth(decoded), identity=torch.zeros(1, 12))
    truth.identity[0, 9] = 2.0
    terms = supervised_terms(decoded, truth, metrics, SupervisedWeights(pose=0.0))
    assert terms["true_identity"].item() == pytest.approx(4 * metrics.identity[9, 9].item(), rel=1e-5)


def test_pose_by_hand(scene, metrics):
    """A camera whose principal point is off by (3, 4) of 224 pixels is off by that at every point."""
    decoded = _decoded(scene, 9)
    truth = _truth(decoded)
    shift = torch.zeros(3, 3)
    shift[:2, 2] = torch.tensor([3.0, 4.0]) * SIZE / 224
    moved = replace(truth, camera=replace(truth.camera, K=truth.camera.K + shift))
    terms = supervised_terms(decoded, moved, metrics, SupervisedWeights(pose=1.0))
    assert terms["true_pose"].item() == pytest.approx(25, rel=1e-4)
    assert metrics.points.points.mean.shape == (200, 3)


def test_an_augmentation_moves_camera_and_light(scene, metrics):
    """Turn the picture by a quarter and shift it: the truth is a head and a light turned in the picture."""
    decoded = _decoded(scene, 10, 1)
    camera = decoded.camera
    quarter = ImageTransform.identity(SIZE, SIZE).rotate(np.pi / 2).crop(-2.0, 3.0, SIZE, SIZE)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x right -> down, clockwise as seen
    turned = PerspectiveCamera(
        camera.K, turn @ camera.R, camera.t @ turn.T, SIZE, SIZE, camera.near, camera.far
    )
    shifted = turned.crop(-2.0, 3.0, SIZE, SIZE)
    light = rotate_light(decoded.coefficients.light, turn[None])
    seen = replace(decoded, camera=shifted, coefficients=replace(decoded.coefficients, light=light))
    terms = supervised_terms(seen, _truth(decoded), metrics, SupervisedWeights(), quarter.affine.float())
    assert all(term.item() == pytest.approx(0, abs=2e-5) for term in terms.values())
    upright = supervised_terms(decoded, _truth(decoded), metrics, SupervisedWeights(), quarter.affine.float())
    assert upright["true_light"] > 1e-3
    assert upright["true_pose"] > 1
    up = torch.tensor([[0.0, -1.0, 0.0]])
    brightness = reflection_basis(up) @ decoded.coefficients.light[0]
    assert torch.allclose(reflection_basis(up @ turn.T) @ light[0], brightness, atol=1e-5)


def test_weights_are_checked_and_zero_leaves_a_term_out(scene, metrics):
    decoded = _decoded(scene, 11)
    only = SupervisedWeights(expression=0.0, albedo=0.0, light=0.0, pose=0.0)
    assert list(supervised_terms(decoded, _truth(decoded), metrics, only)) == ["true_identity"]
    with pytest.raises(ValueError, match="light must be a number of at least 0, got -1"):
        SupervisedWeights(light=-1.0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_reckons_the_same(model, scene, metrics, network):
    """All terms and their gradients, drawn by torch on the GPU, against numba on the CPU."""
    other = FaceScene.from_morphable(model, scene.layout, "torch", "cuda")
    known = TruthMetrics.from_morphable(model, scene.layout, "cuda")
    photos, truth = _photos(scene, _decoded(scene, 12)), _decoded(scene, 12)
    there = Photos(photos.srgb.cuda(), photos.attention.cuda(), photos.landmarks.cuda())
    far = FaceNetwork(copy.deepcopy(network.network).cuda(), network.template)
    vector = scene.layout.vector({name: torch.full((2, n), 0.05) for name, n in scene.layout.heads.items()})
    totals, gradients = [], []
    for drawer, compared, own, net, device in (
        (scene, metrics, photos, network, "cpu"),
        (other, known, there, far, "cuda"),
    ):
        start = vector.to(device, copy=True).requires_grad_()
        decoded = drawer.decode(drawer.layout.split(start))
        c, camera = truth.coefficients, truth.camera
        moved = replace(camera, K=camera.K.to(device), R=camera.R.to(device), t=camera.t.to(device))
        groups = (value.to(device) for value in (c.identity, c.expression, c.albedo, c.light))
        picture = drawer.draw(decoded, own.srgb)
        terms = weak_terms(drawer, picture, decoded.coefficients, own, EVERYTHING, net)
        terms |= supervised_terms(decoded, TrueFaces(*groups, moved), compared, SupervisedWeights())
        total = torch.stack(list(terms.values())).sum()
        total.backward()
        totals.append(total.item())
        gradients.append(start.grad.cpu())
    assert totals[1] == pytest.approx(totals[0], rel=1e-3)
    assert (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()
