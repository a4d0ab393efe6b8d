"""Photos through the command line."""

import json
from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from morphkit.archive import load_default_model
from morphkit.cli import main
from morphkit.cli.landmarks import _FORMATS
from morphkit.errors import BadInputError
from morphkit.geometry.views import turn
from morphkit.io.images import write_image
from morphkit.io.landmarks import LANDMARK_FORMATS, read_landmarks
from morphkit.io.meshes import write_mesh
from morphkit.landmarks.given import read_photo_landmarks
from morphkit.mesh import Mesh


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "astronaut.jpg"
    path.write_bytes((resources.files("morphkit") / "data" / "astronaut.jpg").read_bytes())
    return path


@pytest.fixture
def blank(tmp_path):
    path = tmp_path / "blank.png"
    write_image(path, np.full((200, 200, 3), 128, np.uint8))
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_fit_writes_everything(astronaut, tmp_path):
    result = _run("fit", astronaut, "-o", tmp_path, "--no-photometric")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "astronaut"
    names = {"mesh.obj", "face.glb", "overlay.png", "side_by_side.png", "params.json", "camera.json"}
    assert names | {"landmarks3d.json", "report.html"} <= {path.name for path in folder.iterdir()}
    assert len(json.loads((folder / "landmarks3d.json").read_text())) == 7


def test_fit_goes_on_past_a_photo_without_a_face_and_resumes(astronaut, blank, tmp_path):
    command = ["fit", blank, astronaut, "-o", tmp_path / "out", "--no-photometric", "--jobs", 1]
    result = _run(*command)
    assert result.exit_code == 2
    assert result.stdout == f"1 of 2 photos fitted: {tmp_path / 'out' / 'index.html'}\n"
    told = result.stderr.splitlines()
    assert told[0].startswith(f"Fitting 2 photos into {tmp_path / 'out'}: a folder a photo")
    assert told[1].startswith(f"Error: {blank}: no face was found")
    assert told[2:] == [f"1 of 2 failed: {blank}."]
    assert (tmp_path / "out" / "astronaut" / "mesh.obj").exists()
    assert not (tmp_path / "out" / "blank").exists()
    again = _run(*command, "--json")
    blank_row, row = (json.loads(line) for line in again.stdout.splitlines())
    assert (blank_row["name"], blank_row["status"]) == ("blank", "failed")
    assert (row["name"], row["status"], row["folder"]) == (
        "astronaut",
        "reused",
        str(tmp_path / "out" / "astronaut"),
    )
    assert row["landmark_error"] < 0.05
    assert again.exit_code == 2


def test_an_empty_folder_is_one_sentence(tmp_path):
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    result = _run("fit", tmp_path / "in", "-o", tmp_path / "out", "-r")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / 'in'} holds no photos")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_each_photo_of_a_folder_has_its_own_landmarks(astronaut, blank, tmp_path):
    assert _run("landmarks", astronaut, "-o", tmp_path / "marks").exit_code == 0
    result = _run(
        *("fit", astronaut.parent, blank, "-o", tmp_path / "out", "--landmarks", tmp_path / "marks"),
        *("--no-photometric", "--json", "--jobs", 1),
    )
    rows = {row["name"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["astronaut"]["landmark_error"] < 0.05
    assert rows["blank"]["error"] == f"There is no file {tmp_path / 'marks' / 'blank.json'}; check the path."


def test_landmarks_of_a_photo_as_pts_are_read_back(astronaut, tmp_path):
    assert _run("landmarks", astronaut, "-o", tmp_path, "--format", "pts").exit_code == 0
    assert _run("landmarks", astronaut, "-o", tmp_path).exit_code == 0
    content = json.loads((tmp_path / "astronaut.landmarks.json").read_text())
    read = read_photo_landmarks(tmp_path / "astronaut.landmarks.pts")
    np.testing.assert_allclose(read, content["faces"][0]["points68"], atol=1e-9)
    (tmp_path / "few.pts").write_text("1 2\n3 4\n")
    with pytest.raises(BadInputError, match="2 points; 68"):
        read_photo_landmarks(tmp_path / "few.pts")


def test_every_landmark_format_can_be_asked_for(astronaut, tmp_path):
    assert set(_FORMATS) == set(LANDMARK_FORMATS)
    refused = _run("landmarks", astronaut, "-o", tmp_path, "--format", "tlms")
    assert refused.exit_code == 2
    assert "written as json or pts, not tlms" in refused.output


def test_landmarks_of_a_scan_without_colors_in_another_frame(tmp_path):
    head = load_default_model()
    mesh, scan = head.mesh(), tmp_path / "bare.ply"
    turned = mesh.vertices @ turn(yaw=0.5, roll=0.3).T
    write_mesh(scan, Mesh(turned, mesh.faces))
    result = _run("landmarks", scan, "-o", tmp_path, "--format", "slicer")
    assert result.exit_code == 0, result.output
    points = read_landmarks(tmp_path / "bare.landmarks.mrk.json")
    expected = head.landmarks["ibug68"].landmarks(turned, mesh.faces)
    errors = np.linalg.norm(points.points - expected.points, axis=1)
    assert np.median(errors[17:]) < 5
    drawn = np.asarray(Image.open(tmp_path / "bare.landmarks.png")).astype(int)
    red = np.argwhere((drawn[:, : drawn.shape[1] // 2] - (255, 70, 40) == 0).all(axis=2))
    left, right = (drawn.shape[0] * share for share in (0.3, 0.7))
    assert left < np.median(red[:, 1]) < right  # the first picture is frontal whatever the scan's frame


@pytest.mark.parametrize("command", ["fit", "landmarks"])
def test_no_face_no_image_no_file_exit_with_2_and_one_sentence(command, blank, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("not an image")
    for path in (blank, text, tmp_path / "missing.jpg"):
        result = _run(command, path, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert str(path) in result.stderr
    assert not (tmp_path / "out").exists()


def test_landmarks_of_a_photo_are_written_and_drawn(astronaut, tmp_path):
    result = _run("landmarks", astronaut, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "astronaut.landmarks.json").read_text())
    face = content["faces"][0]
    assert np.array(face["points478"]).shape == (478, 3)
    assert np.array(face["points68"]).shape == (68, 2)
    drawn = np.asarray(Image.open(tmp_path / "astronaut.landmarks.png"))
    assert list(drawn.shape[1::-1]) == content["size"]
    x, y = np.array(face["points68"])[30].astype(int)
    assert drawn[y, x, 0] > 200
    assert drawn[y, x, 2] < 120
    marks = tmp_path / "astronaut.landmarks.json"
    again = _run("fit", astronaut, "--landmarks", marks, "-o", tmp_path / "fit", "--no-photometric")
    assert again.exit_code == 0, again.output
    values = json.loads((tmp_path / "fit" / "astronaut" / "params.json").read_text())
    assert values["landmark_error"] < 0.05


@pytest.mark.parametrize("command", ["fit", "landmarks"])
def test_two_photos_of_one_name_are_refused_before_anything_is_written(command, astronaut, tmp_path):
    for twin in (tmp_path / "astronaut.png", tmp_path / "other" / "astronaut.jpg", astronaut):
        result = _run(command, astronaut, twin, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert f"{astronaut} and {twin} would be written to one place" in result.stderr
    assert not (tmp_path / "out").exists()
