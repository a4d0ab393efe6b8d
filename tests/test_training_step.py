"""What a batch costs: weak and supervised rows share it, and the truth costs nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from training_scene import drawn_faces, symmetric_head

from morphkit.losses import EnergyWeights
from morphkit.rendering.rotations import facing, matrix_to_axis_angle
from morphkit.training.augmentation import Augmentation
from morphkit.training.batch import Batch, RawBatch
from morphkit.training.config import AugmentationSettings, LoopSettings, LossSettings
from morphkit.training.guard import NotFiniteError
from morphkit.training.mirroring import MirrorMap
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.r_net_task import RNetTask, chosen_rasterizer
from morphkit.training.scene import FaceScene
from morphkit.training.step import Costs, head_terms, losses, supervised_weights, true_faces
from morphkit.training.truth import SupervisedWeights, TruthMetrics
from morphkit.training.validation import IdentityRuler, aligned

SIZE, COUNT = 64, 4


@cache
def scene() -> FaceScene:
    model = symmetric_head()
    return FaceScene.from_morphable(model, OutputLayout.preset("morphkit", model, SIZE))


def costs(settings: LossSettings | None = None) -> Costs:
    settings = settings or LossSettings(perceptual=0.0)
    metrics = TruthMetrics.from_morphable(symmetric_head(), scene().layout)
    return Costs(scene(), metrics, settings.weights, supervised_weights(settings), settings.weak_on_truth)


def faces(count: int = COUNT) -> Batch:
    raw = RawBatch.from_faces(drawn_faces(symmetric_head(), count, seed=2, size=SIZE, turn=0.15))
    return viewed_plain(raw)


def viewed_plain(raw: RawBatch) -> Batch:
    from morphkit.training.viewing import viewed

    return viewed(raw, Augmentation.identity(len(raw)), SIZE, None)


def perfect_heads(batch: Batch) -> dict[str, Tensor]:
    """What our own layout's heads would have to say."""
    assert batch.truth is not None
    truth = true_faces(batch.truth, SIZE)
    R, t = truth.camera.R.double(), truth.camera.t.double()
    origin = torch.tensor(scene().layout.origin, dtype=torch.float64)
    middle = t + R @ origin
    from morphkit.rendering import ambient_light

    heads = {
        "identity": truth.identity,
        "expression": truth.expression,
        "albedo": truth.albedo,
        "rotation": matrix_to_axis_angle(R @ facing().T),
        "light": (truth.light - ambient_light()).reshape(len(R), 27),
        "translation": (middle - torch.tensor([0.0, 0.0, 1000.0])) / 10.0,
    }
    return {name: heads[name].float() for name in scene().layout.heads}


def test_the_truth_costs_nothing_and_draws_the_photo() -> None:
    batch = faces()
    terms = head_terms(perfect_heads(batch), batch, costs())
    for name in ("true_identity", "true_expression", "true_albedo", "true_light", "true_pose", "landmark"):
        assert float(terms[name]) < 1e-4, name
    assert float(terms["photometric"]) / 1.9 < 0.03
    zeros = {name: torch.zeros_like(head) for name, head in perfect_heads(batch).items()}
    worse = head_terms(zeros, batch, costs())
    for name in ("true_identity", "true_pose", "landmark", "photometric", "true_light"):
        assert float(worse[name]) > 5 * float(terms[name]) + 0.01, name


def test_the_augmented_truth_costs_nothing_either() -> None:
    raw = RawBatch.from_faces(drawn_faces(symmetric_head(), COUNT, seed=2, size=SIZE, turn=0.15))
    from morphkit.training.viewing import viewed

    settings = replace(AugmentationSettings(), shift=0.0, scale=0.0, angle=25.0, occlusion=0.0)
    change = Augmentation.draw(settings, 3, 0, np.arange(COUNT))
    assert 0 < change.flip.sum() < COUNT
    batch = viewed(raw, change, SIZE, MirrorMap.of(symmetric_head()))
    terms = head_terms(perfect_heads(batch), batch, costs())
    for name in ("true_identity", "true_expression", "true_albedo", "true_light", "true_pose", "landmark"):
        assert float(terms[name]) < 1e-3, name
    assert float(terms["photometric"]) / 1.9 < 0.04


def test_rows_with_and_without_truth_add_up_to_what_each_costs() -> None:
    batch = faces()
    mixed = replace(batch, has_truth=torch.tensor([True, False, False, True]))
    heads = {name: 0.3 * head for name, head in perfect_heads(batch).items()}
    together = head_terms(heads, mixed, costs())
    rows = [
        head_terms({n: h[r : r + 1] for n, h in heads.items()}, mixed.take(torch.tensor([r])), costs())
        for r in range(COUNT)
    ]
    assert set(rows[1]) < set(rows[0]) == set(together)
    for name, value in together.items():
        mean = sum(row[name] for row in rows if name in row) / COUNT
        torch.testing.assert_close(value, mean, rtol=1e-4, atol=1e-6)
    alone = head_terms(heads, mixed, costs(LossSettings(perceptual=0.0, weak_on_truth=False)))
    for name in ("photometric", "landmark", "coefficient"):
        wanted = (rows[1][name] + rows[2][name]) / COUNT
        torch.testing.assert_close(alone[name], wanted, rtol=1e-4, atol=1e-6)


def test_every_head_has_a_gradient_and_attention_counts() -> None:
    batch = faces()
    heads = {name: torch.zeros_like(h, requires_grad=True) for name, h in perfect_heads(batch).items()}
    found = losses(lambda *_: heads, batch, costs())
    sum(found.terms.values()).backward()
    for name, head in heads.items():
        assert head.grad is not None
        assert bool(head.grad.abs().sum() > 0), name
    blind = replace(batch, attention=torch.zeros_like(batch.attention))
    assert float(head_terms(heads, blind, costs())["photometric"].detach()) == 0
    everywhere = replace(costs(), attention=False)
    assert float(head_terms(heads, blind, everywhere)["photometric"].detach()) > 0


