"""Meshes to files and back: order, precision, seams, and files that lie."""

import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from morphkit.errors import BadInputError
from morphkit.io.color import linear_to_srgb, srgb_to_linear
from morphkit.io.meshes import read_mesh, write_mesh
from morphkit.mesh import Mesh


@pytest.fixture
def grid(rng):
    """A bumpy sheet of 6 x 5 vertices, in random vertex order."""
    x, y = np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), rng.standard_normal(30)], axis=1) * 7.3
    quads = np.array(
        [[5 * i + j, 5 * i + j + 5, 5 * i + j + 6, 5 * i + j + 1] for i in range(5) for j in range(4)]
    )
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    order = rng.permutation(30)
    return Mesh(vertices[np.argsort(order)], order[faces].astype(np.int32))


def colored(mesh, rng):
    codes = rng.integers(0, 256, (len(mesh.vertices), 3)).astype(np.uint8)
    return Mesh(mesh.vertices, mesh.faces, colors=srgb_to_linear(codes)), codes


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [(".ply", 0), (".obj", 1e-7), (".off", 1e-7), (".glb", 1e-5)]
)
def test_vertices_and_faces_come_back_in_order(grid, tmp_path, suffix, tolerance):
    path = tmp_path / f"m{suffix}"
    write_mesh(path, grid)
    back = read_mesh(path)
    np.testing.assert_allclose(back.vertices, grid.vertices, atol=tolerance, rtol=0)
    np.testing.assert_array_equal(back.faces, grid.faces)
    assert back.vertices.dtype == np.float64
    assert back.faces.dtype == np.int32
    assert back.source == path


def test_stl_is_welded(grid, tmp_path):
    write_mesh(tmp_path / "m.stl", grid)
    back = read_mesh(tmp_path / "m.stl")
    assert len(back.vertices) == 30
    np.testing.assert_allclose(back.vertices[back.faces], grid.vertices[grid.faces], rtol=1e-6)


def test_ascii_stl(tmp_path):
    text = (
        "solid x\n"
        + "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n" * 2
    )
    (tmp_path / "m.stl").write_text(text + "endsolid\n")
    back = read_mesh(tmp_path / "m.stl")
    np.testing.assert_array_equal(back.vertices, [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(back.faces, [[0, 1, 2], [0, 1, 2]])


@pytest.mark.parametrize(("suffix", "tolerance"), [(".ply", 0), (".obj", 1e-5), (".glb", 1e-6)])
def test_colors_come_back_linear(grid, rng, tmp_path, suffix, tolerance):
    mesh, _ = colored(grid, rng)
    write_mesh(tmp_path / f"m{suffix}", mesh)
    back = read_mesh(tmp_path / f"m{suffix}")
    np.testing.assert_allclose(back.colors, mesh.colors, atol=tolerance)
    assert back.colors.dtype == np.float32


def test_unknown_colors_stay_unknown(grid, rng, tmp_path):
    mesh, _ = colored(grid, rng)
    mesh.colors[3:7] = np.nan
    write_mesh(tmp_path / "m.ply", mesh)
    np.testing.assert_allclose(read_mesh(tmp_path / "m.ply").colors, mesh.colors, atol=1e-6)


def test_ply_alpha_that_is_zero_everywhere_means_nothing(grid, tmp_path):
    rows = "\n".join(f"{x} {y} {z} 255 0 0 0" for x, y, z in grid.vertices)
    faces = "\n".join(f"3 {a} {b} {c}" for a, b, c in grid.faces)
    (tmp_path / "m.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 30\n"
        + "".join(f"property float {n}\n" for n in "xyz")
        + "".join(f"property uchar {n}\n" for n in ("red", "green", "blue", "alpha"))
        + f"element face {len(grid.faces)}\nproperty list uchar int vertex_index\n"
        + f"end_header\n{rows}\n{faces}\n"
    )
    back = read_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(back.colors, np.tile([1.0, 0.0, 0.0], (30, 1)))
    np.testing.assert_array_equal(back.faces, grid.faces)
    np.testing.assert_allclose(back.vertices, grid.vertices, rtol=1e-6)


def ply_bytes(order, vertices, polygons, vertex_type="float"):
    name = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    head = f"ply\nformat {name} 1.0\ncomment made here\nelement vertex {len(vertices)}\n"
    head += "".join(f"property {vertex_type} {n}\n" for n in "xyz")
    head += f"element face {len(polygons)}\nproperty list uchar uint vertex_indices\n"
    head += "property uchar flags\nend_header\n"
    kind = {"float": "f4", "double": "f8"}[vertex_type]
    body = np.asarray(vertices, order + kind).tobytes()
    for polygon in polygons:
        body += struct.pack(f"{order}B{len(polygon)}IB", len(polygon), *polygon, 7)
    return head.encode() + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("vertex_type", ["float", "double"])
def test_ply_polygons_of_any_length_and_byte_order(grid, tmp_path, order, vertex_type):
    polygons = [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10, 11]]
    (tmp_path / "m.ply").write_bytes(ply_bytes(order, grid.vertices, polygons, vertex_type))
    back = read_mesh(tmp_path / "m.ply")
    expected = [[0, 1, 2], [3, 4, 5], [3, 5, 6], [7, 8, 9], [7, 9, 10], [7, 10, 11]]
    np.testing.assert_array_equal(back.faces, expected)
    tolerance = 0 if vertex_type == "double" else 1e-6
    np.testing.assert_allclose(back.vertices, grid.vertices, rtol=tolerance)


def test_obj_seams_do_not_split_vertices(grid, rng, tmp_path):
    uv = rng.uniform(0, 1, (len(grid.faces), 3, 2)).astype(np.float32)
    texture = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    mesh = Mesh(grid.vertices, grid.faces, uv=uv, texture=texture)
    write_mesh(tmp_path / "m.obj", mesh)
    assert {p.name for p in tmp_path.iterdir()} == {"m.obj", "m.mtl", "m.png"}
    back = read_mesh(tmp_path / "m.obj")
    assert back.vertices.shape == (30, 3)
    np.testing.assert_allclose(back.uv, uv, atol=1e-7)
    np.testing.assert_array_equal(back.texture, texture)


def test_glb_splits_only_where_it_must(grid, rng, tmp_path):
    uv = (grid.vertices[grid.faces][..., :2] / 50).astype(np.float32)
    uv[0, 0] += 0.25
    texture = rng.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    write_mesh(tmp_path / "m.glb", Mesh(grid.vertices, grid.faces, uv=uv, texture=texture))
    back = read_mesh(tmp_path / "m.glb")
    assert len(back.vertices) == 31
    np.testing.assert_allclose(back.vertices[back.faces], grid.vertices[grid.faces], atol=1e-5)
    np.testing.assert_allclose(back.uv, uv, atol=1e-6)
    np.testing.assert_array_equal(back.texture, texture)


def test_obj_dialects(tmp_path):
    (tmp_path / "m.obj").write_text(
        "# comment\no thing\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv\t0 1 0 \\\n .5 .5 .5\n"
        "vn 0 0 1\ns off\nf -4//1 -3//1 -2//1 -1//1\nf 1 2 4\n"
    )
    back = read_mesh(tmp_path / "m.obj")
    np.testing.assert_array_equal(back.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 3]])
    np.testing.assert_allclose(
        linear_to_srgb(back.colors), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5] * 3], atol=1e-6
    )


