"""Finding scans and their landmark files."""

import pytest

from morphkit.errors import BadInputError
from morphkit.scans import discover


def fill(folder, *names):
    for name in names:
        (folder / name).write_bytes(name.encode())


def test_scans_come_in_natural_order_with_their_landmarks(tmp_path):
    fill(
        tmp_path,
        "scan_10.ply",
        "scan_2.PLY",
        "Scan_1.obj",
        "scan_2.landmarks.json",
        "scan_10.pp",
        "scan_10.json",
    )
    fill(tmp_path, "notes.txt", ".hidden.ply", "~scan.ply", "Scan_1.mtl", "Scan_1.jpg", "model.h5")
    (tmp_path / "folder.ply").mkdir()
    found = discover(tmp_path)
    assert [scan.path.name for scan in found] == ["Scan_1.obj", "scan_2.PLY", "scan_10.ply"]
    assert [scan.landmarks_path and scan.landmarks_path.name for scan in found] == [
        None,
        "scan_2.landmarks.json",
        "scan_10.pp",
    ]
    assert [scan.name for scan in found] == ["Scan_1", "scan_2", "scan_10"]


def test_the_sidecar_goes_before_other_formats(tmp_path):
    fill(tmp_path, "a.ply", "a.json", "a.landmarks.csv", "a.landmarks.json")
    assert discover(tmp_path)[0].landmarks_path == tmp_path / "a.landmarks.json"


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(BadInputError, match="no scans"):
        discover(tmp_path)
    with pytest.raises(BadInputError, match="There is no folder"):
        discover(tmp_path / "gone")
    fill(tmp_path, "a.ply")
    with pytest.raises(BadInputError, match="is a file"):
        discover(tmp_path / "a.ply")
    fill(tmp_path, "a.obj")
    with pytest.raises(BadInputError, match="same name"):
        discover(tmp_path)
