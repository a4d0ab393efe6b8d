"""From raw scans to a model through the command line."""

import json
import re
from pathlib import Path

import numpy as np
from building_scans import INNER, NAMES, run

from morphkit.archive import load_model
from morphkit.building import ScanOutcome
from morphkit.cli.build import _show
from morphkit.io.meshes import read_mesh
from morphkit.registration import Diagnosis


def test_build_basis_writes_model_report_and_registered_meshes(data, built):
    model = load_model(built / "model.h5")
    template = read_mesh(data.template)
    assert np.array_equal(model.faces, template.faces)
    assert model.identity.n_components == 2
    assert [entry["file"] for entry in model.provenance["scans"]] == [f"{name}.ply" for name in NAMES]
    assert set(model.landmarks) == {"ibug68", "mediapipe478"}
    for entry in model.provenance["scans"]:
        assert 0.7 < entry["covered"] <= 1
        assert entry["landmark_error"] < 5
        assert entry["strain"] < 0.3
    page = (built / "model-report.html").read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)
    kept = sorted(path.name for path in (built / "work").iterdir())
    assert kept == sorted(f"{name}{suffix}" for name in NAMES for suffix in (".npz", ".ply", ".png"))


def test_registered_meshes_lie_on_the_scans_in_their_own_frame(data, built):
    for name in NAMES:
        upright = data.truth[name].inverse().apply(read_mesh(built / "work" / f"{name}.ply").vertices)
        mean = read_mesh(data.template).vertices
        assert np.linalg.norm(upright - mean, axis=1).mean() < 12  # another person, but the same pose
        facts = np.load(built / "work" / f"{name}.npz")
        assert facts["distances"][facts["valid"]].mean() < 0.3


def test_sample_and_info_read_the_model(built, tmp_path):
    result = run(
        "sample", built / "model.h5", "-o", tmp_path / "heads", "-n", 2, "--format", "obj", "--seed", 3
    )
    assert result.exit_code == 0, result.output
    first, second = (read_mesh(tmp_path / "heads" / f"head_00{i}.obj") for i in (0, 1))
    again = run("sample", built / "model.h5", "-o", tmp_path / "more", "-n", 1, "--json")
    assert json.loads(again.stdout) == {"heads": [str(tmp_path / "more" / "head_000.ply")]}
    assert first.vertices.shape == second.vertices.shape
    assert not np.array_equal(first.vertices, second.vertices)
    short = run("info", built / "model.h5").stdout.splitlines()
    assert not any(line.startswith(("settings.", "scans.")) for line in short)
    assert "(settings, versions, scans, left_out) with --all." in short[-1]
    described = run("info", built / "model.h5", "--all")
    assert described.exit_code == 0
    assert "2 components" in described.stdout
    assert "…" not in described.stdout
    assert " ..." not in described.stdout
    provenance = load_model(built / "model.h5").provenance
    lines = described.stdout.splitlines()
    assert f"template.sha256: {provenance['template']['sha256']}" in lines
    assert [line.split(":")[0] for line in lines[-3:]] == ["scans.1", "scans.2", "scans.3"]
    assert all(scan["sha256"] in line for scan, line in zip(provenance["scans"], lines[-3:], strict=True))
    assert run("info", tmp_path / "heads" / "head_000.obj").exit_code == 0


def test_landmarks_of_a_scan_become_a_sidecar(data, tmp_path):
    result = run("landmarks", data.scans / "cem.ply", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "cem.landmarks.json").read_text())
    assert set(found) == {str(i) for i in range(68)}
    assert (tmp_path / "cem.landmarks.png").exists()
    template = json.loads(data.template_landmarks.read_text())
    place = data.truth["cem"].inverse().apply(np.array([found[name] for name in INNER]))
    expected = np.array([template[name] for name in INNER])
    assert np.linalg.norm(place - expected, axis=1).mean() < 12


def test_in_a_narrow_window_no_column_vanishes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    figures = Diagnosis(0.95, 0.5, 2.0, 0.0, 0.2, None)
    scans = [
        ScanOutcome("ada_neutral", Path("ada_neutral.ply"), "doubtful", diagnosis=figures, seconds=112.3),
        ScanOutcome("ben", Path("ben.ply"), "good", diagnosis=figures, reused=True),
    ]
    _show(scans)
    printed = capsys.readouterr().out
    assert "…" not in printed
    (ben,) = re.findall(r"^ben .*", printed, re.MULTILINE)
    assert ben.split() == ["ben", "good", "95%", "2.0", "20%", "0.50", "reused"]
    assert re.search(r"^ada_ne +doubtful .*112\.3$\n^utral *$", printed, re.MULTILINE)


def test_a_single_mode_is_no_modes(data, built, tmp_path):
    options = ["--work", built / "work", "--components", 1, "--jobs", 1, "--expressions-from", "none"]
    result = run("build-basis", data.scans, "-o", tmp_path / "m.h5", *data.arguments, *options)
    assert result.exit_code == 0, result.output
    assert "3 of 3 scans, 1 mode of shape, 1 of albedo." in result.stdout
    told = json.loads(
        run("build-basis", data.scans, "-o", tmp_path / "m.h5", *data.arguments, *options, "--json").stdout
    )
    assert told["model"] == str(tmp_path / "m.h5")
    assert told["components"]["identity"] == 1
    assert [scan["name"] for scan in told["scans"]] == told["used"] == list(NAMES)
    assert {scan["verdict"] for scan in told["scans"]} <= {"good", "doubtful"}
    assert all(0.7 < scan["diagnosis"]["covered"] <= 1 for scan in told["scans"])
