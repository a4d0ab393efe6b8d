"""Landmark formats: each as its tool writes it, and what is wrong is said."""

import json

import numpy as np
import pytest

from morphkit.errors import BadInputError
from morphkit.io.landmarks import (
    LANDMARK_FORMATS,
    read_image_points,
    read_landmark_indices,
    read_landmarks,
    vertex_embedding,
    write_image_points,
    write_landmarks,
)
from morphkit.mesh import Landmarks

POINTS = np.array([[1.5, -2.25, 3.0], [10.0, 0.125, -7.5], [0.0, 4.0, 5.0]])


NAMED = ("json", "slicer", "menpo", "meshlab", "fcsv", "csv", "tlms", "scalismo")


def write_and_read(folder, landmarks, name):
    path = folder / f"a{LANDMARK_FORMATS[name].suffix}"
    write_landmarks(path, landmarks, file_format=name)
    return read_landmarks(path)


def test_every_format_is_here():
    assert set(NAMED) | {"pts", "npy"} == set(LANDMARK_FORMATS)


@pytest.mark.parametrize("name", NAMED)
def test_names_and_points_come_back_exactly(tmp_path, rng, name):
    landmarks = Landmarks(("0", "nose_tip", "mp477", "Ω<&>"), rng.standard_normal((4, 3)) * 100)
    back = write_and_read(tmp_path, landmarks, name)
    assert back.names == landmarks.names
    np.testing.assert_array_equal(back.points, landmarks.points)
    assert back.standard_deviations is None
    assert back.covariances is None


@pytest.mark.parametrize("name", [name for name in NAMED if name != "tlms"])
def test_names_may_hold_spaces_and_commas(tmp_path, rng, name):
    landmarks = Landmarks(("nose tip", 'left "eye", outer'), rng.standard_normal((2, 3)))
    assert write_and_read(tmp_path, landmarks, name).names == landmarks.names


@pytest.mark.parametrize("name", LANDMARK_FORMATS)
def test_numbered_points_come_back_exactly_even_one(tmp_path, rng, name):
    for count in (1, 5):
        landmarks = Landmarks(tuple(map(str, range(count))), rng.standard_normal((count, 3)))
        back = write_and_read(tmp_path, landmarks, name)
        assert back.names == landmarks.names
        np.testing.assert_array_equal(back.points, landmarks.points)


@pytest.mark.parametrize("name", LANDMARK_FORMATS)
def test_missing_points_stay_missing(tmp_path, rng, name):
    points = rng.standard_normal((4, 3))
    points[1] = np.nan
    landmarks = Landmarks(("0", "1", "2", "3"), points)
    back = write_and_read(tmp_path, landmarks, name)
    assert back.names == ("0", "2", "3")
    np.testing.assert_array_equal(back.points, points[[0, 2, 3]])


@pytest.mark.parametrize("name", ["json", "scalismo"])
def test_covariances_come_back(tmp_path, rng, name):
    root = rng.standard_normal((3, 3, 3))
    covariances = root @ root.transpose(0, 2, 1)
    landmarks = Landmarks(("a", "b", "c"), rng.standard_normal((3, 3))).with_covariances(covariances)
    back = write_and_read(tmp_path, landmarks, name)
    np.testing.assert_allclose(back.covariances, covariances, rtol=0, atol=1e-12)
    np.testing.assert_allclose(back.standard_deviations, landmarks.standard_deviations, rtol=1e-12)


@pytest.mark.parametrize("name", ["json", "scalismo"])
def test_some_uncertainties_may_be_unknown(tmp_path, rng, name):
    landmarks = Landmarks(("a", "b"), rng.standard_normal((2, 3)), np.array([1.5, np.nan]))
    back = write_and_read(tmp_path, landmarks, name)
    np.testing.assert_allclose(back.standard_deviations, [1.5, np.nan], rtol=1e-12)


