"""Batch normalisation over processes: two of them against one at the same global batch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.synced_norm import SyncedBatchNorm2d, synced

PARTS = ((0, 2), (2, 6))  # of six pictures, unevenly


def _network() -> nn.Module:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4, momentum=0.3)
    ).double()
    for norm in (network[1], network[4]):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    return network


def _pictures() -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return 3 * torch.rand(6, 3, 9, 8, generator=generator, dtype=torch.float64) + 40


def _step(network: nn.Module, pictures: Tensor) -> dict[str, Tensor]:
    """Return all that a step makes; the loss is a sum over pictures, so that processes' gradients add."""
    pictures = pictures.clone().requires_grad_()
    out = network(pictures)
    (out**3 + out.sin()).sum().backward()
    gradients = {f"grad {name}": weight.grad for name, weight in network.named_parameters()}
    return {"out": out.detach(), "by pictures": pictures.grad, **gradients, **network.state_dict()}


def _work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", len(PARTS))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=len(PARTS))
    first, last = PARTS[rank]
    torch.save(_step(synced(_network()), _pictures()[first:last]), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_work, (str(tmp_path),), nprocs=len(PARTS))
    a, b = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(len(PARTS)))
    whole = _step(_network(), _pictures())
    for name, expected in whole.items():
        if name in ("out", "by pictures"):
            found = torch.cat([a[name], b[name]])
        elif name.startswith("grad "):
            found = a[name] + b[name]
        else:  # weights, running statistics and the count of batches are the same in both
            assert torch.equal(a[name], b[name]), name
            found = a[name]
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9), name
    assert whole["1.running_mean"].any()
    assert whole["4.num_batches_tracked"] == 1


def test_in_one_process_it_is_batch_normalisation():
    plain, own = _network(), synced(_network())
    assert isinstance(own[1], SyncedBatchNorm2d)
    expected, found = _step(plain, _pictures()), _step(own, _pictures())
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    plain.eval(), own.eval()
    assert torch.equal(own(_pictures()), plain(_pictures()))


def test_a_networks_weights_keep_names_and_values():
    torch.manual_seed(0)
    network = RNet(18, {"identity": 3})
    before, state = list(network.state_dict()), copy.deepcopy(network.state_dict())
    weight = network.backbone.bn1.weight
    assert synced(network) is network
    assert list(network.state_dict()) == before
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert network.backbone.bn1.weight is weight  # an optimizer made before still moves it
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20
    assert all(type(norm) is SyncedBatchNorm2d for norm in norms)


def test_on_gpus_torchs_own_is_taken():
    network = synced(RNet(18, {"identity": 3}), gpu=True)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in network.modules()) == 20


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept(training):
    assert synced(_network().train(training))[1].training is training
