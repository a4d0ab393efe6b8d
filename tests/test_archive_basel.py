"""The Basel/statismo layout: what is written comes back, what others write is understood, junk is named."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from model_corruption import (
    assert_formula,
    assert_refused,
    assert_survives_damage,
    check_model,
)

from morphkit.archive import load_model, save_model
from morphkit.errors import BadInputError, MorphkitError
from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel, NamedDirections


def make_group(rng, v, k, scale, spread=2.0):
    basis, _ = np.linalg.qr(rng.standard_normal((3 * v, k)))
    deviations = np.sqrt(3 * v) * scale * spread ** -np.arange(k, dtype=float)
    mean = rng.standard_normal((v, 3)).astype(np.float32) * 10 * scale
    return LinearModel(
        mean, np.asfortranarray(basis, np.float32), deviations, float(np.float32(scale**2 / 50))
    )


@pytest.fixture
def model(rng):
    v = 60
    faces = np.array([[i, i + 1, i + 2] for i in range(v - 2)], np.int32)
    return MorphableModel(
        faces,
        make_group(rng, v, 7, 2.0),
        expression=make_group(rng, v, 5, 1.0),
        albedo=make_group(rng, v, 4, 0.05),
        expression_units=NamedDirections(("jawOpen", "mouthSmile_L"), rng.standard_normal((2, 5))),
        uv=rng.uniform(0, 1, (v - 2, 3, 2)).astype(np.float32),
        landmarks={
            "ibug68": LandmarkEmbedding(
                ("0", "1"), np.array([3, 9], np.int32), np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
            )
        },
        masks={"face": np.arange(v) % 3 == 0, "skin": np.arange(v) > 7},
        mirror=np.arange(v, dtype=np.int32)[::-1].copy(),
        provenance={"licence": "CC0", "scans": ["α.ply"], "settings": {"components": 7}},
    )


def write_plain(path, mean, basis, variances, faces, *, version=None, root="shape", dtype=np.int32):
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group["model/mean"] = mean.reshape(-1).astype(np.float32)
        group["model/pcaBasis"] = basis.astype(np.float32)
        group["model/pcaVariance"] = variances.astype(np.float32)
        group["model/noiseVariance"] = np.float32(0.5)
        group["representer/points"] = np.zeros((3, len(mean)), np.float32)
        group["representer/cells"] = faces.T.astype(dtype)
        if version is not None:
            file["version/majorVersion"] = np.array([version[0]], np.int32)
            file["version/minorVersion"] = np.array([version[1]], np.int32)
    return path


def assert_same_group(a, b):
    np.testing.assert_array_equal(a.mean, b.mean)
    np.testing.assert_array_equal(a.basis, b.basis)
    np.testing.assert_allclose(a.standard_deviations, b.standard_deviations, rtol=1e-7)
    assert a.noise_variance == b.noise_variance
    assert a.basis.flags.f_contiguous


def test_everything_comes_back(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    back = load_model(tmp_path / "m.h5")
    for name in ("identity", "expression", "albedo"):
        assert_same_group(getattr(back, name), getattr(model, name))
    for name in ("faces", "uv", "mirror"):
        np.testing.assert_array_equal(getattr(back, name), getattr(model, name))
        assert getattr(back, name).dtype == getattr(model, name).dtype
    assert back.provenance == model.provenance
    assert back.expression_units.names == model.expression_units.names
    np.testing.assert_array_equal(back.expression_units.coefficients, model.expression_units.coefficients)
    assert set(back.masks) == {"face", "skin"}
    for name, mask in model.masks.items():
        np.testing.assert_array_equal(back.masks[name], mask)
    embedding = back.landmarks["ibug68"]
    assert embedding.names == ("0", "1")
    np.testing.assert_array_equal(embedding.face_indices, [3, 9])
    np.testing.assert_array_equal(embedding.barycentrics, model.landmarks["ibug68"].barycentrics)


def test_a_bare_model_comes_back(model, tmp_path):
    bare = MorphableModel(model.faces, model.identity)
    save_model(tmp_path / "m.h5", bare)
    back = load_model(tmp_path / "m.h5")
    assert back.expression is back.albedo is back.uv is back.mirror is back.expression_units is None
    assert back.landmarks == back.masks == back.provenance == {}


def test_same_model_same_bytes(model, tmp_path):
    for name in ("a.h5", "b.h5"):
        save_model(tmp_path / name, model)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_layout_is_what_scalismo_faces_reads(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["shape/model/pcaBasis"].shape == (180, 7)
        assert file["shape/model/pcaBasis"].dtype == np.float32
        np.testing.assert_allclose(
            file["shape/model/pcaVariance"][:], model.identity.standard_deviations**2, rtol=1e-6
        )
        assert file["shape/model/noiseVariance"].shape == (1,)
        for group in ("shape", "color", "expression"):
            assert file[f"{group}/representer/cells"].dtype == np.int32
            np.testing.assert_array_equal(file[f"{group}/representer/cells"][:].T, model.faces)
            assert file[f"{group}/representer"].attrs["datasetType"] == b"POLYGON_MESH"
            assert (file[f"{group}/version/majorVersion"][()], file[f"{group}/version/minorVersion"][()]) == (
                0,
                9,
            )
            assert file[f"catalog/MorphableModel.{group}/modelPath"][()].decode() == f"/{group}"
        landmarks = json.loads(file["metadata/landmarks/json"][()])
        assert [item["id"] for item in landmarks] == ["0", "1"]
        assert file["morphkit"].attrs["albedo_color_space"] == "linear"


@pytest.mark.parametrize("version", [(0, 8), None])
def test_version_08_scaled_basis(model, tmp_path, version):
    group = model.identity
    scaled = group.basis * group.standard_deviations
    path = write_plain(
        tmp_path / "m.h5", group.mean, scaled, group.standard_deviations**2, model.faces, version=version
    )
    back = load_model(path)
    np.testing.assert_allclose(back.identity.basis, group.basis, atol=1e-6)


@pytest.mark.parametrize("version", [(0, 9), None])
def test_unit_basis_of_others_with_odd_types(model, tmp_path, version):
    group = model.identity
    path = write_plain(
        tmp_path / "m.h5",
        group.mean,
        group.basis,
        group.standard_deviations[:, None] ** 2,
        model.faces,
        version=version,
        dtype=np.uint32,
    )
    back = load_model(path)
    np.testing.assert_allclose(back.identity.basis, group.basis, atol=1e-6)
    assert back.identity.noise_variance == 0.5
    np.testing.assert_array_equal(back.faces, model.faces)
    assert back.provenance["albedo_color_space"].startswith("sRGB")


def test_the_version_decides_where_lengths_cannot(model, tmp_path):
    deviations = np.linspace(1.01, 0.99, 7)
    for version in ((0, 8), (0, 9)):
        path = write_plain(
            tmp_path / "m.h5",
            model.identity.mean,
            model.identity.basis * deviations if version == (0, 8) else model.identity.basis,
            deviations**2,
            model.faces,
            version=version,
        )
        back = load_model(path).identity
        np.testing.assert_allclose(np.linalg.norm(back.basis, axis=0), 1.0, atol=1e-5)
        c = np.ones(7)
        np.testing.assert_allclose(back.offset(c).ravel(), model.identity.basis @ (deviations * c), atol=1e-5)


def test_unsorted_and_empty_components(model, tmp_path):
    """The file's coefficients stay what they are, but for those that move nothing."""
    group = model.identity
    variances = group.standard_deviations**2
    basis = np.hstack([np.zeros((180, 1), np.float32), group.basis[:, ::-1]])
    path = write_plain(
        tmp_path / "m.h5", group.mean, basis, np.r_[0.0, variances[::-1]], model.faces, version=(0, 9)
    )
    back = load_model(path)
    np.testing.assert_allclose(back.identity.standard_deviations, group.standard_deviations[::-1], rtol=1e-6)
    np.testing.assert_array_equal(back.identity.basis, group.basis[:, ::-1])
    empty, order = back.provenance["read_notes"]
    assert "1 components without variance were left out, so that later ones" in empty
    assert "not in the order of their variances" in order


