"""MATLAB's files: BFM 2009, LSFM and LYHM by their own formulas, in both kinds, and what a file may claim."""

import struct
import zlib

import h5py
import model_files_mat as mat_files
import numpy as np
import pytest
import scipy.io
from model_corruption import (
    assert_albedo_formula,
    assert_bounded_memory,
    assert_formula,
    assert_refused,
    assert_round_trip,
    assert_survives_damage,
    check_model,
)
from model_files_hdf5 import RawGroup, grid, raw_group, strip

from morphkit.archive import load_model
from morphkit.archive.layouts._mat5 import Mat5File
from morphkit.archive.source import ModelSource

SAVERS = {
    "v6": lambda path, variables: mat_files.save_level5(path, variables, compressed=False),
    "v7": mat_files.save_level5,
    "v7.3": mat_files.save_hdf5,
}
LAYOUTS = ("bfm2009", "lsfm", "lyhm")


@pytest.fixture(params=[False, True], ids=["sorted", "unsorted"])
def raw(request, rng):
    """Shape and texture in millimetres and 0..1, and faces."""
    mean = grid(12)
    shape = raw_group(rng, mean, 6, 2.0, unsorted=request.param)
    tex = raw_group(rng, rng.uniform(0.2, 0.8, mean.shape), 4, 0.05, unsorted=request.param)
    return shape, tex, strip(12)


def variables_of(layout, raw, kind=np.float32):
    shape, tex, faces = raw
    if layout == "lsfm":
        return mat_files.lsfm(shape, faces, kind)
    return getattr(mat_files, layout)(shape, tex, faces, kind)


