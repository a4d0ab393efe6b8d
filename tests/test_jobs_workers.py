"""Tasks on processes and on a cluster, with workers that die."""

import os
import signal
import time

import pytest

from morphkit.errors import BadInputError, MissingDependencyError
from morphkit.jobs.workers import Workers, _in_processes, map_unordered


def _square(number: int) -> int:
    """Return the number's square; 2 ends its process."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def _lost(number: int) -> int:
    return -number


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by a signal")
def test_a_dead_process_costs_only_its_task():
    assert sorted(map_unordered(_square, range(5), workers=Workers(2), lost=_lost)) == [-2, 0, 1, 9, 16]


def _read(path: str) -> str:
    """Return a file's content; the first time its process ends instead."""
    marker = f"{path}.tried"
    if not os.path.exists(marker):
        with open(marker, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    with open(path) as file:
        return file.read()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by a signal")
def test_a_task_whose_process_died_is_tried_once_more(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("here")
    monkeypatch.chdir(tmp_path)  # where the workers stand, too, though they may be an earlier call's
    assert list(_in_processes(_read, {0: "a"}, 2, lambda _: "lost")) == ["here"]


def test_ended_early_it_says_nothing_and_waits_for_nobody():
    results = map_unordered(_sleepy, [0, 1, 1, 1], workers=Workers(2), lost=_lost)
    begun = time.monotonic()
    assert next(results) == 0
    results.close()
    assert time.monotonic() - begun < 30


def _sleepy(number: int) -> int:
    time.sleep(60 * number)
    return number


def test_one_job_stays_in_this_process():
    here = os.getpid()
    assert list(map_unordered(lambda _: os.getpid(), [0, 1], workers=Workers(1), lost=_lost)) == [here] * 2


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("morphkit.jobs.cluster._PATIENCE", 1)
    with pytest.raises(BadInputError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(map_unordered(_lost, [1], workers=Workers(scheduler="tcp://127.0.0.1:9"), lost=_lost))


def test_without_distributed_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'morphkit-3dmm\[distributed\]'"):
        list(map_unordered(_lost, [1], workers=Workers(scheduler="tcp://nowhere:1"), lost=_lost))
