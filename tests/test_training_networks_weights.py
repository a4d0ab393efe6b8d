"""Networks in files: what is written is read, and nothing else is let in."""

from __future__ import annotations

import errno
import io
import os
import pickle
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from morphkit.errors import BadInputError, OutputError
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.resnet import Features, ResNet
from morphkit.training.networks.weights import load_network, network_digest, save_network

META = {
    "preset": "morphkit",
    "size": 64,
    "model_digest": "abc",
    "config": '{"a": 1}',
    "identity_deviation": [0.5, 0.25],
}
HEADS = {"identity": 2, "light": 27}


class Harmful:
    """Would make a file if it were ever unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


@pytest.fixture(scope="module")
def r_net() -> RNet:
    torch.manual_seed(0)
    network = RNet(18, HEADS)
    for head in network.heads.values():
        nn.init.normal_(head.weight)
    network(torch.rand(2, 3, 64, 64))  # so that running statistics aren't their first ones
    return network.eval()


@pytest.fixture(scope="module")
def saved(r_net: RNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    save_network(path, r_net, META)
    return path


def _message(path: Path, network: ResNet | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        load_network(path) if network is None else network.load_backbone(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_an_r_net_survives_its_file(r_net, saved):
    network, meta = load_network(saved)
    assert isinstance(network, RNet)
    assert meta == META | {"depth": 18, "heads": HEADS, "guided": False, "r_net_digest": None}
    assert not network.training
    picture = torch.rand(2, 3, 64, 64)
    before, after = r_net(picture), network(picture)
    assert all(torch.equal(before.heads[name], after.heads[name]) for name in HEADS)
    assert torch.equal(before.features.shallow, after.features.shallow)
    assert all(weight.requires_grad for weight in network.parameters())


def test_a_c_net_survives_its_file(tmp_path):
    torch.manual_seed(0)
    network = CNet(5, 64, 512)
    nn.init.normal_(network.last.weight)
    save_network(tmp_path / "c.pt", network, META | {"identity_deviation": None, "r_net_digest": "f0"})
    found, meta = load_network(tmp_path / "c.pt")
    assert isinstance(found, CNet)
    assert (meta["k"], meta["channels"], meta["identity_deviation"]) == (5, [64, 512], None)
    assert meta["r_net_digest"] == "f0"
    features = Features(torch.rand(2, 64, 8, 8), torch.rand(2, 512))
    assert torch.equal(found(features), network(features))


def test_the_file_holds_tensors_and_plain_values_alone(saved):
    values = torch.load(saved, weights_only=True)
    assert (values["format"], values["version"]) == ("morphkit-r-net", 2)
    assert {type(value) for value in values["state"].values()} == {torch.Tensor}


def test_meta_is_checked_when_written(r_net, tmp_path):
    for wrong, message in (
        ({"preset": "deng"}, "preset must be one of"),
        ({"size": 64.0}, "size must be a number of pixels, got 64.0"),
        ({"config": {}}, "config must be a text"),
        ({"identity_deviation": [-1.0]}, "identity_deviation must be"),
        ({"more": 1}, "meta must hold"),
        ({"r_net_digest": "f0"}, "r_net_digest must be a text of a C-Net, and None of an R-Net, got 'f0'"),
    ):
        with pytest.raises(ValueError, match=message):
            save_network(tmp_path / "x.pt", r_net, META | wrong)
    assert not list(tmp_path.iterdir())


def test_a_c_net_names_its_r_net(tmp_path):
    with pytest.raises(ValueError, match="r_net_digest must be a text"):
        save_network(tmp_path / "c.pt", CNet(5, 64, 512), META)
    assert not list(tmp_path.iterdir())


def test_the_digest_is_of_all_weights_and_of_nothing_else(r_net, saved):
    digest = network_digest(r_net)
    again = load_network(saved)[0]
    assert network_digest(again) == digest
    assert network_digest(again.train().to(memory_format=torch.channels_last)) == digest
    with torch.no_grad():
        again.heads["light"].bias[-1] += 1e-6
    assert network_digest(again) != digest
    again = load_network(saved)[0]
    again.backbone.bn1.running_mean[3] += 1.0
    assert network_digest(again) != digest


def test_a_network_has_memory_of_its_own(tmp_path, saved):
    """One number may stand for a whole tensor in a file; training writes into each."""
    values = torch.load(saved, weights_only=True)
    values["state"]["backbone.conv1.weight"] = torch.ones(1).expand(64, 3, 7, 7)
    torch.save(values, tmp_path / "thin.pt")
    network = load_network(tmp_path / "thin.pt")[0]
    with torch.no_grad():
        network.backbone.conv1.weight[0] += 1.0
    assert float(network.backbone.conv1.weight.detach().sum()) == (64 + 1) * 3 * 7 * 7


def test_a_full_disk_is_one_sentence(r_net, tmp_path, monkeypatch):
    def full(self: Path, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"Could not write .*w\.pt: the disk is full"):
        save_network(tmp_path / "w.pt", r_net, META)


def test_the_torch_that_is_asked_for_reads_weights_safely():
    """Until 2.10 a file could run code in spite of `weights_only`: CVE-2025-32434, CVE-2026-24747."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    (asked,) = (one for one in tomllib.loads(text)["project"]["dependencies"] if one.startswith("torch"))
    assert tuple(map(int, asked.removeprefix("torch>=").split("."))) >= (2, 10)


