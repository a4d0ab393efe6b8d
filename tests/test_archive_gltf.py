"""glTF with morph targets: a model comes back, others' targets become units, nothing leaves the folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from model_corruption import (
    assert_bounded_memory,
    assert_formula,
    assert_refused,
    assert_survives_damage,
    check_model,
)
from model_files_gltf import Builder
from model_files_linear import group, head, make_model

import morphkit
from morphkit.archive import load_model, save_model
from morphkit.errors import BadInputError
from morphkit.io.glb import MorphTarget, write_glb
from morphkit.mesh import Mesh
from morphkit.morphable import MorphableModel


def assert_same(back, model):
    """Assert that a model came back: the identity's basis to single precision, all else to the bit."""
    worst = np.abs(back.identity.basis - model.identity.basis).max(initial=0)
    assert worst <= 2e-7 * np.abs(model.identity.basis).max(initial=0)
    for name in ("identity", "expression", "albedo"):
        a, b = getattr(back, name), getattr(model, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.mean, b.mean)
            np.testing.assert_array_equal(a.standard_deviations, b.standard_deviations)
            assert a.noise_variance == b.noise_variance
            if name != "identity":
                np.testing.assert_array_equal(a.basis, b.basis)
    for name in ("faces", "uv", "mirror"):
        a, b = getattr(back, name), getattr(model, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert list(back.masks) == list(model.masks)
    for name, mask in model.masks.items():
        np.testing.assert_array_equal(back.masks[name], mask)
    assert list(back.landmarks) == list(model.landmarks)
    for name, embedding in model.landmarks.items():
        assert back.landmarks[name].names == embedding.names
        np.testing.assert_array_equal(back.landmarks[name].face_indices, embedding.face_indices)
        np.testing.assert_array_equal(back.landmarks[name].barycentrics, embedding.barycentrics)
    assert (back.expression_units is None) == (model.expression_units is None)
    if model.expression_units is not None:
        assert back.expression_units.names == model.expression_units.names
        np.testing.assert_array_equal(back.expression_units.coefficients, model.expression_units.coefficients)
    assert back.provenance == model.provenance


def bare(model):
    return replace(model, expression=None, albedo=None, expression_units=None, uv=None, landmarks={},
                   masks={}, mirror=None, provenance={})  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m,
        bare,
        lambda m: replace(m, expression_units=None),
        lambda m: replace(m, uv=np.random.default_rng(0).random(m.uv.shape).astype(np.float32)),  # all seams
        lambda m: m.marginal(np.arange(20, 190)),  # vertices without faces, columns that are not orthonormal
        lambda m: m.truncate(identity=0, expression=2),
        lambda m: replace(m, identity=replace(m.identity, noise_variance=0.25)),
    ],
)
def test_a_model_comes_back(rng, tmp_path, change):
    model = change(make_model(rng))
    save_model(tmp_path / "m.glb", model)
    back = load_model(tmp_path / "m.glb")
    assert_same(back, model)
    assert back.faces.flags.writeable  # nothing of the file is held open
    assert back.identity.basis.flags.writeable
    c = rng.standard_normal(model.identity.n_components)
    assert_formula(back, model.instance(c), c)
    save_model(tmp_path / "again.glb", model)
    assert (tmp_path / "again.glb").read_bytes() == (tmp_path / "m.glb").read_bytes()


def test_what_a_viewer_shows(rng, tmp_path):
    model = make_model(rng)
    save_model(tmp_path / "m.glb", model)
    data = (tmp_path / "m.glb").read_bytes()
    document = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    (mesh,) = document["meshes"]
    names = [f"identity_{i:03d}" for i in range(6)] + ["jawOpen", "mouthSmileLeft"]
    assert mesh["extras"]["targetNames"] == names
    assert mesh["weights"] == [0.0] * 8
    assert len(mesh["primitives"][0]["targets"]) == 8
    assert {"POSITION", "NORMAL", "COLOR_0", "TEXCOORD_0"} == set(mesh["primitives"][0]["attributes"])
    shown = trimesh.load_mesh(tmp_path / "m.glb", process=False)
    size = np.ptp(model.instance(), axis=0) / 1000
    np.testing.assert_allclose(shown.extents, size, rtol=1e-5)  # metres


