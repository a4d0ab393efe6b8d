"""Checkpoints: they come back as they were, and bad files are refused in one sentence with nothing run."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from morphkit.errors import BadInputError, OutputError
from morphkit.training.checkpoint import (
    FORMAT,
    VERSION,
    Checkpoint,
    CheckpointFolder,
    ensure_same_run,
    load_checkpoint,
    save_checkpoint,
)

VALUES = {"format": FORMAT, "version": VERSION}


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
    torch.save(VALUES | vars(checkpoint()) | {"network": [1, 2]}, path)


def _other_version(path: Path) -> None:
    torch.save(VALUES | vars(checkpoint()) | {"version": 1}, path)


def _packed(path: Path) -> None:
    """A hundred megabytes of zeros in a tenth of one."""
    save_checkpoint(path, checkpoint())
    with zipfile.ZipFile(path) as source:
        parts = {part.filename: source.read(part) for part in source.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name, bytes(10**8) if name.endswith("data/0") else content)


def _unending(path: Path) -> None:
    """A list that holds itself."""
    endless: list[object] = []
    endless.append(endless)
    torch.save(VALUES | vars(checkpoint()) | {"config": {"a": endless}, "best": endless}, path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_malicious, "damaged, or it holds more than tensors and plain values"),
        (_truncated, "no file that torch wrote, or a damaged one"),
        (_legacy, "no file that torch wrote, or a damaged one"),
        (lambda path: path.write_bytes(b""), "no file that torch wrote, or a damaged one"),
        (lambda path: path.write_text("weights"), "no file that torch wrote, or a damaged one"),
        (_other, "no checkpoint of morphkit"),
        (_wrong_kinds, "network is not what it should be"),
        (_packed, "a packed archive"),
        (_unending, "best is not what it should be"),
        (_other_version, "another version"),
        (lambda _: None, "There is no file"),
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("step", -3),
        ("step", True),
        ("step", 10**30),
        ("step", 3.0),
        ("best", 5),
        ("best", {"value": "x"}),
        ("best", {"value": "x", "step": 1}),
        ("best", {"value": True, "step": 1}),
        ("average", {"count": 1}),
        ("average", {"count": -1, "values": {}}),
        ("average", {"count": 1, "values": {"weight": 2.0}}),
        ("window", {"count": 1, "sums": [1.0]}),
        ("identity", {"config": [1]}),
        ("optimizer", {"state": 5, "param_groups": []}),
        ("scaler", 1),
    ],
)
def test_entries_that_no_run_writes_are_named(tmp_path: Path, name: str, value: object) -> None:
    torch.save(VALUES | vars(checkpoint()) | {name: value}, tmp_path / "odd.ckpt")
    with pytest.raises(BadInputError, match=rf"odd\.ckpt: damaged, {name} is not what it should be"):
        load_checkpoint(tmp_path / "odd.ckpt")


def test_a_good_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "a.ckpt", checkpoint())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)  # whoever is root may read everything
    with pytest.raises(BadInputError) as caught:
        load_checkpoint(tmp_path / "a.ckpt")
    assert str(caught.value) == f"{tmp_path / 'a.ckpt'} cannot be read: Permission denied."


def test_a_file_that_there_is_no_room_for_leaves_the_one_before(tmp_path: Path) -> None:
    """As on a full disk, of which torch says only that it could not write."""
    resource = pytest.importorskip("resource")
    save_checkpoint(tmp_path / "a.ckpt", checkpoint())
    large = replace(checkpoint(), network={"a": torch.zeros(10**5)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, hard))
    try:
        with pytest.raises(OutputError, match=r"Could not write .*a\.ckpt: no file so large"):
            save_checkpoint(tmp_path / "a.ckpt", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert load_checkpoint(tmp_path / "a.ckpt").step == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_other_runs_are_refused_by_name() -> None:
    path, mine = Path("x.ckpt"), {"config": "a", "data": "b", "step_size": 4, "model": "m", "r_net": "r"}
    ensure_same_run(path, mine, mine)
    for name, words in {
        "config": "other settings",
        "data": "other training data",
        "step_size": "photos to a step",
        "model": "another model",
        "r_net": "another R-Net",
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
