"""`morphkit train` and `train-cnet`: what they leave, what they refuse, how they go on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from training_files import write_training_files

from morphkit.cli import main
from morphkit.errors import BadInputError
from morphkit.training.batch import Batch
from morphkit.training.c_net_task import _earlier as start_of_c_net
from morphkit.training.checkpoint import CheckpointFolder, load_checkpoint, save_checkpoint
from morphkit.training.config import TrainConfig
from morphkit.training.config_files import read_config
from morphkit.training.guard import sentence
from morphkit.training.log import read_rows
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.outputs import OutputLayout
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import load_network, network_digest, save_network
from morphkit.training.r_net_task import FaceData, RNetTask
from morphkit.training.r_net_task import _earlier as start_of_r_net

STEPS = 8  # 4 an epoch


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def trajectory(folder: Path) -> list[dict[str, str]]:
    rows = [*read_rows(folder / "metrics.csv"), *read_rows(folder / "validation.csv")]
    return [{key: value for key, value in row.items() if key != "photos_per_second"} for row in rows]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_files(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def trained(config: Path) -> Path:
    """The folder of a run that nothing disturbed."""
    result = run("train", config, "-o", config.parent / "run", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["steps"] == STEPS
    assert said["validation"]["identity_ratio"] > 0
    assert said["best"] == str(config.parent / "run" / "best.pt")
    assert said["best_step"] == STEPS
    return config.parent / "run"


@pytest.mark.usefixtures("trained")
def test_a_run_leaves_the_process_as_it_was() -> None:
    """Tiny numbers count as zero only meanwhile: LAPACK and k-d trees break without them."""
    assert (torch.tensor([1e-310], dtype=torch.float64) * 1.0).item() > 0.0


def test_a_run_leaves_weights_logs_panels_and_a_page(trained: Path) -> None:
    rows = read_rows(trained / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    assert float(rows[0]["true_identity"]) > 0
    assert float(rows[0]["photometric"]) > 0
    assert sorted(path.name for path in (trained / "panels").iterdir()) == ["step-00000008.png"]
    page = (trained / "report.html").read_text()
    assert "training.learning_rate" in page
    assert "data:image" in page
    assert "Training losses" in page
    assert "best.pt those that did best on held-out people, of step 8." in page
    assert isinstance(load_network(trained / "best.pt")[0], RNet)
    network, meta = load_network(trained / "weights.pt")
    assert isinstance(network, RNet)
    assert meta["size"] == 32
    assert len(meta["identity_deviation"]) == network.head_sizes["identity"]
    assert json.loads(meta["config"])["training"]["batch"] == 4
    last = load_checkpoint(CheckpointFolder(trained / "checkpoints").path(STEPS))
    assert last.average is not None
    averaged = {name.removeprefix("r_net."): value for name, value in last.average["values"].items()}
    torch.testing.assert_close(dict(network.state_dict()), averaged, rtol=0, atol=0)


def interrupted(config: Path, folder: Path) -> Result:
    """Train until Ctrl-C comes in the third step."""
    plain = RNetTask.batches

    def batches(self: RNetTask, start: int, stop: int) -> Iterator[Batch]:
        for number, batch in enumerate(plain(self, start, stop), start):
            if number == 2:
                signal.raise_signal(signal.SIGINT)
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RNetTask, "batches", batches)
        return run("train", config, "-o", folder)


KILLED = """
import os, signal, sys
from morphkit.cli import main
from morphkit.training.r_net_task import RNetTask
plain = RNetTask.batches
def batches(self, start, stop):
    for number, batch in enumerate(plain(self, start, stop), start):
        if number == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