def test_units_follow_an_expression_basis_that_lost_a_component(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        file["expression/model/pcaVariance"][1] = 0.0
    back = load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(
        back.expression_units.coefficients, model.expression_units.coefficients[:, [0, 2, 3, 4]]
    )


def test_a_skewed_basis_stays_as_it_is(model, tmp_path):
    group = model.identity
    skewed = group.basis.copy()
    skewed[:, 1] = (group.basis[:, 0] + group.basis[:, 1]) / np.sqrt(2)
    variances = group.standard_deviations**2
    path = write_plain(tmp_path / "m.h5", group.mean, skewed, variances, model.faces, version=(0, 9))
    back = load_model(path)
    assert not back.identity.is_orthonormal
    c = np.linspace(-2, 2, 7)
    expected = group.mean.ravel() + skewed @ (group.standard_deviations * c)
    assert_formula(back, expected.reshape(-1, 3), c)


def test_a_model_cut_to_some_vertices_keeps_its_formula(model, tmp_path):
    """Its columns are shorter than one, which version 0.9 allows."""
    group = model.identity.marginal(np.arange(40))
    faces = model.faces[(model.faces < 40).all(axis=1)]
    path = write_plain(
        tmp_path / "m.h5", group.mean, group.basis, group.standard_deviations**2, faces, version=(0, 9)
    )
    c = np.linspace(-2, 2, 7)
    expected = group.mean.ravel() + group.basis.astype(np.float64) @ (group.standard_deviations * c)
    back = load_model(path)
    check_model(back)
    assert_formula(back, expected.reshape(-1, 3), c)


def test_plain_shape_model_at_the_root(model, tmp_path):
    group = model.identity
    path = write_plain(
        tmp_path / "m.h5", group.mean, group.basis, group.standard_deviations**2, model.faces, root=""
    )
    np.testing.assert_array_equal(load_model(path).identity.mean, group.mean)


def test_rounding_keeps_the_promise_and_shrinks(rng, tmp_path):
    v, k = 3000, 40
    faces = np.array([[i, i + 1, i + 2] for i in range(v - 2)], np.int32)
    model = MorphableModel(faces, make_group(rng, v, k, 3.0, 1.15), albedo=make_group(rng, v, k, 0.1, 1.15))
    save_model(tmp_path / "full.h5", model)
    save_model(tmp_path / "small.h5", model, precision_mm=0.02, precision_albedo=1e-3)
    back = load_model(tmp_path / "small.h5")
    for name, precision in (("identity", 0.02), ("albedo", 1e-3)):
        a, b = getattr(model, name), getattr(back, name)
        assert b.is_orthonormal
        c = 3 * rng.choice([-1.0, 1.0], k)
        error = np.linalg.norm(a.instance(c) - b.instance(c), axis=1)
        assert np.sqrt(np.mean(error**2)) < 1.2 * precision
        assert error.max() < 4 * precision
    ratio = (tmp_path / "small.h5").stat().st_size / (tmp_path / "full.h5").stat().st_size
    assert ratio < 0.5


def test_rounding_alike_entries_keeps_the_basis_orthonormal(rng, tmp_path):
    """Columns that are constant over regions have the same rounding error everywhere."""
    v, k = 4000, 12
    region = rng.integers(0, 30, v)
    basis = np.linalg.qr(np.repeat(rng.standard_normal((30, k))[region], 3, axis=0))[0]
    group = LinearModel(np.zeros((v, 3), np.float32), np.asfortranarray(basis, np.float32), np.full(k, 1e-3))
    faces = np.array([[0, 1, 2]], np.int32)
    save_model(tmp_path / "m.h5", MorphableModel(faces, group), precision_mm=1.0)
    back = load_model(tmp_path / "m.h5")
    assert np.abs(back.identity.gram - np.eye(k)).max() < 4e-4
    assert back.provenance == {}


def test_a_marginal_must_be_made_orthonormal_first(model, tmp_path):
    part = model.marginal(np.arange(30))
    with pytest.raises(ValueError, match="orthonormalized"):
        save_model(tmp_path / "m.h5", part)
    assert not list(tmp_path.iterdir())
    save_model(tmp_path / "m.h5", part.orthonormalized())
    assert load_model(tmp_path / "m.h5").n_vertices == 30


def test_damaged_copies(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    assert_survives_damage(tmp_path / "m.h5", tmp_path)


def rewrite(name, values):
    def change(file):
        del file[name]
        if values is not None:
            file[name] = values

    return change


def unscaled_08(file):
    file["shape/version/minorVersion"][...] = 8
    file["shape/model/pcaBasis"][...] *= 3.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rewrite("shape/model/mean", None), "no /shape/model and no /model"),
        (rewrite("shape/model/pcaBasis", None), "pcaBasis is missing"),
        (rewrite("shape/model/pcaVariance", None), "pcaVariance is missing"),
        (rewrite("shape/model/mean", np.full(180, np.nan, np.float32)), "NaN"),
        (rewrite("shape/model/mean", np.zeros(181, np.float32)), "three for each vertex"),
        (rewrite("shape/model/mean", np.zeros(0, np.float32)), "three for each vertex"),
        (rewrite("shape/model/pcaBasis", np.zeros((180, 3), np.float32)), "pcaBasis has the shape"),
        (unscaled_08, "neither of unit length"),
        (rewrite("shape/model/pcaVariance", -np.ones(7, np.float32)), "negative"),
        (rewrite("shape/model/mean", "some text"), "not numbers"),
        (rewrite("shape/representer/cells", np.full((3, 9), 60, np.int32)), "of 60"),
        (rewrite("shape/representer/cells", np.zeros((4, 9), np.int32)), "triangles"),
        (rewrite("color/model/mean", np.zeros(9, np.float32)), "color/model/pcaBasis"),
        (rewrite("morphkit/mirror", np.zeros(3, np.int32)), "mirror"),
        (rewrite("morphkit/masks/face", np.zeros(3, np.uint8)), "mask 'face'"),
        (rewrite("morphkit/uv/indices", np.zeros((3, 3), np.int32)), "uv"),
        (rewrite("morphkit/landmarks/ibug68/face_indices", np.array([0, 10**6], np.int32)), "beyond"),
        (rewrite("morphkit/provenance", "{not json"), "damaged"),
        (lambda file: file["morphkit"].attrs.modify("format_version", 99), "newer morphkit"),
    ],
)
def test_what_is_wrong_is_said(model, tmp_path, change, message):
    path = tmp_path / "odd.h5"
    save_model(path, model)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(BadInputError, match=message) as caught:
        load_model(path)
    assert "odd.h5" in str(caught.value)


