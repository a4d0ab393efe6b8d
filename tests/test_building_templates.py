import json
from dataclasses import replace

import numpy as np
import pytest

from morphkit.archive import save_model
from morphkit.building.templates import LandmarkedTemplate, load_template
from morphkit.errors import BadInputError
from morphkit.io.meshes import write_mesh
from morphkit.mesh import LandmarkEmbedding, Mesh, Template
from morphkit.morphable import LinearModel, MorphableModel


@pytest.fixture
def quad() -> Mesh:
    vertices = np.array([[0, 0, 0], [100, 0, 0], [100, 100, 0], [0, 100, 0]], dtype=np.float64)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32))


@pytest.fixture
def quad_file(quad, tmp_path):
    path = tmp_path / "quad.ply"
    write_mesh(path, quad)
    return path


@pytest.fixture
def fan_file(tmp_path):
    """A template of 70 vertices."""
    angles = np.linspace(0, 6, 69)
    rim = np.column_stack([100 * np.cos(angles), 100 * np.sin(angles), np.zeros(69)])
    spokes = [[0, i, i + 1] for i in range(1, 69)]
    write_mesh(
        tmp_path / "fan.ply", Mesh(np.vstack([np.zeros((1, 3)), rim]), np.array(spokes, dtype=np.int32))
    )
    return tmp_path / "fan.ply"


def _write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_vertex_indices_become_the_landmarks(quad_file, tmp_path):
    template = load_template(quad_file, _write(tmp_path / "t.json", {"0": 3, "1": 1}))
    points = template.landmarks["ibug68"].landmarks(template.mesh.vertices, template.mesh.faces)
    assert points.names == ("0", "1")
    assert np.array_equal(points.points, [[0, 100, 0], [100, 0, 0]])


def test_points_are_moved_onto_the_surface_and_sorted_into_sets(quad_file, tmp_path):
    file = _write(tmp_path / "t.json", {"30": [20.0, 30.0, 4.0], "mp7": [50.0, 60.0, -3.0]})
    template = load_template(quad_file, file)
    located = {
        name: embedding.landmarks(template.mesh.vertices, template.mesh.faces)
        for name, embedding in template.landmarks.items()
    }
    assert located["ibug68"].names == ("30",)
    assert located["mediapipe478"].names == ("mp7",)
    np.testing.assert_allclose(located["ibug68"].points, [[20, 30, 0]], atol=1e-9)
    np.testing.assert_allclose(located["mediapipe478"].points, [[50, 60, 0]], atol=1e-9)


def test_landmarks_of_another_mesh_are_refused(quad_file, tmp_path):
    with pytest.raises(BadInputError, match="landmark 5 lies 50 mm"):
        load_template(quad_file, _write(tmp_path / "t.json", {"5": [20.0, 30.0, 50.0]}))
    with pytest.raises(BadInputError, match="does not fit the template"):
        load_template(quad_file, _write(tmp_path / "u.json", {"0": 0, "1": 4}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"landmarks68": [0, 1, 2]}, "holds 3 vertices, not 68"),
        ({"landmarks68": [*range(67), 5]}, "holds vertex 5 2 times"),
        ({"landmarks68": [*range(67), 70]}, "vertex 70, which belongs to no triangle"),
        ({"landmarks68": [-1] * 68}, "neither vertex indices nor named 3D points"),
        ([[1.0, 2.0, 3.0]], "neither vertex indices nor named 3D points"),
        (list(range(68)), "neither vertex indices nor named 3D points"),
        (5, "neither vertex indices nor named 3D points"),
    ],
)
def test_files_without_usable_landmarks_are_refused(fan_file, tmp_path, content, words):
    with pytest.raises(BadInputError, match=words):
        load_template(fan_file, _write(tmp_path / "t.json", content))


def test_68_vertices_are_the_landmarks_in_their_order(fan_file, tmp_path):
    order = [*range(69, 1, -1)]
    template = load_template(fan_file, _write(tmp_path / "t.json", {"landmarks68": order}))
    points = template.landmarks["ibug68"].landmarks(template.mesh.vertices, template.mesh.faces)
    assert points.names == tuple(str(i) for i in range(68))
    assert np.array_equal(points.points, template.mesh.vertices[order])


def test_a_missing_landmark_file_is_called_missing(quad_file, tmp_path):
    with pytest.raises(BadInputError, match="There is no file"):
        load_template(quad_file, tmp_path / "t.json")


def test_a_models_mean_is_a_template(quad, tmp_path):
    mean = quad.vertices.astype(np.float32)
    basis = np.zeros((12, 1), dtype=np.float32)
    basis[0] = 1
    landmarks = {"ibug68": LandmarkEmbedding(("0",), np.zeros(1, np.int32), np.array([[0.0, 1.0, 0.0]]))}
    model = MorphableModel(quad.faces, LinearModel(mean, basis, np.ones(1)), landmarks=landmarks)
    save_model(tmp_path / "model.h5", model)
    template = load_template(tmp_path / "model.h5")
    np.testing.assert_allclose(template.mesh.vertices, quad.vertices)
    assert template.landmarks["ibug68"].names == ("0",)
    replaced = load_template(tmp_path / "model.h5", _write(tmp_path / "t.json", {"0": 2}))
    assert replaced.landmarks["ibug68"].names == ("0",)
    assert replaced.mesh.faces[replaced.landmarks["ibug68"].face_indices[0]].tolist().count(2) == 1


def test_detected_scans_meet_the_detected_template(quad):
    own, colored, clay = (
        {"ibug68": LandmarkEmbedding(("0",), np.array([0], np.int32), np.eye(3)[[k]])} for k in range(3)
    )
    template = LandmarkedTemplate(Template(quad, own), {"colored": colored, "clay": clay})
    assert template.matching(None).landmarks is own
    assert template.matching("colored").landmarks is colored
    assert template.matching("clay").landmarks is clay


def test_scan_and_template_are_looked_at_alike(quad):
    painted = replace(quad, colors=np.zeros((len(quad.vertices), 3), np.float32))
    known = LandmarkedTemplate(Template(painted), {"colored": {}, "clay": {}})
    assert (known.shared_look(painted), known.shared_look(quad)) == ("colored", "clay")
    bare = LandmarkedTemplate(Template(quad), {"clay": {}})
    assert (bare.shared_look(painted), bare.shared_look(quad)) == ("clay", "clay")


def test_templates_differ_by_what_was_detected_on_them(quad):
    sets = {"mediapipe478": LandmarkEmbedding(("mp0",), np.zeros(1, np.int32), np.eye(3)[[0]])}
    other = {"mediapipe478": replace(sets["mediapipe478"], barycentrics=np.eye(3)[[1]])}
    plain = LandmarkedTemplate(Template(quad))
    looks = [{"clay": sets}, {"clay": other}, {"colored": sets}, {"clay": sets, "colored": sets}]
    known = [plain, *(LandmarkedTemplate(Template(quad), look) for look in looks)]
    assert len(set(known)) == 5
    assert len({template.digest for template in known}) == 1


def test_the_digest_follows_geometry_and_landmarks(quad):
    embedding = LandmarkEmbedding(("0",), np.zeros(1, np.int32), np.full((1, 3), 1 / 3))
    moved = Mesh(quad.vertices + 1, quad.faces)
    templates = [Template(quad), Template(moved), Template(quad, {"ibug68": embedding})]
    digests = [LandmarkedTemplate(template).digest for template in templates]
    assert len(set(digests)) == 3
    assert LandmarkedTemplate(Template(quad)).digest == digests[0]
