"""Scans that fail are named, and the others go on."""

import errno
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from building_scans import run

from morphkit.building import register, registering, task
from morphkit.building.handout import take
from morphkit.errors import RegistrationError
from morphkit.io.meshes import read_mesh, write_mesh


def test_register_goes_on_past_failures_and_names_them(data, tmp_path):
    scan = read_mesh(data.scans / "ada.ply")
    metres = tmp_path / "metres.ply"
    write_mesh(metres, replace(scan, vertices=scan.vertices / 1000))
    points = json.loads((data.scans / "ada.landmarks.json").read_text())
    small = {name: [x / 1000 for x in point] for name, point in points.items()}
    (tmp_path / "metres.landmarks.json").write_text(json.dumps(small))
    broken = tmp_path / "broken.ply"
    broken.write_bytes((data.scans / "ben.ply").read_bytes()[:5000])
    result = run("register", broken, metres, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "1 of 2 scans were not registered: broken" in result.stderr
    (reason,) = [line for line in result.stdout.splitlines() if line.startswith("broken: ")]
    assert str(broken) in reason  # on one line, however long
    assert not (tmp_path / "out" / "broken.ply").exists()
    registered = read_mesh(tmp_path / "out" / "metres.ply")
    template = read_mesh(data.template)
    assert np.array_equal(registered.faces, template.faces)
    assert 0.1 < np.ptp(registered.vertices, axis=0).max() < 0.4  # metres, as the scan


def test_scans_with_and_without_sidecars_follow_each_other(data, tmp_path):
    take.cache_clear()
    for name in ("ada", "cem"):  # the second scan needs landmarks that the first did not
        (outcome,) = register([data.scans / f"{name}.ply"], tmp_path, **data.options, jobs=1)
        assert outcome.usable, outcome.reasons


def test_without_landmarks_of_the_template_both_are_looked_at(data, tmp_path):
    result = run("register", data.scans / "ada.ply", "--template", data.template, "-o", tmp_path, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "Its landmark file was not read: the template has no landmarks" in result.stdout
    by_looks, placed = read_mesh(tmp_path / "ada.ply").vertices, tmp_path / "by-file"
    register([data.scans / "ada.ply"], placed, **data.options, jobs=1)
    apart = np.linalg.norm(by_looks - read_mesh(placed / "ada.ply").vertices, axis=1)
    assert np.median(apart) < 2.0  # millimetres


def test_too_few_scans_are_an_error_that_says_why(data, tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.ply").write_bytes(b"ply\nnothing")
    result = run("build-basis", tmp_path / "scans", "-o", tmp_path / "m.h5", *data.arguments)
    assert result.exit_code == 2
    assert "0 of 1 scans could be registered, and a model needs at least 2 (" in result.stderr
    assert ".)" not in result.stderr
    assert result.stderr.endswith(").\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m-report.html", "scans"]


def test_when_many_scans_fail_each_has_its_line_and_its_place_in_the_report(tmp_path, data):
    (tmp_path / "scans").mkdir()
    for name in ("one", "two"):
        (tmp_path / "scans" / f"{name}.ply").write_bytes(b"ply\nnothing")
    result = run("build-basis", tmp_path / "scans", "-o", tmp_path / "m.h5", *data.arguments, "--jobs", 1)
    assert result.exit_code == 2
    page = tmp_path / "m-report.html"
    assert f"0 of 2 scans could be registered, and a model needs at least 2; {page} shows" in result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()[-2:]] == ["one", "two"]
    assert all(word in page.read_text() for word in ("one", "two", "There is no model"))


@pytest.mark.parametrize("make", [True, False])
def test_an_empty_or_missing_folder_exits_with_2(tmp_path, make):
    folder = tmp_path / "scans"
    if make:
        folder.mkdir()
    result = run("build-basis", folder, "-o", tmp_path / "m.h5")
    assert result.exit_code == 2
    assert str(folder) in result.stderr


def test_a_single_scans_failure_is_one_sentence(data, tmp_path, monkeypatch):
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"ply\nnothing")
    result = run("register", broken, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "verdict" not in result.stdout
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert str(broken) in error

    def lost(*_):
        raise RegistrationError("The template could not be placed.")

    monkeypatch.setattr(task, "register_prepared", lost)
    result = run("register", data.scans / "ada.ply", *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 1
    sentence = f"{data.scans / 'ada.ply'} was not registered: The template could not be placed."
    assert f"Error: {sentence}" in result.stderr


def test_a_full_disk_is_no_internal_error(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "here.npz")

    monkeypatch.setattr(task, "register_prepared", full)
    (outcome,) = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcome.reasons == (f"here.npz: {os.strerror(errno.ENOSPC)}.",)
    assert outcome.exit_code == 1


def test_an_older_result_that_stays_is_named(data, tmp_path, monkeypatch):
    (tmp_path / "ada.ply").mkdir()  # which cannot be unlinked

    def lost(*_):
        raise RegistrationError("No luck.")

    monkeypatch.setattr(task, "register_prepared", lost)
    (outcome,) = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcome.reasons[0] == "No luck."
    assert str(tmp_path / "ada.ply") in outcome.reasons[1]


def test_a_registration_that_has_not_settled_says_so(data, tmp_path, monkeypatch):
    real = registering.register_mesh
    for settled in (False, True):
        monkeypatch.setattr(
            registering, "register_mesh", lambda *a, s=settled, **k: replace(real(*a, **k), converged=s)
        )
        (outcome,) = register([data.scans / "ada.ply"], tmp_path, **data.options, jobs=1)
        assert any("not quite settled" in remark for remark in outcome.remarks) != settled


def test_landmarks_that_are_no_numbers_are_left_out_and_told(data, tmp_path):
    shutil.copy(data.scans / "ada.ply", tmp_path)
    points = json.loads((data.scans / "ada.landmarks.json").read_text())
    assert len(points) == 68
    remarks = []
    for lost in ([], ["30"], ["30", "31"]):
        spoilt = {name: [np.nan] * 3 if name in lost else point for name, point in points.items()}
        (tmp_path / "ada.landmarks.json").write_text(json.dumps(spoilt))
        (outcome,) = register([tmp_path / "ada.ply"], tmp_path / "out", **data.options, jobs=1)
        assert outcome.usable
        remarks.append([remark for remark in outcome.remarks if "landmarks" in remark])
    assert remarks == [
        [],
        ["1 of 68 landmarks is not a number: left out."],
        ["2 of 68 landmarks are not numbers: left out."],
    ]


def test_one_scans_crash_is_its_own_failure(data, tmp_path, monkeypatch):
    def crash(scan, *_):
        raise ZeroDivisionError(f"no luck with {scan.source.name}")

    monkeypatch.setattr(task, "register_prepared", crash)
    outcomes = register([data.scans / "ada.ply"], tmp_path, **data.options)
    assert outcomes[0].verdict == "failed"
    assert "no luck with ada" in outcomes[0].reasons[0]
