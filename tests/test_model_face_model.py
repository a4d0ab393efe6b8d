"""The torch model against the numpy one, landmarks against vertices, the layout of coefficients."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from morphkit.mesh import LandmarkEmbedding
from morphkit.model import CoefficientLayout, Coefficients, FaceModel
from morphkit.morphable import LinearModel, MorphableModel


@pytest.fixture
def morphable(rng: np.random.Generator) -> MorphableModel:
    def group(components: int) -> LinearModel:
        basis = np.linalg.qr(rng.normal(size=(60, components)))[0].astype(np.float32)
        deviations = np.sort(rng.uniform(1, 9, components))[::-1].copy()
        return LinearModel(rng.normal(size=(20, 3)).astype(np.float32), np.asfortranarray(basis), deviations)

    faces = np.array([rng.permutation(20)[:3] for _ in range(15)], np.int32)
    return MorphableModel(faces, group(6), group(4), group(5))


def test_vertices_and_albedo_equal_numpys(morphable, rng):
    model = FaceModel.from_morphable(morphable, torch.float64)
    identity, expression, albedo = (rng.normal(size=(3, k)) for k in (6, 4, 5))
    vertices = model.vertices(torch.from_numpy(identity), torch.from_numpy(expression))
    colors = model.albedo(torch.from_numpy(albedo))
    for i in range(3):
        np.testing.assert_allclose(
            vertices[i].numpy(), morphable.instance(identity[i], expression[i]), atol=1e-5
        )
        expected = morphable.albedo_instance(albedo[i])
        np.testing.assert_allclose(colors[i].numpy().clip(0, 1), expected, atol=1e-5)


def test_fewer_coefficients_are_the_leading_ones(morphable, rng):
    model = FaceModel.from_morphable(morphable)
    some = torch.from_numpy(rng.normal(size=(2, 3)).astype(np.float32))
    full = torch.nn.functional.pad(some, (0, 3))
    torch.testing.assert_close(model.vertices(some), model.vertices(full, torch.zeros(2, 4)))


def test_landmarks_are_points_of_the_mesh(morphable, rng):
    model = FaceModel.from_morphable(morphable, torch.float64)
    weights = rng.dirichlet(np.ones(3), 7)
    embedding = LandmarkEmbedding(tuple("abcdefg"), rng.integers(0, 15, 7).astype(np.int32), weights)
    identity, expression = (torch.from_numpy(rng.normal(size=(2, k))) for k in (6, 4))
    vertices = model.vertices(identity, expression).numpy()
    points = model.landmarks(embedding)(identity, expression).numpy()
    for i in range(2):
        np.testing.assert_allclose(
            points[i], embedding.landmarks(vertices[i], morphable.faces).points, atol=1e-12
        )


def test_gradients(morphable, rng):
    model = FaceModel.from_morphable(morphable, torch.float64)
    identity, expression, albedo = (
        torch.from_numpy(rng.normal(size=(2, k))).requires_grad_() for k in (6, 4, 5)
    )
    assert gradcheck(lambda i, e: model.vertices(i, e), (identity, expression))
    assert gradcheck(lambda a: model.albedo(a), albedo)


def test_a_model_without_expressions_and_albedo(morphable):
    bare = FaceModel.from_morphable(MorphableModel(morphable.faces, morphable.identity))
    assert bare.albedo is None
    assert bare.layout == CoefficientLayout(6, 0, 0)
    with pytest.raises(ValueError, match="no expression group"):
        bare.vertices(torch.zeros(1, 6), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="at most 6, got 7"):
        bare.vertices(torch.zeros(1, 7))


def test_an_instance_from_all_coefficients_in_one_vector(morphable, rng):
    model = FaceModel.from_morphable(morphable, torch.float64)
    vector = torch.from_numpy(rng.normal(size=(2, model.layout.length)))
    instance = model.instance(model.layout.split(vector))
    assert torch.equal(instance.vertices, model.vertices(vector[:, :6], vector[:, 6:10]))
    assert torch.equal(instance.albedo, model.albedo(vector[:, 10:15]))


def test_an_instance_of_a_model_without_expressions_and_albedo(morphable, rng):
    bare = FaceModel.from_morphable(MorphableModel(morphable.faces, morphable.identity), torch.float64)
    vector = torch.from_numpy(rng.normal(size=(2, bare.layout.length)))
    instance = bare.instance(bare.layout.split(vector))
    assert instance.albedo is None
    assert torch.equal(instance.vertices, bare.vertices(vector[:, :6]))
    with pytest.raises(ValueError, match="no albedo group"):
        bare.instance(CoefficientLayout(6, 0, 1).split(torch.zeros(1, 40, dtype=torch.float64)))


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_basis_is_kept_once_in_the_dtype_that_was_asked_for(morphable, order, dtype):
    group = morphable.identity
    group = LinearModel(group.mean, np.array(group.basis, order=order), group.standard_deviations)
    model = FaceModel.from_morphable(MorphableModel(morphable.faces, group, morphable.expression), dtype)
    points = model.vertices.points
    assert points.basis.shape == (10, 60)
    assert points.basis.dtype == points.mean.dtype == dtype
    expected = torch.from_numpy((group.basis * group.standard_deviations).T.copy()).to(dtype)
    torch.testing.assert_close(points.basis[:6], expected)
    assert points.basis.untyped_storage().nbytes() == 600 * dtype.itemsize


def test_a_component_is_contiguous_and_inputs_are_untouched(morphable):
    before = morphable.identity.basis.copy()
    model = FaceModel.from_morphable(morphable)
    assert model.vertices.identity.basis.shape == (6, 60)
    assert model.vertices.identity.basis.is_contiguous()
    np.testing.assert_array_equal(morphable.identity.basis, before)


def test_layout_is_the_papers_and_comes_back():
    layout = CoefficientLayout(80, 64, 80)
    assert layout.length == 257
    vector = torch.arange(2 * 257.0).reshape(2, 257)
    groups = layout.split(vector)
    assert isinstance(groups, Coefficients)
    assert groups.rotation[0].tolist() == [224, 225, 226]
    assert groups.light.shape == (2, 9, 3)
    assert groups.translation[1].tolist() == [257 + 254, 257 + 255, 257 + 256]
    assert torch.equal(layout.join(groups), vector)
    with pytest.raises(ValueError, match="257 columns, got 256"):
        layout.split(vector[:, 1:])
    with pytest.raises(ValueError, match="lengths"):
        CoefficientLayout(79, 65, 80).join(groups)
