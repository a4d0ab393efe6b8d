"""What a run may go on with, and one sentence on what differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphkit.building import RegisterSettings
from morphkit.building.fingerprint import scan_fingerprint
from morphkit.building.outcome import RegisteredScan
from morphkit.building.resuming import ensure_resumable
from morphkit.building.store import load_fingerprint, load_registered, save_registered
from morphkit.building.templates import LandmarkedTemplate
from morphkit.errors import BadInputError
from morphkit.mesh import LandmarkEmbedding, Landmarks, Mesh, Template
from morphkit.registration import Diagnosis
from morphkit.scans import ScanFile

QUAD = Mesh(np.eye(4, 3), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
NOSE = {"ibug68": LandmarkEmbedding(("30",), np.zeros(1, np.int32), np.eye(3)[[0]])}
TEMPLATE, SETTINGS = LandmarkedTemplate(Template(QUAD, NOSE)), RegisterSettings()


@pytest.fixture
def scans(tmp_path) -> tuple[ScanFile, ...]:
    files = []
    for name in ("ada", "ben"):
        path = tmp_path / f"{name}.ply"
        path.write_text(name)
        (tmp_path / f"{name}.landmarks.json").write_text("{}")
        files.append(ScanFile(path, tmp_path / f"{name}.landmarks.json"))
    return tuple(files)


@pytest.fixture
def work(tmp_path, scans) -> Path:
    """A work folder with both scans' results."""
    folder = tmp_path / "work"
    folder.mkdir()
    for scan in scans:
        registered = RegisteredScan(
            scan.name, QUAD, 1.0, np.ones(4, bool), np.zeros(4), np.eye(3), Landmarks((), np.zeros((0, 3))),
            Diagnosis(1.0, 0.0, None, 0.0, 0.1, None), "good", (), (), {}, "hash",
            scan_fingerprint(scan, TEMPLATE, SETTINGS),
        )  # fmt: skip
        save_registered(folder, registered)
    return folder


def _refused(*arguments: object) -> str:
    with pytest.raises(BadInputError, match="nothing to resume") as caught:
        ensure_resumable(*arguments)
    assert str(arguments[0]) in str(caught.value)
    return str(caught.value)


def test_the_same_run_goes_on(work, scans):
    ensure_resumable(work, scans, TEMPLATE, SETTINGS)
    (work / "ada.npz").unlink()
    ensure_resumable(work, scans, TEMPLATE, SETTINGS)
    expected = scan_fingerprint(scans[1], TEMPLATE, SETTINGS)
    assert load_fingerprint(work / "ben.npz") == load_registered(work, "ben", QUAD).fingerprint == expected


def test_one_changed_scan_does_not_matter_but_all_of_them_do(work, scans):
    scans[0].path.write_text("another")
    ensure_resumable(work, scans, TEMPLATE, SETTINGS)
    scans[1].path.write_text("another")
    assert "otherwise: the scans' own files differed" in _refused(work, scans, TEMPLATE, SETTINGS)
    for scan in scans:
        scan.landmarks_path.write_text("{ }")
    assert "the scans' own files and the scans' landmarks" in _refused(work, scans, TEMPLATE, SETTINGS)


def test_what_differs_is_named(work, scans, monkeypatch):
    moved = LandmarkedTemplate(Template(replace(QUAD, vertices=QUAD.vertices + 1), NOSE))
    other = replace(SETTINGS, texture=False)
    assert "otherwise: the template differed" in _refused(work, scans, moved, SETTINGS)
    assert "otherwise: the settings (" in _refused(work, scans, TEMPLATE, other)
    assert "the template and the settings (" in _refused(work, scans, moved, other)
    monkeypatch.setattr("morphkit.building.fingerprint.code_digest", lambda: "another")
    assert "otherwise: the version of morphkit" in _refused(work, scans, TEMPLATE, SETTINGS)


def test_a_folder_of_something_else_is_no_work_folder(tmp_path, work, scans):
    empty, data, foreign = (tmp_path / name for name in ("none", "data", "foreign"))
    data.mkdir()
    foreign.mkdir()
    np.savez(data / "weights.npz", a=np.zeros(3))
    np.savez(foreign / "ada.npz", a=np.zeros(3))
    (foreign / "ben.npz").write_bytes(b"no archive")
    assert "holds no registered scans" in _refused(empty, scans, TEMPLATE, SETTINGS)
    assert "holds none of these 2 scans, but others (weights)" in _refused(data, scans, TEMPLATE, SETTINGS)
    for name in ("x", "y", "z"):
        np.savez(data / f"{name}.npz", a=np.zeros(3))
    assert "but others (weights, x, y, ...)" in _refused(data, scans, TEMPLATE, SETTINGS)
    assert "did not write" in _refused(foreign, scans, TEMPLATE, SETTINGS)
