"""The verbs of a morphable model, as laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphkit.mesh import LandmarkEmbedding
from morphkit.morphable import LinearModel, MorphableModel, NamedDirections


def make_group(rng, v=40, k=6, scale=3.0, noise=0.01):
    basis, _ = np.linalg.qr(rng.standard_normal((3 * v, k)))
    deviations = scale * np.sort(rng.uniform(0.5, 5.0, k))[::-1]
    mean = rng.uniform(0.2, 0.8, (v, 3)).astype(np.float32) * scale
    return LinearModel(mean, np.asfortranarray(basis, dtype=np.float32), deviations, noise)


def make_model(rng, v=40):
    faces = np.array([[i, i + 1, i + 2] for i in range(v - 2)], np.int32)
    expression = make_group(rng, v, 4)
    return MorphableModel(
        faces,
        make_group(rng, v),
        expression=LinearModel(
            np.zeros_like(expression.mean), expression.basis, expression.standard_deviations
        ),
        albedo=make_group(rng, v, 3, 0.02),
        expression_units=NamedDirections(("smile", "blink"), rng.standard_normal((2, 4))),
        uv=rng.uniform(0, 1, (v - 2, 3, 2)).astype(np.float32),
        landmarks={
            "ibug68": LandmarkEmbedding(
                ("0", "1"), np.array([0, v - 3], np.int32), np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
            )
        },
        masks={"face": np.arange(v) < v // 2},
        mirror=np.arange(v, dtype=np.int32)[::-1].copy(),
        provenance={"licence": "CC0"},
    )


@given(seed=st.integers(0, 2**32 - 1))
def test_project_inverts_instance(seed):
    rng = np.random.default_rng(seed)
    group = make_group(rng)
    c = rng.standard_normal(6)
    np.testing.assert_allclose(group.project(group.instance(c)), c, atol=2e-5)


def test_project_inverts_instance_for_identity_and_expression_together(rng):
    model = make_model(rng)
    identity, expression = rng.standard_normal(6), rng.standard_normal(4)
    found = model.project(model.instance(identity, expression))
    np.testing.assert_allclose(found.identity, identity, atol=2e-4)
    np.testing.assert_allclose(found.expression, expression, atol=2e-4)


def test_projection_residual_is_orthogonal_to_the_model(rng):
    group = make_group(rng)
    values = group.mean + rng.standard_normal(group.mean.shape)
    residual = values - group.instance(group.project(values))
    np.testing.assert_allclose(group.basis.T @ residual.ravel(), 0, atol=1e-5)


def test_noise_shrinks_each_coefficient_by_its_own_ratio(rng):
    group = make_group(rng)
    c = rng.standard_normal(6)
    ratio = group.standard_deviations**2 / (group.standard_deviations**2 + 4.0)
    np.testing.assert_allclose(group.project(group.instance(c), noise_variance=4.0), ratio * c, atol=1e-5)


def test_sample_covariance_is_the_models(rng):
    group = make_group(rng, v=5, k=3)
    samples = np.stack([group.sample(rng).ravel() for _ in range(20_000)])
    scaled = group.basis * group.standard_deviations
    expected = scaled @ scaled.T
    assert np.abs(np.cov(samples.T) - expected).max() < 0.05 * np.diag(expected).max()
    assert np.abs(samples.mean(0) - group.mean.ravel()).max() < 0.3


def test_truncate_keeps_total_variance_and_the_first_coefficients(rng):
    group = make_group(rng)
    small = group.truncate(2)
    total = [
        (g.standard_deviations**2).sum() + (120 - g.n_components) * g.noise_variance for g in (group, small)
    ]
    assert total[1] == pytest.approx(total[0], rel=1e-12)
    c = np.array([1.0, -2.0])
    np.testing.assert_array_equal(small.instance(c), group.instance(c))
    assert group.truncate(6).noise_variance == pytest.approx(group.noise_variance)


def test_marginal_of_an_instance_is_the_instance_of_the_marginal(rng):
    model = make_model(rng)
    keep = np.array([7, 3, 4, 5, 6, 12, 0, 1, 2])
    part = model.marginal(keep)
    identity, expression = rng.standard_normal(6), rng.standard_normal(4)
    np.testing.assert_allclose(
        part.instance(identity, expression), model.instance(identity, expression)[keep], atol=1e-5
    )
    np.testing.assert_array_equal(part.masks["face"], model.masks["face"][keep])
    old = {tuple(sorted(face)) for face in model.faces.tolist() if set(face) <= set(keep.tolist())}
    assert {tuple(sorted(face)) for face in keep[part.faces].tolist()} == old
    assert len(part.uv) == len(part.faces) == len(old)
    assert part.landmarks["ibug68"].names == ("0",)
    np.testing.assert_allclose(
        part.landmarks["ibug68"].landmarks(part.instance(identity), part.faces).points,
        model.landmarks["ibug68"].landmarks(model.instance(identity), model.faces).points[:1],
        atol=1e-5,
    )
    assert part.mirror is None
    both_sides = np.r_[0:5, 35:40]
    np.testing.assert_array_equal(both_sides[model.marginal(both_sides).mirror], 39 - both_sides)


def test_orthonormalized_marginal_is_the_same_distribution(rng):
    part = make_model(rng).marginal(np.arange(20))
    assert not part.identity.is_orthonormal
    group, rotation = part.identity.orthonormalized()
    assert group.is_orthonormal
    assert (np.diff(group.standard_deviations) <= 0).all()
    c = rng.standard_normal(6)
    np.testing.assert_allclose(group.instance(rotation @ c), part.identity.instance(c), atol=1e-4)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-9)


def test_orthonormalized_keeps_what_a_unit_does(rng):
    part = make_model(rng).marginal(np.arange(20))
    whole = part.orthonormalized()
    for name in part.expression_units.names:
        np.testing.assert_allclose(
            whole.instance(expression=whole.expression_units.combine({name: 1.0})),
            part.instance(expression=part.expression_units.combine({name: 1.0})),
            atol=1e-4,
        )


def test_fewer_coefficients_mean_zeros(rng):
    model = make_model(rng)
    c = rng.standard_normal(2)
    np.testing.assert_allclose(model.instance(c), model.instance(np.r_[c, np.zeros(4)]), atol=1e-5)


def test_units_combine_linearly(rng):
    units = make_model(rng).expression_units
    np.testing.assert_allclose(
        units.combine({"smile": 0.5, "blink": 2.0}), 0.5 * units.coefficients[0] + 2 * units.coefficients[1]
    )
    with pytest.raises(KeyError, match="frown"):
        units.combine({"frown": 1.0})


def test_albedo_stays_in_range_and_mesh_and_template_carry_everything(rng):
    model = make_model(rng)
    assert (
        0 <= model.albedo_instance(np.full(3, 1e4)).min() <= model.albedo_instance(np.full(3, 1e4)).max() <= 1
    )
    template = model.template()
    assert template.landmarks is model.landmarks
    assert template.masks is model.masks
    np.testing.assert_array_equal(template.mesh.vertices, model.instance())
    assert template.mesh.colors.dtype == np.float32
    assert template.mesh.uv is model.uv
    sample = model.sample(rng)
    assert sample.vertices.shape == (40, 3)
    assert np.isfinite(sample.vertices).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.instance(np.zeros(7)), "7 entries"),
        (lambda m: m.truncate(identity=9), "identity: n_components is 9"),
        (lambda m: m.marginal(np.array([0, 40])), "beyond"),
        (lambda m: m.marginal(np.array([1, 1])), "duplicates"),
        (lambda m: MorphableModel(m.faces, m.identity).instance(expression=np.zeros(1)), "no expression"),
        (lambda m: MorphableModel(m.faces, m.identity).albedo_instance(), "no albedo"),
        (lambda m: MorphableModel(m.faces + 10, m.identity), "faces index"),
        (
            lambda m: LinearModel(m.identity.mean, m.identity.basis[:-3], m.identity.standard_deviations),
            "basis has",
        ),
    ],
)
def test_broken_contracts_are_named(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(make_model(rng))
