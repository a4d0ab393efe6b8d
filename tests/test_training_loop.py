"""The loop: it learns, it goes on where it was, and stops at what is not finite."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from training_toy import ToyTask, run_toy

from morphkit.errors import BadInputError
from morphkit.training.checkpoint import CheckpointFolder, load_checkpoint, save_checkpoint
from morphkit.training.config import LoopSettings, OutputSettings
from morphkit.training.devices import launched_fabric
from morphkit.training.guard import NotFiniteError
from morphkit.training.log import RowLog, read_rows
from morphkit.training.schedule import learning_rate
from morphkit.training.steps import Stepper
from morphkit.training.task import Module, StepTerms, Validation
from morphkit.training.validation import ensure_finite

SETTINGS = LoopSettings(
    epochs=4,
    batch=4,
    accumulate=2,
    optimizer="adamw",
    weight_decay=0.5,
    learning_rate=0.02,
    warmup=3,
    ema=0.9,
    seed=5,
    accelerator="cpu",
)
STEPS = 12  # 26 photos: 3 steps of 8 an epoch


def trajectory(folder: Path) -> list[dict[str, str]]:
    """The rows of both logs but for how fast they came."""
    rows = [*read_rows(folder / "metrics.csv"), *read_rows(folder / "validation.csv")]
    return [{key: value for key, value in row.items() if key != "photos_per_second"} for row in rows]


def total(rows: list[dict[str, str]]) -> float:
    return sum(float(row["total"]) for row in rows)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_toy(tmp_path_factory.mktemp("unbroken") / "run", SETTINGS).folder


def test_a_run_learns_and_leaves_what_it_says(unbroken: Path) -> None:
    rows = read_rows(unbroken / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, STEPS + 1))
    assert total(rows[-3:]) < 0.8 * total(rows[:3])
    for row in rows:
        parts = float(row["square"]) + float(row["size"])
        assert float(row["total"]) == pytest.approx(parts, rel=1e-6)
    assert [float(row["learning_rate"]) for row in rows[:3]] == pytest.approx([0.02 / 3, 0.04 / 3, 0.02])
    held_out = read_rows(unbroken / "validation.csv")
    assert [int(row["step"]) for row in held_out] == [6, 12]
    assert (unbroken / "panels" / "step-00000012.png").is_file()
    assert (unbroken / "weights.pt").is_file()
    assert list((unbroken / "tensorboard").iterdir())
    checkpoints = CheckpointFolder(unbroken / "checkpoints")
    assert checkpoints.steps() == [9, 12]
    best = load_checkpoint(checkpoints.best)
    errors = {int(row["step"]): float(row["error"]) for row in held_out}
    assert best.step == min(errors, key=lambda step: errors[step])
    assert best.average is not None
    found = torch.load(unbroken / "best.pt")
    torch.testing.assert_close(found, dict(best.average["values"]), rtol=0, atol=0)
    averaged, last = torch.load(unbroken / "weights.pt"), load_checkpoint(checkpoints.path(12))
    assert last.average is not None
    torch.testing.assert_close(averaged, dict(last.average["values"]), rtol=0, atol=0)


def test_every_step_is_the_optimizers_on_the_mean_gradient(unbroken: Path, tmp_path: Path) -> None:
    """The same by hand, with torch alone; matrices decay, biases and batch norm don't."""
    task = ToyTask(SETTINGS)
    optimizer = torch.optim.Adam(task.network.parameters())
    batches = task.batches(0, STEPS)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = learning_rate(SETTINGS, step, STEPS)
        optimizer.zero_grad()
        for _ in range(2):
            terms = task.losses(task.network, next(batches)).terms
            (sum(terms.values()) / 2).backward()
        with torch.no_grad():
            for matrix in (task.network.layers[0].weight, task.network.layers[3].weight):
                matrix.mul_(1 - 0.5 * learning_rate(SETTINGS, step, STEPS))
        optimizer.step()
    found = load_checkpoint(CheckpointFolder(unbroken / "checkpoints").path(STEPS)).network
    torch.testing.assert_close(dict(found), task.network.state_dict())


