"""An R-Net in ONNX: the same numbers as in torch, for any number of crops."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from fitting_head import POINTS68, small_head
from torch import nn

from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.training import onnx as ours
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.landmark_solve import LandmarkSolve
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import save_network
from morphkit.training.onnx import export_onnx

SIZE = 64
HEADS = {"identity": 5, "light": 27, "translation": 3}
META = {"preset": "morphkit", "size": SIZE, "model_digest": "abc", "config": "{}", "identity_deviation": None}


def test_onnx_gives_torchs_numbers(tmp_path, rng):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = RNet(18, HEADS)
    for head in network.heads.values():
        nn.init.normal_(head.weight, std=0.1)
        nn.init.normal_(head.bias)
    network(torch.rand(4, 3, SIZE, SIZE))
    save_network(tmp_path / "r.pt", network, META)
    export_onnx(tmp_path / "r.pt", tmp_path / "r.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.onnx", "r.pt"]

    session = runtime.InferenceSession(str(tmp_path / "r.onnx"), providers=["CPUExecutionProvider"])
    (only,) = session.get_inputs()
    assert (only.name, only.shape[1:], only.type) == ("srgb", [SIZE, SIZE, 3], "tensor(float)")
    assert [output.name for output in session.get_outputs()] == list(HEADS)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["heads"]) == HEADS
    assert (told["preset"], told["size"], told["model_digest"]) == ("morphkit", str(SIZE), "abc")
    for batch in (1, 3):
        pictures = rng.uniform(size=(batch, SIZE, SIZE, 3)).astype(np.float32)
        found = dict(zip(HEADS, session.run(None, {"srgb": pictures}), strict=True))
        with torch.no_grad():
            heads = network.eval()(torch.from_numpy(pictures).permute(0, 3, 1, 2)).heads
        for name, expected in heads.items():
            assert np.allclose(found[name], expected.numpy(), rtol=0, atol=1e-4), name
            assert np.abs(found[name]).max() > 0.1


def test_a_guided_network_gives_torchs_numbers(tmp_path, rng):
    """Where ONNX has no way to solve equations, they are solved all the same."""
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    runtime = pytest.importorskip("onnxruntime")
    model = small_head(8, 3, 2)
    layout = OutputLayout.preset("morphkit", model, SIZE)
    torch.manual_seed(0)
    network = RNet(18, layout.heads, guided=True).eval()
    network.guide.solve = LandmarkSolve.from_model(model, 8, 3)
    for head in network.heads.values():
        nn.init.normal_(head.weight, std=0.01)
    save_network(tmp_path / "r.pt", network, META)
    export_onnx(tmp_path / "r.pt", tmp_path / "r.onnx")
    session = runtime.InferenceSession(str(tmp_path / "r.onnx"), providers=["CPUExecutionProvider"])
    pictures = rng.uniform(size=(3, SIZE, SIZE, 3)).astype(np.float32)
    points = SIZE * (0.5 + rng.normal(0, 0.02, (3, 68, 2)) + POINTS68 * [1, -1] / 220).astype(np.float32)
    points[0, 5] = np.nan
    found = session.run(None, {"srgb": pictures, "landmarks": points})
    with torch.no_grad():
        heads = network(torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(points)).heads
    for expected, value in zip(heads.values(), found, strict=True):
        assert np.allclose(value, expected.numpy(), rtol=0, atol=1e-3)


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    known = {"onnx": True, "onnxscript": True}
    monkeypatch.setattr(ours, "find_spec", lambda name: known.get(name) or None)
    save_network(tmp_path / "c.pt", CNet(5, 64, 512), META | {"r_net_digest": "f0"})
    with pytest.raises(BadInputError, match="a C-Net, which needs R-Net's features"):
        export_onnx(tmp_path / "c.pt", tmp_path / "c.onnx")
    known["onnxscript"] = False
    with pytest.raises(MissingDependencyError, match=r'onnxscript, .*pip install "morphkit-3dmm\[onnx\]"'):
        export_onnx(tmp_path / "c.pt", tmp_path / "c.onnx")
    assert importlib.util.find_spec("morphkit.training.onnx") is not None
    assert not (tmp_path / "c.onnx").exists()