def test_no_code_is_run(tmp_path):
    target = tmp_path / "made"
    for writer in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        for value in (Harmful(target), {"format": "morphkit-r-net", "state": Harmful(target)}):
            writer(value, tmp_path / "bad.pt")
            _message(tmp_path / "bad.pt")
            _message(tmp_path / "bad.pt", ResNet(18))
    assert not target.exists()


def test_other_files_are_refused(tmp_path, saved):
    assert _message(tmp_path / "missing.pt") == f"There is no file {tmp_path / 'missing.pt'}; check the path."
    assert "a folder" in _message(tmp_path)
    (tmp_path / "text.pt").write_text("hello " * 99)
    assert "no file that torch wrote" in _message(tmp_path / "text.pt")
    (tmp_path / "empty.pt").touch()
    assert "no file that torch wrote" in _message(tmp_path / "empty.pt")
    torch.save({"epoch": 3, "model": {"w": torch.zeros(3)}}, tmp_path / "other.pt")
    assert "no network of morphkit" in _message(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    assert "no network of morphkit" in _message(tmp_path / "list.pt")
    torch.save({"format": "morphkit-checkpoint", "version": 2}, tmp_path / "best.ckpt")
    assert "give weights.pt or best.pt from the run's folder" in _message(tmp_path / "best.ckpt")


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_truncated_files_are_refused(tmp_path, saved, share):
    whole = saved.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    _message(tmp_path / "cut.pt")
    _message(tmp_path / "cut.pt", ResNet(18))


def test_packed_archives_are_not_unpacked(tmp_path, saved):
    """A kilobyte that unpacks to a hundred megabytes, in the place of a tensor."""
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for part in source.infolist():
            content = source.read(part)
            target.writestr(part.filename, bytes(10**8) if part.filename.endswith("data/0") else content[:99])
    assert bomb.stat().st_size < 10**6
    assert "a packed archive" in _message(bomb)
    assert "a packed archive" in _message(bomb, ResNet(18))


def test_tensors_larger_than_their_storage_are_refused(tmp_path, saved):
    """A part of the archive is cut short, the archive itself is whole."""
    short = tmp_path / "short.pt"
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(short, "w") as target:
        for part in source.infolist():
            content = source.read(part)
            target.writestr(part.filename, content[:8] if len(content) > 10**6 else content)
    _message(short)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 1}, "written by another version of morphkit, with format 1 of which this one reads 2"),
        ({"depth": 34}, "depth is 34"),
        ({"heads": {"identity": 10**9}}, "heads are {'identity': 1000000000}"),
        ({"heads": {"identity": True}}, "heads are"),
        ({"preset": "deng"}, "preset must be one of"),
        ({"identity_deviation": ["x"]}, "identity_deviation must be"),
        ({"extra": 1}, "'extra' is unknown"),
        ({"size": None}, "size must be"),
        ({"heads": {"identity": 3, "light": 27}}, r"heads.identity.weight must be (3, 512), got (2, 512)"),
    ],
)
def test_files_that_are_not_what_they_say_are_refused(tmp_path, saved, changes, message):
    values = torch.load(saved, weights_only=True) | changes
    torch.save(values, tmp_path / "odd.pt")
    assert message in _message(tmp_path / "odd.pt")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("backbone.conv1.weight", None, "backbone.conv1.weight is missing"),
        ("backbone.conv1.weight", torch.zeros(2), "must be (64, 3, 7, 7), got (2,)"),
        ("backbone.bn1.bias", torch.full((64,), float("nan")), "holds a number that is not finite"),
        ("backbone.bn1.bias", torch.zeros(64, dtype=torch.int32), "must be torch.float32, got torch.int32"),
        ("backbone.more", torch.zeros(1), "backbone.more is not one of its weights"),
        ("backbone.bn1.bias", 3.0, "no mapping from names to tensors"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, saved, name, value, message):
    values = torch.load(saved, weights_only=True)
    values["state"] = {k: v for k, v in values["state"].items() if k != name}
    if value is not None:
        values["state"][name] = value
    torch.save(values, tmp_path / "odd.pt")
    assert message in _message(tmp_path / "odd.pt")


def _imagenet(depth: int = 18) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state = dict(ResNet(depth).state_dict())
    return state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_backbone_takes_on_torchvisions_weights(tmp_path, legacy):
    state = _imagenet()
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "resnet18.pth", _use_new_zipfile_serialization=not legacy)
    torch.manual_seed(2)
    network = ResNet(18)
    network.load_backbone(tmp_path / "resnet18.pth")
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_weights_saved_from_several_gpus_are_taken_too(tmp_path):
    state = _imagenet()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "resnet18.pth")
    network = ResNet(18)
    network.load_backbone(tmp_path / "resnet18.pth")
    assert torch.equal(network.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_another_networks_weights_are_refused(tmp_path):
    torch.save(_imagenet(), tmp_path / "resnet18.pth")
    message = _message(tmp_path / "resnet18.pth", ResNet(50))
    assert "torchvision's state dict of a resnet50 is needed" in message
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "part.pth")
    assert "bn1.weight is missing" in _message(tmp_path / "part.pth", ResNet(18))


def test_what_is_saved_is_no_larger_than_its_weights(r_net, saved):
    buffer = io.BytesIO()
    torch.save(r_net.state_dict(), buffer)
    assert saved.stat().st_size < 1.01 * buffer.tell()