def formula(layout, variables, c, a):
    """The layout's own formula, in its own numbers, brought to millimetres and 0..1."""
    if layout == "bfm2009":
        points = variables["shapeMU"][:, 0] + variables["shapePC"] @ (variables["shapeEV"][:, 0] * c)
        colors = variables["texMU"][:, 0] + variables["texPC"] @ (variables["texEV"][:, 0] * a)
        return points.reshape(-1, 3) / 1000, colors.reshape(-1, 3) / 255
    if layout == "lsfm":
        deviations = np.sqrt(variables["eigenvalues"][0])
        return (variables["mean"][0] + variables["components"] @ (deviations * c)).reshape(-1, 3), None
    shp, tex = variables["shp"], variables["tex"]
    points, colors = (
        s["mu"][0] + s["eigVec"] @ (np.sqrt(s["eigVal"][: len(x), 0]) * x) for s, x in ((shp, c), (tex, a))
    )
    return points.reshape(-1, 3), colors.reshape(-1, 3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_own_formula(raw, rng, tmp_path, layout, saver, kind):
    variables = variables_of(layout, raw, kind)
    model = load_model(SAVERS[saver](tmp_path / "m.mat", variables))
    check_model(model)
    np.testing.assert_array_equal(model.faces, raw[2])
    c, a = rng.standard_normal(6), rng.standard_normal(4)
    wide = {
        name: {k: v.astype(np.float64) for k, v in value.items()}
        if isinstance(value, dict)
        else value.astype(np.float64)
        for name, value in variables.items()
    }
    points, colors = formula(layout, wide, c, a)
    assert_formula(model, points, c)
    if colors is None:
        assert model.albedo is None
    else:
        assert_albedo_formula(model, colors, a)
    facts = model.provenance
    assert (facts["source"], facts["layout"]) == ("m.mat", layout)
    assert facts["unit"] == ("micrometres" if layout == "bfm2009" else "millimetres")
    assert "no redistribution" in facts["licence"]
    unsorted = bool((np.diff(raw[0].variances) > 0).any())
    notes = facts.get("read_notes", [])
    assert any("order of their variances" in note for note in notes) == unsorted


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("saver", SAVERS)
def test_the_crop_of_deng_et_al(rng, tmp_path, saver, kind):
    """Its columns are neither unit nor orthogonal, and the coefficients stay its own."""
    mean, faces = grid(12), strip(12)
    full = (
        raw_group(rng, grid(24), 6, 2.0),
        raw_group(rng, grid(24), 5, 1.0),
        raw_group(rng, grid(24), 4, 0.05),
    )
    shape, expression, tex = (RawGroup(mean.ravel(), g.basis[:180], g.variances) for g in full)
    tex = RawGroup(rng.uniform(0.2, 0.8, 180), tex.basis, tex.variances)
    path = SAVERS[saver](tmp_path / "m.mat", mat_files.deep3d(shape, expression, tex, faces, kind))
    model = load_model(path)
    check_model(model)
    assert not model.identity.is_orthonormal
    i, e, a = rng.standard_normal(6), rng.standard_normal(5), rng.standard_normal(4)
    expected = shape.instance(i) + expression.instance(e) - mean  # the expression's mean is zero
    assert_formula(model, expected, i, e)
    assert_albedo_formula(model, tex.instance(a), a)
    np.testing.assert_array_equal(model.faces, faces)
    landmarks = model.landmarks["ibug68"]
    assert landmarks.names == tuple(map(str, range(68)))
    np.testing.assert_allclose(landmarks.landmarks(mean, faces).points, mean[np.arange(68) * 7 % 60])
    np.testing.assert_array_equal(model.masks["skin"], np.arange(60) % 2 == 1)
    assert (model.provenance["layout"], model.provenance["unit"]) == ("deep3d", "decimetres")
    assert_round_trip(model.orthonormalized(), tmp_path, ".h5", same_model=False)


def test_damaged_copies_of_the_crop_of_deng_et_al(rng, tmp_path):
    mean = grid(12)
    groups = raw_group(rng, mean, 6, 2.0), raw_group(rng, mean, 5, 1.0), raw_group(rng, mean / 1000, 4, 0.05)
    path = mat_files.save_level5(tmp_path / "m.mat", mat_files.deep3d(*groups, strip(12), np.float32))
    assert_survives_damage(path, tmp_path)
    variables = mat_files.deep3d(*groups, strip(12), np.float32)
    variables["keypoints"] = variables["keypoints"] + 60
    assert_refused(mat_files.save_level5(path, variables), r"keypoints refer to vertices")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_read_is_written_and_comes_back(raw, tmp_path, layout):
    model = load_model(mat_files.save_level5(tmp_path / "m.mat", variables_of(layout, raw)))
    back = assert_round_trip(model, tmp_path, ".h5", same_model=False)  # variances are written as float32
    assert back.provenance == model.provenance


def test_the_rest_of_what_the_files_say(raw, tmp_path):
    bfm = load_model(mat_files.save_level5(tmp_path / "b.mat", variables_of("bfm2009", raw)))
    assert sorted(bfm.masks) == [f"segment{j}" for j in (1, 2, 3, 4)]
    np.testing.assert_array_equal(np.flatnonzero(bfm.masks["segment3"]), np.arange(2, 60, 4))
    model = load_model(mat_files.save_level5(tmp_path / "l.mat", variables_of("lsfm", raw)))
    assert model.provenance["training_scans"] == 8888
    assert any("maps between the cropped" in note for note in model.provenance["read_notes"])


def test_another_unit_is_seen_by_the_size(raw, rng, tmp_path):
    """Some hand LSFM around in metres, and BFM 2009 in millimetres."""
    variables = variables_of("lsfm", raw, np.float64)
    c = rng.standard_normal(6)
    expected, _ = formula("lsfm", variables, c, None)
    small = {**variables, "mean": variables["mean"] / 1000, "eigenvalues": variables["eigenvalues"] / 1e6}
    model = load_model(mat_files.save_level5(tmp_path / "m.mat", small))
    assert_formula(model, expected, c)
    assert model.provenance["unit"] == "metres"
    assert "by its size the model is in metres" in model.provenance["read_notes"][0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_triangles_that_are_inside_out_are_turned(rng, tmp_path, layout):
    """By the shape itself: a dome, as faces are, whose file has the winding that the layout does not."""
    mean = grid(12, 12)
    mean[:, 2] = 80 * np.sqrt(np.maximum(1 - ((mean[:, :2] - 55) ** 2).sum(axis=1) / 80**2, 0))
    faces = strip(12, 12)
    for given, notes in ((faces, 0), (faces[:, [0, 2, 1]], 1)):
        raw = raw_group(rng, mean, 6, 2.0), raw_group(rng, mean / 1000, 4, 0.05), given
        path = mat_files.save_level5(tmp_path / "m.mat", variables_of(layout, raw))
        model = load_model(path)
        np.testing.assert_array_equal(model.faces, faces)
        found = model.provenance.get("read_notes", [])
        assert sum("the triangles were inside out" in note for note in found) == notes


def test_a_model_without_texture(raw, tmp_path):
    for layout, names in (("bfm2009", ("texMU", "texPC", "texEV", "segbin")), ("lyhm", ("tex",))):
        variables = variables_of(layout, raw)
        for name in names:
            del variables[name]
        model = load_model(mat_files.save_level5(tmp_path / "m.mat", variables))
        assert model.albedo is None
        assert model.masks == {}


def test_big_endian_files(raw, rng, tmp_path):
    """What an old workstation wrote: every number and tag the other way round."""
    swapped = bytearray()
    variables = variables_of("lsfm", raw, np.float64)
    for name in ("mean", "components", "eigenvalues", "trilist"):
        values = variables[name].astype(np.float64)
        body = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, *values.shape)
        text = name.encode()
        body += struct.pack(">II", 1, len(text)) + text + bytes(-len(text) % 8)
        body += struct.pack(">II", 9, values.size * 8) + values.astype(">f8").tobytes(order="F")
        swapped += struct.pack(">II", 14, len(body)) + body
    path = tmp_path / "m.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file, from elsewhere".ljust(124) + b"\x01\x00MI" + swapped)
    assert sorted(scipy.io.whosmat(path))[0][0] == "components"  # scipy agrees that this is one
    c = rng.standard_normal(6)
    assert_formula(load_model(path), formula("lsfm", variables, c, None)[0], c)


