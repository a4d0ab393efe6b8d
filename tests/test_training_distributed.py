"""Two processes under torchrun, with gloo, come to what one comes to at the same global batch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from training_files import write_training_files
from training_toy import run_toy

from morphkit.cli import main
from morphkit.training.checkpoint import CheckpointFolder, load_checkpoint
from morphkit.training.config import LoopSettings, OutputSettings
from morphkit.training.log import read_rows

TWO = LoopSettings(
    epochs=2, batch=2, accumulate=2, learning_rate=0.02, ema=0.8, seed=5, accelerator="cpu", gradient_clip=0.5
)
ONE = replace(TWO, batch=4)
STEPS = 6
SELDOM = OutputSettings(log_every=2, checkpoint_every=99)

SHORT = ["--set", "training.steps=3", "--set", "training.schedule=constant"]

SCRIPT = f"""
import math, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from morphkit.cli import main
from morphkit.training.guard import NotFiniteError
from test_training_distributed import SELDOM, SHORT, TWO
from training_toy import run_toy

folder = Path(sys.argv[1])
run_toy(folder / "two", TWO, norm=False)
try:
    run_toy(folder / "stopped", TWO, norm=False, output=SELDOM, stop_at=(2, signal.SIGINT))
except KeyboardInterrupt:
    run_toy(folder / "stopped", TWO, norm=False, output=SELDOM, resume=True)
try:
    run_toy(folder / "trouble", TWO, norm=False, trouble=math.nan)
except NotFiniteError as error:
    (folder / f"said-{{os.environ['RANK']}}.txt").write_text(str(error))
config, out = str(folder / "config.toml"), str(folder / "r2")
main(["train", config, "-o", out, *SHORT, "--set", "training.batch=2"], standalone_mode=False)
"""


@dataclass(frozen=True)
class Launched:
    """What two processes wrote and said."""

    folder: Path
    said: str


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Launched:
    folder = tmp_path_factory.mktemp("processes")
    write_training_files(folder)
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launch, str(folder / "script.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Launched(folder, done.stdout)


def numbers(row: dict[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if name != "photos_per_second"}


def assert_same_logs(one: Path, two: Path, tolerance: float) -> None:
    for name in ("metrics.csv", "validation.csv"):
        for a, b in zip(read_rows(one / name), read_rows(two / name), strict=True):
            assert numbers(b) == pytest.approx(numbers(a), rel=tolerance, abs=1e-6)


def test_two_processes_are_one_with_twice_the_batch(launched: Launched) -> None:
    folder = launched.folder
    run_toy(folder / "one", ONE, norm=False)
    one, two = (
        load_checkpoint(CheckpointFolder(folder / n / "checkpoints").path(STEPS)) for n in ("one", "two")
    )
    torch.testing.assert_close(dict(two.network), dict(one.network), rtol=1e-5, atol=1e-6)
    assert two.average is not None
    assert one.average is not None
    torch.testing.assert_close(two.average["values"], one.average["values"], rtol=1e-5, atol=1e-6)
    assert_same_logs(folder / "one", folder / "two", 1e-5)


def test_a_row_of_the_log_that_a_stop_cut_in_two_is_the_mean_of_all_processes(launched: Launched) -> None:
    folder = launched.folder
    assert CheckpointFolder(folder / "stopped" / "checkpoints").steps() == [3, 6]
    run_toy(folder / "seldom", ONE, norm=False, output=SELDOM)
    assert_same_logs(folder / "seldom", folder / "stopped", 1e-5)


def test_what_one_process_finds_not_finite_all_stop_at(launched: Launched) -> None:
    said = [(launched.folder / f"said-{rank}.txt").read_text() for rank in range(2)]
    assert said[0] == said[1]
    assert said[0].startswith("The square term is not finite at step")
    assert "photo 7" in said[0]
    assert CheckpointFolder(launched.folder / "trouble" / "checkpoints").latest() is not None


def test_r_net_of_two_processes_is_that_of_one(launched: Launched) -> None:
    """With batch normalisation over both, augmentation, and rows with truth."""
    folder = launched.folder
    alone = CliRunner().invoke(main, ["train", str(folder / "config.toml"), "-o", str(folder / "r1"), *SHORT])
    assert alone.exit_code == 0, alone.output
    assert launched.said.count("3 steps") == 1
    assert_same_logs(folder / "r1", folder / "r2", 2e-4)
