"""`morphkit evaluate-fits`: a table, numbers, a page; and failures that are counted and named."""

from __future__ import annotations

import csv
import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from fitting_head import small_head
from PIL import Image

from morphkit.archive import save_model
from morphkit.cli import main
from morphkit.commands.faces import find_fit, read_face, true_faces
from morphkit.commands.fit_evaluation import evaluate_fits
from morphkit.errors import BadInputError
from morphkit.evaluation import now_crop, scan_to_mesh, seven_points
from morphkit.io.atomic import write_json
from morphkit.io.landmarks import write_landmarks
from morphkit.io.meshes import write_mesh
from morphkit.landmarks.ibug import NOW_POINTS
from morphkit.mesh import Mesh

NAMES = [f"face_{k}" for k in range(6)]


def landmarks_on(head, vertices):
    return head.landmarks["ibug68"].landmarks(vertices, head.faces)


def seven(head, vertices):
    points = seven_points(landmarks_on(head, vertices))
    return {name: point.tolist() for name, point in zip(NOW_POINTS, points, strict=True)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six true faces, one broken and one missing fit in both layouts, a model whose mean is the baseline."""
    folder, head, rng = tmp_path_factory.mktemp("fits"), small_head(), np.random.default_rng(7)
    save_model(folder / "model.h5", head)
    (folder / "truth").mkdir()
    for k, name in enumerate(NAMES):
        identity = rng.standard_normal(12)
        true = head.instance(identity=identity)
        if k < 4:
            write_mesh(folder / "truth" / f"{name}.ply", Mesh(true, head.faces))
            write_landmarks(folder / "truth" / f"{name}.landmarks.json", landmarks_on(head, true))
        else:
            points = landmarks_on(head, true).points
            np.savez(folder / "truth" / f"{name}.npz", vertices=true, landmarks=points, faces=head.faces)
        fitted = 0.5 * head.instance(identity=0.8 * identity) + 7.0  # its own size and place
        if k == 1:
            continue
        if k == 2:
            fitted[11] = np.nan
        own = folder / "fits" / name
        if k % 2:
            write_mesh(folder / "fits" / f"{name}.ply", Mesh(fitted, head.faces))
            write_json(folder / "fits" / f"{name}.landmarks3d.json", seven(head, fitted))
        else:
            write_mesh(own / "mesh.obj", Mesh(fitted, head.faces))
            write_json(own / "landmarks3d.json", seven(head, np.nan_to_num(fitted)))
    return folder


def run(*arguments):
    return CliRunner().invoke(main, ["evaluate-fits", *map(str, arguments)], env={"COLUMNS": "100"})


def test_all_of_it(place, tmp_path):
    told = run(
        place / "truth", place / "fits", "--baseline", place / "model.h5",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "2 of 6 fits failed" in told.stdout
    assert "face_1: missing" in told.stdout
    assert "face_2: " in told.stdout
    assert "NaN" in told.stdout
    assert told.stdout.splitlines()[-1] == f"Open {tmp_path / 'out' / 'report.html'}"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.html", "scores.json", "scores.csv", "cumulative.png"}
    with Image.open(tmp_path / "out" / "cumulative.png") as picture:
        assert picture.size[0] > 800
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == 1
    assert page.count("data:image/jpeg") == 4
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    numbers = json.loads((tmp_path / "out" / "scores.json").read_text())
    printed = run(place / "truth", place / "fits", "--baseline", place / "model.h5", "--json")
    assert json.loads(printed.stdout) == numbers
    assert set(numbers["failures"]) == {"face_1", "face_2"}
    assert numbers["failure_share"] == pytest.approx(1 / 3)
    assert 0 < numbers["pooled"]["median"] < numbers["pooled"]["median_with_failures"]
    assert numbers["baseline"]["median_ratio"] < 0.6
    assert numbers["baseline"]["share_better"] == pytest.approx(4 / 6)
    assert numbers["curve"]["fits"][-1] < 0.75 < numbers["curve"]["model.h5"][-1]
    with (tmp_path / "out" / "scores.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert list(rows) == NAMES
    assert rows["face_1"]["failure"] == "missing"
    assert rows["face_1"]["median"] == ""
    assert float(rows["face_0"]["median"]) == pytest.approx(numbers["scores"]["face_0"]["median"], abs=1e-5)


def test_the_numbers_are_those_of_the_functions(place):
    result = evaluate_fits(place / "truth", place / "fits")
    truth = read_face(place / "truth" / "face_4.npz")
    fit = read_face(place / "fits" / "face_4" / "mesh.obj")
    chosen = now_crop(truth.points).contains(truth.vertices)
    found = scan_to_mesh(truth.vertices[chosen], truth.points, fit.mesh, fit.points)
    np.testing.assert_allclose(result.scores[4].distances, found.distances, rtol=1e-6)
    known = [s.distances for s in result.scores if s.distances is not None]
    assert result.pooled.median == np.median(np.concatenate(known))
    lost = sum(s.points for s in result.failures)
    assert result.pooled.curve(np.array([1e9])) == 1 - lost / sum(s.points for s in result.scores)
    assert np.isnan(result.ratio)
    assert np.isnan(result.better)
    assert result.files == ()


def test_a_truth_against_itself_is_no_distance_away(place, tmp_path):
    shutil.copytree(place / "truth", tmp_path / "fits")
    for metrical in (False, True):
        for crop in ("now", 60.0):
            result = evaluate_fits(place / "truth", tmp_path / "fits", metrical=metrical, crop=crop)
            assert result.failures == ()
            assert result.pooled.distances.max() < 1e-6
            assert result.pooled.auc() == pytest.approx(1)


def test_metrical_counts_size_and_the_crop_changes_what_counts(place):
    told = run(place / "truth", place / "fits", "--metrical")
    assert told.exit_code == 0
    assert "6 of 6 fits failed" in told.stdout  # they are half as large as life
    assert "mm apart" in told.stdout
    small, large = (
        sum(s.points for s in evaluate_fits(place / "truth", place / "fits", crop=r).scores)
        for r in (40.0, 80.0)
    )
    assert small < 0.5 * large


def test_faces_from_a_topology_and_a_mask(place, tmp_path):
    head = small_head()
    (tmp_path / "truth").mkdir()
    for name in NAMES:
        face = read_face(find_truth(place, name))
        mask = head.masks["face"]
        np.savez(tmp_path / "truth" / f"{name}.npz", vertices=face.vertices.astype(np.float32), mask=mask)
    refused = run(tmp_path / "truth", place / "fits")
    assert refused.exit_code == 2
    assert "face_0.npz has no landmarks" in refused.stderr
    result = evaluate_fits(tmp_path / "truth", place / "fits", topology=place / "model.h5")
    plain = evaluate_fits(place / "truth", place / "fits")
    assert all(a.points < b.points for a, b in zip(result.scores, plain.scores, strict=True))
    assert result.pooled.median == pytest.approx(plain.pooled.median, rel=0.2)


def find_truth(place, name):
    return next(path for path in true_faces(place / "truth") if path.stem == name)


def test_points_without_triangles_are_measured_but_not_drawn(place, tmp_path):
    (tmp_path / "truth").mkdir()
    for name in NAMES[3:]:
        face = read_face(find_truth(place, name))
        points = np.stack([face.landmarks.select([str(i)]).points[0] for i in range(68)])
        np.savez(tmp_path / "truth" / f"{name}.npz", vertices=face.vertices, landmarks=points)
    result = evaluate_fits(tmp_path / "truth", place / "fits", output=tmp_path / "out")
    assert result.failures == ()
    assert result.unmatched == ("face_0", "face_2")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "points without triangles" in page
    assert "face_0, face_2" in page
    assert "data:image" not in page


def break_landmarks(folder):
    (folder / "fits" / "face_3.landmarks3d.json").write_text('{"nose_bottom": [0, 0, 0]}')


def break_json(folder):
    (folder / "fits" / "face_3.landmarks3d.json").write_text("{")


def break_no_landmarks(folder):
    (folder / "fits" / "face_3.landmarks3d.json").unlink()


def break_mesh(folder):
    (folder / "fits" / "face_3.ply").write_bytes(b"ply\nformat")


def break_no_triangles(folder):
    points = read_face(folder / "fits" / "face_3.ply").vertices
    (folder / "fits" / "face_3.ply").unlink()
    np.savez(folder / "fits" / "face_3.npz", vertices=points)


def break_left_and_right(folder):
    path = folder / "fits" / "face_3.landmarks3d.json"
    path.write_text(
        re.sub("left|right", lambda m: {"left": "right", "right": "left"}[m[0]], path.read_text())
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (break_landmarks, "of the seven points"),
        (break_json, "cannot be read"),
        (break_no_landmarks, "has no landmarks"),
        (break_mesh, "cannot be read as a mesh"),
        (break_no_triangles, "has no triangles"),
        (break_left_and_right, "do not match the true ones"),
    ],
)
def test_each_way_to_fail_is_counted_and_named(place, tmp_path, spoil, reason):
    for name in ("truth", "fits"):
        shutil.copytree(place / name, tmp_path / name)
    spoil(tmp_path)
    result = evaluate_fits(tmp_path / "truth", tmp_path / "fits")
    failures = {score.name: score.reason for score in result.failures}
    assert set(failures) == {"face_1", "face_2", "face_3"}
    assert reason in failures["face_3"]


def test_a_page_of_nothing_but_failures(place, tmp_path):
    (tmp_path / "fits").mkdir()
    (tmp_path / "fits" / "face_0.obj").write_text("v 0 0 0\n")
    told = run(place / "truth", tmp_path / "fits", "-o", tmp_path / "out", "--baseline", place / "model.h5")
    assert told.exit_code == 0, told.output
    assert "6 of 6 fits failed" in told.stdout
    numbers = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert numbers["pooled"]["median"] is None
    assert numbers["pooled"]["area_under_curve"] == 0
    assert numbers["baseline"]["share_better"] == 0


def refuse_npz(folder, **arrays):
    np.savez(folder / "truth" / "face_9.npz", **arrays)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"other": np.zeros(3)}, "it holds none"),
        ({"vertices": np.zeros((5, 2))}, r"\(5, 2\)"),
        ({"vertices": np.zeros((5, 3)), "faces": np.full((1, 3), 7)}, "not there"),
        ({"vertices": np.zeros((5, 3)), "faces": np.zeros((1, 3))}, "whole numbers"),
        ({"vertices": np.zeros((5, 3)), "landmarks": np.zeros((5, 3))}, r"\(68, 3\) or \(7, 3\)"),
        ({"vertices": np.zeros((5, 3)), "mask": np.zeros(5)}, "booleans"),
        ({"vertices": np.zeros((50, 3)), "landmarks": np.ones((7, 3))}, "0 vertices near its landmarks"),
    ],
)
def test_broken_true_faces_are_refused(place, tmp_path, arrays, words):
    shutil.copytree(place / "truth", tmp_path / "truth")
    refuse_npz(tmp_path, **arrays)
    with pytest.raises(BadInputError, match=words) as error:
        evaluate_fits(tmp_path / "truth", place / "fits")
    assert "face_9.npz" in str(error.value)


def test_what_is_not_there_is_said_in_a_sentence(place, tmp_path):
    (tmp_path / "empty").mkdir()
    twice = tmp_path / "twice"
    shutil.copytree(place / "truth", twice)
    shutil.copy(twice / "face_4.npz", twice / "face_0.npz")
    bare = tmp_path / "bare.ply"
    shutil.copy(place / "truth" / "face_0.ply", bare)
    cases = [
        ((tmp_path / "none", place / "fits"), "There is no folder"),
        ((tmp_path / "empty", place / "fits"), "holds no true faces"),
        ((twice, place / "fits"), "have the same name"),
        ((place / "truth", tmp_path / "none"), "There is no folder"),
        ((place / "truth", tmp_path / "empty"), "holds no fit of a face"),
        ((place / "truth", place / "fits", "--baseline", bare), "--baseline-landmarks"),
        ((place / "truth", place / "fits", "--truth-topology", bare), "--truth-landmarks"),
        ((place / "truth", place / "fits", "--crop", "-3"), "neither now nor a radius"),
    ]
    for arguments, words in cases:
        told = run(*arguments)
        assert told.exit_code == 2, words
        assert words in told.stderr.replace("\n", " ")


def test_a_crop_by_radius_needs_the_nose_tip(place, tmp_path):
    (tmp_path / "truth").mkdir()
    face = read_face(find_truth(place, "face_4"))
    np.savez(tmp_path / "truth" / "face_4.npz", vertices=face.vertices, landmarks=face.points)
    assert evaluate_fits(tmp_path / "truth", place / "fits").failures == ()
    with pytest.raises(BadInputError, match=r"nose_tip.*which a crop by radius needs"):
        evaluate_fits(tmp_path / "truth", place / "fits", crop=95.0)


def test_a_fit_is_found_in_either_layout(place):
    assert find_fit(place / "fits", "face_0") == place / "fits" / "face_0" / "mesh.obj"
    assert find_fit(place / "fits", "face_3") == place / "fits" / "face_3.ply"
    assert find_fit(place / "fits", "face_1") is None


def test_neutral_faces_are_measured_without_their_expressions(place, tmp_path):
    head, rng = small_head(), np.random.default_rng(3)
    for name in ("truth", "fits/one", "fits/two"):
        (tmp_path / name).mkdir(parents=True)
    identity, laugh = rng.standard_normal(12), np.array([3.0, -3, 3, 3])
    calm, smiling = head.instance(identity=identity), head.instance(identity=identity, expression=laugh)
    for name in ("one", "two"):
        points = landmarks_on(head, smiling).points
        arrays = {"vertices": smiling, "neutral": calm, "landmarks": points, "faces": head.faces}
        np.savez(tmp_path / "truth" / f"{name}.npz", **arrays)
        other = head.instance(identity=identity, expression=-laugh)  # it took the smile for its opposite
        write_mesh(tmp_path / "fits" / name / "mesh.ply", Mesh(other, head.faces))
        write_json(tmp_path / "fits" / name / "landmarks3d.json", seven(head, other))
    write_mesh(tmp_path / "fits" / "one" / "neutral.ply", Mesh(calm, head.faces))
    smiles = evaluate_fits(tmp_path / "truth", tmp_path / "fits")
    assert smiles.failures == ()
    assert smiles.pooled.distances.max() > 0.3
    told = run(tmp_path / "truth", tmp_path / "fits", "--neutral")
    assert told.exit_code == 0, told.output
    assert "two: " in told.stdout
    assert "has no neutral.ply" in told.stdout.replace("\n", " ")
    result = evaluate_fits(tmp_path / "truth", tmp_path / "fits", neutral=True)
    assert result.scores[0].distances.max() < 1e-6
    printed = run(tmp_path / "truth", tmp_path / "fits", "--neutral", "--json")
    assert json.loads(printed.stdout)["neutral"] is True
    write_mesh(
        tmp_path / "fits" / "two" / "neutral.ply",
        Mesh(calm[:-1], head.faces[head.faces.max(1) < len(calm) - 1]),
    )
    assert (
        "without expression"
        in evaluate_fits(tmp_path / "truth", tmp_path / "fits", neutral=True).scores[1].reason
    )
