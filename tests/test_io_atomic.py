from __future__ import annotations

import errno
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from morphkit.errors import MorphkitError
from morphkit.io.atomic import atomic_path, write_json
from morphkit.io.atomic_folder import filled_folder


def _half_write(target: Path, failure: BaseException) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file_and_no_litter(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(failure):
        _half_write(target, failure())
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_success_replaces_and_keeps_the_suffix(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "model.h5"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".h5"
        assert temporary.parent == target.parent
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["model.h5"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.write_text("")
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left"), OSError("write failed (file write failed: errno = 28, ...)")],
)
def test_full_disk_is_said_in_one_sentence(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(MorphkitError, match="disk is full"):
        _half_write(tmp_path / "a", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["file/a", "file/deep/er/a"])
def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    said = f"Could not write {tmp_path / target}: {tmp_path / 'file'} is a file where a folder is needed"
    with pytest.raises(MorphkitError, match=re.escape(said)), atomic_path(tmp_path / target):
        pass


def test_a_file_in_place_of_a_filled_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    said = re.escape(f"{tmp_path / 'out'} is a file where a folder is needed")
    with pytest.raises(MorphkitError, match=said):
        fill(tmp_path / "out", tmp_path / "scratch")
    with pytest.raises(MorphkitError, match=said):
        fill(tmp_path / "out" / "photo", tmp_path / "out" / "scratch")
    assert (tmp_path / "out").read_text() == ""


def fill(target: Path, scratch: Path) -> None:
    with filled_folder(target, scratch, last="a") as folder:
        (folder / "a").write_text("whole")


def test_errors_about_other_files_pass_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "a"):
        (tmp_path / "elsewhere").read_text()


@dataclass(frozen=True)
class _Pair:
    path: Path
    values: tuple[float, ...]


def test_json_takes_numpy_and_writes_null_for_nan(tmp_path: Path) -> None:
    value = {
        "array": np.array([[1, 2], [3, 4]], np.int32),
        "floats": np.array([0.1, np.nan, np.inf]),
        "scalar": np.float64(0.25),
        "flag": np.bool_(True),
        "pair": _Pair(Path("a/b"), (1.0, float("nan"))),
        3: {"é", "a"},
    }
    write_json(tmp_path / "v.json", value)
    assert json.loads((tmp_path / "v.json").read_text(encoding="utf-8")) == {
        "array": [[1, 2], [3, 4]],
        "floats": [0.1, None, None],
        "scalar": 0.25,
        "flag": True,
        "pair": {"path": "a/b", "values": [1.0, None]},
        "3": ["a", "é"],
    }


def test_json_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "v.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []
