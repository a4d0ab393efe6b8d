"""PCA models in .npz: morphkit's own to the bit; others' are understood, or refused with a reason."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_corruption import (
    assert_albedo_formula,
    assert_bounded_memory,
    assert_formula,
    assert_refused,
    assert_round_trip,
    assert_survives_damage,
    check_model,
)
from model_files_linear import group, head, make_model

from morphkit.archive import load_model, save_model

GROUND_TRUTH = Path(__file__).parents[2] / "shared" / "groundtruth" / "ict_facekit.npz"


def test_everything_comes_back(rng, tmp_path):
    model = make_model(rng)
    back = assert_round_trip(model, tmp_path, ".npz")
    assert back.provenance == model.provenance


def test_a_bare_model_comes_back(rng, tmp_path):
    model = make_model(rng)
    bare = replace(
        model,
        expression=None,
        albedo=None,
        expression_units=None,
        uv=None,
        landmarks={},
        masks={},
        mirror=None,
    )
    assert_round_trip(bare, tmp_path, ".npz")


def test_a_marginal_with_its_noise_comes_back(rng, tmp_path):
    model = make_model(rng)
    noisy = replace(model, identity=replace(model.identity, noise_variance=0.25))
    back = assert_round_trip(noisy.marginal(np.arange(150)), tmp_path, ".npz")
    assert back.identity.noise_variance == 0.25


def test_numpy_reads_it_without_pickles(rng, tmp_path):
    model = make_model(rng)
    save_model(tmp_path / "m.npz", model)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        c = rng.standard_normal(6)
        moved = file["identity_basis"].astype(float) @ (file["identity_standard_deviations"] * c)
        assert_formula(model, file["identity_mean"] + moved.reshape(-1, 3), c)
        assert file["faces"].dtype == np.int32
        assert set(file["mask_names"]) == {"face", "skin"}


def test_damaged_copies(rng, tmp_path):
    save_model(tmp_path / "m.npz", make_model(rng, 5, 7))
    assert_survives_damage(tmp_path / "m.npz", tmp_path)


@pytest.mark.parametrize("compressed", [False, True])
def test_memory(rng, tmp_path, compressed):
    mean, faces = head(90, 120)
    shape = group(rng, mean, 20, 2.0)
    arrays = {"mean": shape.mean, "basis": shape.basis, "std": shape.standard_deviations, "faces": faces}
    (np.savez_compressed if compressed else np.savez)(tmp_path / "m.npz", **arrays)
    assert_bounded_memory(tmp_path / "m.npz", unpacked=sum(a.nbytes for a in arrays.values()))


# --- those of others -------------------------------------------------------------------------------------


@pytest.fixture
def shape(rng):
    mean, faces = head(6, 9)
    return group(rng, mean, 5, 2.0), faces


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "m.npz", **arrays)
    return tmp_path / "m.npz"


def formula(linear, c):
    return linear.mean + (linear.basis.astype(float) @ (linear.standard_deviations * c)).reshape(-1, 3)


def variants(linear, faces):
    mean, basis, std = linear.mean, linear.basis, linear.standard_deviations
    v = len(mean)
    return {
        "plain": {"mean": mean, "basis": basis, "standard_deviations": std, "faces": faces},
        "variances": {"mu": mean.reshape(-1), "components": basis, "variances": std**2, "tri": faces},
        "menpo": {
            "mean_vector": mean.reshape(-1),
            "components": basis.T,
            "eigenvalues": std**2,
            "trilist": faces,
            "n_samples": np.int64(50),
        },
        "scikit-learn": {
            "mean_": mean.reshape(-1),
            "components_": basis.T,
            "explained_variance_": std**2,
            "singular_values_": std * np.sqrt(49),
            "n_samples_": np.int64(50),
            "noise_variance_": np.float64(0.3),
            "triangles": faces,
        },
        "singular values": {
            "average": mean,
            "eigenvectors": basis,
            "singular_values": std * np.sqrt(49),
            "n_samples": np.int64(50),
            "cells": faces,
        },
        "basel 2009": {
            "shapeMU": mean.reshape(-1, 1),
            "shapePC": basis,
            "shapeEV": std[:, None],
            "tl": faces[:, [0, 2, 1]].astype(float) + 1,
        },
        "meshmonk": {"Average": mean, "EigVec": basis, "EigVal": std**2, "Faces": faces},
        "scaled": {"mean": mean, "basis": basis * std.astype(np.float32), "std": std, "faces": faces},
        "scaled, nothing said": {"template": mean, "basis": basis * std.astype(np.float32), "faces": faces},
        "by vertices": {"mean": mean, "basis": basis.reshape(v, 3, -1), "sigma": std, "faces": faces.T},
        "by components": {"mean": mean, "basis": basis.T.reshape(-1, v, 3), "sigma": std, "faces": faces},
        "metres": {"mean": mean / 1000, "basis": basis, "std": std / 1000, "faces": faces},
        "centimetres, said": {
            "mean": mean / 10,
            "basis": basis,
            "std": std / 10,
            "faces": faces,
            "unit": "cm",
        },
        "deep 3d": {  # the Basel Face Model of Deng et al. 2019: scaled, in decimetres
            "meanshape": mean.reshape(1, -1) / 100,
            "idBase": basis * std.astype(np.float32) / 100,
            "tri": faces + 1,
        },
        "clockwise": {"mean": mean, "basis": basis, "std": std, "faces": faces[:, ::-1]},
    }


NAMES = tuple(variants(group(np.random.default_rng(0), head(3, 4)[0], 2, 1.0), head(3, 4)[1]))


@pytest.mark.parametrize("name", NAMES)
def test_names_and_forms_of_others(rng, tmp_path, shape, name):
    linear, faces = shape
    model = load_model(saved(tmp_path, **variants(linear, faces)[name]))
    check_model(model)
    c = rng.standard_normal(5)
    assert_formula(model, formula(linear, c), c)
    rolled = [np.sort(m, axis=1) for m in (model.faces, faces)]
    np.testing.assert_array_equal(*rolled)
    corners = model.instance()[model.faces] - model.instance().mean(axis=0)
    assert (np.einsum("fd,fd->f", corners.mean(axis=1), np.cross(corners[:, 1], corners[:, 2])) > -1e3).all()
    assert np.linalg.det(corners).sum() > 0  # outwards
    notes = " ".join(model.provenance["read_notes"])
    assert ("turned over" in notes) == (name in ("clockwise", "basel 2009"))
    assert ("from one" in notes) == (name in ("basel 2009", "deep 3d"))
    assert ("scaled by" in notes) == (name.startswith("scaled") or name == "deep 3d")
    units = {"metres": "metres", "centimetres, said": "centimetres", "deep 3d": "decimetres"}
    assert model.provenance["unit"] == units.get(name, "millimetres")


def test_expressions_colours_uv_and_landmarks(rng, tmp_path, shape):
    linear, faces = shape
    v = len(linear.mean)
    smile, color = group(rng, 0 * linear.mean, 3, 1.0), group(rng, np.full((v, 3), 128.0), 2, 9.0)
    arrays = variants(linear, faces)["clockwise"] | {
        "exp_basis": smile.basis,
        "exp_std": smile.standard_deviations,
        "tex_mean": color.mean,
        "tex_pc": color.basis,
        "tex_eigenvalues": color.standard_deviations**2,
        "vt": rng.random((v, 2)),
        "landmarks68": rng.integers(0, v, 68),
    }
    model = load_model(saved(tmp_path, **arrays))
    check_model(model)
    c, e, a = (rng.standard_normal(n) for n in (5, 3, 2))
    assert_formula(model, formula(linear, c) + formula(smile, e), c, e)
    assert_albedo_formula(model, formula(color, a) / 255, a)
    np.testing.assert_allclose(model.uv, arrays["vt"][model.faces], rtol=1e-6)
    points = model.landmarks["ibug68"].landmarks(model.instance(), model.faces).points
    np.testing.assert_array_equal(points, model.instance()[arrays["landmarks68"]])


def test_named_expressions_without_deviations_are_blendshapes(rng, tmp_path, shape):
    linear, faces = shape
    offsets = 4 * rng.standard_normal((3, *linear.mean.shape))
    names = np.array(["jawOpen", "smileLeft", "smileRight"])
    arrays = variants(linear, faces)["metres"]
    path = saved(tmp_path, **arrays, expressions=offsets / 1000, expression_names=names)
    model = load_model(path)
    assert model.expression_units.names == tuple(names)
    assert model.expression.is_orthonormal
    e = model.expression_units.combine({"jawOpen": 1.0, "smileRight": 0.5})
    assert_formula(model, linear.mean + offsets[0] + 0.5 * offsets[2], None, e)


@pytest.mark.skipif(not GROUND_TRUTH.is_file(), reason="needs ../shared/groundtruth/ict_facekit.npz")
def test_the_ground_truths_archive_is_read_as_it_is(rng):
    data = np.load(GROUND_TRUTH)
    model = load_model(GROUND_TRUTH)
    c = rng.standard_normal(100)
    e = model.expression_units.combine({"jawOpen": 1.0})
    jaw = list(data["expression_names"]).index("jawOpen")
    truth = data["neutral"] + np.tensordot(c, data["identity"].astype(float), 1) + data["expressions"][jaw]
    assert_formula(model, truth, c, e)
    np.testing.assert_array_equal(model.uv, data["uv"][data["uv_faces"]])
    assert set(model.landmarks) == {"ibug68"}


def edited(name, **changes):
    def edit(linear, faces):
        arrays = variants(linear, faces)[name] | changes
        return {key: value for key, value in arrays.items() if value is not None}

    return edit


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (
            edited("plain", standard_deviations=None),
            "length one, and nothing says .* add standard_deviations",
        ),
        (
            edited("plain", standard_deviations=np.full(5, 7.0), basis=np.ones((168, 5))),
            "neither one nor the dev",
        ),
        (edited("singular values", n_samples=None), "need n_samples"),
        (edited("plain", faces=None), "no triangles .*it holds basis, mean"),
        (edited("plain", mean=None), "no mean; it holds"),
        (edited("plain", basis=None), "no basis; it holds"),
        (edited("plain", mu=np.zeros(3)), "mean and mu could both be"),
        (edited("plain", eigenvalues=np.ones(5)), "not the squares of standard_deviations"),
        (edited("plain", standard_deviations=np.ones(4)), "5 components, of which 4"),
        (edited("plain", basis=np.ones((100, 5))), r"needs \(168, k\) or \(k, 168\)"),
        (edited("plain", basis=np.ones((168, 168))), r"needs \(168, k\)"),
        (edited("plain", standard_deviations=-np.ones(5)), "negative"),
        (edited("plain", mean=np.full(168, np.nan)), "not finite"),
        (edited("plain", faces=np.array([[0, 1, 56]])), "refers to vertices 0..56 of 56"),
        (edited("plain", faces=np.array([[0, 1, 2, 3]])), "not .f, 3. whole numbers"),
        (edited("plain", unit="furlongs"), "its unit is furlongs"),
        (edited("plain", mean=np.array([{"a": 1}], object)), "objects would have to be unpickled"),
        (lambda *_: {"weights": np.ones(3), "bias": np.ones(1)}, "holds bias, weights, none of which"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path, shape, edit, match):
    assert_refused(saved(tmp_path, **edit(*shape)), match)


# --- archives that attack --------------------------------------------------------------------------------


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def describe(descr="'<f4'", shape="(3,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (npy(describe(shape="(1 << 40,)")), "unreadable header"),
        (npy(describe(shape="(1099511627776, 3)")), "claims"),
        (npy(describe(shape="(-3,)"), b"\0" * 12), "unreadable shape"),
        (npy(describe(shape="(True, 3)"), b"\0" * 12), "unreadable shape"),
        (npy(describe(shape="(3.0,)"), b"\0" * 12), "unreadable shape"),
        (npy(describe("'|O'"), b"cos\nsystem\n(S'true'\ntR."), "unpickled"),
        (npy(describe("[('a', '<f4')]"), b"\0" * 12), "unpickled"),
        (npy(describe("'<f4'"), b"\0" * 11), "claims 3 times float32"),
        (npy(describe("'<V999999999'")), "plain numbers"),
        (npy(b"__import__('os').system('true')"), "unreadable header"),
        (npy(b"(" * 3000), "unreadable header"),
        (npy(b"{}"), "unreadable header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of"),
        (b"\x93NUMPY\x09\x00", "no numpy array"),
        (b"", "no numpy array"),
    ],
)
def test_crafted_members(tmp_path, shape, member, match):
    arrays = variants(*shape)["plain"]
    path = saved(tmp_path, basis=arrays["basis"], faces=arrays["faces"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mean.npy", member)
    assert_refused(path, match)


def test_an_archive_that_unpacks_to_far_more_than_it_is(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.zeros((1 << 23,)))
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", file.getvalue())
    assert_refused(tmp_path / "m.npz", "claims to unpack to")


def test_text_arrays_and_python_2_headers(tmp_path, shape):
    arrays = variants(*shape)["plain"]
    mean = arrays.pop("mean")
    path = saved(tmp_path, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mean.npy", npy(describe(shape=f"({len(mean)}L, 3L)"), mean.tobytes()))
    np.testing.assert_array_equal(load_model(path).identity.mean, mean)


def test_names_and_versions_that_damage_makes(rng, tmp_path):
    """Found by flipping more bytes than the other tests do: line breaks in names, a zip version of 21.3."""
    save_model(tmp_path / "m.npz", make_model(rng, 3, 4, points=2))
    whole = (tmp_path / "m.npz").read_bytes()
    for name in (b"identity_mean.npy", b"identity_standard_deviations.npy", b"faces.npy"):
        (tmp_path / "n.npz").write_bytes(whole.replace(name, b"\n" + name[1:]))
        assert_refused(tmp_path / "n.npz", "is missing; it holds")
    central = whole.index(b"PK\x01\x02")
    (tmp_path / "v.npz").write_bytes(whole[: central + 6] + b"\xd5" + whole[central + 7 :])
    assert_refused(tmp_path / "v.npz", "cannot be opened")


def test_a_small_model_of_others_is_in_millimetres(tmp_path, shape):
    """A nose is no head in centimetres; how to say otherwise is said."""
    linear, faces = shape
    small = linear.mean / 10
    data = {"mean": small, "basis": linear.basis, "std": linear.standard_deviations, "faces": faces}
    model = load_model(saved(tmp_path, **data))
    np.testing.assert_array_equal(model.identity.mean, small)
    assert any("taken for millimetres" in n and "unit" in n for n in model.provenance["read_notes"])


def test_more_names_than_the_mesh_has_numbers(tmp_path, shape):
    linear, faces = shape
    count = linear.mean.size + 1
    data = {"mean": linear.mean, "basis": linear.basis, "std": linear.standard_deviations, "faces": faces}
    data["expression_basis"] = np.zeros((linear.mean.size, count), np.float32)
    data["expression_names"] = np.array([str(i) for i in range(count)])
    assert_refused(saved(tmp_path, **data), "too many")


def test_half_a_character_is_replaced(rng, tmp_path):
    save_model(tmp_path / "m.npz", make_model(rng, 5, 7))
    with np.load(tmp_path / "m.npz") as file:
        data = dict(file)
    data["provenance"] = np.array('{"name": "\\ud800x", "whole": "\\ud83d\\ude00"}')
    data["mask_names"] = np.array(["face\udc00", "skin"])
    model = load_model(saved(tmp_path, **data))
    assert model.provenance == {"name": "?x", "whole": "\U0001f600"}
    assert list(model.masks) == ["face?", "skin"]
