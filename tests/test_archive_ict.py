"""ICT-FaceKit's folder: modes and named expressions are its own, quads are cut in order, uv is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from model_corruption import assert_formula, assert_refused, assert_survives_damage, check_model
from model_files_ict import write_folder
from model_files_linear import head

from morphkit.archive import load_model
from morphkit.archive.layouts import ict

GROUND_TRUTH = Path(__file__).parents[2] / "shared" / "groundtruth" / "ict_facekit.npz"


def polygons_of(faces, rng, uv_count):
    """Return triangles two by two as quads where they meet, with uv of their own, as (vertex, uv) corners."""
    corners = [
        [(int(v), int(t)) for v, t in zip(f, rng.integers(0, uv_count, 3), strict=True)] for f in faces
    ]
    quads = []
    while corners:
        first = corners.pop(0)
        meets = corners and corners[0][0][0] == first[0][0] and corners[0][1][0] == first[2][0]
        quads.append([*first, corners.pop(0)[2]] if meets else first)
    return quads


@pytest.fixture
def kit(rng, tmp_path):
    neutral, faces = head(6, 8)
    faces = faces[np.lexsort([faces[:, 1], faces[:, 0]])]
    modes = 3 * rng.standard_normal((4, *neutral.shape))
    names = ("browDown_L", "browDown_R", "eyeBlink_L", "jawOpen", "mouthSmile_L")
    expressions = {name: 5 * rng.standard_normal(neutral.shape) for name in names}
    uv = rng.uniform(0, 7, (90, 2))
    polygons = polygons_of(faces, rng, len(uv))
    indices = {
        "idx_to_landmark_verts": rng.integers(0, len(neutral), 68).tolist(),
        "idx_to_rigid_verts": [3, 5, 8],
    }
    clone = tmp_path / "ICT-FaceKit"
    write_folder(clone / "FaceXModel", neutral, modes, expressions, uv, polygons, indices)
    return clone, neutral, modes, expressions, uv, polygons, indices


def test_modes_and_expressions_are_the_layouts_own(rng, kit):
    clone, neutral, modes, expressions, *_ = kit
    model = load_model(clone)
    check_model(model)
    assert model.expression_units.names == tuple(sorted(expressions))
    c, strengths = rng.standard_normal(4), {"jawOpen": 1.0, "browDown_L": 0.4}
    e = model.expression_units.combine(strengths)
    moved = sum(s * expressions[name] for name, s in strengths.items())
    truth = neutral + np.tensordot(c, modes, 1) + moved
    # six decimals of centimetres are on file: half a last digit of each of the shapes
    assert_formula(model, truth, c, e, tolerance=4e-7 + 5e-6 * (2 * np.abs(c).sum() + 3) / 300)
    assert model.expression.is_orthonormal
    assert model.provenance["unit"] == "centimetres"
    assert "MIT" in model.provenance["licence"]


def test_quads_are_cut_in_order_and_uv_is_kept(kit):
    clone, _, _, _, uv, polygons, _ = kit
    assert {len(p) for p in polygons} == {3, 4}
    model = load_model(clone)
    cut = [[p[0], p[i], p[i + 1]] for p in polygons for i in range(1, len(p) - 1)]
    np.testing.assert_array_equal(model.faces, [[v for v, _ in t] for t in cut])
    np.testing.assert_allclose(model.uv, uv[[[t for _, t in corners] for corners in cut]], atol=1e-6)


def test_landmarks_and_masks(kit):
    clone, *_, indices = kit
    model = load_model(clone)
    found = model.landmarks["ibug68"].landmarks(model.instance(), model.faces)
    assert found.names == tuple(str(i) for i in range(68))
    np.testing.assert_array_equal(found.points, model.instance()[indices["idx_to_landmark_verts"]])
    assert set(model.masks) == {"rigid"}  # the parts are those of the full mesh
    assert np.flatnonzero(model.masks["rigid"]).tolist() == [3, 5, 8]


def test_the_folder_itself_and_one_without_a_list_of_vertices(kit):
    clone = kit[0]
    (clone / "FaceXModel" / "vertex_indices.json").unlink()
    model = load_model(clone / "FaceXModel")
    assert model.landmarks == model.masks == {}
    assert model.identity.digest == load_model(clone).identity.digest


def test_line_ends_tabs_and_missing_line_ends(kit):
    clone = kit[0]
    before = load_model(clone)
    path = clone / "FaceXModel" / "jawOpen.obj"
    text = path.read_bytes()
    for changed in (
        text.replace(b"\n", b"\r\n"),
        text.replace(b"v ", b"v\t"),
        text[: text.rindex(b"\nvt")].rstrip() + b"\n",
    ):
        path.write_bytes(changed)
        assert load_model(clone).expression.digest == before.expression.digest


def test_incomplete_clones_are_named(kit, tmp_path):
    clone = kit[0]
    folder = clone / "FaceXModel"
    (folder / "identity001.obj").rename(folder / "identity009.obj")
    assert_refused(clone, "identity001.obj is missing")
    (folder / "identity009.obj").rename(folder / "identity001.obj")
    lines = (folder / "jawOpen.obj").read_text().splitlines(keepends=True)
    lines.remove(next(line for line in lines if line.startswith("v ")))
    (folder / "jawOpen.obj").write_text("".join(lines))
    assert_refused(clone, r"jawOpen.obj: it has 49 vertices, .* has 50")
    shutil.rmtree(folder)
    assert_refused(clone, "no model file")
    (tmp_path / "some").mkdir()
    assert_refused(tmp_path / "some", "a folder with nothing in it")


def test_numbers_and_indices_that_are_none(kit):
    folder = kit[0] / "FaceXModel"
    path = folder / "vertex_indices.json"
    for content, match in (
        ({"idx_to_landmark_verts": [0] * 67 + [50]}, "idx_to_landmark_verts"),
        ({"idx_to_rigid_verts": [True, -1]}, "idx_to_rigid_verts"),
        ({"idx_to_rigid_verts": {"a": 1}}, "idx_to_rigid_verts"),
        ([1], "no lists of vertices"),
    ):
        path.write_text(json.dumps(content))
        assert_refused(folder, f"vertex_indices.json.*{match}")
    path.write_text("[" * 100_000)
    assert_refused(folder, "no JSON", seconds=5.0, allowance=60 << 20)
    path.unlink()
    obj = folder / "jawOpen.obj"
    text = obj.read_text()
    first = text.index("\nv ") + 3
    for value in ("nan", "inf", "1e39", "1e400"):
        obj.write_text(text[:first] + value + text[text.index(" ", first) :])
        assert_refused(folder, "jawOpen.obj.*not finite")
    obj.write_text(text[:first] + "x" + text[first:])
    assert_refused(folder, "jawOpen.obj.*damaged")


def test_damaged_copies(kit, tmp_path):
    folder = kit[0] / "FaceXModel"
    vertices = len(kit[1])

    def harmless(file, data):
        """Of moved shapes only vertices are read: what is cut behind them at a line's end does no harm."""
        moved = file.suffix == ".obj" and "neutral" not in file.name
        return moved and data.endswith(b"\n") and data.count(b"\nv ") == vertices

    assert_survives_damage(folder, tmp_path, harmless=harmless)


def test_a_neutral_mesh_that_is_cut_is_refused_wherever(kit):
    path = kit[0] / "FaceXModel" / "generic_neutral_mesh.obj"
    data = path.read_bytes()
    first = data.index(b"\nf ")
    for end in range(first + 2, len(data), 7):
        path.write_bytes(data[:end])
        assert_refused(kit[0], "generic_neutral_mesh.obj.*truncated")
    ends = [i + 1 for i in range(first, len(data) - 1) if data[i : i + 1] == b"\n"]
    for end in ends[-3:]:
        path.write_bytes(data[:end])
        assert_refused(kit[0], "generic_neutral_mesh.obj.*truncated")


def test_a_face_of_two_corners_is_refused(kit):
    path = kit[0] / "FaceXModel" / "generic_neutral_mesh.obj"
    path.write_bytes(path.read_bytes() + b"f 1/1 2/2\n")
    assert_refused(kit[0], "fewer than three corners")


def test_the_full_mesh_must_have_all_its_triangles(tmp_path, monkeypatch, kit):
    monkeypatch.setattr(ict, "_FULL", len(kit[1]))
    assert_refused(kit[0], r"generic_neutral_mesh.obj: it has \d+ triangles; the full mesh of .* 52220")


@pytest.mark.skipif(not GROUND_TRUTH.is_file(), reason="needs ../shared/groundtruth/ict_facekit.npz")
def test_the_full_mesh_written_out_and_read_back(rng, tmp_path):
    data = np.load(GROUND_TRUTH)
    neutral, names = data["neutral"].astype(float), [str(name) for name in data["expression_names"]]
    modes = data["identity"][:3].astype(float)
    chosen = ("jawOpen", "mouthSmile_L")
    expressions = {name: data["expressions"][names.index(name)].astype(float) for name in chosen}
    corners = np.stack([data["faces"], data["uv_faces"]], axis=2)
    polygons = [[(v, t) for v, t in face] for face in corners.tolist()]
    indices = {"idx_to_landmark_verts": data["landmarks68"].tolist()}
    write_folder(tmp_path / "kit", neutral, modes, expressions, data["uv"], polygons, indices)
    model = load_model(tmp_path / "kit")
    opaque = (data["faces"] < 24591).all(axis=1)  # what follows are tears, shades and lashes
    np.testing.assert_array_equal(model.faces, data["faces"][opaque])
    np.testing.assert_allclose(model.uv, data["uv"][data["uv_faces"]][opaque], atol=2e-6)
    assert model.provenance["read_notes"][0].startswith(f"{np.count_nonzero(~opaque)} triangles of lacrimal")
    np.testing.assert_array_equal(
        model.landmarks["ibug68"].landmarks(model.instance(), model.faces).points,
        model.instance()[data["landmarks68"]],
    )
    for name in ("face", "narrow_face"):
        first, end = data[f"part_{name}"]
        np.testing.assert_array_equal(np.flatnonzero(model.masks[name]), np.arange(first, end))
    eyes = [data[f"part_{part}_{side}"] for side in ("left", "right") for part in ("sclera", "iris")]
    assert np.flatnonzero(model.masks["eyes"]).tolist() == [i for a, b in eyes for i in range(a, b)]
    c = rng.standard_normal(3)
    e = model.expression_units.combine({"jawOpen": 1.0})
    truth = neutral + np.tensordot(c, modes, 1) + expressions["jawOpen"]
    assert_formula(model, truth, c, e)
    assert set(model.masks) == set(ict._PARTS)
