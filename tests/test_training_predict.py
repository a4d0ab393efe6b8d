"""Predictions in the photo's own pixels: they are the crop's, whatever the photo's frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from predicting import SIZE, shot, small_head, write_weights

from morphkit.errors import BadInputError, NoFaceError
from morphkit.export.camera import PhotoCamera
from morphkit.rendering import PerspectiveCamera
from morphkit.rendering.lighting import shade
from morphkit.training.data.alignment import FaceFrame, align, cut
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.weights import load_network, network_digest, save_network
from morphkit.training.photo_crops import aligned_photo, as_faces
from morphkit.training.predict import Predictor
from morphkit.training.predict_set import load_c_net, predict_set
from morphkit.training.prediction import photo_view


@pytest.fixture(scope="module")
def head():
    return small_head()


@pytest.fixture(scope="module")
def weights(head, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("net") / "weights.pt", head)


@pytest.fixture(scope="module")
def predictor(head, weights):
    return Predictor.load(weights, head)


@pytest.fixture(scope="module")
def taken(head):
    return shot(head)


@pytest.fixture(scope="module")
def seen(predictor, taken):
    return predictor(taken[0], taken[1])


def project(K, R, t, points):
    pixels = (points @ R.T + t) @ K.T
    return pixels[:, :2] / pixels[:, 2:]


def test_the_crop_is_the_one_that_prepare_cuts(head, predictor, taken, seen):
    photo, points, _ = taken
    frame = FaceFrame.of(head)
    one = aligned_photo(photo, points, frame, 224)
    assert np.array_equal(one.crop, cut(photo, align(points, frame, 224), 224))
    assert np.allclose(seen.crop, align(points, frame, predictor.layout.size), rtol=0, atol=1e-9)
    assert np.array_equal(seen.landmarks, points)
    faces = as_faces([one])
    assert np.allclose(faces.landmarks[0], points @ one.affine[:, :2].T + one.affine[:, 2], atol=1e-3)


def test_the_photos_face_is_the_crops_through_the_affine(head, predictor, taken, seen):
    aligned = [aligned_photo(*taken[:2], predictor.frame, 224)]
    decoded = predictor.layout.decode(predictor.seen(aligned).heads)
    c, camera = decoded.coefficients, decoded.camera
    assert np.allclose(seen.identity, c.identity[0].numpy(), atol=1e-6)
    assert np.allclose(seen.expression, c.expression[0].numpy(), atol=1e-6)
    assert np.allclose(seen.albedo, c.albedo[0].numpy(), atol=1e-6)
    assert np.abs(seen.identity).max() > 0.1
    vertices = head.instance(seen.identity, seen.expression).astype(np.float64)
    in_photo = seen.camera.project(vertices)
    K, R, t = (getattr(camera, name)[0].double().numpy() for name in ("K", "R", "t"))
    in_crop = project(K, R, t, vertices)
    moved = in_photo @ seen.crop[:, :2].T + seen.crop[:, 2]
    assert np.abs(moved - in_crop).max() < 1e-6
    # the light falls on the turned normals as the crop's does on its own
    normals = torch.from_numpy(vertices / np.linalg.norm(vertices, axis=1, keepdims=True))[None]
    ones = torch.ones_like(normals)
    one = shade(ones, normals @ torch.from_numpy(seen.camera.R).T, torch.from_numpy(seen.light)[None])
    other = shade(ones, normals @ torch.from_numpy(R).T, c.light[:1].double())
    assert (one - other).abs().max() < 1e-5
    assert float(c.light.std()) > 0.1


def test_the_camera_is_upright_and_its_depths_are_the_crops(seen, taken):
    camera = seen.camera
    assert isinstance(camera, PhotoCamera)
    assert (camera.width, camera.height) == (SIZE, SIZE)
    assert camera.K[0, 0] == pytest.approx(camera.K[1, 1])
    assert np.abs(camera.K[[1, 2, 2], [0, 0, 1]]).max() < 1e-9
    assert abs(camera.K[0, 1]) < 1e-6
    assert camera.K[1, 1] > 0
    assert np.allclose(camera.R @ camera.R.T, np.eye(3), atol=1e-6)
    # a guided network stands where the landmarks are: the truth's turn is seen, not the crop's upright one
    turn = taken[2].face.pose.rotation @ camera.R.T
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 12


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photo_shows_the_same_face(predictor, taken, seen, quarters):
    photo, points, _ = taken
    turned = np.ascontiguousarray(np.rot90(photo, quarters))
    moved = points
    for _ in range(quarters):
        moved = np.stack([moved[:, 1], SIZE - moved[:, 0]], axis=1)
    other = predictor(turned, moved)
    assert np.abs(other.identity - seen.identity).max() < 5e-3
    assert np.abs(other.expression - seen.expression).max() < 5e-3
    vertices = predictor.model.instance(seen.identity, seen.expression).astype(np.float64)
    pixels = seen.camera.project(vertices)
    for _ in range(quarters):
        pixels = np.stack([pixels[:, 1], SIZE - pixels[:, 0]], axis=1)
    assert np.abs(other.camera.project(vertices) - pixels).max() < 0.05
    quarter = np.linalg.matrix_power(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), quarters)
    assert np.allclose(other.camera.R, quarter @ seen.camera.R, atol=1e-3)


def test_a_view_keeps_a_crop_that_only_moved(rng):
    K = torch.tensor([[[900.0, 0, 50], [0, 900, 50], [0, 0, 1]]])
    R = torch.diag(torch.tensor([1.0, -1, -1]))[None]
    t = torch.tensor([[1.0, 2, 800]])
    light = torch.from_numpy(rng.normal(size=(1, 9, 3))).float()
    crop = np.array([[2.0, 0, -30], [0, 2.0, -20]])
    camera, own = photo_view(PerspectiveCamera(K, R, t, 100, 100), light, crop, 400, 300)
    assert np.allclose(camera.K, [[450, 0, 40], [0, 450, 35], [0, 0, 1]])
    assert np.allclose(camera.R, R[0])
    assert np.allclose(camera.t, t[0])
    assert np.allclose(own, light[0], atol=1e-6)


def test_many_photos_are_seen_as_each_alone_and_failures_keep_their_place(head, predictor):
    shots = [shot(head, seed) for seed in (5, 6, 7)]
    blank = np.full((90, 80, 3), 128, np.uint8)
    photos = [shots[0][0], blank, shots[1][0], shots[2][0]]
    marks = [shots[0][1], None, shots[1][1], shots[2][1]]
    found = list(predictor.many(photos, marks, batch=3))
    assert isinstance(found[1], NoFaceError)
    for place, (photo, points, _) in zip((0, 2, 3), shots, strict=True):
        alone = predictor(photo, points)
        assert np.abs(found[place].identity - alone.identity).max() < 1e-4
        assert np.abs(found[place].light - alone.light).max() < 1e-4
        assert np.array_equal(found[place].photo, photo)
    assert np.abs(found[0].identity - found[2].identity).max() > 0.1
    with pytest.raises(ValueError, match="one for each of 4"):
        list(predictor.many(photos, marks[:2]))
    with pytest.raises(ValueError, match="at least 1"):
        list(predictor.many(photos, marks, batch=0))


def test_sets_share_the_weighed_identity(head, predictor, weights, tmp_path):
    shots = [shot(head, seed) for seed in (5, 6, 7)]
    photos = [*(one[0] for one in shots), np.zeros((64, 64, 3), np.uint8)]
    marks = [*(one[1] for one in shots), None]
    alone = np.stack([predictor(*one[:2]).identity for one in shots])
    plain = predict_set(predictor, photos, marks)
    assert np.allclose(plain.weights, 1 / 3)
    assert plain.indices == (0, 1, 2)
    assert [place for place, _ in plain.failures] == [3]
    assert np.abs(plain.identity - alone.mean(axis=0)).max() < 1e-4
    assert all(np.array_equal(one.identity, plain.identity) for one in plain.photos)
    assert np.abs(plain.photos[0].expression - predictor(*shots[0][:2]).expression).max() < 1e-4

    network = predictor.network
    torch.manual_seed(2)
    c_net = CNet(12, network.backbone.shallow_channels, network.deep_channels)
    torch.nn.init.normal_(c_net.last.weight, std=0.2)
    meta = load_network(weights)[1]
    meta = {k: meta[k] for k in _META} | {"r_net_digest": network_digest(network)}
    save_network(tmp_path / "c.pt", c_net, meta)
    weighed = predict_set(predictor, photos, marks, tmp_path / "c.pt")
    with torch.no_grad():
        crops = [aligned_photo(*one[:2], predictor.frame, 224) for one in shots]
        confidence = c_net.eval()(predictor.seen(crops).features).double().numpy()
    share = confidence / confidence.sum(axis=0)
    assert np.abs(weighed.identity - (share * alone).sum(axis=0)).max() < 1e-4
    assert np.abs(weighed.weights - share.mean(axis=1)).max() < 1e-6
    assert np.ptp(weighed.weights) > 1e-3
    with pytest.raises(NoFaceError):
        predict_set(predictor, photos[3:], c_net=c_net)
    with pytest.raises(BadInputError, match="no C-Net"):
        load_c_net(weights, predictor)
    for other in ({"model_digest": "x"}, {"r_net_digest": "f0"}):  # another model, the R-Net trained anew
        save_network(tmp_path / "other.pt", c_net, meta | other)
        with pytest.raises(BadInputError, match=r"another network than weights\.pt"):
            load_c_net(tmp_path / "other.pt", predictor)


_META = ("preset", "size", "model_digest", "config", "identity_deviation")


def test_weights_of_another_model_are_refused_naming_both(head, weights, tmp_path):
    with pytest.raises(BadInputError, match=r"weights\.pt: trained for .* the embedded head has"):
        Predictor.load(weights)
    other = replace(head, albedo=None)
    with pytest.raises(BadInputError, match="the given model has"):
        Predictor.load(weights, other)
    network = load_network(weights)[0]
    meta = load_network(weights)[1]
    save_network(
        tmp_path / "c.pt",
        CNet(12, network.backbone.shallow_channels, network.deep_channels),
        {k: meta[k] for k in _META} | {"r_net_digest": network_digest(network)},
    )
    with pytest.raises(BadInputError, match="a C-Net"):
        Predictor.load(tmp_path / "c.pt", head)


def test_what_the_network_lacks_is_the_models_own(tmp_path):
    wide = small_head(90, 4, 6)
    path = write_weights(tmp_path / "w.pt", wide, guided=False, preset="deep3d-pt")
    photo, points, _ = shot(small_head())
    seen = Predictor.load(path, wide)(photo, points)
    assert seen.identity.shape == (90,)
    assert np.abs(seen.identity[:80]).min() > 0
    assert not seen.identity[80:].any()
    assert np.array_equal(seen.identity_deviations, np.r_[np.full(80, 0.5), np.ones(10)])
    assert seen.shading == "display"


def test_a_network_of_a_part_of_the_model_is_used_with_the_whole(head, taken, tmp_path):
    part = head.truncate(identity=7, expression=3, albedo=2)
    path = write_weights(tmp_path / "w.pt", part, digest=head.digest)
    predictor = Predictor.load(path, head)
    assert predictor.model is head
    assert dict(predictor.layout.heads) == dict(OutputLayout.preset("morphkit", part, 64).heads)
    seen = predictor(taken[0], taken[1])
    for name, count in (("identity", 7), ("expression", 3), ("albedo", 2)):
        values = getattr(seen, name)
        assert values.shape == (getattr(head, name).n_components,)
        assert values[:count].all()
        assert not values[count:].any()
    assert np.array_equal(seen.identity_deviations, np.r_[np.full(7, 0.5), np.ones(5)])
    shape = write_weights(tmp_path / "s.pt", head.truncate(expression=0), guided=False, digest=head.digest)
    assert not Predictor.load(shape, head)(taken[0], taken[1]).expression.any()


def test_weights_with_more_than_the_model_has_are_refused(head, tmp_path):
    path = write_weights(tmp_path / "w.pt", small_head(20, 4, 6), guided=False, digest=head.digest)
    with pytest.raises(BadInputError, match=r"gives .*'identity': 20.* has .*'identity': 12"):
        Predictor.load(path, head)


def test_landmarks_that_cannot_be_aligned_are_named(predictor, taken, tmp_path):
    photo, points, _ = taken
    unknown = points.copy()
    unknown[30] = np.nan
    with pytest.raises(BadInputError, match="the landmarks: eyes, tip of the nose"):
        predictor(photo, unknown)
    with pytest.raises(NoFaceError, match="the photo: no face"):
        predictor(np.full((100, 100, 3), 90, np.uint8))
