"""Two processes under torchrun, with gloo, come to what one comes to at the same global batch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_toy import run_toy

from morphkit.training.checkpoint import CheckpointFolder, load_checkpoint
from morphkit.training.config import LoopSettings
from morphkit.training.log import read_rows

TWO = LoopSettings(
    epochs=2, batch=2, accumulate=2, learning_rate=0.02, ema=0.8, seed=5, accelerator="cpu", gradient_clip=0.5
)
ONE = replace(TWO, batch=4)
STEPS = 6

CODE = """
import math, sys
from pathlib import Path
from test_training_distributed import TWO
from training_toy import run_toy
run_toy(Path(sys.argv[1]), TWO, norm=False, trouble=math.nan if sys.argv[2] == "trouble" else None)
"""


def torchrun(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = Path(str(arguments[0])).parent / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}")
    return subprocess.run(
        [*launch, str(script), *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


def test_two_processes_are_one_with_twice_the_batch(folder: Path) -> None:
    done = torchrun(CODE, folder / "two", "fine")
    assert done.returncode == 0, done.stderr
    run_toy(folder / "one", ONE, norm=False)
    one, two = (
        load_checkpoint(CheckpointFolder(folder / n / "checkpoints").path(STEPS)) for n in ("one", "two")
    )
    torch.testing.assert_close(dict(two.network), dict(one.network), rtol=1e-5, atol=1e-6)
    assert two.average is not None
    assert one.average is not None
    torch.testing.assert_close(two.average["values"], one.average["values"], rtol=1e-5, atol=1e-6)
    for name in ("metrics.csv", "validation.csv"):
        rows = [read_rows(folder / n / name) for n in ("one", "two")]
        for a, b in zip(*rows, strict=True):
            wanted = {key: float(value) for key, value in a.items() if key != "photos_per_second"}
            found = {key: float(value) for key, value in b.items() if key != "photos_per_second"}
            assert found == pytest.approx(wanted, rel=1e-5)


def test_what_one_process_finds_not_finite_all_stop_at(folder: Path) -> None:
    done = torchrun(CODE, folder / "trouble", "trouble")
    assert done.returncode != 0
    assert "NotFiniteError: The square term is not finite at step" in done.stderr
    assert "photo 7" in done.stderr
    assert CheckpointFolder(folder / "trouble" / "checkpoints").latest() is not None


R_NET = """
import sys
from morphkit.cli import main
main(["train", sys.argv[1], "-o", sys.argv[2], *sys.argv[3:]])
"""


def test_r_net_of_two_processes_is_that_of_one(folder: Path) -> None:
    """With batch normalisation over both, augmentation, and rows with truth."""
    from click.testing import CliRunner
    from training_files import write_training_files

    from morphkit.cli import main

    config = write_training_files(folder)
    short = ["--set", "training.steps=3", "--set", "training.schedule=constant"]
    done = torchrun(R_NET, config, folder / "r2", *short, "--set", "training.batch=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 steps") == 1
    alone = CliRunner().invoke(main, ["train", str(config), "-o", str(folder / "r1"), *short])
    assert alone.exit_code == 0, alone.output
    for name in ("metrics.csv", "validation.csv"):
        one, two = (read_rows(folder / run / name) for run in ("r1", "r2"))
        for a, b in zip(one, two, strict=True):
            wanted = {key: float(value) for key, value in a.items() if key != "photos_per_second"}
            found = {key: float(value) for key, value in b.items() if key != "photos_per_second"}
            assert found == pytest.approx(wanted, rel=2e-3, abs=1e-5)