def test_obj_with_two_textures_gets_one_sheet(tmp_path):
    for name, color, size in (("red", (255, 0, 0), (4, 2)), ("blue", (0, 0, 255), (2, 6))):
        Image.new("RGB", size, color).save(tmp_path / f"{name}.png")
    (tmp_path / "m.mtl").write_text(
        "newmtl a\nmap_Kd -s 1 1 1 red.png\nnewmtl b\nmap_Kd C:\\scans\\blue.png\n"
    )
    (tmp_path / "m.obj").write_text(
        "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt .5 .5\nvt .9 .1\nvt .1 .9\n"
        "usemtl a\nf 1/1 2/2 3/3\nusemtl b\nf 3/3 2/2 1/1\n"
    )
    back = read_mesh(tmp_path / "m.obj")
    height, width = back.texture.shape[:2]
    for face, color in enumerate(((255, 0, 0), (0, 0, 255))):
        for u, v in back.uv[face]:
            assert tuple(back.texture[int((1 - v) * height), int(u * width)]) == color


def test_missing_texture_is_said_and_survived(tmp_path):
    text = "mtllib gone.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n"
    (tmp_path / "m.obj").write_text(text)
    with pytest.warns(UserWarning, match=r"gone\.mtl is missing"):
        back = read_mesh(tmp_path / "m.obj")
    assert back.texture is back.uv is None
    (tmp_path / "gone.mtl").write_text("newmtl a\nmap_Kd gone.jpg\n")
    with pytest.warns(UserWarning, match=r"gone\.jpg is missing"):
        read_mesh(tmp_path / "m.obj")


def test_ply_texture_of_meshlab(grid, tmp_path, rng):
    Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / "t.png")
    faces = "\n".join(f"3 {a} {b} {c} 6 0 0 1 0 .5 1" for a, b, c in grid.faces)
    rows = "\n".join(f"{x} {y} {z}" for x, y, z in grid.vertices)
    (tmp_path / "m.ply").write_text(
        "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 30\n"
        + "".join(f"property float {n}\n" for n in "xyz")
        + f"element face {len(grid.faces)}\nproperty list uchar int vertex_indices\n"
        + f"property list uchar float texcoord\nend_header\n{rows}\n{faces}\n"
    )
    back = read_mesh(tmp_path / "m.ply")
    np.testing.assert_array_equal(back.uv, np.tile([[0, 0], [1, 0], [0.5, 1]], (len(grid.faces), 1, 1)))
    assert back.texture.shape == (4, 4, 3)


def test_off_with_colors(tmp_path):
    (tmp_path / "m.off").write_text(
        "COFF\n# a comment\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 0 0 0 255\n0 1 0 0 0 0 255\n3 0 1 2\n"
    )
    back = read_mesh(tmp_path / "m.off")
    np.testing.assert_array_equal(back.colors, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".stl", ".off", ".glb"])
