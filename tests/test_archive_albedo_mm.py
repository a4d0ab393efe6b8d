"""AlbedoMM: whole files are read, and albedo alone is joined with the shapes that it belongs to."""

import h5py
import numpy as np
import pytest
from model_corruption import (
    assert_albedo_formula,
    assert_formula,
    assert_refused,
    assert_round_trip,
    assert_sentence,
    assert_survives_damage,
    check_model,
)
from model_files_hdf5 import grid, raw_group, strip, write_basel, write_group, write_representer

from morphkit.archive import load_model, with_albedo
from morphkit.errors import BadInputError


@pytest.fixture
def raw(rng):
    mean = grid(12)
    groups = {
        "shape": raw_group(rng, mean, 6, 2.0),
        "diffuseAlbedo": raw_group(rng, rng.uniform(0.2, 0.8, mean.shape), 4, 0.05, unsorted=True),
        "specularAlbedo": raw_group(rng, rng.uniform(0.2, 0.8, mean.shape), 4, 0.05),
        "expression": raw_group(rng, 0 * mean, 5, 1.0),
    }
    return groups, strip(12)


def write_part(path, groups, faces, mesh=True):
    with h5py.File(path, "w") as file:
        for name in ("diffuseAlbedo", "specularAlbedo"):
            write_group(file, name, groups[name])
            file[f"{name}/version/minorVersion"] = np.int32(9)
            if mesh:
                write_representer(file, name, groups["shape"].mean.reshape(-1, 3), faces)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_layouts_own_formula(raw, rng, tmp_path, kind):
    groups, faces = raw
    model = load_model(write_basel(tmp_path / "m.h5", groups, faces, kind=kind))
    check_model(model)
    i, e, a = rng.standard_normal(6), rng.standard_normal(5), rng.standard_normal(4)
    assert_formula(model, groups["shape"].instance(i) + groups["expression"].instance(e), i, e)
    assert_albedo_formula(model, groups["diffuseAlbedo"].instance(a), a)
    assert model.provenance["layout"] == "albedo-mm"
    assert model.provenance["albedo_color_space"] == "linear sRGB"
    order, specular = model.provenance["read_notes"]
    assert order.startswith("albedo: the components are not in the order")
    assert specular == "the specular albedo was left out"
    back = assert_round_trip(model, tmp_path, ".h5", same_model=kind is np.float32)
    assert back.provenance == model.provenance


@pytest.mark.parametrize("mesh", [True, False])
def test_albedo_alone_joins_its_shapes(raw, rng, tmp_path, mesh):
    groups, faces = raw
    part = write_part(tmp_path / "part.h5", groups, faces, mesh)
    shapes = load_model(write_basel(tmp_path / "bfm.h5", {"shape": groups["shape"]}, faces))
    whole = with_albedo(shapes, part)
    a = rng.standard_normal(4)
    assert_albedo_formula(whole, groups["diffuseAlbedo"].instance(a), a)
    np.testing.assert_array_equal(whole.identity.basis, shapes.identity.basis)
    assert whole.provenance["source"] == "bfm.h5"
    assert whole.provenance["albedo_source"] == "part.h5"
    assert whole.provenance["albedo_color_space"] == "linear sRGB"
    assert whole.provenance["read_notes"][-1] == "albedo: the specular albedo was left out"
    assert_round_trip(whole, tmp_path, ".h5")


def test_the_colours_of_a_whole_model_join_too(raw, rng, tmp_path):
    groups, faces = raw
    shapes = load_model(write_basel(tmp_path / "bfm.h5", {"shape": groups["shape"]}, faces))
    colored = write_basel(
        tmp_path / "c.h5", {"shape": groups["shape"], "color": groups["diffuseAlbedo"]}, faces
    )
    a = rng.standard_normal(4)
    whole = with_albedo(shapes, colored)
    assert_albedo_formula(whole, groups["diffuseAlbedo"].instance(a), a)
    assert "sRGB" in whole.provenance["albedo_color_space"]
    with pytest.raises(BadInputError, match=r"bfm\.h5: this model has no colours"):
        with_albedo(whole, tmp_path / "bfm.h5")


def test_albedo_alone_is_no_model_and_says_what_to_do(raw, tmp_path):
    part = write_part(tmp_path / "albedoPart.h5", *raw)
    assert_refused(part, "albedo alone, no shapes.*morphkit convert bfm.h5 whole.h5 --albedo albedoPart.h5")


def test_albedo_of_other_vertices_is_refused(raw, rng, tmp_path):
    groups, faces = raw
    part = write_part(tmp_path / "part.h5", groups, faces)
    mean = grid(12)
    other = load_model(write_basel(tmp_path / "o.h5", {"shape": raw_group(rng, mean, 3, 1.0)}, strip(10, 6)))
    assert other.n_vertices == 60
    with pytest.raises(BadInputError, match=r"part\.h5: its triangles are others"):
        with_albedo(other, part)
    fewer = load_model(write_basel(tmp_path / "f.h5", {"shape": raw_group(rng, grid(11), 3, 1.0)}, strip(11)))
    with pytest.raises(BadInputError, match=r"part\.h5: its albedo is for 60 vertices, the model has 55"):
        with_albedo(fewer, part)


def test_damaged_copies(raw, tmp_path):
    assert_survives_damage(write_basel(tmp_path / "m.h5", *raw), tmp_path)


def test_damaged_copies_of_albedo_alone(raw, rng, tmp_path):
    groups, faces = raw
    shapes = load_model(write_basel(tmp_path / "bfm.h5", {"shape": groups["shape"]}, faces))
    data = write_part(tmp_path / "part.h5", groups, faces).read_bytes()
    refused = 0
    for i in range(50):
        broken = bytearray(data)
        broken[int(rng.integers(8, len(data) if i % 2 else 2048))] ^= int(rng.integers(1, 256))
        (tmp_path / "broken.h5").write_bytes(broken[: int(rng.integers(len(data)))] if i % 3 == 0 else broken)
        try:
            check_model(with_albedo(shapes, tmp_path / "broken.h5"))
        except BadInputError as error:
            refused += 1
            assert_sentence(str(error), tmp_path / "broken.h5")
    assert refused >= 17
