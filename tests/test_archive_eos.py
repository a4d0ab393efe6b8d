"""eos's binary archive: every version and option gives the formula; written and read it is the same."""

import struct
from dataclasses import replace

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
from model_files_eos import NO_PCA, archive, blendshapes, landmarks, matrix, pca, there, variant
from model_files_linear import group, head, make_model

from morphkit.archive import load_model, save_model
from morphkit.errors import BadInputError
from morphkit.morphable import MorphableModel


@pytest.fixture
def parts(rng):
    mean, faces = head(6, 9)
    return mean, faces, group(rng, mean, 5, 2.0), group(rng, np.full_like(mean, 0.5), 3, 0.05)


def as_pca(linear, faces):
    return pca(linear.mean, linear.basis, linear.standard_deviations**2, faces)


def written(tmp_path, data):
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    return path


def formula(linear, c):
    """Return mean + basis · (√eigenvalues ⊙ c), in the file's single precision numbers."""
    deviations = np.sqrt((linear.standard_deviations**2).astype(np.float32).astype(float))
    return linear.mean + (linear.basis.astype(float) @ (deviations * c)).reshape(-1, 3)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_version_gives_the_formula(rng, tmp_path, parts, version):
    mean, faces, shape, color = parts
    uv = rng.uniform(0, 1, (len(mean), 2))
    data = archive(version, as_pca(shape, faces), as_pca(color, faces), uv=uv)
    model = load_model(written(tmp_path, data))
    check_model(model)
    c = rng.standard_normal(5)
    assert_formula(model, formula(shape, c), c)
    c = rng.standard_normal(3)
    assert_albedo_formula(model, formula(color, c), c)
    np.testing.assert_array_equal(model.faces, faces)
    np.testing.assert_allclose(model.uv, (uv * [1, -1] + [0, 1])[faces], atol=1e-7)
    assert model.expression is None
    assert model.landmarks == {}
    assert model.provenance["unit"] == "millimetres"
    assert load_model(written(tmp_path, archive(version, as_pca(shape, faces)))).albedo is None


def test_an_expression_model(rng, tmp_path, parts):
    mean, faces, shape, _ = parts
    expression = group(rng, 0.1 * rng.standard_normal(mean.shape), 4, 1.0)
    data = archive(4, as_pca(shape, faces), expression=there(variant(0, as_pca(expression, faces))))
    model = load_model(written(tmp_path, data))
    c, e = rng.standard_normal(5), rng.standard_normal(4)
    assert_formula(model, formula(shape, c) + formula(expression, e), c, e)


def test_blendshapes_are_named_units(rng, tmp_path, parts):
    mean, faces, shape, _ = parts
    names = ("anger", "smile_L", "smile_R", "nothing")
    offsets = {name: 3 * rng.standard_normal(mean.shape) for name in names}
    offsets["nothing"] *= 0
    data = archive(4, as_pca(shape, faces), expression=there(variant(1, blendshapes(offsets))))
    model = load_model(written(tmp_path, data))
    check_model(model)
    assert model.expression_units.names == names
    assert model.expression.n_components == 3
    assert model.expression.is_orthonormal
    strengths = {"anger": 0.3, "smile_L": 1.0, "nothing": 1.0}
    moved = sum(s * offsets[name].astype(np.float32) for name, s in strengths.items())
    e = model.expression_units.combine(strengths)
    assert_formula(model, shape.mean + moved, None, e)
    distances = np.linalg.norm(model.expression_units.coefficients[:3], axis=1)
    assert ((distances > 1.5) & (distances < 7)).all()  # a full unit is rare, and no wonder


def test_blendshapes_in_the_file_beside(rng, tmp_path, parts):
    mean, faces, shape, _ = parts
    path = written(tmp_path, archive(1, as_pca(shape, faces)))
    offsets = {name: 3 * rng.standard_normal(mean.shape) for name in ("anger", "surprise")}
    (tmp_path / f"expression_blendshapes_{len(mean)}.bin").write_bytes(blendshapes(offsets))
    model = load_model(path)
    e = model.expression_units.combine({"surprise": 1.0})
    assert_formula(model, shape.mean + offsets["surprise"], None, e)
    assert "beside" in model.provenance["read_notes"][0]
    (tmp_path / f"expression_blendshapes_{len(mean)}.bin").write_bytes(blendshapes(offsets)[:-1])
    with pytest.raises(BadInputError, match=r"expression_blendshapes_56.bin: .* truncated"):
        load_model(path)
    (tmp_path / f"expression_blendshapes_{len(mean)}.bin").write_bytes(blendshapes({"a": np.ones(3)}))
    with pytest.raises(BadInputError, match=r"blendshapes_56.bin: the blendshape a has 3 numbers"):
        load_model(path)


def test_nothing_of_the_file_is_held_open(tmp_path, parts):
    model = load_model(written(tmp_path, archive(4, as_pca(parts[2], parts[1]))))
    for array in (model.faces, model.identity.mean, model.identity.basis):
        assert array.flags.writeable  # what is mapped is not


def test_landmarks(tmp_path, parts):
    mean, faces, shape, _ = parts
    data = archive(3, as_pca(shape, faces), named=there(landmarks({"ibug_31": 7, "ibug_9": 3, "ibug_68": 0})))
    ibug = load_model(written(tmp_path, data)).landmarks["ibug68"]
    assert ibug.names == ("8", "30", "67")
    np.testing.assert_allclose(ibug.landmarks(mean, faces).points, mean[[3, 7, 0]])
    data = archive(3, as_pca(shape, faces), named=there(landmarks({"nose": 7, "chin": 3, "31": 5})))
    named = load_model(written(tmp_path, data)).landmarks["eos"]
    assert named.names == ("31", "chin", "nose")
    np.testing.assert_allclose(named.landmarks(mean, faces).points, mean[[5, 3, 7]])
    data = archive(3, as_pca(shape, faces), named=there(landmarks({"nose": len(mean)})))
    assert_refused(written(tmp_path, data), "landmarks lie beyond")


def test_texture_seams(rng, tmp_path, parts):
    _, faces, shape, _ = parts
    uv, corners = rng.uniform(0, 1, (40, 2)), rng.integers(0, 40, faces.shape)
    model = load_model(written(tmp_path, archive(4, as_pca(shape, faces), uv=uv, uv_faces=corners)))
    np.testing.assert_allclose(model.uv, (uv * [1, -1] + [0, 1])[corners], atol=1e-7)


def test_the_bfm_in_micrometres(rng, tmp_path, parts):
    _, faces, shape, _ = parts
    large = replace(shape, mean=shape.mean * 1000, standard_deviations=shape.standard_deviations * 1000)
    model = load_model(written(tmp_path, archive(4, as_pca(large, faces))))
    assert model.provenance["unit"] == "micrometres"
    c = rng.standard_normal(5)
    assert_formula(model, formula(large, c) / 1000, c)


@pytest.mark.parametrize("size", [8.0, 25.0, 60.0, 100.0, 1500.0])
def test_small_models_keep_their_size(tmp_path, parts, size):
    """An ear or an eye is smaller than a head, and in millimetres all the same."""
    _, faces, shape, _ = parts
    scale = size / np.linalg.norm(np.ptp(shape.mean, axis=0))
    small = replace(shape, mean=shape.mean * np.float32(scale))
    save_model(tmp_path / "m.bin", MorphableModel(faces, small))
    back = load_model(tmp_path / "m.bin")
    np.testing.assert_array_equal(back.identity.mean, small.mean)
    np.testing.assert_allclose(back.identity.standard_deviations, small.standard_deviations, rtol=1e-6)
    assert back.provenance["unit"] == "millimetres"


def test_an_absurd_size_is_another_unit_and_noted(tmp_path, parts):
    _, faces, shape, _ = parts
    for unit, scale in (("metres", 1e-3), ("micrometres", 1e3)):
        other = replace(
            shape, mean=shape.mean * np.float32(scale), standard_deviations=shape.standard_deviations * scale
        )
        model = load_model(written(tmp_path, archive(4, as_pca(other, faces))))
        np.testing.assert_allclose(model.identity.mean, shape.mean, rtol=1e-5)
        assert f"by its size the model is in {unit}" in model.provenance["read_notes"][0]


def test_too_many_blendshapes_of_one_vertex(tmp_path, parts):
    """What is taken for blendshapes is squared: their number is held against the shape's first."""
    mean, faces, shape, _ = parts
    offsets = {str(i): np.zeros(3, np.float32) for i in range(3 * len(mean) + 1)}
    data = archive(4, as_pca(shape, faces), expression=there(variant(1, blendshapes(offsets))))
    assert_refused(written(tmp_path, data), "169 blendshapes of 168 numbers each, too many")