def test_scalismo_principal_directions_are_rows(tmp_path):
    turned = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    item = {"id": "a", "coordinates": [1, 2, 3], "uncertainty": {"stddevs": [3, 2, 1], "pcvectors": turned}}
    (tmp_path / "a.json").write_text(json.dumps([item]))
    covariances = read_landmarks(tmp_path / "a.json").covariances
    np.testing.assert_allclose(covariances[0], np.diag([1, 9, 4]), atol=1e-15)


def test_a_group_of_several_can_be_chosen(tmp_path):
    content = {"version": 3, "groups": {"eyes": ljson(P[:2]), "nose": ljson(P[2:])}}
    (tmp_path / "a.ljson").write_text(json.dumps(content))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "a.ljson", group="nose").points, POINTS[2:])
    for group in (None, "mouth"):
        with pytest.raises(BadInputError, match="eyes, nose"):
            read_landmarks(tmp_path / "a.ljson", group=group)


def test_labels_of_one_point_are_its_name_in_ljson(tmp_path):
    labels = [{"label": "all", "mask": [0, 1, 2]}, {"label": "tip", "mask": [1]}]
    group = {"landmarks": {"points": P, "connectivity": []}, "labels": labels}
    (tmp_path / "a.ljson").write_text(json.dumps({"version": 3, "groups": {"x": group}}))
    assert read_landmarks(tmp_path / "a.ljson").names == ("0", "tip", "2")


def test_formats_without_names_do_not_lose_them_silently(tmp_path):
    for suffix in (".pts", ".npy"):
        with pytest.raises(ValueError, match="keep no names"):
            write_landmarks(tmp_path / f"a{suffix}", Landmarks(("nose",), np.zeros((1, 3))))
    with pytest.raises(ValueError, match="'nose tip'"):
        write_landmarks(tmp_path / "a.tlms", Landmarks(("nose tip",), np.zeros((1, 3))))
    assert not list(tmp_path.iterdir())


def test_image_points_count_from_one_in_the_file_and_from_the_corner_here(tmp_path):
    (tmp_path / "a.pts").write_text("version: 1\nn_points: 2\n{\n1 1\n640.5 2\n}\n")
    points = read_image_points(tmp_path / "a.pts")
    np.testing.assert_array_equal(points, [[0.5, 0.5], [640.0, 1.5]])
    write_image_points(tmp_path / "b.pts", points)
    np.testing.assert_array_equal(read_image_points(tmp_path / "b.pts"), points)
    (tmp_path / "a.pts").write_text("1 2 3\n")
    with pytest.raises(BadInputError, match=r"a\.pts cannot be read as an image's landmarks"):
        read_image_points(tmp_path / "a.pts")


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
        ("a.fcsv", b"# CoordinateSystem = XYZ\n1,1,2,3\n", "'XYZ', neither LPS nor RAS"),
        ("a.json", b'{"a": {"standard_deviation": 1}}', "it lacks 'position'"),
        ("a.json", b'{"a": {"position": [1, 2, 3], "standard_deviation": -1}}', "deviation of 'a' is -1"),
        ("a.json", b'{"a": {"position": [1, 2, 3], "covariance": [[1, 2], [2, 1]]}}', "3 x 3 matrix"),
        (
            "a.json",
            b'{"a": {"position": [1, 2, 3], "covariance": [[1, 2, 0], [2, 1, 0], [0, 0, 1]]}}',
            "negative eigenvalue",
        ),
        ("a.tlms", b"a 1 2 3\n", "2 coordinates"),
        ("a.mrk.json", b"{}", "it lacks 'markups'"),
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


def test_unknown_suffix_or_format_to_write(tmp_path):
    point = Landmarks(("0",), np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"\.json, \.mrk\.json"):
        write_landmarks(tmp_path / "a.doc", point)
    with pytest.raises(ValueError, match=r"path must end in \.pp"):
        write_landmarks(tmp_path / "a.json", point, file_format="meshlab")
    with pytest.raises(ValueError, match="file_format must be one of json"):
        write_landmarks(tmp_path / "a.json", point, file_format="word")


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