def test_interrupted_and_resumed_in_the_middle_of_an_epoch_it_is_the_same_run(
    unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "run", SETTINGS, stop_at=(4, signal.SIGINT))
    assert CheckpointFolder(tmp_path / "run" / "checkpoints").steps()[-1] == 5
    with pytest.raises(BadInputError, match=r"already holds a run, at step 5; go on with --resume"):
        run_toy(tmp_path / "run", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "run", SETTINGS, resume=True, stop_at=(7, signal.SIGTERM))
    run_toy(tmp_path / "run", SETTINGS, resume=True)
    assert trajectory(tmp_path / "run") == trajectory(unbroken)
    same(tmp_path / "run", unbroken)
    found, wanted = (torch.load(folder / "best.pt") for folder in (tmp_path / "run", unbroken))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def same(one: Path, other: Path) -> None:
    """The weights, and all else that the last checkpoints hold, are equal to the bit."""
    a, b = (load_checkpoint(CheckpointFolder(run / "checkpoints").path(STEPS)) for run in (one, other))
    torch.testing.assert_close(dict(a.network), dict(b.network), rtol=0, atol=0)
    torch.testing.assert_close(a.optimizer["state"], b.optimizer["state"], rtol=0, atol=0)
    assert a.average is not None
    assert b.average is not None
    torch.testing.assert_close(a.average["values"], b.average["values"], rtol=0, atol=0)
    assert a.best == b.best


def test_sums_between_rows_of_the_log_survive(tmp_path: Path) -> None:
    output = OutputSettings(log_every=5, checkpoint_every=3, validate_every=2)
    run_toy(tmp_path / "whole", SETTINGS, output=output)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "run", SETTINGS, output=output, stop_at=(6, signal.SIGINT))
    run_toy(tmp_path / "run", SETTINGS, output=output, resume=True)
    assert trajectory(tmp_path / "run") == trajectory(tmp_path / "whole")
    assert [int(row["step"]) for row in read_rows(tmp_path / "run" / "metrics.csv")] == [5, 10, 12]


def test_accumulated_batches_are_one_larger_batch(tmp_path: Path) -> None:
    small = replace(SETTINGS, ema=0.0)
    large = replace(small, batch=8, accumulate=1)
    for name, settings in (("small", small), ("large", large)):
        run_toy(tmp_path / name, settings, norm=False)
    for one, other in zip(trajectory(tmp_path / "small"), trajectory(tmp_path / "large"), strict=True):
        assert {k: float(v) for k, v in one.items()} == pytest.approx(
            {k: float(v) for k, v in other.items()}, rel=1e-5
        )


@pytest.mark.parametrize("trouble", [math.nan, math.inf])
def test_what_is_not_finite_is_named_and_the_last_good_state_kept(
    unbroken: Path, tmp_path: Path, trouble: float
) -> None:
    with pytest.raises(NotFiniteError) as caught:
        run_toy(tmp_path / "run", SETTINGS, trouble=trouble)
    assert caught.value.term == "square term"
    assert f"The square term is not finite at step {caught.value.step} (photos: photo" in str(caught.value)
    assert "photo 7" in str(caught.value)
    kept = CheckpointFolder(tmp_path / "run" / "checkpoints").latest()
    assert kept is not None
    assert str(kept) in str(caught.value)
    found = load_checkpoint(kept)
    assert found.step == caught.value.step
    assert all(bool(torch.isfinite(value.float()).all()) for value in found.network.values())
    run_toy(tmp_path / "run", SETTINGS, resume=True)
    assert trajectory(tmp_path / "run") == trajectory(unbroken)


def test_bad_gradients_alone_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ToyTask.losses

    def losses(self: ToyTask, module: Module, batch: torch.Tensor) -> StepTerms:
        found = plain(self, module, batch)
        zero = (found.outputs["y"] * 0.0).abs().sum()
        return replace(found, terms={**found.terms, "size": zero.sqrt()})  # d sqrt at 0 is infinite

    monkeypatch.setattr(ToyTask, "losses", losses)
    with pytest.raises(NotFiniteError, match="The gradient is not finite at step 0"):
        run_toy(tmp_path / "run", SETTINGS)


def test_another_runs_checkpoint_is_refused(unbroken: Path, tmp_path: Path) -> None:
    last = load_checkpoint(CheckpointFolder(unbroken / "checkpoints").path(STEPS))
    checkpoints = CheckpointFolder(tmp_path / "run" / "checkpoints")
    for change, words in (
        (replace(last, identity={**last.identity, "config": "x"}), "other settings"),
        (replace(last, identity={**last.identity, "step_size": 9}), "photos to a step"),
        (replace(last, network={"a": torch.zeros(1)}), "another network"),
    ):
        save_checkpoint(checkpoints.path(STEPS), change)
        with pytest.raises(BadInputError, match=words):
            run_toy(tmp_path / "run", SETTINGS, resume=True)


def test_a_finished_run_resumes_to_nothing_new(tmp_path: Path) -> None:
    run_toy(tmp_path / "run", SETTINGS)
    before = trajectory(tmp_path / "run")
    again = run_toy(tmp_path / "run", SETTINGS, resume=True)
    assert again.steps == STEPS
    assert again.validation is not None
    assert again.best == tmp_path / "run" / "best.pt"
    assert again.best_step in (6, 12)
    assert trajectory(tmp_path / "run") == before


