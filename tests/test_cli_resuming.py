"""However a build was cut short or spread out, the model has the same bytes."""

import json
import logging
import os
import shutil
import signal

import pytest
from building_scans import never, run

from morphkit.building import build_basis, task


def test_a_second_run_registers_nothing_and_gives_the_same_bytes(data, built, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "register_prepared", never)
    result = build_basis(data.scans, tmp_path / "again.h5", **data.options, work_dir=built / "work", jobs=1)
    assert all(scan.reused for scan in result.scans)
    assert (tmp_path / "again.h5").read_bytes() == (built / "model.h5").read_bytes()


def test_resume_insists_on_the_same_template(data, built, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "register_prepared", never)
    options = ["--work", built / "work", "--jobs", 1, "--resume"]
    same = run("build-basis", data.scans, "-o", tmp_path / "a.h5", *data.arguments, *options)
    assert same.exit_code == 0, same.output
    other = run("build-basis", data.scans, "-o", tmp_path / "b.h5", *options)  # to the embedded head
    assert other.exit_code == 2
    (sentence,) = other.stderr.splitlines()
    assert "made otherwise: the template" in sentence
    assert not (tmp_path / "b.h5").exists()


def test_changed_landmarks_register_that_scan_again(data, built, tmp_path):
    work, scans = tmp_path / "work", tmp_path / "scans"
    shutil.copytree(built / "work", work)
    shutil.copytree(data.scans, scans)
    sidecar = scans / "ben.landmarks.json"
    points = json.loads(sidecar.read_text())
    points.pop("30")
    sidecar.write_text(json.dumps(points))
    result = build_basis(scans, tmp_path / "model.h5", **data.options, work_dir=work, jobs=1)
    assert [scan.reused for scan in result.scans] == [True, False, True]


def test_an_interrupted_build_resumes_to_the_same_model(data, built, tmp_path, monkeypatch):
    real, calls = task.register_prepared, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(task, "register_prepared", interrupted)
        result = run(
            "build-basis",
            data.scans,
            "-o",
            tmp_path / "m.h5",
            *data.arguments,
            "--work",
            tmp_path / "w",
            "--jobs",
            1,
        )
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Interrupted."
    assert "the same command goes on from there" in result.stderr
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["ada.npz", "ada.ply", "ada.png"]
    assert not (tmp_path / "m.h5").exists()
    resumed = build_basis(data.scans, tmp_path / "m.h5", **data.options, work_dir=tmp_path / "w", jobs=2)
    assert [scan.reused for scan in resumed.scans] == [True, False, False]
    # two processes, a resumed run: the same bytes as one process in one go
    assert (tmp_path / "m.h5").read_bytes() == (built / "model.h5").read_bytes()


def test_an_interruption_before_any_result_promises_nothing(data, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(task, "prepare_scan", interrupted)
    result = run("build-basis", data.scans, "-o", tmp_path / "m.h5", *data.arguments, "--jobs", 1)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == "Interrupted."
    assert "kept" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="workers are killed by a signal")
@pytest.mark.filterwarnings("ignore")  # distributed's own, about what a killed worker leaves
def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(data, built, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        workers = client.run(os.getpid)

        def kill_one(stage: str, done: int, _: int) -> None:
            if stage == "Registering scans" and done == 1:
                os.kill(workers.popitem()[1], signal.SIGKILL)

        address = cluster.scheduler_address
        result = build_basis(
            data.scans, tmp_path / "m.h5", **data.options, scheduler=address, progress=kill_one
        )
    assert len(workers) == 1
    assert len(result.used) == 3
    assert (tmp_path / "m.h5").read_bytes() == (built / "model.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-report.html", "m.h5"]