def test_weights_come_from_the_settings() -> None:
    settings = LossSettings(preset="deng2019", landmark=0.5, supervised=2.0, true_pose=0.25)
    assert settings.weights == replace(EnergyWeights.preset("deng2019"), landmark_weight=0.5)
    usual = SupervisedWeights()
    assert supervised_weights(settings) == SupervisedWeights(
        2 * usual.identity, 2 * usual.expression, 2 * usual.albedo, 2 * usual.light, 0.5
    )


def test_ruler_measures_after_the_best_similarity() -> None:
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(3, 50, 3, generator=rng, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, 3, generator=rng, dtype=torch.float64)).Q
    turn = turn * torch.det(turn)[:, None, None]
    moved = 1.7 * points @ turn.transpose(1, 2) + 4.0
    torch.testing.assert_close(aligned(points, moved), moved)
    from morphkit.geometry.procrustes import fit_similarity

    noisy = moved + torch.randn(moved.shape, generator=rng, dtype=torch.float64)
    found = aligned(points, noisy)
    for row in range(3):
        wanted = fit_similarity(points[row].numpy(), noisy[row].numpy()).apply(points[row].numpy())
        np.testing.assert_allclose(found[row].numpy(), wanted)
    ruler = IdentityRuler.of(symmetric_head(), "cpu")
    identity = torch.randn(2, 6, generator=rng)
    assert float(ruler.errors(identity, identity).max()) < 1e-4
    assert bool((ruler.errors(torch.zeros(2, 6), identity) > 0.5).all())


@pytest.mark.parametrize("name", ["deng-paper", "deep3d-tf", "deep3d-pt"])
def test_other_layouts_have_the_same_terms(name: str) -> None:
    model = symmetric_head()
    layout = OutputLayout.preset(name, model, SIZE)  # type: ignore[arg-type]
    other = FaceScene.from_morphable(model, layout)
    made = replace(costs(), scene=other, metrics=TruthMetrics.from_morphable(model, layout))
    heads = {name: torch.zeros(COUNT, n, requires_grad=True) for name, n in layout.heads.items()}
    terms = head_terms(heads, faces(), made)
    assert {"photometric", "landmark", "true_identity", "true_pose"} <= set(terms)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    # their light multiplies sRGB codes, the truth's is radiance
    assert set(costs().names) - set(made.names) == {"true_light"}
    assert set(terms) <= set(made.names)
    assert made.metrics is not None
    assert made.metrics.shading == "display"


def task(batch: Batch, cost: Costs) -> SimpleNamespace:
    """As much of R-Net's task as a validation needs."""
    return SimpleNamespace(
        data=SimpleNamespace(held_out=SimpleNamespace(describe=lambda place: f"photo {place}")),
        network=SimpleNamespace(r_net=SimpleNamespace(head_sizes={"identity": 6})),
        device=torch.device("cpu"),
        costs=cost,
        ruler=IdentityRuler.of(symmetric_head(), "cpu"),
        _held_out=lambda _: [batch],
    )


def test_the_best_is_chosen_by_the_truth_only_where_training_uses_it() -> None:
    batch = faces()
    heads = {name: 0.5 * head for name, head in perfect_heads(batch).items()}
    for cost, by in ((costs(), "identity_ratio"), (replace(costs(), metrics=None), "total")):
        asked = task(batch, cost)
        sums = RNetTask.validation_sums(asked, lambda *_: heads)  # type: ignore[arg-type]
        found = RNetTask.validation(asked, sums)  # type: ignore[arg-type]
        assert found.score == found.values[by]
        assert 0 < found.values["identity_ratio"] < 1
        assert found.values["total"] == pytest.approx(sum(found.values[n] for n in cost.names), rel=1e-6)
        assert found.values["total"] != pytest.approx(found.values["identity_ratio"], rel=1e-3)
        assert found.extras["identity_deviation"].shape == (6,)


@pytest.mark.parametrize(("name", "value"), [("identity", np.nan), ("rotation", np.inf)])
def test_held_out_photos_without_a_finite_prediction_are_named(name: str, value: float) -> None:
    batch = replace(faces(), places=torch.tensor([20, 21, 22, 23]))
    heads = {head: numbers.clone() for head, numbers in perfect_heads(batch).items()}
    heads[name][1:3, 0] = value
    with pytest.raises(NotFiniteError) as caught:
        RNetTask.validation_sums(task(batch, costs()), lambda *_: heads)  # type: ignore[arg-type]
    said = f"The network's {name} is not finite on held-out photos (photo 21; photo 22); start another run"
    assert str(caught.value).startswith(said)


def test_a_gpu_without_nvdiffrast_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, cuda = LoopSettings(steps=1), torch.device("cuda")
    monkeypatch.setattr("morphkit.training.r_net_task.find_spec", lambda _: None)
    with pytest.warns(UserWarning, match="nvdiffrast, faster on a GPU, is not installed"):
        assert chosen_rasterizer(settings, cuda) == "torch"
    assert chosen_rasterizer(replace(settings, rasterizer="torch"), cuda) == "torch"
    assert chosen_rasterizer(settings, torch.device("cpu")) == "numba"
    monkeypatch.setattr("morphkit.training.r_net_task.find_spec", lambda name: name)
    assert chosen_rasterizer(settings, cuda) == "nvdiffrast"