@pytest.mark.parametrize("saver", ["v6", "v7"])
def test_arrays_are_those_that_scipy_reads(rng, tmp_path, saver):
    """Also what is small, of whole numbers, or beside things that are no numbers."""
    variables = {
        "one": np.array([[3.5]]),
        "bytes": rng.integers(0, 255, (3, 5)).astype(np.uint8),
        "shorts": rng.integers(-300, 300, (4, 1)).astype(np.int16),
        "cube": rng.standard_normal((2, 3, 4)).astype(np.float32),
        "text": "some words",
        "cells": np.array([[1, "two"]], dtype=object),
        "nested": {"inner": {"x": np.arange(6.0).reshape(2, 3)}, "y": np.int32(4)},
        "empty": np.zeros((0, 3)),
    }
    path = SAVERS[saver](tmp_path / "m.mat", variables)
    ours, theirs = Mat5File(ModelSource(path)), scipy.io.loadmat(path)
    assert ours.names == set(variables)
    for name in ("one", "bytes", "shorts", "cube", "empty"):
        np.testing.assert_array_equal(ours.array(name), theirs[name])
        assert ours.shape(name) == theirs[name].shape
    np.testing.assert_array_equal(ours.array("nested/inner/x"), variables["nested"]["inner"]["x"])
    np.testing.assert_array_equal(ours.array("nested/y"), [[4]])
    assert not ours.has("nested/z")
    assert not ours.has("one/x")
    for name in ("text", "cells", "nested", "gone"):
        with pytest.raises(Exception, match=r"m\.mat"):
            ours.array(name)


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_takes_no_more_than_twice_the_file(rng, tmp_path, layout, saver):
    mean = grid(300, 8)
    raw = raw_group(rng, mean, 60, 2.0), raw_group(rng, mean / 1000, 60, 0.1), strip(300, 8)
    for kind in (np.float32, np.float64):
        path = SAVERS[saver](tmp_path / "m.mat", variables_of(layout, raw, kind))
        assert path.stat().st_size > 1.5e6
        assert_bounded_memory(path)


@pytest.mark.parametrize(("layout", "saver"), [("bfm2009", "v7"), ("lsfm", "v7.3"), ("lyhm", "v6")])
def test_damaged_copies(rng, tmp_path, layout, saver):
    mean = grid(12)
    raw = raw_group(rng, mean, 6, 2.0), raw_group(rng, mean / 1000, 4, 0.1), strip(12)
    path = SAVERS[saver](tmp_path / "m.mat", variables_of(layout, raw))
    assert_survives_damage(path, tmp_path)


@pytest.mark.parametrize(("layout", "saver"), [("bfm2009", "v7.3"), ("lyhm", "v7.3"), ("lsfm", "v6")])
def test_damaged_copies_of_the_other_kinds(rng, tmp_path, layout, saver):
    mean = grid(12)
    raw = raw_group(rng, mean, 6, 2.0), raw_group(rng, mean / 1000, 4, 0.1), strip(12)
    path = SAVERS[saver](tmp_path / "m.mat", variables_of(layout, raw))
    assert_survives_damage(path, tmp_path, cuts=10, flips=20)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shapeMU", np.zeros((181, 1)), "shapeMU has 181 values"),
        ("shapeMU", np.full((180, 1), np.nan), "shapeMU holds NaN"),
        ("shapePC", np.zeros((90, 6)), r"shapePC has the shape \(90, 6\)"),
        ("shapePC", np.full((180, 6), 1e30), "shapePC holds 1e\\+30"),
        ("shapeEV", -np.ones((6, 1)), "shapeEV has negative"),
        ("shapeEV", np.ones((5, 1)), "shapePC has 6 columns, shapeEV only 5"),
        ("texMU", np.zeros((9, 1)), "texMU has 3 vertices, shapeMU 60"),
        ("tl", np.full((4, 3), 61.0), r"tl refer to vertices 60..60 of 60"),
        ("tl", np.zeros((4, 3)), r"tl refer to vertices -1"),
        ("tl", np.full((4, 3), 1.5), "fractions"),
        ("tl", np.ones((4, 4)), "triangles are needed"),
        ("shapePC", "words", "no array of real numbers|shape"),
        ("shapePC", 1j * np.ones((180, 6)), "no array of real numbers"),
    ],
)
def test_what_is_wrong_is_said(rng, tmp_path, name, value, message):
    mean = grid(12)
    raw = raw_group(rng, mean, 6, 2.0), raw_group(rng, mean / 1000, 4, 0.1), strip(12)
    variables = {**variables_of("bfm2009", raw), name: value}
    assert_refused(mat_files.save_level5(tmp_path / "odd.mat", variables), message)


