"""The Basel/statismo layout: what is written comes back, what others write is understood, junk is named."""

import json

import h5py
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
from model_files_hdf5 import RawGroup, grid, raw_group, strip, write_basel, write_group

from morphkit.archive import load_model, save_model
from morphkit.archive.layouts import _vtk as vtk
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
    assert "sRGB" in back.provenance["albedo_color_space"]


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
        ("empty.h5", "an empty file"),
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


@pytest.fixture
def raw(rng):
    """A model as others have it: shape, colour and expression in the file's own terms, and its faces."""
    mean = grid(12)
    groups = {
        "shape": raw_group(rng, mean, 6, 2.0),
        "color": raw_group(rng, rng.uniform(0.2, 0.8, mean.shape), 4, 0.05),
        "expression": raw_group(rng, 0.01 * rng.standard_normal(mean.shape), 5, 1.0),
    }
    return groups, strip(12)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("version", [(0, 8), (0, 9), (1, 0)])
@pytest.mark.parametrize("unsorted", [False, True])
def test_the_layouts_own_formula(raw, rng, tmp_path, kind, version, unsorted):
    groups, faces = raw
    if unsorted:
        groups = {name: g.reordered(rng.permutation(len(g.variances))) for name, g in groups.items()}
    path = write_basel(tmp_path / "m.h5", groups, faces, version=version, kind=kind)
    model = load_model(path)
    check_model(model)
    np.testing.assert_array_equal(model.faces, faces)
    i, e, a = (rng.standard_normal(len(groups[name].variances)) for name in ("shape", "expression", "color"))
    expected = groups["shape"].instance(i) + groups["expression"].instance(e)
    assert_formula(model, expected, i, e)
    assert_albedo_formula(model, groups["color"].instance(a), a)
    assert model.identity.noise_variance == 0.25
    facts = model.provenance
    assert (facts["source"], facts["layout"], facts["unit"]) == ("m.h5", "basel", "mm")
    assert any("order of their variances" in note for note in facts.get("read_notes", [])) == unsorted
    assert_round_trip(model, tmp_path, ".h5", same_model=kind is np.float32)  # deviations are written so


def test_colours_up_to_255_are_brought_to_one(raw, rng, tmp_path):
    groups, faces = raw
    color = groups["color"]
    bytes_ = RawGroup(255 * color.mean, color.basis, 255**2 * color.variances)
    model = load_model(write_basel(tmp_path / "m.h5", {**groups, "color": bytes_}, faces))
    c = rng.standard_normal(4)
    assert_albedo_formula(model, color.instance(c), c)
    assert "albedo: colours of 0..255 were brought to 0..1" in model.provenance["read_notes"]


@pytest.mark.parametrize(("unit", "scale"), [("micrometres", 1e3), ("metres", 1e-3)])
def test_what_cannot_be_millimetres_is_brought_to_them(raw, rng, tmp_path, unit, scale):
    groups, faces = raw
    shape, expression = (
        RawGroup(scale * g.mean, g.basis, scale**2 * g.variances)
        for g in (groups["shape"], groups["expression"])
    )
    path = write_basel(tmp_path / "m.h5", {"shape": shape, "expression": expression}, faces)
    with h5py.File(path, "r+") as file:
        item = {"id": "a", "coordinates": shape.mean[:3].tolist()}
        file["metadata/landmarks/json"] = json.dumps([item])
    model = load_model(path)
    i, e = rng.standard_normal(6), rng.standard_normal(5)
    assert_formula(model, groups["shape"].instance(i) + groups["expression"].instance(e), i, e)
    assert model.provenance["unit"] == unit
    assert model.provenance["read_notes"] == [
        f"by its size the model is in {unit}, and was brought to millimetres"
    ]
    assert model.landmarks["basel"].names == ("a",)


def test_a_known_number_of_vertices_tells_the_licence(rng, tmp_path):
    mean = np.zeros((27657, 3)) + rng.standard_normal(3)
    group = RawGroup(mean.ravel(), np.eye(mean.size, 1), np.ones(1))
    faces = np.array([[0, 1, 2]], np.int32)
    licence = load_model(write_basel(tmp_path / "m.h5", {"shape": group}, faces)).provenance["licence"]
    assert "2019 (face12)" in licence
    assert "no redistribution" in licence


