"""The Basel/statismo layout as others write it: their formula, landmarks, representers, units; and lies."""

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

from morphkit.archive import load_model
from morphkit.archive.layouts import _vtk as vtk
from morphkit.errors import BadInputError


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
    assert (facts["source"], facts["layout"], facts["unit"]) == ("m.h5", "basel", "millimetres")
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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}",
        '[{"id": 1}]',
        '[{"id": "a", "coordinates": [1, NaN, 2]}]',
        pytest.param("[" * 10**6, id="long"),
    ],
)
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
    assert_survives_damage(path, tmp_path, cuts=10, flips=30)


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