def test_truncated_and_scrambled_files_are_named(grid, rng, tmp_path, suffix):
    mesh, _ = colored(grid, rng)
    write_mesh(tmp_path / f"whole{suffix}", mesh)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"broken{suffix}"
    for end in (1, 5, len(data) // 4, len(data) // 2):
        path.write_bytes(data[:end])
        with pytest.raises(BadInputError, match="broken"):
            read_mesh(path)
    for _ in range(40):
        scrambled = np.frombuffer(data, np.uint8).copy()
        spots = rng.integers(0, len(data), 12)
        scrambled[spots] = rng.integers(0, 256, 12)
        path.write_bytes(scrambled.tobytes())
        try:
            read_mesh(path)
        except BadInputError as error:
            message = str(error)
        else:
            message = "broken"
        assert "broken" in message


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("lie", ["vertex 4000000000", "face 4000000000", "vertex -1", "vertex many"])
def test_a_header_that_lies_about_its_size(tmp_path, kind, lie):
    counts = {"vertex": "3", "face": "1"}
    name, claimed = lie.split()
    counts[name] = claimed
    (tmp_path / "lie.ply").write_bytes(
        (
            f"ply\nformat {kind} 1.0\nelement vertex {counts['vertex']}\nproperty float x\nproperty float y\n"
            f"property float z\nelement face {counts['face']}\n"
            "property list uchar int vertex_indices\nend_header\n"
        ).encode()
        + b"0 0 0 1 0 0 0 1 0 3 0 1 2 " * 3
    )
    with pytest.raises(BadInputError, match=r"lie\.ply"):
        read_mesh(tmp_path / "lie.ply")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.ply", b"", "is empty"),
        ("a.ply", b"hello", "does not begin with 'ply'"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "no end"),
        ("a.ply", b"ply\nformat jpeg 1.0\nend_header\n", "format is unknown"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "point cloud without triangles"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "vertex 3 of 3"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "vertex -1 of 3"),
        ("a.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "1 of its 3 vertices are NaN"),
        ("a.obj", b"v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "different numbers of values"),
        ("a.obj", b"\x00\x01\x02binary", "not text"),
        ("a.obj", b"just some words\n", "no vertices"),
        ("a.off", b"OFF\n9 9 0\n0 0 0\n", "truncated"),
        ("a.stl", b"short", "too short"),
        ("a.stl", b"\0" * 80 + struct.pack("<I", 10**9) + b"\0" * 50, "truncated"),
        ("a.glb", b"glTF\x02\0\0\0\xff\xff\xff\x7f", "cannot be read"),
        ("a.docx", b"x", "meshes are read from"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        read_mesh(path)
    assert name in str(caught.value)


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(BadInputError, match="There is no file"):
        read_mesh(tmp_path / "gone.ply")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(BadInputError, match="is a folder"):
        read_mesh(tmp_path / "folder.ply")


def test_nan_vertices_pass_when_the_caller_cleans_them(grid, tmp_path):
    vertices = grid.vertices.copy()
    vertices[4, 1] = np.inf
    write_mesh(tmp_path / "m.ply", Mesh(vertices, grid.faces))
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply", allow_nonfinite=True).vertices, vertices)


def test_unknown_suffix_to_write(grid, tmp_path):
    with pytest.raises(ValueError, match=r"\.ply, \.obj"):
        write_mesh(tmp_path / "m.fbx", grid)


def test_glb_scene_of_several_nodes_is_flattened(tmp_path):
    scene = trimesh.Scene()
    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    triangle.visual.vertex_colors = np.array([[255, 0, 0, 255]] * 3, np.uint8)
    bare = trimesh.Trimesh([[0, 0, 1], [1, 0, 1], [0, 1, 1]], [[0, 1, 2]], process=False)
    shift, flip = np.eye(4), np.diag([-1.0, 1.0, 1.0, 1.0])
    shift[:3, 3] = 10, 20, 30
    scene.add_geometry(triangle, node_name="a", geom_name="a", transform=shift)
    scene.add_geometry(bare, node_name="b", geom_name="b", transform=flip)
    (tmp_path / "scene.glb").write_bytes(scene.export(file_type="glb"))
    back = read_mesh(tmp_path / "scene.glb")
    assert back.faces.shape == (2, 3)
    normals = np.cross(*np.diff(back.vertices[back.faces], axis=1).transpose(1, 0, 2))
    np.testing.assert_allclose(normals[:, 2], 1)  # the mirrored triangle still faces +z
    moved = back.vertices[back.vertices[:, 2] > 5]
    np.testing.assert_allclose(moved.min(axis=0), [10, 20, 30])
    red = back.vertices[:, 2] > 5
    np.testing.assert_array_equal(back.colors[red], [[1, 0, 0]] * 3)
    assert np.isnan(back.colors[~red]).all()


def test_a_scanner_folder_with_other_capitals(grid, tmp_path):
    write_mesh(tmp_path / "m.ply", grid)
    (tmp_path / "m.ply").rename(tmp_path / "M.PLY")
    assert read_mesh(tmp_path / "M.PLY").vertices.shape == (30, 3)