def tiny_lsfm(tmp_path, rng):
    raw = raw_group(rng, grid(12), 6, 2.0), None, strip(12)
    return mat_files.save_level5(tmp_path / "m.mat", variables_of("lsfm", raw), compressed=False)


def test_sizes_that_are_not_there_are_refused_at_once(rng, tmp_path):
    data = bytearray(tiny_lsfm(tmp_path, rng).read_bytes())
    struct.pack_into("<I", data, 128 + 4, 2**31)  # the first variable
    (tmp_path / "lie.mat").write_bytes(data)
    assert_refused(tmp_path / "lie.mat")
    data = bytearray(tiny_lsfm(tmp_path, rng).read_bytes())
    place = data.index(b"components")
    struct.pack_into("<ii", data, place - 16, 3 * 10**8, 100)  # its shape
    (tmp_path / "lie.mat").write_bytes(data)
    assert_refused(tmp_path / "lie.mat", "components")


def test_a_compressed_bomb_is_refused(rng, tmp_path):
    """A variable that unpacks to a thousand times its size, and one that says less than it unpacks to."""
    start = tiny_lsfm(tmp_path, rng).read_bytes()
    place = 128  # the mean is the first
    (size,) = struct.unpack_from("<I", start, place + 4)
    variable = start[place : place + 8 + size]
    tag = struct.pack("<II", 14, 10**8)
    for packed, message in (
        (zlib.compress(tag + variable[8:] + bytes(10**8 - size)), "not to be believed"),
        (zlib.compress(variable + bytes(10**6)), "does not unpack to what it claims"),
        (zlib.compress(variable)[:-4], "does not unpack to what it claims"),
        (zlib.compress(variable[:-100]), "does not unpack to what it claims"),
    ):
        data = start[:place] + struct.pack("<II", 15, len(packed)) + packed + start[place + 8 + size :]
        (tmp_path / "bomb.mat").write_bytes(data)
        assert_refused(tmp_path / "bomb.mat", message)


def test_hdf5_sizes_that_are_not_there_are_refused_at_once(rng, tmp_path):
    raw = raw_group(rng, grid(12), 6, 2.0), None, strip(12)
    path = mat_files.save_hdf5(tmp_path / "m.mat", variables_of("lsfm", raw))
    with h5py.File(path, "r+") as file:
        for name, shape in (("mean", (3 * 10**8, 1)), ("components", (6, 3 * 10**8))):
            del file[name]
            file.create_dataset(name, shape, "f4", chunks=(1, 1024)[: len(shape)] if name != "mean" else None)
    assert_refused(path, "claims the shape")


def test_other_mat_files_are_no_models(tmp_path):
    path = mat_files.save_level5(tmp_path / "m.mat", {"x": np.zeros(3)})
    assert_refused(path, "no model file .* a MATLAB file that has not the variables")
    scipy.io.savemat(tmp_path / "four.mat", {"mean": np.zeros(3)}, format="4")
    assert_refused(tmp_path / "four.mat", "no model file")


@pytest.mark.parametrize("layout", ["lsfm", "lyhm", "bfm2009"])
def test_a_small_model_is_in_the_layouts_unit(raw, tmp_path, layout):
    """An ear is no head in another unit."""
    variables = variables_of(layout, raw, np.float64)
    before = load_model(mat_files.save_level5(tmp_path / "m.mat", variables))
    mean = variables["shp"] if layout == "lyhm" else variables
    name = {"lsfm": "mean", "lyhm": "mu", "bfm2009": "shapeMU"}[layout]
    mean[name] = mean[name] / 10
    small = load_model(mat_files.save_level5(tmp_path / "m.mat", variables))
    np.testing.assert_allclose(small.identity.mean, before.identity.mean / 10, rtol=1e-5)
    assert small.provenance["unit"] == before.provenance["unit"]


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_bytes_behind_the_last_variable_are_refused(raw, tmp_path, count):
    path = mat_files.save_level5(tmp_path / "m.mat", variables_of("bfm2009", raw))
    path.write_bytes(path.read_bytes() + bytes(count))
    assert_refused(path, "damaged or truncated")
