"""`morphkit train` and `train-cnet`: what they leave, what they refuse, how they go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from training_files import write_training_files

from morphkit.cli import main
from morphkit.training.batch import Batch
from morphkit.training.checkpoint import CheckpointFolder, load_checkpoint
from morphkit.training.log import read_rows
from morphkit.training.networks.c_net import CNet
from morphkit.training.networks.r_net import RNet
from morphkit.training.networks.weights import load_network
from morphkit.training.r_net_task import RNetTask

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


def killed(config: Path, folder: Path, rows: int) -> int:
    """Go on in a process of its own, kill it when so many steps are logged, and return its code."""
    command = [sys.executable, "-m", "morphkit", "train", str(config), "-o", str(folder), "--resume"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(read_rows(folder / "metrics.csv")) < rows:
        time.sleep(0.01)
    process.kill()
    return process.wait()


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
    assert killed(config, folder, 4) == -signal.SIGKILL
    assert CheckpointFolder(folder / "checkpoints").steps()[-1] < STEPS
    assert len(read_rows(folder / "metrics.csv")) < STEPS
    done = run("train", config, "-o", folder, "--resume")
    assert done.exit_code == 0, done.output
    assert trajectory(folder) == trajectory(trained)
    for name, value in load_network(folder / "weights.pt")[0].state_dict().items():
        assert torch.equal(value, load_network(trained / "weights.pt")[0].state_dict()[name]), name


def test_c_net_trains_on_sets_of_people(config: Path, trained: Path) -> None:
    result = run("train-cnet", config.parent / "c-net.toml", "-o", config.parent / "c-net", "--json")
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)["validation"]
    assert values["aggregate_error_mm"] == pytest.approx(values["average_error_mm"], rel=0.01)
    network, meta = load_network(config.parent / "c-net" / "weights.pt")
    assert isinstance(network, CNet)
    assert meta["model_digest"] == load_network(trained / "weights.pt")[1]["model_digest"]
    assert (config.parent / "c-net" / "report.html").is_file()


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
        (("--set", "training.precision=16-mixed"), "needs a GPU"),
    ):
        result = run("train", config, "-o", out, *options)
        assert result.exit_code == 2, (options, result.output)
        assert words in result.stderr
        assert result.stderr.strip().count("\n") == 0
        assert not (out / "checkpoints").exists()
    other = run("train", config, "-o", trained, "--resume", "--set", "training.seed=9")
    assert other.exit_code == 2
    assert "is of a run with other settings" in other.stderr


def test_a_damaged_checkpoint_is_refused(config: Path, tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path / "run" / "checkpoints").path(3)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 torn")
    result = run("train", config, "-o", tmp_path / "run", "--resume")
    assert result.exit_code == 2
    assert "is no checkpoint, or a damaged one" in result.stderr
