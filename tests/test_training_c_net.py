"""C-Net's sets, its loss, and that it learns which photos not to trust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_files import write_dataset
from training_scene import drawn_faces, symmetric_head

from morphkit.errors import BadInputError
from morphkit.training.c_net_config import SetAugmentationSettings, SetLoopSettings
from morphkit.training.c_net_data import CORRUPTIONS, PeopleSets
from morphkit.training.c_net_step import Confidences, SetBatch, aggregated, set_losses
from morphkit.training.c_net_task import CNetTask
from morphkit.training.config import AugmentationSettings, LossSettings
from morphkit.training.loader import JoinedFaces
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet, RNetOutput
from morphkit.training.networks.resnet import Features
from morphkit.training.sampler import Order
from morphkit.training.scene import FaceScene
from morphkit.training.settings_tree import SettingError
from morphkit.training.step import Costs
from morphkit.training.truth import SupervisedWeights, TruthMetrics
from morphkit.training.validation import IdentityRuler
from morphkit.training.viewing import viewed

SIZE, PHOTOS = 32, 4
PLAIN = SetAugmentationSettings(**vars(AugmentationSettings.none()))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> JoinedFaces:
    folder = tmp_path_factory.mktemp("sets") / "data"
    write_dataset(folder, drawn_faces(symmetric_head(), 30, seed=3, size=SIZE, people=6), "d")
    return JoinedFaces.open([folder], "d", (6, 3, 4))


@pytest.fixture(scope="module")
def costs() -> Costs:
    model = symmetric_head()
    scene = FaceScene.from_morphable(model, OutputLayout.preset("morphkit", model, SIZE))
    metrics = TruthMetrics.from_morphable(model, scene.layout)
    only = SupervisedWeights(1.0, 0.0, 0.0, 0.0, 0.0)
    return Costs(scene, metrics, LossSettings(perceptual=0.0).weights, only, weak_on_truth=False)


class Seer(RNet):
    """A trained R-Net to the test: far off where a photo is spoilt, which its features show."""

    def __init__(self, truth: Tensor, spoilt: Tensor, layout: OutputLayout) -> None:
        nn.Module.__init__(self)
        self.truth, self.spoilt, self.sizes = truth, spoilt, dict(layout.heads)

    def forward(self, srgb: Tensor, _landmarks: Tensor | None = None) -> RNetOutput:
        generator = torch.Generator().manual_seed(int(self.spoilt.sum()))
        bad = self.spoilt.float()[:, None]
        noise = torch.randn(self.truth.shape, generator=generator)
        heads = {name: torch.zeros(len(srgb), n) for name, n in self.sizes.items()}
        heads["identity"] = self.truth + (0.3 + 1.2 * bad) * noise
        deep = torch.cat([bad, 1 - bad, torch.randn(len(srgb), 6, generator=generator)], dim=1)
        shallow = bad[:, :, None, None].expand(-1, 4, 8, 8)
        return RNetOutput(heads, Features(shallow.contiguous(), deep))


def seen(sets: PeopleSets, epoch: int, people: np.ndarray) -> SetBatch:
    raw = sets.sets(people, epoch, np.arange(len(people)), PLAIN)
    return SetBatch(viewed(raw.faces, raw.change, SIZE, None), raw.corrupted, raw.photos)


def test_sets_show_one_person_each_and_are_keyed(faces: JoinedFaces) -> None:
    sets = PeopleSets.of(faces, PHOTOS, 0.3, 7)
    assert len(sets.members) == 6
    one, other = (list(sets.batches(Order(6, 7, 2, world=2, rank=r), 0, 2, PLAIN)) for r in (0, 1))
    whole = list(sets.batches(Order(6, 7, 4), 0, 2, PLAIN))
    for a, b, both in zip(one, other, whole, strict=True):
        places = torch.cat([a.faces.places, b.faces.places])
        assert torch.equal(places, both.faces.places)
        assert torch.equal(torch.cat([a.corrupted, b.corrupted]), both.corrupted)
        assert torch.equal(torch.cat([a.change.gain, b.change.gain]), both.change.gain)
        people = faces.people[both.faces.places.numpy()].reshape(-1, PHOTOS)
        assert (people == people[:, :1]).all()
        rows = both.faces.places.reshape(-1, PHOTOS)
        assert all(len(set(row.tolist())) == PHOTOS for row in rows)


def test_as_many_photos_are_spoilt_as_asked_each_in_one_way(faces: JoinedFaces) -> None:
    sets = PeopleSets.of(faces, PHOTOS, 0.4, 1)
    batches = [sets.sets(np.arange(6), epoch, np.arange(6), PLAIN) for epoch in range(40)]
    spoilt = torch.cat([batch.corrupted for batch in batches]).float()
    assert float(spoilt.mean()) == pytest.approx(0.4, abs=0.05)
    ways = np.zeros(len(CORRUPTIONS))
    for batch in batches:
        change = batch.change
        signs = torch.stack(
            [
                change.blur > 0,
                change.gain[:, 0] < 0.5,
                change.noise > 0,
                (change.patches[:, 0, 2] > change.patches[:, 0, 0]),
                change.resolution < 1,
            ],
            dim=1,
        )
        assert torch.equal(signs.any(dim=1), batch.corrupted)
        assert (signs.sum(dim=1) <= 1).all()
        ways += signs.sum(dim=0).numpy()
    assert (ways > 0.1 * ways.sum()).all()


def test_people_with_one_photo_are_left_out(faces: JoinedFaces, tmp_path: Path) -> None:
    write_dataset(tmp_path / "alone", drawn_faces(symmetric_head(), 3, size=SIZE), "d")
    alone = JoinedFaces.open([tmp_path / "alone"], "d", (6, 3, 4))
    with pytest.raises(BadInputError, match="nobody is known to have two photos"):
        PeopleSets.of(alone, PHOTOS, 0.3, 0)
    with pytest.raises(SettingError, match="flip must be false"):
        SetAugmentationSettings(flip=True)
    with pytest.raises(SettingError, match="workers must be 0 for sets, which are read in place, got 2"):
        SetLoopSettings(steps=1, workers=2)


def test_an_untrained_network_averages_and_only_its_weights_have_gradients(
    faces: JoinedFaces, costs: Costs
) -> None:
    torch.manual_seed(0)
    layout = costs.scene.layout
    r_net = RNet(18, layout.heads).eval().requires_grad_(False)
    nn.init.normal_(r_net.heads["identity"].weight, std=0.1)
    module = Confidences(CNet(6, r_net.backbone.shallow_channels, r_net.deep_channels))
    batch = seen(PeopleSets.of(faces, PHOTOS, 0.3, 7), 0, np.arange(2))
    found = aggregated(r_net, module, batch)
    torch.testing.assert_close(found.identity, found.single.mean(dim=1))
    terms = set_losses(r_net, module, batch, costs).terms
    sum(terms.values()).backward()
    assert bool(module.c_net.last.weight.grad.abs().sum() > 0)
    assert all(parameter.grad is None for parameter in r_net.parameters())


def test_it_learns_which_photos_not_to_trust(faces: JoinedFaces, costs: Costs) -> None:
    torch.manual_seed(0)
    sets = PeopleSets.of(faces, PHOTOS, 0.35, 7)
    module = Confidences(CNet(6, 4, 8))
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    for epoch in range(40):
        batch = seen(sets, epoch, np.arange(6))
        assert batch.faces.truth is not None
        seer = Seer(batch.faces.truth.identity, batch.corrupted, costs.scene.layout)
        optimizer.zero_grad()
        sum(set_losses(seer, module, batch, costs).terms.values()).backward()
        optimizer.step()
    ruler = IdentityRuler.of(symmetric_head(), "cpu")
    errors = np.zeros(2)
    trust: list[tuple[float, float]] = []
    for epoch in range(100, 115):
        batch = seen(sets, epoch, np.arange(6))
        assert batch.faces.truth is not None
        truth = batch.faces.truth.identity
        found = aggregated(Seer(truth, batch.corrupted, costs.scene.layout), module, batch)
        first = truth[::PHOTOS]
        errors += [
            float(ruler.errors(identity.detach(), first).mean())
            for identity in (found.identity, found.single.mean(dim=1))
        ]
        mean = found.confidence.detach().mean(dim=2).flatten()
        trust.append((float(mean[batch.corrupted].mean()), float(mean[~batch.corrupted].mean())))
    assert errors[0] < 0.8 * errors[1]
    spoilt, clean = np.nanmean(trust, axis=0)
    assert spoilt < 0.6 * clean


def test_the_best_is_chosen_by_truth_only_where_truth_is_used(costs: Costs) -> None:
    sums = {name: torch.tensor(3.0) for name in (*costs.names, "aggregate", "average", "single", "count")}
    sums |= {"known": torch.tensor(2.0), "mean_face": torch.tensor(6.0)}
    sums |= dict.fromkeys(("clean", "corrupted", "clean_count", "corrupted_count"), torch.tensor(1.0))
    for used in (costs, replace(costs, metrics=None)):
        task = SimpleNamespace(costs=used)
        found = CNetTask.validation(task, sums)  # type: ignore[arg-type]
        assert found.values["aggregate_ratio"] == 0.5
        assert found.score == (0.5 if used is costs else float(len(used.names)))
