"""The backbone and R-Net: torchvision's names and shapes, and what zeros begin as."""

import pytest
import torch
from torch import nn

from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.resnet import ResNet


def _norm(name: str, n: int) -> dict[str, tuple[int, ...]]:
    values = {f"{name}.{part}": (n,) for part in ("weight", "bias", "running_mean", "running_var")}
    return values | {f"{name}.num_batches_tracked": ()}


def _torchvision(depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's resnet18 and resnet50, without fc, from the architecture."""
    state = {"conv1.weight": (64, 3, 7, 7)} | _norm("bn1", 64)
    counts, expansion = {18: ((2, 2, 2, 2), 1), 50: ((3, 4, 6, 3), 4)}[depth]
    inputs = 64
    for layer, count in enumerate(counts, 1):
        width = 64 << (layer - 1)
        for i in range(count):
            name = f"layer{layer}.{i}"
            if depth == 18:
                convolutions = [(width, inputs, 3, 3), (width, width, 3, 3)]
            else:
                convolutions = [(width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            for k, shape in enumerate(convolutions, 1):
                state |= {f"{name}.conv{k}.weight": shape} | _norm(f"{name}.bn{k}", shape[0])
            outputs = width * expansion
            if i == 0 and inputs != outputs:
                state |= {f"{name}.downsample.0.weight": (outputs, inputs, 1, 1)}
                state |= _norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    return state


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_176_512), (50, 23_508_032)])
def test_names_and_shapes_are_torchvisions(depth, parameters):
    with torch.device("meta"):
        network = ResNet(depth)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == _torchvision(depth)
    assert sum(weight.numel() for weight in network.parameters()) == parameters


def test_the_3x3_convolution_takes_the_stride():
    with torch.device("meta"):
        network = ResNet(50)
    for layer, stride in ((network.layer1, 1), (network.layer2, 2), (network.layer4, 2)):
        first = layer[0]
        assert first.conv1.stride == (1, 1)
        assert first.conv2.stride == (stride, stride)
        assert first.downsample[0].stride == (stride, stride)


@pytest.mark.parametrize(("depth", "shallow", "deep"), [(18, 64, 512), (50, 256, 2048)])
def test_features(depth, shallow, deep):
    torch.manual_seed(0)
    network = ResNet(depth).eval()
    with torch.no_grad():
        features = network(torch.rand(1, 3, 224, 224))
        small = network(torch.rand(2, 3, 64, 72))
    assert features.shallow.shape == (1, shallow, 28, 28)
    assert features.deep.shape == (1, deep)
    assert small.shallow.shape == (2, shallow, 8, 9)
    assert (network.shallow_channels, network.deep_channels) == (shallow, deep)
    assert features.deep.isfinite().all()


def test_shallow_features_are_the_first_layers_averaged():
    torch.manual_seed(0)
    network = ResNet(18).eval()
    seen = []
    network.layer1.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    features = network(torch.rand(1, 3, 64, 64))
    assert torch.equal(features.shallow, nn.functional.avg_pool2d(seen[0], 2))


def test_pictures_are_normalised_as_imagenets(monkeypatch):
    network = ResNet(18).eval()
    seen = []
    network.conv1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(torch.tensor([0.485 + 0.229, 0.456, 0.406 - 2 * 0.225]).reshape(1, 3, 1, 1).expand(1, 3, 32, 32))
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([1.0, 0.0, -2.0]), atol=1e-6)


def test_convolutions_start_after_he():
    torch.manual_seed(0)
    weight = ResNet(18).layer4[1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert abs(weight.mean().item()) < 1e-4


@pytest.mark.parametrize("depth", [18, 50])
def test_zero_gamma_makes_blocks_short_cuts(depth):
    torch.manual_seed(0)
    block = ResNet(depth, zero_gamma=True).layer1[1].eval()
    x = torch.rand(1, 64 if depth == 18 else 256, 8, 8)
    assert torch.equal(block(x), x)
    assert not torch.equal(ResNet(depth).layer1[1].eval()(x), x)


def test_r_net_starts_at_zeros_and_learns():
    torch.manual_seed(0)
    network = RNet(18, {"identity": 5, "translation": 3})
    output = network(torch.rand(2, 3, 64, 64))
    assert {name: tuple(head.shape) for name, head in output.heads.items()} == {
        "identity": (2, 5),
        "translation": (2, 3),
    }
    assert not any(head.any() for head in output.heads.values())
    assert (network.depth, network.head_sizes) == (18, {"identity": 5, "translation": 3})
    sum((head - 1).square().sum() for head in output.heads.values()).backward()
    assert all(head.weight.grad.any() for head in network.heads.values())
    names = [name for name in network.state_dict() if name.startswith("heads")]
    assert names == [
        f"heads.{name}.{part}" for name in ("identity", "translation") for part in ("weight", "bias")
    ]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="depth must be one of 18, 50, got 34"):
        ResNet(34)
    with pytest.raises(ValueError, match="heads must give at least one number each"):
        RNet(18, {})
    with pytest.raises(ValueError, match=r"heads must give at least one number each, got \{'light': 0\}"):
        RNet(18, {"light": 0})
