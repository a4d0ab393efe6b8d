"""What cannot be done, or would destroy something, is refused before any work."""

import shutil
from pathlib import Path

import pytest
from building_scans import never, run

from morphkit.building import task


def test_scans_of_one_name_are_refused(data, tmp_path):
    twin = tmp_path / "ada.ply"
    shutil.copy(data.scans / "ada.ply", twin)
    result = run("register", data.scans / "ada.ply", twin, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Several scans are called 'ada'" in result.stderr


def test_a_folder_is_no_scan(data, tmp_path):
    result = run("register", data.scans, *data.arguments, "-o", tmp_path / "out")
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert str(data.scans) in sentence
    assert "build-basis takes a folder" in sentence
    assert not (tmp_path / "out").exists()


@pytest.fixture
def own(data, tmp_path) -> Path:
    """A person's own folder: two scans and a sidecar."""
    folder = tmp_path / "own"
    folder.mkdir()
    for file in ("ada.ply", "ada.landmarks.json", "ben.ply"):
        shutil.copy(data.scans / file, folder / file)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("through_link", [False, True])
def test_raw_scans_are_never_overwritten(data, own, tmp_path, through_link):
    before, folder = _contents(own), own
    if through_link:
        folder = tmp_path / "link"
        folder.symlink_to(own)
    results = [
        run("register", own / "ada.ply", *data.arguments, "-o", folder),
        run("build-basis", own, *data.arguments, "-o", tmp_path / "m.h5", "--work", folder),
    ]
    for result in results:
        assert result.exit_code == 2
        assert str(own / "ada.ply") in result.stderr
        assert "choose another folder" in result.stderr
    assert _contents(own) == before


def test_templates_and_linked_scans_are_never_overwritten(data, own, tmp_path):
    out, links = tmp_path / "out", tmp_path / "links"
    out.mkdir()
    links.mkdir()
    template = shutil.copy(data.template, out / "ada.ply")
    (links / "ben.ply").symlink_to(own / "ben.ply")
    before = _contents(out), _contents(own)
    options = ["--template", template, "--template-landmarks", data.template_landmarks]
    over_template = run("register", own / "ada.ply", *options, "-o", out)
    over_scan = run("register", links / "ben.ply", *data.arguments, "-o", own)
    for result in (over_template, over_scan):
        assert result.exit_code == 2
        assert "choose another folder" in result.stderr
    assert str(template) in over_template.stderr
    assert (_contents(out), _contents(own)) == before


def test_the_model_never_takes_the_place_of_its_template(data, tmp_path):
    model = tmp_path / "face.h5"
    model.write_bytes(b"a model")
    result = run("build-basis", data.scans, "--template", model, "-o", model)
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr
    assert model.read_bytes() == b"a model"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bootstrap", 1, "--method", "nicp"), "nothing to bootstrap"),
        (("--mirror-training",), "knows its left from its right"),
        (("--resume",), "nothing to resume"),
        (("--resume", "--work", "{}/nosuch"), "nothing to resume"),
        (("--components", "0"), "neither a number of components nor a share"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_any_work(data, tmp_path, monkeypatch, options, words):
    monkeypatch.setattr(task, "prepare_scan", never)
    options = [str(option).format(tmp_path) for option in options]
    result = run("build-basis", data.scans, *data.arguments, "-o", tmp_path / "new" / "m.h5", *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("model.npz", "end in .h5 or .hdf5")])
def test_a_wrong_model_path_is_refused_before_any_work(data, tmp_path, monkeypatch, name, words):
    monkeypatch.setattr(task, "register_prepared", never)
    result = run("build-basis", data.scans, *data.arguments, "-o", tmp_path / name)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_output_that_cannot_be_written_is_noticed_before_any_work(data, tmp_path, monkeypatch):
    monkeypatch.setattr(task, "prepare_scan", never)
    wall, scan = tmp_path / "wall", data.scans / "ada.ply"
    wall.write_text("a file where a folder is needed")
    results = [
        run("register", scan, *data.arguments, "-o", wall),
        run("build-basis", data.scans, *data.arguments, "-o", wall / "m.h5"),
        run("build-basis", data.scans, *data.arguments, "-o", tmp_path / "m.h5", "--work", wall),
    ]
    for result in results:
        assert result.exit_code == 1
        assert "Could not write" in result.stderr
        assert "choose another folder" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wall"]
