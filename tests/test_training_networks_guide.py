"""Landmarks as R-Net's start, and as the places where it looks."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from fitting_head import small_head
from torch import nn

from morphkit.model import Coefficients, FaceModel
from morphkit.rendering.rotations import axis_angle_to_matrix, facing
from morphkit.training.networks.landmark_guide import LandmarkGuide
from morphkit.training.networks.landmark_solve import LandmarkSolve
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import load_network, save_network

IDENTITY, EXPRESSION = 8, 3


@pytest.fixture(scope="module")
def model():
    return small_head(IDENTITY, EXPRESSION, 2)


@pytest.fixture(scope="module")
def layout(model):
    return OutputLayout.preset("morphkit", model)


def solve_of(model, deviation=None):
    layer = LandmarkSolve.from_model(model, IDENTITY, EXPRESSION)
    if deviation is not None:
        nn.init.constant_(layer.log_deviations, math.log(deviation))
    return layer


def drawn(model, layout, count=6, turn=0.5, seed=3):
    """Return coefficients, and where their landmarks lie in the crop."""
    rng = torch.Generator().manual_seed(seed)
    heads = {name: torch.zeros(count, size) for name, size in layout.heads.items()}
    heads["identity"] = torch.randn(count, IDENTITY, generator=rng)
    heads["expression"] = torch.randn(count, EXPRESSION, generator=rng)
    heads["rotation"] = turn * torch.randn(count, 3, generator=rng)
    heads["translation"] = torch.randn(count, 3, generator=rng)
    decoded = layout.decode(heads)
    points = FaceModel.from_morphable(model).landmarks(model.landmarks["ibug68"])
    c: Coefficients = decoded.coefficients
    return heads, decoded.camera.project(points(c.identity, c.expression))


def test_exact_landmarks_give_back_the_face(model, layout):
    heads, seen = drawn(model, layout)
    found = solve_of(model, 0.01)(seen, 224)
    torch.testing.assert_close(found.identity, heads["identity"], atol=0.05, rtol=0)
    torch.testing.assert_close(found.expression, heads["expression"], atol=0.05, rtol=0)
    turned = axis_angle_to_matrix(heads["rotation"]) @ facing().float()
    torch.testing.assert_close(found.R, turned, atol=0.01, rtol=0)


def test_solve_is_the_same_at_any_size_of_the_crop(model, layout):
    _, seen = drawn(model, layout)
    layer = solve_of(model)
    large, small = layer(seen, 224), layer(seen / 2, 112)
    torch.testing.assert_close(large.identity, small.identity, atol=2e-3, rtol=0)
    torch.testing.assert_close(large.t, small.t, atol=0.1, rtol=0)


def test_unknown_points_say_nothing(model, layout):
    _, seen = drawn(model, layout)
    layer = solve_of(model)
    seen[:, [3, 40, 60]] = float("nan")
    hidden = layer(seen, 224)
    seen[:, [3, 40, 60], 0] = 5.0  # one coordinate alone is not a point
    torch.testing.assert_close(layer(seen, 224).identity, hidden.identity)
    assert hidden.identity.isfinite().all()


def test_without_landmarks_it_is_the_mean_face_at_rest(model, layout):
    guide = LandmarkGuide(5, IDENTITY, EXPRESSION)
    guide.solve = solve_of(model)
    found = guide(torch.ones(2, 5, 4, 4), torch.full((2, 68, 2), float("nan")), 64)
    for head in found.heads.values():
        torch.testing.assert_close(head, torch.zeros_like(head), atol=1e-5, rtol=0)
    assert not found.features[:, : 16 * 68].any()


def test_without_landmarks_doubts_are_the_prior(model):
    layer, unknown = solve_of(model), torch.full((2, 68, 2), float("nan"))
    found = layer.doubts(unknown, 64, layer(unknown, 64))
    points, overall, deviations = found.tensor_split([68, 69], dim=1)
    assert found.shape == (2, layer.n_doubts)
    assert not points.any()
    assert (overall < -1.0).all()
    torch.testing.assert_close(deviations, torch.zeros_like(deviations), atol=1e-4, rtol=0)


def test_doubts_of_identity_are_its_posterior_deviations(model, layout):
    """Against the covariance of the linearised projection, differentiated by torch."""
    _, seen = drawn(model, layout, count=1, turn=0.3)
    layer = solve_of(model, 2.0)
    face = layer(seen, 224)

    def pixels(move):
        points = layer.mean + layer.basis @ (torch.cat([face.identity, face.expression], 1)[0] + move[6:])
        placed = points @ (axis_angle_to_matrix(move[None, :3])[0] @ face.R[0]).T + face.t[0] + move[3:6]
        return 1015.0 * placed[:, :2] / placed[:, 2:]

    slopes = torch.autograd.functional.jacobian(pixels, torch.zeros(6 + IDENTITY + EXPRESSION)).flatten(0, 1)
    prior = torch.diag(torch.cat([torch.zeros(6), torch.ones(IDENTITY + EXPRESSION)]))
    covariance = torch.linalg.inv((slopes.T @ slopes / 4.0 + prior).double())
    wanted = 0.5 * covariance.diagonal()[6 : 6 + IDENTITY].log()
    torch.testing.assert_close(layer.doubts(seen, 224, face)[0, 69:].double(), wanted, atol=2e-3, rtol=0)


def test_doubts_name_the_points_that_are_off(model, layout):
    _, seen = drawn(model, layout, turn=0.2)
    layer = solve_of(model, 1.0)
    moved = seen.clone()
    moved[:, 33] += torch.tensor([30.0, -30.0])
    before, after = layer.doubts(seen, 224, layer(seen, 224)), layer.doubts(moved, 224, layer(moved, 224))
    assert (after[:, :68].argmax(dim=1) == 33).all()
    assert (after[:, 68] > before[:, 68]).all()


def test_one_wild_point_counts_little(model, layout):
    heads, seen = drawn(model, layout, turn=0.2)
    layer = solve_of(model, 1.0)
    right = layer(seen, 224).identity
    seen[:, 33] += torch.tensor([50.0, -50.0])
    moved = (layer(seen, 224).identity - right).norm(dim=1)
    assert (moved < 0.5 * heads["identity"].norm(dim=1)).all()


def test_heads_decode_to_the_landmarks(model, layout):
    _, seen = drawn(model, layout, turn=0.3)
    guide = LandmarkGuide(5, IDENTITY, EXPRESSION)
    guide.solve = solve_of(model, 0.05)
    found = guide(torch.zeros(6, 5, 28, 28), seen, 224).heads
    zeros = {name: torch.zeros(6, size) for name, size in layout.heads.items()}
    decoded = layout.decode(zeros | found)
    points = FaceModel.from_morphable(model).landmarks(model.landmarks["ibug68"])
    again = decoded.camera.project(points(found["identity"], found["expression"]))
    assert (again - seen).norm(dim=2).max() < 0.3


def test_what_points_are_worth_is_learnt(model, layout):
    """Where the jaw is seen badly and the rest well, training tells so, and the faces get better."""
    heads, seen = drawn(model, layout, count=64, turn=0.3)
    noise = torch.full((68, 1), 0.3)
    noise[:17] = 8.0
    seen = seen + noise * torch.randn(64, 68, 2, generator=torch.Generator().manual_seed(5))
    layer = solve_of(model, 2.0)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(25):
        loss = (layer(seen, 224).identity - heads["identity"]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    jaw, rest = layer.log_deviations[:17].mean(), layer.log_deviations[17:].mean()
    assert jaw > rest + 0.5


def test_features_are_read_at_the_landmarks():
    guide = LandmarkGuide(2, 1, 1)
    nn.init.zeros_(guide.look.weight)
    nn.init.zeros_(guide.look.bias)
    with torch.no_grad():
        guide.look.weight[0, 0] = guide.look.weight[1, 1] = 1.0
    centres = torch.arange(28) + 0.5
    ramps = torch.stack([centres[None].expand(28, 28), centres[:, None].expand(28, 28)])[None]
    seen = 8.0 * torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(1)) * 26 + 8.0
    features = guide(ramps, seen, 224).features[:, : 16 * 68].reshape(16, 68)
    torch.testing.assert_close(features[:2].T, seen[0] / 8.0, atol=1e-3, rtol=0)
    assert not features[2:].any()


def test_a_model_without_landmarks_is_refused(model):
    with pytest.raises(ValueError, match="ibug68"):
        LandmarkSolve.from_model(replace(model, landmarks={}), 3, 1)


def guided_net(model, layout):
    torch.manual_seed(0)
    network = RNet(18, layout.heads, guided=True)
    assert network.guide is not None
    network.guide.solve = solve_of(model)
    return network.eval()


def test_a_guided_network_begins_at_its_guide_and_adds_to_it(model, layout):
    _, seen = drawn(model, layout, turn=0.2)
    network, pictures = guided_net(model, layout), torch.rand(6, 3, 64, 64)
    start = network(pictures, seen * 64 / 224).heads
    assert set(start) == set(layout.heads)
    found = network.guide.solve(seen * 64 / 224, 64)
    torch.testing.assert_close(start["identity"], found.identity)
    assert not start["light"].any()
    nn.init.constant_(network.heads["identity"].bias, 0.5)
    moved = network(pictures, seen * 64 / 224).heads
    torch.testing.assert_close(moved["identity"], start["identity"] + 0.5)
    with pytest.raises(ValueError, match="landmarks must be given"):
        network(pictures)
    with pytest.raises(ValueError, match="morphkit layout"):
        RNet(18, {"identity": 3, "angles": 3}, guided=True)


def test_every_weight_of_a_guided_network_is_reached(model, layout):
    _, seen = drawn(model, layout, turn=0.2)
    network = guided_net(model, layout).train()
    for head in network.heads.values():
        nn.init.normal_(head.weight, std=0.01)
    heads = network(torch.rand(6, 3, 64, 64), seen * 64 / 224).heads
    torch.stack([head.square().sum() for head in heads.values()]).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_guided_network_survives_its_file(model, layout, tmp_path):
    _, seen = drawn(model, layout)
    network, pictures = guided_net(model, layout), torch.rand(6, 3, 64, 64)
    meta = {"preset": "morphkit", "size": 64, "model_digest": "", "config": "", "identity_deviation": None}
    save_network(tmp_path / "w.pt", network, meta)
    again, found = load_network(tmp_path / "w.pt")
    assert found["guided"] is True
    before, after = (net(pictures, seen * 64 / 224).heads for net in (network, again))
    assert all(torch.equal(before[name], after[name]) for name in before)
