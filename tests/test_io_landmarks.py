"""Landmark formats: each as its tool writes it, and what is wrong is said."""

import json

import numpy as np
import pytest

from morphkit.errors import BadInputError
from morphkit.io.landmarks import read_landmark_indices, read_landmarks, vertex_embedding, write_landmarks
from morphkit.mesh import Landmarks

POINTS = np.array([[1.5, -2.25, 3.0], [10.0, 0.125, -7.5], [0.0, 4.0, 5.0]])


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_names_and_points_come_back_exactly(tmp_path, rng, suffix):
    landmarks = Landmarks(("0", "nose tip", "mp477"), rng.standard_normal((3, 3)) * 100)
    write_landmarks(tmp_path / f"a{suffix}", landmarks)
    back = read_landmarks(tmp_path / f"a{suffix}")
    assert back.names == landmarks.names
    np.testing.assert_array_equal(back.points, landmarks.points)


def test_pts_comes_back_numbered(tmp_path, rng):
    landmarks = Landmarks(("0", "1", "2"), rng.standard_normal((3, 3)))
    write_landmarks(tmp_path / "a.pts", landmarks)
    back = read_landmarks(tmp_path / "a.pts")
    assert back.names == landmarks.names
    np.testing.assert_array_equal(back.points, landmarks.points)


def as_text(value):
    return json.dumps(value).encode()


def ljson(points):
    return {"landmarks": {"points": points, "connectivity": []}, "labels": []}


SLICER = {
    "markups": [
        {
            "coordinateSystem": "RAS",
            "controlPoints": [
                {"label": name, "position": [-x, -y, z], "positionStatus": "defined"}
                for name, (x, y, z) in zip("abc", POINTS.tolist(), strict=True)
            ]
            + [{"label": "d", "position": [0, 0, 0], "positionStatus": "undefined"}],
        }
    ]
}
P = POINTS.tolist()
FORMATS = [
    ("a.json", as_text({"a": P[0], "b": P[1], "c": P[2], "gone": None, "half": [1, None, 2]}), "abc"),
    ("a.json", as_text([{"id": n, "coordinates": p} for n, p in zip("abc", P, strict=True)]), "abc"),
    ("a.json", as_text({"units": "mm", "points": P}), "012"),
    ("a.mrk.json", as_text(SLICER), "abc"),
    ("a.ljson", as_text({"version": 3, "groups": {"LJSON": ljson([*P, [None, None, None]])}}), "012"),
    ("a.ljson", as_text({"version": 2, **ljson(P)}), "012"),
    ("a.ljson", as_text({"version": 1, "groups": [{"landmarks": [{"point": p} for p in P]}]}), "012"),
    (
        "a.pp",
        b"<!DOCTYPE PickedPoints>\n<PickedPoints>"
        b'<point active="1" x="1.5" name="a" y="-2.25" z="3"/>'
        b'<point x="10" y="0.125" z="-7.5" name="b"/><point x="9" y="9" z="9" active="0" name="z"/>'
        b'<point name="c" z="5" y="4" x="0" active="1"/></PickedPoints>',
        "abc",
    ),
    (
        "a.fcsv",
        b"# Markups fiducial file version = 4.11\n# CoordinateSystem = RAS\n# columns = id,x,y,z,...\n"
        b"1,-1.5,2.25,3,0,0,0,1,1,1,0,a,,\n2,-10,-0.125,-7.5,0,0,0,1,1,1,0,b,,\n3,0,-4,5,0,0,0,1,1,1,0,c,,\n",
        "abc",
    ),
    ("a.pts", b"version: 1\nn_points: 3\n{\n1.5 -2.25 3\n10 0.125 -7.5\n0 4 5\n}\n", "012"),
    ("a.csv", b"1.5,-2.25,3\n10,.125,-7.5\n0,4,5\n", "012"),
    ("a.csv", b"\xef\xbb\xbfname,x,y,z\na,1.5,-2.25,3\nb,10,.125,-7.5\n\nc,0,4,5\n", "abc"),
    ("a.tlms", b"a 1 1.5 -2.25 3\nb 1 10 .125 -7.5\nx 0 0 0 0\nc 1 0 4 5\n", "abc"),
]


@pytest.mark.parametrize(("name", "content", "names"), FORMATS)
def test_every_format(tmp_path, name, content, names):
    (tmp_path / name).write_bytes(content)
    landmarks = read_landmarks(tmp_path / name)
    assert landmarks.names == tuple(names)
    np.testing.assert_array_equal(landmarks.points, POINTS)


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", POINTS.astype(np.float32))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "a.npy").points, POINTS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "cannot be read"),
        ("a.json", b"", "cannot be read"),
        ("a.json", b"3", "cannot be read"),
        ("a.json", b"{}", "no point"),
        ("a.json", b'{"0": [1, 2]}', "2 coordinates"),
        ("a.json", b'{"0": "x"}', "not \\[x, y, z\\]"),
        ("a.json", b'{"0": [1e30, 0, 0]}', "too large"),
        ("a.json", b'[{"coordinates": [1, 2, 3]}]', "it lacks 'id'"),
        ("a.ljson", as_text({"version": 3, "groups": {"a": {}, "b": {}}}), "2 groups"),
        ("a.pts", b"1 2\n3 4\n", "2 coordinates"),
        ("a.csv", b"a,1,2,3\na,4,5,6\n", "'a' is given twice"),
        ("a.pp", b"<PickedPoints><point", "cannot be read"),
        ("a.pp", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', "entities"),
        ("a.npy", b"not numpy", "cannot be read"),
        ("a.doc", b"x", "landmarks are read from"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        read_landmarks(tmp_path / name)
    assert name in str(caught.value)


def test_pickled_npy_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInputError, match=r"a\.npy"):
        read_landmarks(tmp_path / "a.npy")


def test_missing_files(tmp_path):
    for read in (read_landmarks, read_landmark_indices):
        with pytest.raises(BadInputError, match="There is no file"):
            read(tmp_path / "gone.json")


def test_unknown_suffix_to_write(tmp_path):
    with pytest.raises(ValueError, match=r"\.json, \.csv"):
        write_landmarks(tmp_path / "a.pp", Landmarks(("0",), np.zeros((1, 3))))


def test_landmark_indices_of_a_template(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"units": "mm", "landmarks68": [5, 3, 9]}))
    assert read_landmark_indices(tmp_path / "t.json") == {"0": 5, "1": 3, "2": 9}
    (tmp_path / "t.json").write_text(json.dumps({"nose": 4}))
    assert read_landmark_indices(tmp_path / "t.json") == {"nose": 4}
    for content in (
        '{"0": [1, 2, 3]}',
        '{"a": -1}',
        "[]",
        "{}",
        '{"a": true}',
        "nonsense",
        '{"landmarks68": 3}',
    ):
        (tmp_path / "t.json").write_text(content)
        with pytest.raises(BadInputError, match=r"t\.json"):
            read_landmark_indices(tmp_path / "t.json")


def test_vertex_embedding_lies_on_the_vertices(rng):
    faces = np.array([[0, 1, 2], [2, 1, 3], [5, 3, 1]], np.int32)
    vertices = rng.standard_normal((6, 3))
    embedding = vertex_embedding({"a": 3, "b": 0, "c": 5}, faces)
    landmarks = embedding.landmarks(vertices, faces)
    assert landmarks.names == ("a", "b", "c")
    np.testing.assert_array_equal(landmarks.points, vertices[[3, 0, 5]])
    for bad in (4, 99):
        with pytest.raises(ValueError, match=f"'x' is at vertex {bad}"):
            vertex_embedding({"x": bad}, faces)