def test_as_a_foreign_file_it_shows_the_same_faces(rng, tmp_path):
    """Without morphkit's extras, the targets alone must say what the statistics say."""
    model = make_model(rng)
    save_model(tmp_path / "m.glb", model)
    data = (tmp_path / "m.glb").read_bytes()
    (tmp_path / "foreign.glb").write_bytes(data.replace(b'"extras":{"morphkit"', b'"extras":{"somebody"'))
    foreign = load_model(tmp_path / "foreign.glb")
    own, seen = (
        model.instance(np.eye(6)[2]),
        foreign.instance(None, foreign.expression_units.combine({"identity_002": 1.0})),
    )
    np.testing.assert_allclose(seen[foreign.faces], own[model.faces], atol=1e-3)
    own = model.instance(None, model.expression_units.combine({"jawOpen": 1.0}))
    seen = foreign.instance(None, foreign.expression_units.combine({"jawOpen": 1.0}))
    np.testing.assert_allclose(seen[foreign.faces], own[model.faces], atol=2e-3)
    np.testing.assert_allclose(foreign.uv, model.uv, atol=1e-6)
    np.testing.assert_allclose(
        foreign.albedo.mean[foreign.faces], model.albedo.mean.clip(0, 1)[model.faces], atol=1e-6
    )


def test_the_default_head(tmp_path):
    model = morphkit.load_default_model().truncate(identity=4, albedo=2)
    save_model(tmp_path / "m.glb", model)
    back = load_model(tmp_path / "m.glb")
    assert_same(back, model)
    check_model(back)


def test_damaged_copies(rng, tmp_path):
    save_model(tmp_path / "m.glb", make_model(rng, 5, 7))
    assert_survives_damage(tmp_path / "m.glb", tmp_path)


def test_memory(rng, tmp_path):
    mean, faces = head(90, 120)
    model = replace(bare(make_model(rng, 90, 120)), identity=group(rng, mean, 20, 2.0))
    save_model(tmp_path / "m.glb", model)
    assert_bounded_memory(tmp_path / "m.glb")
    np.testing.assert_array_equal(load_model(tmp_path / "m.glb").faces, faces)


# --- files by others -------------------------------------------------------------------------------------


@pytest.fixture
def shapes(rng):
    vertices, faces = head(6, 9)
    names = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "still")
    offsets = {name: 4 * rng.standard_normal(vertices.shape) for name in names}
    offsets["still"] *= 0
    return vertices, faces, offsets


def simple(shapes, scale=0.001):
    vertices, faces, offsets = shapes
    builder = Builder()
    position = builder.accessor((scale * vertices).astype(np.float32))
    indices = builder.accessor(faces.astype(np.uint16).reshape(-1))
    targets = {n: builder.accessor((scale * o).astype(np.float32)) for n, o in offsets.items()}
    builder.scene(builder.node(mesh=builder.mesh({"POSITION": position}, indices, targets)))
    return builder


def assert_units(model, shapes, **expected):
    vertices, faces, offsets = shapes
    check_model(model)
    np.testing.assert_array_equal(model.faces, faces)
    assert model.identity.n_components == 0
    assert model.expression_units.names == tuple(offsets)
    strengths = {"jawOpen": 1.0, "eyeBlinkLeft": 0.5, "still": 1.0}
    moved = sum(s * offsets[name] for name, s in strengths.items())
    assert_formula(model, vertices + moved, None, model.expression_units.combine(strengths))
    assert model.expression.is_orthonormal


def test_named_targets_become_units(shapes, tmp_path):
    model = load_model(simple(shapes).glb(tmp_path / "m.glb"))
    assert_units(model, shapes)
    assert model.provenance["unit"] == "metres"
    assert "no identity" in model.provenance["read_notes"][0]


@pytest.mark.parametrize(("scale", "unit"), [(1.0, "millimetres"), (0.1, "centimetres")])
def test_other_units_are_noticed(shapes, tmp_path, scale, unit):
    model = load_model(simple(shapes, scale).glb(tmp_path / "m.glb"))
    assert_units(model, shapes)
    assert any(unit in note for note in model.provenance["read_notes"])


