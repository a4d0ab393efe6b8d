"""eos itself opens the files that morphkit writes, fits with them, and writes files that morphkit opens."""

import numpy as np
import pytest
import torch
from model_corruption import assert_formula, assert_same_model
from model_files_linear import group, head

import morphkit
from morphkit.archive import load_model, save_model
from morphkit.rendering import PerspectiveCamera

eos = pytest.importorskip("eos", reason="needs eos-py, pip install eos-py")

SIZE = 512


@pytest.fixture(scope="module")
def model():
    return morphkit.load_default_model()


@pytest.fixture(scope="module")
def opened(model, tmp_path_factory):
    """The default head, written by morphkit and opened by eos."""
    path = tmp_path_factory.mktemp("eos") / "head.bin"
    save_model(path, model)
    return eos.morphablemodel.load_model(str(path))


def test_eos_opens_the_default_head(opened, model):
    shape = opened.get_shape_model()
    assert shape.get_data_dimension() == 3 * model.n_vertices
    assert shape.get_num_principal_components() == 80
    np.testing.assert_array_equal(shape.get_triangle_list(), model.faces)
    np.testing.assert_array_equal(shape.get_orthonormal_pca_basis(), model.identity.basis)
    np.testing.assert_allclose(shape.get_eigenvalues(), model.identity.standard_deviations**2, rtol=1e-6)
    assert opened.has_color_model()
    assert opened.has_separate_expression_model()
    assert opened.get_expression_model_type() == opened.ExpressionModelType.PcaModel
    assert len(opened.get_landmark_definitions()) == 68


def test_eos_draws_the_same_faces(opened, model, rng):
    identity, expression, albedo = (rng.standard_normal(n) for n in (80, 47, 50))
    drawn = opened.draw_sample(list(identity), list(expression), list(albedo))
    np.testing.assert_allclose(
        np.array(drawn.vertices)[:, :3], model.instance(identity, expression), atol=1e-4
    )
    np.testing.assert_array_equal(drawn.tvi, model.faces)
    color = opened.get_color_model().draw_sample(list(albedo)).reshape(-1, 3)
    np.testing.assert_allclose(color, model.albedo.instance(albedo), atol=1e-6)
    uv = np.array(drawn.texcoords)[np.array(drawn.tti)]
    np.testing.assert_allclose(uv * [1, -1] + [0, 1], model.uv, atol=1e-6)  # eos counts v from the top


def pixels(pose, vertices):
    """Return where eos's camera sees points, in pixels from the top left."""
    homogeneous = np.c_[vertices, np.ones(len(vertices))]
    clip = homogeneous @ np.array(pose.get_modelview()).T @ np.array(pose.get_projection()).T
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(ndc[:, 0] + 1) / 2, 1 - (ndc[:, 1] + 1) / 2], axis=1) * SIZE


def test_eos_fits_68_landmarks_with_it(opened, model, rng):
    face = model.instance(0.7 * rng.standard_normal(80), 0.5 * rng.standard_normal(47))
    camera = PerspectiveCamera.from_parameters(
        focal=torch.tensor([1400.0]),
        axis_angle=torch.tensor([[0.1, 0.35, 0.05]]),
        translation=torch.tensor([[0.0, -20.0, 1400.0]]),
        width=SIZE,
        height=SIZE,
    )
    embedding = model.landmarks["ibug68"]
    points = embedding.landmarks(face, model.faces).points
    seen = camera.project(torch.tensor(points[None], dtype=torch.float32))[0].numpy()
    names = [f"ibug_{int(name) + 1}" for name in embedding.names]
    landmarks = [eos.core.Landmark(n, p.astype(np.float32)) for n, p in zip(names, seen, strict=True)]
    mapper = eos.core.LandmarkMapper()  # the model names its landmarks itself
    vertices = [opened.get_landmark_definitions()[name] for name in names]
    eyes = np.linalg.norm(seen[36] - seen[45])
    # eos's own weights of the prior, 30, and nearly none: its camera is orthographic, ours was not
    for weight, share in ((30.0, 0.03), (1.0, 0.012)):
        mesh, pose, identity, expression = eos.fitting.fit_shape_and_pose(
            opened, landmarks, mapper, SIZE, SIZE, num_iterations=10,
            lambda_identity=weight, lambda_expressions=weight,
        )  # fmt: skip
        found = np.array(mesh.vertices)[:, :3]
        errors = np.linalg.norm(pixels(pose, found)[vertices] - seen, axis=1)
        assert errors.mean() < share * eyes
        assert errors.max() < 4 * share * eyes
        assert np.abs(identity).max() < 3
        # its coefficients mean the same here
        assert_formula(model, found, np.array(identity, float), np.array(expression, float))


def pca_model(linear, faces):
    variances = (linear.standard_deviations**2).astype(np.float32)
    return eos.morphablemodel.PcaModel(linear.mean.reshape(-1), linear.basis, variances, faces.tolist())


@pytest.mark.parametrize("expressions", ["none", "pca", "blendshapes"])
def test_files_written_by_eos(rng, tmp_path, expressions):
    mean, faces = head(6, 9)
    shape, color = group(rng, mean, 5, 2.0), group(rng, np.full_like(mean, 0.5), 3, 0.05)
    smile = group(rng, 0 * mean, 2, 1.0)
    named = {"nose": 4, "chin": 7}
    uv = rng.random((len(mean), 2))
    blend = [eos.morphablemodel.Blendshape(f"unit{i}", 9 * column) for i, column in enumerate(smile.basis.T)]
    extra = {"none": (), "pca": (pca_model(smile, faces),), "blendshapes": (blend,)}[expressions]
    made = eos.morphablemodel.MorphableModel(
        pca_model(shape, faces), *extra, color_model=pca_model(color, faces), vertex_definitions=named,
        texture_coordinates=uv.tolist(),
    )  # fmt: skip
    path = tmp_path / "theirs.bin"
    eos.morphablemodel.save_model(made, str(path))
    model = load_model(path)
    c = rng.standard_normal(5)
    np.testing.assert_array_equal(model.faces, faces)
    np.testing.assert_allclose(model.uv * [1, -1] + [0, 1], uv[faces], atol=1e-6)
    np.testing.assert_array_equal(
        model.landmarks["eos"].landmarks(mean, faces).select(("nose", "chin")).points, mean[[4, 7]]
    )
    moved, e = np.zeros_like(mean), None
    if expressions == "pca":
        e = rng.standard_normal(2)
        moved = made.get_expression_model().draw_sample(list(e)).reshape(-1, 3)
    elif expressions == "blendshapes":
        e = model.expression_units.combine({"unit1": 0.5})
        moved = 0.5 * blend[1].deformation.reshape(-1, 3)
    drawn = made.get_shape_model().draw_sample(list(c)).reshape(-1, 3)
    assert_formula(model, drawn.astype(float) + moved, c, e)
    a = rng.standard_normal(3)
    np.testing.assert_allclose(
        made.get_color_model().draw_sample(list(a)).reshape(-1, 3), model.albedo.instance(a), atol=1e-6
    )


def test_what_eos_read_and_wrote_again_is_the_same(opened, model, tmp_path):
    save_model(tmp_path / "ours.bin", model)
    eos.morphablemodel.save_model(opened, str(tmp_path / "theirs.bin"))
    ours, theirs = (load_model(tmp_path / f"{name}.bin") for name in ("ours", "theirs"))
    assert_same_model(theirs, ours)