RNetTask.batches = batches
main(sys.argv[1:])
"""


def killed(config: Path, folder: Path) -> int:
    """Go on in a process of its own, which kills itself in its seventh step; return its code."""
    command = [sys.executable, "-c", KILLED, "train", str(config), "-o", str(folder), "--resume"]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_interrupted_killed_and_resumed_it_is_the_same_run(
    config: Path, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    stopped = interrupted(config, folder)
    assert stopped.exit_code == 130, stopped.output
    assert "Interrupted." in stopped.stderr
    assert CheckpointFolder(folder / "checkpoints").steps() == [3]
    refused = run("train", config, "-o", folder)
    assert refused.exit_code == 2
    assert "go on with --resume" in refused.stderr
    assert killed(config, folder) == -signal.SIGKILL
    assert CheckpointFolder(folder / "checkpoints").steps() == [3, 5]
    assert len(read_rows(folder / "metrics.csv")) == 6  # one more than the checkpoint knows of
    done = run("train", config, "-o", folder, "--resume")
    assert done.exit_code == 0, done.output
    assert trajectory(folder) == trajectory(trained)
    for name, value in load_network(folder / "weights.pt")[0].state_dict().items():
        assert torch.equal(value, load_network(trained / "weights.pt")[0].state_dict()[name]), name


def test_c_net_trains_on_sets_of_people(config: Path, trained: Path) -> None:
    result = run("train-cnet", config.parent / "c-net.toml", "-o", config.parent / "c-net", "--json")
    assert result.exit_code == 0, result.output
    folder = config.parent / "c-net"
    assert {"aggregate_error_mm", "average_error_mm"} <= set(json.loads(result.stdout)["validation"])
    network, meta = load_network(folder / "weights.pt")
    assert isinstance(network, CNet)
    assert float(network.last.weight.detach().abs().mean()) > 1e-6  # it starts at zero; a step is 2e-5
    r_net, of_r_net = load_network(trained / "weights.pt")
    assert meta["model_digest"] == of_r_net["model_digest"]
    assert meta["r_net_digest"] == network_digest(r_net)
    assert (folder / "report.html").is_file()

    last = CheckpointFolder(folder / "checkpoints").path(2)
    for start in (last, folder / "weights.pt"):
        again = start_of_c_net(start, network.k, network.channels, meta["r_net_digest"])
        torch.testing.assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)
        with pytest.raises(BadInputError, match="trained on the features of another R-Net"):
            start_of_c_net(start, network.k, network.channels, "another")
    wrong = CheckpointFolder(trained / "checkpoints").path(STEPS)
    with pytest.raises(BadInputError, match="holds another kind of network"):
        start_of_c_net(wrong, network.k, network.channels, meta["r_net_digest"])

    with torch.no_grad():
        r_net.heads["identity"].bias[0] += 1.0
    del of_r_net["depth"], of_r_net["heads"], of_r_net["guided"]
    save_network(config.parent / "anew.pt", r_net, of_r_net)
    options = ("-o", folder, "--resume", "--set", f"network.r_net={config.parent / 'anew.pt'}")
    refused = run("train-cnet", config.parent / "c-net.toml", *options)
    assert refused.exit_code == 2
    assert "is of a run with another R-Net" in refused.stderr


def test_a_run_starts_from_a_checkpoint_as_the_guard_says(
    config: Path, trained: Path, tmp_path: Path
) -> None:
    last = CheckpointFolder(trained / "checkpoints").path(STEPS)
    told = re.search(r'--set "(network\.initial=.*?)"', sentence("total", 8, ["a.jpg"], str(last)))
    assert told is not None

    def start(*overrides: str) -> RNet:
        settings = read_config(config, TrainConfig, (told[1], *overrides))
        data = FaceData.open(settings.data, settings.model)
        layout = OutputLayout.preset(settings.network.preset, data.model, settings.network.size)
        return start_of_r_net(last, settings, layout, data.digest)

    found, wanted = start("training.learning_rate=1e-5"), load_network(trained / "weights.pt")[0]
    torch.testing.assert_close(found.state_dict(), wanted.state_dict(), rtol=0, atol=0)
    for override, words in (
        ("network.depth=50", "another depth, preset, guide or model"),
        ("network.guided=false", "another depth, preset, guide or model"),
        ('network.preset="deep3d-pt"', "another depth, preset, guide or model"),
        ("model.identity=2", "must be"),
    ):
        with pytest.raises(BadInputError, match=words):
            start(override)
    run_before = load_checkpoint(last)
    last = tmp_path / "odd.ckpt"
    for odd, words in (({"data": {"train": 10**300}}, "more than 64 bits"), ({}, "is missing")):
        save_checkpoint(last, replace(run_before, config=odd))
        with pytest.raises(BadInputError, match=words):
            start()


def test_settings_are_printed_and_refused_in_one_sentence(
    config: Path, trained: Path, tmp_path: Path
) -> None:
    assert "[data]" in run("train", "--example").stdout
    assert "r_net" in run("train-cnet", "--example").stdout
    assert run("train").exit_code == 2
    out = tmp_path / "out"
    for options, words in (
        (("--set", "training.bach=2"), "did you mean training.batch?"),
        (("--set", "data.train=['nowhere']"), "holds no finished dataset"),
        (("--set", "model.path=none.h5"), "none.h5"),
        (("--set", "model.identity=99"), "model.identity is 99, but the model has"),
        (("--set", "network.initial=config.toml"), "config.toml"),
        (("--set", f"network.initial={trained / 'no.ckpt'}"), "There is no file"),
        (("--set", "training.precision=16-mixed"), "needs a GPU"),
        (("--set", "training.batch=19"), "training.batch is 19, but data.train holds 18 photos"),
    ):
        result = run("train", config, "-o", out, *options)
        assert result.exit_code == 2, (options, result.output)
        assert words in result.stderr
        assert result.stderr.strip().count("\n") == 0
        assert not (out / "checkpoints").exists()
    other = run("train", config, "-o", trained, "--resume", "--set", "training.seed=9")
    assert other.exit_code == 2
    assert "is of a run with other settings (training.seed); go on" in other.stderr


def test_a_damaged_checkpoint_is_refused(config: Path, tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path / "run" / "checkpoints").path(3)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 torn")
    result = run("train", config, "-o", tmp_path / "run", "--resume")
    assert result.exit_code == 2
    assert "step-00000003.ckpt: no file that torch wrote, or a damaged one" in result.stderr
    assert "the one before it serves once this file is moved away" in result.stderr


def test_settings_of_the_other_network_are_sent_to_its_command(tmp_path: Path) -> None:
    for example, given, wanted in (("train", "train-cnet", "train"), ("train-cnet", "train", "train-cnet")):
        path = tmp_path / f"{example}.toml"
        path.write_text(run(example, "--example").stdout)
        result = run(given, path)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"Error: {path}: unknown key network.")
        assert result.stderr.endswith(f" It may be meant for `morphkit {wanted}`, which reads it.\n")