def test_landmarks_lie_on_the_reference_mesh(raw, tmp_path):
    """Which is not the mean; those off it are left out, and said to be."""
    groups, faces = raw
    reference = groups["shape"].mean.reshape(-1, 3) + np.array([5.0, 0.0, 20.0])
    on_face = reference[faces[7]].mean(axis=0)
    items = [
        {
            "id": "center.nose.tip",
            "coordinates": reference[17].tolist(),
            "uncertainty": {"stddevs": [1, 1, 1]},
        },
        {"id": "on.face", "coordinates": on_face.tolist()},
        {"id": "far.off", "coordinates": [0.0, 0.0, 500.0]},
    ]
    path = write_basel(tmp_path / "m.h5", groups, faces, points=reference)
    with h5py.File(path, "r+") as file:
        file["metadata/landmarks/json"] = np.array([json.dumps(items)], h5py.string_dtype())
    model = load_model(path)
    np.testing.assert_allclose(model.identity.mean, groups["shape"].mean.reshape(-1, 3), atol=1e-5)
    embedding = model.landmarks["basel"]
    assert embedding.names == ("center.nose.tip", "on.face")
    found = embedding.landmarks(model.identity.mean.astype(np.float64), faces).points
    mean = groups["shape"].mean.reshape(-1, 3)
    np.testing.assert_allclose(found, [mean[17], mean[faces[7]].mean(axis=0)], atol=1e-4)
    assert "1 of 3 landmarks are off the reference mesh and were left out" in model.provenance["read_notes"]
    assert_round_trip(model, tmp_path, ".h5")


def test_landmarks_in_scalismos_older_text(raw, tmp_path):
    groups, faces = raw
    mean = groups["shape"].mean.reshape(-1, 3)
    rows = [f"{i} {int(i != 1)} {' '.join(map(str, mean[10 * i]))}" for i in range(3)]
    path = write_basel(tmp_path / "m.h5", groups, faces)
    with h5py.File(path, "r+") as file:
        file["metadata/landmarks/text"] = "\n".join(rows) + "\n"
    embedding = load_model(path).landmarks["ibug68"]
    assert embedding.names == ("0", "2")
    np.testing.assert_allclose(embedding.landmarks(mean, faces).points, mean[[0, 20]], atol=1e-4)


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"id": 1}]', '[{"id": "a", "coordinates": [1, NaN, 2]}]'])
def test_landmarks_that_make_no_sense_are_left_out(raw, tmp_path, text):
    groups, faces = raw
    path = write_basel(tmp_path / "m.h5", groups, faces)
    with h5py.File(path, "r+") as file:
        file["metadata/landmarks/json"] = text
    model = load_model(path)
    assert model.landmarks == {}
    assert "the landmarks could not be understood" in model.provenance["read_notes"][0]


def test_the_older_representer_of_the_first_models(raw, rng, tmp_path):
    """As in the .h5 of the Basel Face Model 2009: a row for each vertex and triangle."""
    groups, faces = raw
    path = write_basel(tmp_path / "m.h5", groups, faces, version=(0, 8))
    with h5py.File(path, "r+") as file:
        for name in groups:
            del file[name]["representer"]
            mesh = file.create_group(f"{name}/representer/reference-mesh")
            mesh["vertex-coordinates"] = groups["shape"].mean.reshape(-1, 3).astype(np.float32)
            mesh["triangle-list"] = faces
        del file["version"], file["shape/version"]
    model = load_model(path)
    np.testing.assert_array_equal(model.faces, faces)
    c = rng.standard_normal(6)
    assert_formula(model, groups["shape"].instance(c) + groups["expression"].instance(np.zeros(5)), c)


def vtk_text(points, faces):
    lines = ["# vtk DataFile Version 3.0", "reference", "ASCII", "DATASET POLYDATA"]
    lines += [f"POINTS {len(points)} float", *(" ".join(map(str, p)) for p in points)]
    lines += [f"POLYGONS {len(faces)} {4 * len(faces)}", *(f"3 {a} {b} {c}" for a, b, c in faces)]
    return ("\n".join(lines) + "\n").encode()


def vtk_binary(points, faces):
    corners = np.column_stack([np.full(len(faces), 3), faces]).astype(">i4")
    return (
        b"# vtk DataFile Version 2.0\nx\nBINARY\nDATASET POLYDATA\n"
        + b"POINTS %d double\n" % len(points)
        + points.astype(">f8").tobytes()
        + b"\nPOLYGONS %d %d\n" % (len(faces), corners.size)
        + corners.tobytes()
    )


@pytest.mark.parametrize("write", [vtk_text, vtk_binary])
def test_plain_statismo_08_with_its_vtk_file(raw, rng, tmp_path, write):
    groups, faces = raw
    mean = groups["shape"].mean.reshape(-1, 3)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        write_group(file, "", groups["shape"], scaled=True)
        representer = file.create_group("representer")
        representer.attrs["name"] = "vtkPolyDataRepresenter"
        representer["reference"] = np.frombuffer(write(mean, faces), np.int8)
        file["metadata/landmarks/json"] = json.dumps([{"id": "a", "coordinates": mean[3].tolist()}])
    model = load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(model.faces, faces)
    c = rng.standard_normal(6)
    assert_formula(model, groups["shape"].instance(c), c)
    np.testing.assert_allclose(model.landmarks["basel"].landmarks(mean, faces).points, mean[[3]], atol=1e-4)
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        data = file["representer/reference"][:]
        del file["representer/reference"]
        file["representer/reference"] = data[:-200]
    with pytest.raises(BadInputError, match=r"m\.h5: the mesh in /representer/reference cannot be used"):
        load_model(tmp_path / "m.h5")