def test_json_with_its_buffer_within_or_beside(shapes, tmp_path):
    builder = simple(shapes)
    assert_units(load_model(builder.gltf(tmp_path / "within.gltf")), shapes)
    (tmp_path / "my buffer.bin").write_bytes(builder.data)
    assert_units(load_model(builder.gltf(tmp_path / "beside.gltf", "my%20buffer.bin")), shapes)


def test_sparse_interleaved_and_normalized_numbers(rng, shapes, tmp_path):
    vertices, faces, offsets = shapes
    offsets["eyeBlinkLeft"][5:] = 0
    uv, color = rng.random((len(vertices), 2)), rng.integers(0, 256, (len(vertices), 4), np.uint8)
    builder = Builder()
    position, coordinate = builder.interleaved(0.001 * vertices, uv)
    attributes = {
        "POSITION": position,
        "TEXCOORD_0": coordinate,
        "COLOR_0": builder.accessor(color, normalized=True),
    }
    targets = {n: builder.accessor((0.001 * o).astype(np.float32)) for n, o in offsets.items()}
    targets["eyeBlinkLeft"] = builder.sparse(
        len(vertices), np.arange(5, dtype=np.uint8), 0.001 * offsets["eyeBlinkLeft"][:5]
    )
    targets["still"] = builder.sparse(len(vertices), np.zeros(0, np.uint16), np.zeros((0, 3)))
    indices = builder.accessor(faces.astype(np.uint32).reshape(-1))
    builder.scene(builder.node(mesh=builder.mesh(attributes, indices, targets)))
    model = load_model(builder.glb(tmp_path / "m.glb"))
    assert_units(model, shapes)
    np.testing.assert_allclose(model.uv, (uv * [1, -1] + [0, 1])[faces], atol=1e-6)
    np.testing.assert_allclose(model.albedo.mean, color[:, :3] / 255, atol=1e-6)


def test_a_scene_of_several_meshes(shapes, tmp_path):
    """Head and teeth under nodes that turn, shift, scale and mirror; units of the same name are one."""
    vertices, faces, offsets = shapes
    builder = simple(shapes, 1.0)  # millimetres, under a node that makes them metres
    teeth = builder.accessor(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32))
    bite = builder.accessor(np.array([[0, 0, -1]] * 3, np.float32))
    mesh = builder.mesh({"POSITION": teeth}, None, {"jawOpen": bite, "tongueOut": bite, "eyeBlinkLeft": None})
    builder.document["nodes"] = []
    half = np.sqrt(0.5)
    child = builder.node(mesh=mesh, scale=[-10, 10, 10], rotation=[half, 0, 0, half])  # y to z, mirrored in x
    first = builder.node(mesh=0, matrix=(np.diag([1, 1, 1, 1]) + 0.0).T.reshape(-1).tolist())
    builder.scene(builder.node(children=[first, child], scale=[0.001] * 3, translation=[1.0, 0, 0]))
    model = load_model(builder.glb(tmp_path / "m.glb"))
    check_model(model)
    n = len(vertices)
    shift = np.array([1000.0, 0, 0])
    assert model.expression_units.names == (*offsets, "tongueOut")
    truth = np.concatenate([vertices, [[0, 0, 0], [-10, 0, 0], [0, 0, 10]]]) + shift
    assert_formula(model, truth)
    np.testing.assert_array_equal(model.faces, [*faces.tolist(), [n + 2, n + 1, n]])
    moved = np.concatenate([offsets["jawOpen"], [[0, 10, 0]] * 3])
    assert_formula(model, truth + moved, None, model.expression_units.combine({"jawOpen": 1.0}))


def test_a_plain_mesh_is_no_model(shapes, tmp_path):
    vertices, faces, offsets = shapes
    write_glb(tmp_path / "mesh.glb", Mesh(vertices, faces), scale=0.001)
    with pytest.raises(BadInputError, match="is a mesh"):
        load_model(tmp_path / "mesh.glb")
    write_glb(tmp_path / "fit.glb", Mesh(vertices, faces), scale=0.001,
              targets=[MorphTarget(name, moved) for name, moved in offsets.items()])  # fmt: skip
    assert_units(load_model(tmp_path / "fit.glb"), shapes)