class Clock:
    """Time that passes where a test says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_photos_are_counted_while_they_are_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second a batch of four, a minute a validation in the middle of ten steps."""
    clock = Clock()
    losses, sums = ToyTask.losses, ToyTask.validation_sums

    def slow_losses(self: ToyTask, module: Module, batch: torch.Tensor) -> StepTerms:
        clock.now += 0.5
        return losses(self, module, batch)

    def slow_sums(self: ToyTask, module: Module) -> dict[str, torch.Tensor]:
        clock.now += 60.0
        return sums(self, module)

    monkeypatch.setattr("morphkit.training.loop.time", clock)
    monkeypatch.setattr(ToyTask, "losses", slow_losses)
    monkeypatch.setattr(ToyTask, "validation_sums", slow_sums)
    output = OutputSettings(log_every=5, checkpoint_every=99, validate_every=1)
    run_toy(tmp_path / "run", SETTINGS, output=output)
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    assert [float(row["photos_per_second"]) for row in rows] == [8.0, 8.0, 8.0]


def test_no_number_is_never_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([math.nan, 0.5, math.nan, 0.7])
    monkeypatch.setattr(ToyTask, "validation", lambda *_: Validation({"error": 1.0}, next(scores)))
    output = OutputSettings(log_every=5, checkpoint_every=99, validate_every=1)
    found = run_toy(tmp_path / "run", SETTINGS, output=output)
    assert found.best_step == 6


def test_predictions_that_are_not_finite_say_at_which_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sums(_: ToyTask, module: Module) -> dict[str, torch.Tensor]:
        rows = torch.eye(5)
        rows[2] = math.inf
        ensure_finite(module(rows), torch.arange(10, 15), lambda place: f"photo {place}")
        return {}

    monkeypatch.setattr(ToyTask, "validation_sums", sums)
    with pytest.raises(
        NotFiniteError, match=r"network's y is not finite on held-out photos \(photo 12\);"
    ) as e:
        run_toy(tmp_path / "run", SETTINGS, norm=False)
    assert (e.value.term, e.value.step) == ("network's y", 6)


def test_the_sums_of_all_processes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is their mean, so that all go on from it to the mean that an unbroken run logs."""
    task, fabric = ToyTask(SETTINGS), launched_fabric(SETTINGS)
    stepper = Stepper(task, fabric, task.network, SETTINGS)
    stepper.load(stepper.optimizer.state_dict(), None, {"count": 2, "sums": {"square": torch.tensor(4.0)}})
    others = torch.tensor([1.0, 5.0, 2.0, 3.0], dtype=torch.float64)  # gradient, total, square, size
    both = SimpleNamespace(
        world_size=2,
        device=fabric.device,
        strategy=fabric.strategy,
        all_reduce=lambda own, **_: own + others,
    )
    monkeypatch.setattr(stepper, "fabric", both)
    _, _, window = stepper.state()
    assert {name: float(value) for name, value in window["sums"].items()} == {
        "gradient": 0.5,
        "total": 2.5,
        "square": 3.0,
        "size": 1.5,
    }
    assert window["count"] == 2


def test_mixed_precision_runs(tmp_path: Path) -> None:
    mixed = run_toy(tmp_path / "run", replace(SETTINGS, precision="bf16-mixed"))
    rows = read_rows(mixed.folder / "metrics.csv")
    assert total(rows[-3:]) < 0.8 * total(rows[:3])


def test_impossible_devices_are_one_sentence() -> None:
    with pytest.raises(BadInputError, match="16-mixed needs a GPU"):
        launched_fabric(replace(SETTINGS, precision="16-mixed"))
    if not torch.cuda.is_available():
        with pytest.raises(BadInputError, match="torch sees no CUDA GPU"):
            launched_fabric(replace(SETTINGS, accelerator="cuda"))


def test_half_a_row_of_a_killed_run_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    log = RowLog(path, ["step", "total"], 0)
    log.add({"step": 1, "total": 0.5})
    log.add({"step": 2, "total": 0.25})
    with path.open("a") as file:
        file.write("3,0.1")
    assert [row["step"] for row in read_rows(path)] == ["1", "2"]
    again = RowLog(path, ["step", "total"], 1)
    again.add({"step": 2, "total": 0.3, "other": 9})
    assert json.dumps(read_rows(path)) == json.dumps(
        [{"step": "1", "total": "0.5"}, {"step": "2", "total": "0.3"}]
    )