def test_version_08_as_old_statismo_reads_it(raw, rng, tmp_path):
    """The shape model at the root, its basis U √λ, its mesh a VTK file; and at /shape for scalismo-faces."""
    groups, faces = raw
    model = load_model(write_basel(tmp_path / "m.h5", groups, faces))
    back = assert_round_trip(model, tmp_path, ".h5", "basel-0.8", same_model=False)
    i, e = rng.standard_normal(6), rng.standard_normal(5)
    assert_formula(back, groups["shape"].instance(i) + groups["expression"].instance(e), i, e)
    with h5py.File(tmp_path / "first.h5") as file:
        shape = groups["shape"]
        formula = file["model/mean"][:] + file["model/pcaBasis"][:].astype(np.float64) @ i
        np.testing.assert_allclose(formula.reshape(-1, 3), shape.instance(i), atol=1e-4)
        np.testing.assert_allclose(file["model/pcaVariance"][:], shape.variances, rtol=1e-6)
        assert file["version/minorVersion"][()] == file["shape/version/minorVersion"][()] == 8
        assert file["representer"].attrs["name"] == b"vtkPolyDataRepresenter"
        assert file["representer"].attrs["datasetType"] == b"POLYGON_MESH"
        assert file["representer/alignment"][()] == 999
        assert file["modelinfo/scores"][()].tolist() == [[0.0]]
        assert [len(file[f"modelinfo/{name}"]) for name in ("dataInfo", "builderInfo")] == [0, 0]
        mesh = vtk.parse(file["representer/reference"][:].tobytes())
        np.testing.assert_array_equal(mesh.triangles, faces)
        np.testing.assert_array_equal(mesh.points, file["representer/points"][:].T)
        assert file["model"] == file["shape/model"]


def test_reading_takes_no_more_than_twice_the_file(rng, tmp_path):
    """The file has rows of the basis contiguous, the model columns: turned without a second copy."""
    mean = grid(500, 8)
    groups = {"shape": raw_group(rng, mean, 120, 2.0), "color": raw_group(rng, mean / 1000, 60, 0.1)}
    for version in ((0, 8), (0, 9)):
        path = write_basel(tmp_path / "m.h5", groups, strip(500, 8), version=version)
        assert path.stat().st_size > 8e6
        assert assert_bounded_memory(path) < 1.6


def test_damaged_copies_of_others_files(raw, tmp_path):
    groups, faces = raw
    path = write_basel(tmp_path / "m.h5", groups, faces, version=(0, 8))
    with h5py.File(path, "r+") as file:
        item = {"id": "a", "coordinates": groups["shape"].mean[:3].tolist()}
        file["metadata/landmarks/json"] = json.dumps([item])
    assert_survives_damage(path, tmp_path, cuts=20, flips=50)


@pytest.mark.parametrize("chunks", [None, (1024, 1)])
def test_sizes_that_are_not_there_are_refused_at_once(raw, tmp_path, chunks):
    path = write_basel(tmp_path / "m.h5", *raw)
    with h5py.File(path, "r+") as file:
        for name in ("pcaBasis", "mean"):
            del file[f"shape/model/{name}"]
        size = 3 * 10**8
        pack = {"compression": "gzip"} if chunks else {}
        file.create_dataset("shape/model/mean", (size,), "f4", chunks=chunks and chunks[:1], **pack)
        file.create_dataset("shape/model/pcaBasis", (size, 6), "f4", chunks=chunks, **pack)
    assert_refused(path, "claims the shape")


def test_a_bomb_of_zeros_is_refused(raw, tmp_path):
    path = write_basel(tmp_path / "m.h5", *raw)
    with h5py.File(path, "r+") as file:
        del file["shape/model/mean"]
        file.create_dataset(
            "shape/model/mean", data=np.zeros(3 * 10**6, np.float32), chunks=(10**6,), compression="gzip"
        )
    assert_refused(path, "claims the shape")


def test_data_of_other_files_are_not_read(raw, tmp_path):
    other = write_basel(tmp_path / "other.h5", *raw)
    path = write_basel(tmp_path / "m.h5", *raw)
    with h5py.File(path, "r+") as file:
        del file["shape/model/mean"]
        file["shape/model/mean"] = h5py.ExternalLink(other.name, "/shape/model/mean")
    assert_refused(path, "lies in another file")
    with h5py.File(path, "r+") as file:
        del file["shape/model/mean"]
        layout = h5py.VirtualLayout((180,), np.float32)
        layout[:] = h5py.VirtualSource(other, "shape/model/mean", (180,))
        file.create_virtual_dataset("shape/model/mean", layout)
    assert_refused(path, "lies in another file")


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