@pytest.mark.parametrize(
    "uri",
    ["../m.bin", "/etc/passwd", "sub/m.bin", "..%2fm.bin", "%2e%2e/m.bin", "c:\\m.bin", "file:///m.bin",
     "http://localhost/m.bin", "..\\m.bin", "..", "m.bin%00", ""],
)  # fmt: skip
def test_nothing_outside_the_folder_is_read(shapes, tmp_path, uri):
    builder = simple(shapes)
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    for folder in (tmp_path, inner / "sub"):
        (folder / "m.bin").write_bytes(builder.data)
    assert_refused(builder.gltf(inner / "m.gltf", uri), "only buffers in the same folder|is missing")


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda d: d["accessors"][0].update(count=10**9), "ends beyond its buffer view"),
        (lambda d: d["accessors"][0].update(count=1 << 60), "whole number"),
        (lambda d: d["accessors"][0].update(count=-1), "whole number"),
        (lambda d: d["accessors"][0].update(byteOffset=8), "ends beyond"),
        (lambda d: d["accessors"][0].update(type="MAT4"), "not VEC3"),
        (
            lambda d: d["accessors"][0].pop("bufferView") is None or d["accessors"][0].update(count=10**9),
            "unpacks",
        ),
        (lambda d: d["accessors"][2].update(count=3, bufferView=0), "has 3 elements"),
        (lambda d: d["bufferViews"][0].update(byteLength=10**9), "ends beyond its buffer"),
        (lambda d: d["bufferViews"][0].update(byteStride=4), "ends beyond"),
        (lambda d: d["bufferViews"][0].update(buffer=7), r"refers to buffers\[7\] of 1"),
        (lambda d: d["bufferViews"][0].update(buffer=[0]), "refers to buffers"),
        (
            lambda d: d["nodes"].append({"children": [1]}) or d["scenes"][0].update(nodes=[1]),
            "contain themselves",
        ),
        (lambda d: d["nodes"][0].update(scale=[1e30, 1, 1]), "scale is damaged"),
        (lambda d: d["nodes"][0].update(scale=[1e8, 1, 1]), "far larger"),
        (lambda d: d["nodes"][0].update(matrix=[1] * 15), "matrix is damaged"),
        (lambda d: d["nodes"][0].update(mesh=5), r"meshes\[5\]"),
        (lambda d: d["scenes"][0].update(nodes=0), "no list"),
        (lambda d: d["scenes"][0].update(nodes=[]), "no triangles"),
        (lambda d: d["meshes"][0]["primitives"][0].update(mode=5), "no triangles"),
        (lambda d: d["meshes"][0]["primitives"][0].update(targets=[0]), "no list of objects"),
        (lambda d: d["meshes"][0]["primitives"][0].update(indices=0), "not SCALAR"),
        (
            lambda d: d["meshes"][0]["primitives"][0]["targets"].extend([{"POSITION": 2}] * 2000),
            "2004 morph targets",
        ),
        (
            lambda d: d["nodes"].extend([{"mesh": 0}] * 500) or d["scenes"][0].update(nodes=[*range(501)]),
            "unpacks",
        ),
        (lambda d: d.update(extensionsRequired=["KHR_draco_mesh_compression"]), "without compression"),
        (lambda d: d.update(extras={"morphkit": {"arrays": {}, "version": 1}}), "damaged"),
        (lambda d: d.update(extras={"morphkit": {"arrays": {}, "version": 9}}), "newer morphkit"),
    ],
)
def test_crafted_documents(shapes, tmp_path, edit, match):
    builder = simple(shapes)
    edit(builder.document)
    assert_refused(builder.glb(tmp_path / "m.glb"), match, seconds=20.0)  # type checks slow nodes down


def test_numbers_that_are_none(shapes, tmp_path):
    for which in (0, 2):
        values = [shapes[0].copy(), *(o.copy() for o in shapes[2].values())]
        values[which][3, 1] = np.nan
        broken = (values[0], shapes[1], dict(zip(shapes[2], values[1:], strict=True)))
        assert_refused(simple(broken).glb(tmp_path / "m.glb"), "not finite")


