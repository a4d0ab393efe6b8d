"""What other programs open: GLB with morph targets, the camera for Blender, the files of a fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from fitting_head import small_head

from morphkit.directions import NamedDirections
from morphkit.export.blender import METRE, blender_camera
from morphkit.export.camera import PhotoCamera
from morphkit.export.landmark_picture import landmark_svg
from morphkit.export.morphs import REST, morph_targets, unit_strengths
from morphkit.export.uncertainty import attention_overlay, deviation_colors, scale_end, scale_stops
from morphkit.geometry.views import turn
from morphkit.io.glb import MorphTarget, split_at_seams, write_glb
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Mesh

COMPONENTS = {5126: np.float32, 5123: np.uint16, 5125: np.uint32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}


class Glb:
    """A reader of the parts of glTF 2.0 that morphkit writes, from the specification."""

    def __init__(self, path):
        data = path.read_bytes()
        magic, number, length = data[:4], *np.frombuffer(data[4:12], "<u4").tolist()
        assert (magic, number, length) == (b"glTF", 2, len(data))
        text, kind = np.frombuffer(data[12:20], "<u4").tolist()
        assert (kind, text % 4) == (0x4E4F534A, 0)
        self.json = json.loads(data[20 : 20 + text])
        size, kind = np.frombuffer(data[20 + text : 28 + text], "<u4").tolist()
        assert (kind, size % 4, size) == (0x004E4942, 0, len(data) - 28 - text)
        self.binary = data[28 + text :]
        assert self.json["buffers"] == [{"byteLength": size}]
        self.primitive = self.json["meshes"][0]["primitives"][0]

    def view(self, number):
        view = self.json["bufferViews"][number]
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(self.binary)
        return self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def accessor(self, number):
        a = self.json["accessors"][number]
        width = WIDTHS[a["type"]]
        values = np.zeros((a["count"], width), COMPONENTS[a["componentType"]])
        if "bufferView" in a:
            values = np.frombuffer(self.view(a["bufferView"]), values.dtype).reshape(values.shape).copy()
        if "sparse" in a:
            sparse = a["sparse"]
            index = np.frombuffer(
                self.view(sparse["indices"]["bufferView"]), COMPONENTS[sparse["indices"]["componentType"]]
            )
            assert (np.diff(index.astype(int)) > 0).all()
            assert len(index) == sparse["count"]
            values[index] = np.frombuffer(self.view(sparse["values"]["bufferView"]), np.float32).reshape(
                -1, 3
            )
        if "min" in a:
            assert np.array_equal(np.float32(a["min"]), values.min(axis=0))
            assert np.array_equal(np.float32(a["max"]), values.max(axis=0))
        return values

    def attribute(self, name):
        return self.accessor(self.primitive["attributes"][name])

    @property
    def moved(self):
        """The positions with all targets at their weights, as a viewer shows them."""
        positions = self.attribute("POSITION").astype(np.float64)
        for target, weight in zip(self.primitive["targets"], self.json["meshes"][0]["weights"], strict=True):
            positions += weight * self.accessor(target["POSITION"])
        return positions


@pytest.fixture(scope="module")
def head():
    """A head with uv and named units, one of which is idle."""
    head = small_head()
    units = np.array([[1.5, 0, 0, 0], [0, 2, 0, 0], [0.5, 0, 1, 1], [0, 0, 0, 0]])
    names = NamedDirections(("jawOpen", "mouthSmile", "mouthPucker", "tongueOut"), units)
    rng = np.random.default_rng(2)
    uv = rng.random((len(head.identity.mean), 2)).astype(np.float32)[head.faces]
    uv[:500] += 0.25  # an island of its own
    return replace(head, expression_units=names, uv=uv)


def written(head, expression, path):
    neutral = head.instance()
    vertices = head.instance(expression=expression)
    targets = morph_targets(head, expression, vertices - neutral)
    texture = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    mesh = Mesh(neutral, head.faces, uv=head.uv, texture=texture)
    write_glb(path, mesh, targets=targets, scale=METRE, unlit=True)
    return Glb(path), mesh, vertices


def test_neutral_and_weighted_targets_are_the_fitted_face(head, tmp_path):
    expression = np.array([0.9, 0.7, -0.4, 0.6])
    glb, mesh, vertices = written(head, expression, tmp_path / "face.glb")
    faces, vertex_of, uv = split_at_seams(mesh)
    assert len(vertex_of) > len(vertices)
    assert np.array_equal(vertex_of[faces], head.faces)
    assert np.array_equal(uv[faces], head.uv)
    assert np.array_equal(glb.accessor(glb.primitive["indices"]).reshape(-1, 3), faces)
    assert np.abs(glb.moved - METRE * vertices[vertex_of]).max() < 5e-8  # metres, in float32
    assert np.allclose(glb.attribute("TEXCOORD_0"), np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1))
    assert np.allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-5)
    assert glb.json["meshes"][0]["extras"]["targetNames"] == [*head.expression_units.names, REST]
    weights = glb.json["meshes"][0]["weights"]
    assert min(weights) >= 0
    assert weights[-1] == 1
    assert glb.json["extensionsUsed"] == ["KHR_materials_unlit"]


def test_few_vertices_move_few_bytes(head, tmp_path):
    glb, _, _ = written(head, np.zeros(4), tmp_path / "face.glb")
    accessors = [glb.json["accessors"][target["POSITION"]] for target in glb.primitive["targets"]]
    assert all("bufferView" not in a for a in accessors)
    assert [a.get("sparse", {}).get("count", 0) > 0 for a in accessors] == [True, True, True, False, False]
    everywhere = MorphTarget("all", np.ones((len(head.identity.mean), 3)), 0.5)
    mesh = Mesh(head.instance(), head.faces, colors=np.full((head.n_vertices, 3), 0.25, np.float32))
    write_glb(tmp_path / "dense.glb", mesh, targets=[everywhere])
    dense = Glb(tmp_path / "dense.glb")
    assert np.allclose(dense.moved, mesh.vertices + 0.5, atol=1e-4)
    assert np.allclose(dense.attribute("COLOR_0"), 0.25)
    with pytest.raises(ValueError, match="'all' moves"):
        write_glb(tmp_path / "x.glb", Mesh(mesh.vertices[:-1], mesh.faces[:5]), targets=[everywhere])


def test_other_programs_read_it(head, tmp_path):
    _, mesh, _ = written(head, np.array([0.5, 0, 0, 0]), tmp_path / "face.glb")
    scene = trimesh.load_scene(tmp_path / "face.glb", process=False)
    (geometry,) = scene.geometry.values()
    assert geometry.faces.shape == head.faces.shape
    assert np.allclose(geometry.vertices[geometry.faces], METRE * mesh.vertices[head.faces], atol=1e-7)
    assert np.array_equal(np.asarray(geometry.visual.material.baseColorTexture), mesh.texture)
    own = read_mesh(tmp_path / "face.glb")
    assert np.allclose(own.uv, mesh.uv, atol=1e-6)


def test_units_are_found_again(head):
    strengths = {"jawOpen": 0.6, "mouthSmile": 0.0, "mouthPucker": 0.3, "tongueOut": 0.0}
    found = unit_strengths(head, head.expression_units.combine(strengths))
    assert found == pytest.approx(strengths, abs=0.04)
    assert unit_strengths(head, -head.expression_units.coefficients[1])["mouthSmile"] == 0
    assert unit_strengths(head, 5 * head.expression_units.coefficients[1])["mouthSmile"] == 1
    assert unit_strengths(replace(head, expression_units=None), np.ones(4)) == {}


def test_models_without_units_or_expression(head):
    bare = replace(head, expression_units=None)
    expression = np.array([1.0, -0.5, 0.2])
    moved = bare.instance(expression=expression) - bare.instance()
    targets = morph_targets(bare, expression, moved)
    assert [target.name for target in targets] == [*(f"expression_{i:02d}" for i in range(4)), REST]
    assert np.allclose(sum(target.weight * target.offsets for target in targets), moved, atol=1e-6)
    assert np.abs(targets[-1].offsets).max() < 0.1  # what was held still
    assert morph_targets(replace(bare, expression=None), np.zeros(0), moved) == ()


def blender_project(values, points):
    """Return where Blender draws points of its world, in pixels, the outer corner at (0, 0).

    Its manual's pinhole: lens and sensor width give the field of view across the picture; shifts move the
    picture over the sensor in units of its width; a pixel is as much taller than wide as its aspects say.
    """
    width, height = values["resolution_x"], values["resolution_y"]
    tall = values["pixel_aspect_y"] / values["pixel_aspect_x"]
    homogeneous = np.column_stack([points, np.ones(len(points))])
    x, y, z, _ = (homogeneous @ np.linalg.inv(np.asarray(values["matrix_world"])).T).T
    focal = values["lens"] / values["sensor_width"] * width  # in pixels' widths
    across = 0.5 * width + focal * x / -z - values["shift_x"] * width
    up = 0.5 * height * tall + focal * y / -z - values["shift_y"] * width
    return np.stack([across, height - up / tall], axis=1)


def test_blender_draws_points_where_the_photo_has_them(rng):
    to_blender = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # its importer's turn of glTF
    for fy, width, height in ((1850.0, 700, 900), (1700.0, 1200, 500), (2000.0, 640, 640)):
        rotation = np.diag([1.0, -1, -1]) @ turn(0.5, 0.2, 0.1)
        K = np.array([[1850.0, 0, 333.3], [0, fy, 412.7], [0, 0, 1]])
        camera = PhotoCamera(K, rotation, np.array([10.0, -20, 800]), width, height)
        values = blender_camera(camera)
        points = 80 * rng.normal(size=(40, 3))
        drawn = blender_project(values, METRE * points @ to_blender.T)
        assert np.abs(drawn - camera.project(points)).max() < 1e-6
        matrix = values["matrix_world"]
        assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3))
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
        assert min(values["pixel_aspect_x"], values["pixel_aspect_y"]) == 1
    for wrong in ([[1000.0, 3, 0], [0, 1000, 0]], [[-1000.0, 0, 0], [0, 1000, 0]]):
        with pytest.raises(ValueError, match="without skew"):
            blender_camera(replace(camera, K=np.array([*wrong, [0, 0, 1]])))


def test_obj_names_a_texture_that_is_there(head, tmp_path):
    texture = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    mesh = Mesh(head.instance(), head.faces, uv=head.uv, texture=texture)
    from morphkit.io.images import write_image

    write_image(tmp_path / "skin.png", texture)
    write_mesh(tmp_path / "mesh.obj", mesh, picture=tmp_path / "skin.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mesh.mtl", "mesh.obj", "skin.png"]
    back = read_mesh(tmp_path / "mesh.obj")
    assert np.allclose(back.vertices, mesh.vertices, rtol=1e-8)
    assert np.allclose(back.uv, mesh.uv, atol=1e-6)
    assert np.array_equal(back.texture, texture)


def test_uncertainty_is_a_scale_and_then_grey():
    assert scale_end(np.full(10, 0.7)) == 1.0
    assert scale_end(np.full(10, 1e4)) == 50.0
    colors = deviation_colors(np.array([0.0, 1.0, 2.0, 3.1, 9.0]), 2.0)
    assert np.allclose(colors[3:], colors[3, 0], atol=0.02)
    assert (np.diff(colors[:3] @ [0.2126, 0.7152, 0.0722]) > 0).all()
    assert scale_stops()[0] == "rgb(68 1 84)"


def test_attention_shows_what_was_looked_at_and_rejected():
    photo = np.full((4, 6, 3), (200, 150, 120), np.uint8)
    region, attention = np.zeros((4, 6)), np.ones((4, 6))
    region[:, 2:], attention[:, 4:] = 1, 0
    shown = attention_overlay(photo, attention, region)
    assert np.array_equal(shown[:, 2:4], photo[:, 2:4])
    assert np.ptp(shown[0, 0].astype(int)) == 0
    assert int(shown[0, 5, 0]) > int(shown[0, 5, 1]) + 50


def test_landmarks_are_drawn_with_their_lines():
    picture = np.zeros((100, 100, 3), np.uint8)
    seen = np.array([[20.0, 30], [40, 50], [np.nan, np.nan]])
    svg = landmark_svg(picture, (10, 10, 60, 60), seen, np.array([[22.0, 30], [np.nan, np.nan], [30, 30]]))
    assert svg.count("<circle") == 4
    assert "M20.0 40.0L24.0 40.0" in svg
    assert svg.split('<path d="')[1].split('"')[0].count("L") == 1
