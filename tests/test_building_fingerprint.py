"""What makes a result stale, where results may lie, and what travels to workers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphkit import jobs
from morphkit.archive import load_default_model
from morphkit.building import RegisterSettings
from morphkit.building.fingerprint import code_digest, scan_fingerprint
from morphkit.building.handout import Common, handed_out, take
from morphkit.building.templates import LandmarkedTemplate
from morphkit.building.workspace import work_folder, workspace
from morphkit.errors import MorphkitError
from morphkit.io.side_files import side_files
from morphkit.mesh import LandmarkEmbedding, Mesh, Template
from morphkit.scans import ScanFile

QUAD = Mesh(np.eye(4, 3), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
NOSE = {"ibug68": LandmarkEmbedding(("30",), np.zeros(1, np.int32), np.eye(3)[[0]])}


@pytest.fixture
def scan(tmp_path) -> ScanFile:
    """A textured OBJ with its material, its picture and a landmark file."""
    (tmp_path / "a.obj").write_text("mtllib a b.mtl\nv 0 0 0\nusemtl skin\n")
    (tmp_path / "a b.mtl").write_text("newmtl skin\nmap_Kd -s 1 1 1 skin.png\n")
    (tmp_path / "skin.png").write_bytes(b"a picture")
    (tmp_path / "a.landmarks.json").write_text("{}")
    return ScanFile(tmp_path / "a.obj", tmp_path / "a.landmarks.json")


def _print(scan: ScanFile, **changes: object) -> dict[str, str]:
    template = changes.get("template", LandmarkedTemplate(Template(QUAD, NOSE)))
    return scan_fingerprint(
        scan, template, changes.get("settings", RegisterSettings()), changes.get("modes", "")
    )


@pytest.mark.parametrize("name", ["a.obj", "a b.mtl", "skin.png", "a.landmarks.json"])
def test_every_file_of_a_scan_counts(scan, name):
    before = _print(scan)
    assert _print(scan) == before
    path = scan.path.parent / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert _print(scan) != before


def test_a_landmark_file_that_is_not_read_does_not_count_but_what_is_detected_does(scan):
    bare = LandmarkedTemplate(Template(QUAD), {"clay": NOSE})
    before = _print(scan, template=bare)
    scan.landmarks_path.write_text("{ }")
    assert _print(scan, template=bare) == before
    moved = {"ibug68": replace(NOSE["ibug68"], barycentrics=np.eye(3)[[1]])}
    other = LandmarkedTemplate(Template(QUAD), {"clay": moved})
    assert _differing(before, _print(scan, template=other)) == {"landmarks"}


def test_a_picture_that_goes_missing_counts(scan):
    before = _print(scan)
    (scan.path.parent / "skin.png").unlink()
    assert _print(scan) != before


def test_settings_template_and_code_count(scan, monkeypatch):
    before = _print(scan)
    assert _differing(before, _print(scan, settings=replace(RegisterSettings(), texture=False))) == {
        "settings"
    }
    masked = LandmarkedTemplate(Template(QUAD, NOSE, {"face": np.ones(4, bool)}))
    assert _differing(before, _print(scan, template=masked)) == {"template"}
    assert _differing(before, _print(scan, modes="learnt")) == {"modes"}
    named = (Template(QUAD, masks={name: np.ones(4, bool)}) for name in ("face", "eyes"))
    assert len({LandmarkedTemplate(template).digest for template in named}) == 2
    monkeypatch.setattr("morphkit.building.fingerprint.code_digest", lambda: "another")
    assert _differing(before, _print(scan)) == {"code"}


def _differing(one: dict[str, str], other: dict[str, str]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name in one if one[name] != other[name]}


def test_the_code_is_hashed_with_the_versions_of_what_computes(monkeypatch):
    before = code_digest()
    jobs.code_digest.cache_clear()
    assert code_digest() == before
    jobs.code_digest.cache_clear()
    monkeypatch.setattr("morphkit.jobs.code.version", lambda _: "0")
    assert code_digest() != before
    jobs.code_digest.cache_clear()


def test_side_files_of_other_formats(tmp_path):
    ply, gltf, stl = tmp_path / "a.ply", tmp_path / "a.gltf", tmp_path / "a.stl"
    ply.write_bytes(b"ply\ncomment TextureFile skin.png\nend_header\n\0comment TextureFile no.png\n")
    gltf.write_text('{"buffers": [{"uri": "a%20b.bin"}, {"uri": "data:x"}], "images": [{}]}')
    assert side_files(ply) == (tmp_path / "skin.png",)
    assert side_files(gltf) == (tmp_path / "a b.bin",)
    assert side_files(stl) == side_files(tmp_path / "missing.obj") == ()


def test_the_template_arrives_as_it_was_and_the_same_one_each_time(tmp_path):
    template = load_default_model().template()
    known = LandmarkedTemplate(template, {"clay": dict(template.landmarks)})
    modes = np.random.default_rng(0).standard_normal((len(template.mesh.vertices), 3, 2)).astype(np.float32)
    with handed_out(tmp_path, Common(known, modes)) as handout:
        arrived = take(handout)
        assert arrived.template == known
        assert arrived.modes_digest == handout.modes_digest != ""
        assert np.array_equal(arrived.template.template.mesh.uv, template.mesh.uv)
        with handed_out(tmp_path, Common(known, modes)) as again:
            assert take(again) is arrived
    assert list(tmp_path.iterdir()) == []
    with handed_out(tmp_path, Common(known)) as handout:
        assert handout.modes_digest == ""
    with pytest.raises(MorphkitError, match="under the same path"):
        take(handout)


def test_a_work_folder_stays_when_asked_for_or_when_the_run_is_cut_short(tmp_path):
    folder = work_folder(tmp_path / "face.h5", None)
    assert folder == tmp_path / "face-work"
    with workspace(folder, keep=False):
        assert folder.is_dir()
    assert not folder.exists()
    with pytest.raises(KeyboardInterrupt), workspace(folder, keep=False):
        _interrupted_after(folder / "a.npz")
    with workspace(folder, keep=True):  # now a person has asked for it
        pass
    with workspace(folder, keep=False):
        pass
    assert (folder / "a.npz").exists()


def test_a_failed_run_leaves_no_empty_folder(tmp_path):
    folder = Path(tmp_path / "work")
    with pytest.raises(MorphkitError), workspace(folder, keep=False):
        raise MorphkitError("No luck.")
    assert not folder.exists()


def _interrupted_after(path: Path) -> None:
    path.touch()
    raise KeyboardInterrupt