@pytest.mark.parametrize("suffix", ["glb", "gltf"])
def test_damaged_files_by_others(shapes, tmp_path, suffix):
    builder = simple(shapes)
    assert_survives_damage(getattr(builder, suffix)(tmp_path / f"m.{suffix}"), tmp_path)


def test_memory_of_files_by_others(rng, tmp_path):
    vertices, faces = head(60, 80)
    offsets = {f"unit{i}": rng.standard_normal(vertices.shape) for i in range(40)}
    path = simple((vertices, faces, offsets)).glb(tmp_path / "m.glb")
    assert_bounded_memory(path)


def test_numpys_own_whole_numbers_come_back(rng, tmp_path):
    model = make_model(rng, 5, 7)
    landmarks = {
        name: replace(e, face_indices=e.face_indices.astype(np.int64)) for name, e in model.landmarks.items()
    }
    wide = replace(model, landmarks=landmarks, mirror=model.mirror.astype(np.int64))
    save_model(tmp_path / "m.glb", wide)
    assert_same(load_model(tmp_path / "m.glb"), model)


def test_nodes_that_share_small_indices_unpack_to_no_more_than_allowed(tmp_path):
    builder = Builder()
    position = builder.accessor(np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], np.float32))
    indices = builder.accessor(np.tile(np.arange(3, dtype=np.uint8), 20_000))
    mesh = builder.mesh({"POSITION": position}, indices, {"a": position})
    builder.scene(*(builder.node(mesh=mesh) for _ in range(900)))
    assert_refused(builder.glb(tmp_path / "m.glb"), "unpacks to more than 32 times", allowance=40 * 60_000)


def changed(path, change):
    """Rewrite a .glb's document."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    size = (len(data) - length + len(text)).to_bytes(4, "little")
    path.write_bytes(data[:8] + size + len(text).to_bytes(4, "little") + b"JSON" + text + data[20 + length :])
    return path


@pytest.mark.parametrize("count", [300, 4000])
def test_components_that_share_their_numbers_are_refused(rng, tmp_path, count):
    """More than three for each vertex, or far more than the file could hold."""
    vertices = 30 if count == 300 else 3000
    mean, faces = head(10, vertices // 10)
    model = MorphableModel(faces, group(rng, mean, 1, 2.0))
    save_model(tmp_path / "m.glb", model)

    def repeat(document):
        (primitive,) = document["meshes"][0]["primitives"]
        primitive["targets"] *= count
        statistics = document["extras"]["morphkit"]["identity"]
        statistics["standard_deviations"] *= count
        statistics["lengths"] *= count

    path = changed(tmp_path / "m.glb", repeat)
    assert_refused(path, "300 components of 96 numbers" if count == 300 else "unpacks to more than 32 times")


def test_damaged_numbers_of_an_identity_are_refused_without_warnings(rng, tmp_path):
    """A signalling NaN, which numpy warns of where it becomes a longer one."""
    save_model(tmp_path / "m.glb", replace(make_model(rng, 5, 7), uv=None))
    data = (tmp_path / "m.glb").read_bytes()
    start = 20 + int.from_bytes(data[12:16], "little") + 8
    document = json.loads(data[20 : start - 8])
    target = document["meshes"][0]["primitives"][0]["targets"][0]["POSITION"]
    view = document["bufferViews"][document["accessors"][target]["bufferView"]]
    at = start + view.get("byteOffset", 0)
    (tmp_path / "m.glb").write_bytes(data[:at] + b"\x01\x00\xa0\x7f" + data[at + 4 :])
    assert_refused(tmp_path / "m.glb", "damaged")


def test_half_a_character_is_replaced(rng, tmp_path):
    save_model(tmp_path / "m.glb", make_model(rng, 5, 7))

    def halve(document):
        document["extras"]["morphkit"]["provenance"] = {"name": "\ud800x", "whole": "\U0001f600"}

    facts = load_model(changed(tmp_path / "m.glb", halve)).provenance
    assert facts == {"name": "?x", "whole": "\U0001f600"}
