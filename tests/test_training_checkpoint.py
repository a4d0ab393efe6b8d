"""Checkpoints: they come back as they were, and bad files are refused in one sentence with nothing run."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from morphkit.errors import BadInputError
from morphkit.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    ensure_same_run,
    load_checkpoint,
    save_checkpoint,
)


def checkpoint(step: int = 3) -> Checkpoint:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    identity: dict[str, str | int] = {"config": "abc", "step_size": 8}
    return Checkpoint(
        step,
        identity,
        {"training": {"batch": 8, "ema": 0.5, "steps": None}},
        network.state_dict(),
        optimizer.state_dict(),
        {"count": 2, "values": network.state_dict()},
        None,
        {"value": 0.25, "step": 2},
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    wanted = checkpoint()
    save_checkpoint(tmp_path / "a.ckpt", wanted)
    found = load_checkpoint(tmp_path / "a.ckpt")
    assert (found.step, found.identity, found.config, found.best) == (
        3,
        wanted.identity,
        wanted.config,
        wanted.best,
    )
    torch.testing.assert_close(dict(found.network), dict(wanted.network), rtol=0, atol=0)
    torch.testing.assert_close(found.optimizer["state"], wanted.optimizer["state"], rtol=0, atol=0)
    assert found.optimizer["param_groups"] == wanted.optimizer["param_groups"]
    assert found.scaler is None


class _Trap:
    """What a malicious file holds: code that runs when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch trapped",)


def _malicious(path: Path) -> None:
    torch.save({"format": "morphkit-checkpoint", "version": 1, "trap": _Trap()}, path)


def _truncated(path: Path) -> None:
    save_checkpoint(path, checkpoint())
    path.write_bytes(path.read_bytes()[:-200])


def _legacy(path: Path) -> None:
    path.write_bytes(pickle.dumps({"format": "morphkit-checkpoint", "trap": _Trap()}))


def _other(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def _wrong_kinds(path: Path) -> None:
    values = {"format": "morphkit-checkpoint", "version": 1, **vars(checkpoint()), "network": [1, 2]}
    torch.save(values, path)


def _newer(path: Path) -> None:
    torch.save({"format": "morphkit-checkpoint", "version": 2, **vars(checkpoint())}, path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_malicious, "no checkpoint, or a damaged one"),
        (_truncated, "no checkpoint, or a damaged one"),
        (_legacy, "no checkpoint, or a damaged one"),
        (lambda path: path.write_bytes(b""), "no checkpoint, or a damaged one"),
        (lambda path: path.write_text("weights"), "no checkpoint, or a damaged one"),
        (_other, "is no checkpoint of a training run"),
        (_wrong_kinds, "is no checkpoint of a training run"),
        (_newer, "another version"),
        (lambda _: None, "there is no such file"),
    ],
)
def test_bad_files_are_one_sentence_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.ckpt"
    write(path)  # type: ignore[operator]
    with pytest.raises(BadInputError) as caught:
        load_checkpoint(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trapped").exists()


def test_other_runs_are_refused_by_name() -> None:
    path, mine = Path("x.ckpt"), {"config": "a", "data": "b", "step_size": 4, "model": "m"}
    ensure_same_run(path, mine, mine)
    for name, words in {
        "config": "other settings",
        "data": "other training data",
        "step_size": "photos to a step",
        "model": "another model",
    }.items():
        with pytest.raises(BadInputError, match=words):
            ensure_same_run(path, mine | {name: "else"}, mine)


def test_the_last_two_and_the_best_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.latest() is None
    first = checkpoint()
    for step in (5, 20, 100, 105):
        folder.save(replace(first, step=step), best=step == 20)
    assert folder.steps() == [100, 105]
    latest = folder.latest()
    assert latest is not None
    assert load_checkpoint(latest).step == 105
    assert load_checkpoint(folder.best).step == 20
    assert {path.name for path in folder.folder.iterdir()} == {
        "step-00000100.ckpt",
        "step-00000105.ckpt",
        "best.ckpt",
    }
