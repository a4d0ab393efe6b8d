"""C-Net: it starts as the average, knows no order, and trains nothing but itself."""

import pytest
import torch
from torch.autograd import gradcheck

from morphkit.training.networks.c_net import CNet, aggregate
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.resnet import Features


def _features(batch: int, seed: int = 0) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(
        torch.rand(batch, 64, 14, 14, generator=generator), torch.rand(batch, 512, generator=generator)
    )


def _woken(k: int = 7) -> CNet:
    torch.manual_seed(0)
    network = CNet(k, 64, 512)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    return network


def test_untrained_it_averages():
    torch.manual_seed(0)
    confidence = CNet(7, 64, 512)(_features(10))
    assert torch.equal(confidence, torch.full((10, 7), 0.5))
    coefficients = torch.rand(2, 5, 7, dtype=torch.float64)
    found = aggregate(confidence.double().reshape(2, 5, 7), coefficients)
    assert torch.allclose(found, coefficients.mean(dim=1), rtol=0, atol=1e-15)


def test_aggregation_by_hand():
    """Confidences 1 and 3: a quarter of 2 and three quarters of 10; 1 and 0: the first alone."""
    confidence = torch.tensor([[[1.0, 1.0], [3.0, 0.0]]])
    coefficients = torch.tensor([[[2.0, 5.0], [10.0, 99.0]]])
    assert aggregate(confidence, coefficients).tolist() == [[8.0, 5.0]]


def test_the_order_of_photos_is_nothing(rng):
    network = _woken()
    features, coefficients = _features(5), torch.rand(1, 5, 7)
    order = torch.from_numpy(rng.permutation(5))
    turned = Features(features.shallow[order], features.deep[order])
    a = aggregate(network(features)[None], coefficients)
    b = aggregate(network(turned)[None], coefficients[:, order])
    assert torch.allclose(a, b, atol=1e-6)
    assert network(features).std(dim=0).min() > 0


def test_aggregation_has_the_right_gradient(rng):
    confidence = torch.from_numpy(rng.uniform(0.1, 1, (2, 3, 4))).requires_grad_()
    coefficients = torch.from_numpy(rng.normal(size=(2, 3, 4))).requires_grad_()
    assert gradcheck(aggregate, (confidence, coefficients))


def test_gradients_reach_c_net_alone():
    torch.manual_seed(0)
    r_net = RNet(18, {"identity": 7})
    torch.nn.init.normal_(r_net.heads["identity"].weight)
    network = _woken()
    output = r_net(torch.rand(4, 3, 64, 64))
    shared = aggregate(network(output.features)[None], output.heads["identity"].detach()[None])
    (shared**2).sum().backward()
    assert all(weight.grad is None for weight in r_net.parameters())
    assert all(weight.grad.any() for weight in network.parameters())


@pytest.mark.parametrize(("channels", "count"), [((256, 2048), 3_000_000), ((64, 512), 1_750_000)])
def test_its_size_is_the_papers(channels, count):
    with torch.device("meta"):
        network = CNet(80, *channels)
    assert network.channels == channels
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(count, rel=0.05)


def test_small_crops_have_confidences_too():
    network = _woken()
    small = network(Features(torch.rand(2, 64, 4, 4), torch.rand(2, 512)))
    assert small.shape == (2, 7)
    assert ((small > 0) & (small < 1)).all()


def test_photos_that_all_are_bad_still_have_an_average():
    network = CNet(2, 64, 512)
    torch.nn.init.constant_(network.last.bias, -200.0)
    confidence = network(Features(torch.rand(3, 64, 8, 8), torch.rand(3, 512)))
    coefficients = torch.tensor([[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]])
    torch.testing.assert_close(aggregate(confidence[None], coefficients), torch.tensor([[2.0, 5.0]]))