def test_a_size_that_is_a_lie(model, tmp_path):
    path = tmp_path / "lie.h5"
    save_model(path, model)
    with h5py.File(path, "r+") as file:
        del file["shape/model/pcaBasis"]
        file.create_dataset("shape/model/pcaBasis", shape=(10**7, 10**6), dtype="f4", chunks=(1024, 1024))
    with pytest.raises(BadInputError, match="claims the shape"):
        load_model(path)


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "text.h5").write_text("hello, this is not a model")
    (tmp_path / "empty.h5").touch()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file[b"weights\xff"] = file["other"] = np.zeros(3)
    for name, message in (
        ("odd.h5", "an HDF5 file with .*other"),
        ("text.h5", "begins with b'hello, t'"),
        ("empty.h5", "is empty"),
        ("other.h5", "an HDF5 file with weights at its root"),
        ("gone.h5", "does not exist"),
        (".", "a folder with empty.h5, odd.h5, other.h5, text.h5"),
    ):
        with pytest.raises(BadInputError, match=message):
            load_model(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(model, tmp_path):
    path = tmp_path / "m.h5"
    save_model(path, model)
    before = path.read_bytes()
    bad = MorphableModel(model.faces, model.identity, provenance={"oops": object()})
    with pytest.raises(TypeError):
        save_model(path, bad)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["m.h5"]


def test_writing_into_an_impossible_place_is_said(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MorphkitError, match="file"):
        save_model(tmp_path / "file" / "m.h5", model)


def test_a_layout_that_cannot_be_written_is_said(model, tmp_path):
    with pytest.raises(BadInputError, match=r"cannot write a model file called m\.xyz; it writes basel"):
        save_model(tmp_path / "m.xyz", model)


def test_zeros_that_compress_a_thousandfold_come_back(rng, tmp_path):
    v = 60_000
    faces = np.array([[0, 1, 2]], np.int32)
    still = LinearModel(np.zeros((v, 3), np.float32), np.zeros((3 * v, 0), np.float32), np.zeros(0))
    identity = LinearModel(
        rng.standard_normal((v, 3)).astype(np.float32), np.zeros((3 * v, 0), np.float32), np.zeros(0)
    )
    save_model(tmp_path / "m.h5", MorphableModel(faces, identity, expression=still))
    with h5py.File(tmp_path / "m.h5") as file:
        mean = file["expression/model/mean"]
        assert mean.size * 4 > 150 * mean.id.get_storage_size()
    assert not load_model(tmp_path / "m.h5").expression.mean.any()


def test_any_name_comes_back(model, tmp_path):
    """HDF5 takes "/" for a path, and has no empty names."""
    names = ("a/b", "", ".", "..", "50% skin", "%2F", "%", "x\ny", "/")
    masks = {name: np.arange(model.n_vertices) % (i + 2) == 0 for i, name in enumerate(names)}
    (embedding,) = list(model.landmarks.values())[:1]
    save_model(tmp_path / "m.h5", replace(model, masks=masks, landmarks=dict.fromkeys(names, embedding)))
    back = load_model(tmp_path / "m.h5")
    assert set(back.masks) == set(back.landmarks) == set(names)
    for name, mask in masks.items():
        np.testing.assert_array_equal(back.masks[name], mask)


def test_names_of_older_files_are_as_they_are(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        for name in ("50% skin", "%zz", "100%"):
            file[f"morphkit/masks/{name}"] = np.ones(model.n_vertices, np.uint8)
    assert {"50% skin", "%zz", "100%"} <= set(load_model(tmp_path / "m.h5").masks)


def test_many_strings_in_the_same_bytes_are_refused(model, tmp_path):
    path = tmp_path / "m.h5"
    (name,) = list(model.landmarks)[:1]
    save_model(path, model)
    count = 3000
    with h5py.File(path, "r+") as file:
        group = file[f"morphkit/landmarks/{name}"]
        del group["names"]
        names = group.create_dataset("names", shape=(count,), dtype=h5py.string_dtype())
        names[0] = "q" * 60_000
        at = names.id.get_offset()
    data = bytearray(path.read_bytes())
    data[at : at + 16 * count] = data[at : at + 16] * count
    path.write_bytes(data)
    assert_refused(path, "more text than the whole file")


def test_half_a_character_is_replaced(model, tmp_path):
    save_model(tmp_path / "m.h5", model)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file["morphkit/provenance"]
        file["morphkit/provenance"] = '{"name": "\\ud800x"}'
    assert load_model(tmp_path / "m.h5").provenance["name"] == "?x"