def test_written_and_read_it_is_the_same(rng, tmp_path):
    whole = make_model(rng)
    corners = np.array([1.0, 0.0, 0.0])
    snapped = replace(whole.landmarks["ibug68"], barycentrics=np.tile(corners, (68, 1)))
    kept = replace(
        whole, landmarks={"ibug68": snapped}, expression_units=None, masks={}, mirror=None, provenance={}
    )
    back = assert_round_trip(kept, tmp_path, ".bin", same_model=False)
    for name in ("identity", "expression", "albedo"):
        a, b = getattr(back, name), getattr(kept, name)
        np.testing.assert_array_equal(a.mean, b.mean)
        np.testing.assert_array_equal(a.basis, b.basis)
        np.testing.assert_allclose(a.standard_deviations, b.standard_deviations, rtol=1e-7)
    np.testing.assert_array_equal(back.faces, kept.faces)
    np.testing.assert_array_equal(back.uv, kept.uv)
    found, true = (m.landmarks["ibug68"].landmarks(m.instance(), m.faces) for m in (back, kept))
    assert found.names == true.names
    np.testing.assert_array_equal(found.points, true.points)


def test_a_bare_model_comes_back(rng, tmp_path):
    whole = make_model(rng)
    back = assert_round_trip(
        replace(
            whole,
            expression=None,
            albedo=None,
            expression_units=None,
            uv=None,
            landmarks={},
            masks={},
            mirror=None,
        ),
        tmp_path,
        ".bin",
        same_model=False,
    )
    assert back.expression is back.albedo is back.uv is back.expression_units is None
    assert back.landmarks == {}


def test_landmarks_move_to_the_nearest_vertices(rng, tmp_path):
    model = make_model(rng)
    save_model(tmp_path / "m.bin", model)
    found = load_model(tmp_path / "m.bin").landmarks["ibug68"].landmarks(model.instance(), model.faces).points
    true = model.landmarks["ibug68"].landmarks(model.instance(), model.faces).points
    corners = model.instance()[model.faces[model.landmarks["ibug68"].face_indices]]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    assert (np.linalg.norm(found - true, axis=1) < longest).all()


def test_a_basis_that_is_not_orthonormal_is_no_eos_model(rng, tmp_path):
    model = make_model(rng).marginal(np.arange(0, 190))
    with pytest.raises(ValueError, match="not orthonormal"):
        save_model(tmp_path / "m.bin", model)


def test_damaged_copies(rng, tmp_path):
    save_model(tmp_path / "m.bin", make_model(rng, 6, 8, points=5))
    assert_survives_damage(tmp_path / "m.bin", tmp_path)


def test_memory(rng, tmp_path):
    save_model(tmp_path / "m.bin", make_model(rng, 90, 120))
    assert (tmp_path / "m.bin").stat().st_size > 2e6
    assert_bounded_memory(tmp_path / "m.bin")


def test_memory_with_blendshapes(rng, tmp_path):
    mean, faces = head(90, 120)
    offsets = {f"unit{i}": rng.standard_normal(mean.shape) for i in range(30)}
    shape = as_pca(group(rng, mean, 1, 2.0), faces)
    path = written(tmp_path, archive(4, shape, expression=there(variant(1, blendshapes(offsets)))))
    assert path.stat().st_size > 3e6
    assert_bounded_memory(path)


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (lambda _: archive(4, struct.pack("<ii", 3 << 20, 1)), "truncated"),
        (lambda p: archive(4, matrix(p.mean.reshape(-1)) + struct.pack("<ii", -1, 4)), "damaged"),
        (lambda p: archive(4, matrix(p.mean.reshape(-1)) + struct.pack("<ii", 1 << 30, 1 << 30)), "claims"),
        (lambda p: archive(4, matrix(p.mean.reshape(-1)) + NO_PCA[8:]), "basis is 0×0"),
        (lambda p: archive(4, as_pca(p, np.array([[0, 1, 999]]))), "refers to vertices"),
        (lambda p: archive(4, as_pca(p, np.array([[0, 1, 2]])), expression=there(variant(7, b""))), "kind 7"),
        (lambda p: archive(4, as_pca(p, np.array([[0, 1, 2]])),
                           expression=there(variant(1, struct.pack("<Q", 1 << 60)))), "too many"),
        (lambda p: archive(4, as_pca(p, np.array([[0, 1, 2]])),
                           named=there(struct.pack("<QQ", 1 << 60, 1 << 62))), "truncated"),
        (lambda p: archive(4, as_pca(p, np.array([[0, 1, 2]]))) + b"more", "4 bytes follow"),
        (lambda p: archive(4, as_pca(replace(p, mean=p.mean * np.nan), np.array([[0, 1, 2]]))), "not finite"),
        (lambda p: archive(4, pca(p.mean, p.basis, -np.ones(5), np.array([[0, 1, 2]]))), "negative"),
    ],
)  # fmt: skip
def test_crafted_files(tmp_path, parts, broken, match):
    assert_refused(written(tmp_path, broken(parts[2])), match)
