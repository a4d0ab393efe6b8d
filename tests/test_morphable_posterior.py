"""Posterior models, poses and densities, as laws."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import chi2, multivariate_normal
from test_morphable import make_group, make_model

from morphkit.density import log_likelihood, log_probability, mahalanobis
from morphkit.geometry.similarity import Similarity
from morphkit.linear import LinearModel
from morphkit.mesh import Landmarks
from morphkit.posing import pose_and_project
from morphkit.posterior import log_evidence, posterior, posterior_at

SEEN = np.array([3, 17, 8])


def dense(group):
    """Return mean and covariance of probabilistic PCA, noise left out and in."""
    loadings = group.basis.astype(float) * group.signal_deviations
    signal = loadings @ loadings.T
    return group.mean.ravel().astype(float), signal, signal + group.noise_variance * np.eye(len(signal))


def spread(group):
    scaled = group.basis.astype(float) * group.standard_deviations
    return scaled @ scaled.T


def random_covariances(rng, m, size=2.0):
    roots = size * rng.standard_normal((m, 3, 3))
    return roots @ roots.transpose(0, 2, 1) + 0.01 * np.eye(3)


@pytest.fixture
def group(rng):
    return make_group(rng, noise=0.04)


@pytest.fixture
def points(rng, group):
    return group.sample(rng)[SEEN] + rng.standard_normal((3, 3))


@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_it_is_the_gaussian_conditional(rng, noise, points):
    group = make_group(np.random.default_rng(1), noise=noise)
    covariances = random_covariances(rng, 3)
    found = posterior(group, SEEN, points, covariances=covariances)
    mean, signal, _ = dense(group)
    rows = (3 * SEEN[:, None] + np.arange(3)).ravel()
    noisy = noise * np.eye(9)
    for i in range(3):
        noisy[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] += covariances[i]
    gain = signal[:, rows] @ np.linalg.inv(signal[np.ix_(rows, rows)] + noisy)
    np.testing.assert_allclose(found.mean.ravel(), mean + gain @ (points.ravel() - mean[rows]), atol=1e-4)
    np.testing.assert_allclose(dense(found)[1], signal - gain @ signal[rows], atol=2e-4)
    assert found.noise_variance == noise
    assert found.is_orthonormal
    assert (np.diff(found.standard_deviations) <= 0).all()


def test_nothing_observed_or_nothing_known_is_the_prior(group, points):
    assert posterior(group, np.zeros(0, int), np.zeros((0, 3)), 1.0) is group
    assert posterior(group, SEEN, points, np.inf) is group
    vague = posterior(group, SEEN, points, 1e9)
    np.testing.assert_allclose(vague.mean, group.mean, atol=1e-5)
    np.testing.assert_allclose(vague.standard_deviations, group.standard_deviations, rtol=1e-9)
    np.testing.assert_allclose(
        vague.basis, group.basis * np.sign(np.sum(vague.basis * group.basis, 0)), atol=1e-5
    )


def test_one_after_the_other_is_both_together(rng, group, points):
    covariances = random_covariances(rng, 3)
    both = posterior(group, SEEN, points, covariances=covariances)
    first = posterior(group, SEEN[:1], points[:1], covariances=covariances[:1])
    second = posterior(first, SEEN[1:], points[1:], covariances=covariances[1:])
    np.testing.assert_allclose(second.mean, both.mean, atol=1e-4)
    np.testing.assert_allclose(second.standard_deviations, both.standard_deviations, rtol=1e-4)
    np.testing.assert_allclose(spread(second), spread(both), atol=2e-4)


def test_exact_points_are_passed_through_within_rank(rng):
    group = make_group(rng, noise=0.0)
    truth = group.sample(rng)
    narrowed = posterior(group, SEEN[:1], truth[SEEN[:1]], 0.0)
    np.testing.assert_allclose(narrowed.mean[SEEN[0]], truth[SEEN[0]], atol=1e-5)
    for _ in range(3):  # whatever it draws
        np.testing.assert_allclose(narrowed.sample(rng)[SEEN[0]], truth[SEEN[0]], atol=1e-4)
    whole = posterior(group, SEEN, truth[SEEN], 0.0)  # nine numbers settle six coefficients
    np.testing.assert_allclose(whole.mean, truth, atol=1e-4)
    assert whole.standard_deviations.max() < 1e-4 * group.standard_deviations.min()


def test_knowing_more_never_widens(rng, group, points):
    found = posterior(group, SEEN, points, 0.5)
    assert np.linalg.eigvalsh(spread(group) - spread(found)).min() > -1e-4
    assert (found.vertex_deviations() <= group.vertex_deviations() + 1e-5).all()
    closer = posterior(group, SEEN, points, 0.1)
    assert (closer.vertex_deviations() <= found.vertex_deviations() + 1e-5).all()


def test_it_commutes_with_marginal(rng, group, points):
    kept = np.r_[SEEN, 20:30]
    covariances = random_covariances(rng, 3)
    one = posterior(group, SEEN, points, covariances=covariances).marginal(kept)
    other = posterior(group.marginal(kept), np.arange(3), points, covariances=covariances)
    c = rng.standard_normal(6)
    np.testing.assert_allclose(one.instance(c), other.instance(c), atol=1e-4)


def test_a_known_half_of_the_surface_predicts_the_other(rng):
    group = make_group(rng, v=400, noise=0.0)
    truth = group.sample(rng)
    half = np.arange(200)
    found = posterior(group, half, truth[half] + 0.1 * rng.standard_normal((200, 3)), 0.1)
    rest = np.linalg.norm(found.mean - truth, axis=1)[200:]
    assert rest.mean() < 0.1 * np.linalg.norm(group.mean - truth, axis=1)[200:].mean()
    expected = found.vertex_deviations()[200:]
    assert 0.4 < np.sqrt(np.mean(rest**2)) / np.sqrt(np.mean(expected**2)) < 1.6


def test_points_between_vertices_and_landmarks(rng):
    model = make_model(rng)
    neutral, smiling = model.sample(rng).vertices, rng.standard_normal(4)
    person = model.project(neutral, 1e-6).identity
    seen = model.landmarks["ibug68"].landmarks(model.instance(person, smiling), model.faces)
    given = Landmarks(("1", "elsewhere", "0"), seen.points[[1, 0, 0]] + [[0], [900], [0]])
    found = model.posterior_from_landmarks(given, deviations=0.01, expression=smiling)
    placed = model.landmarks["ibug68"].landmarks(found.instance(expression=smiling), model.faces)
    np.testing.assert_allclose(placed.points, seen.points, atol=0.3)  # the model's noise is 0.1
    told = Landmarks(given.names, given.points, np.full(3, 0.01))
    np.testing.assert_array_equal(
        model.posterior_from_landmarks(told, expression=smiling).identity.mean, found.identity.mean
    )
    by_direction = told.with_covariances(np.tile(1e-4 * np.eye(3), (3, 1, 1)))
    np.testing.assert_allclose(
        model.posterior_from_landmarks(by_direction, expression=smiling).identity.mean, found.identity.mean
    )
    corner = np.array([[5, 6, 7]])
    at_vertex = posterior_at(
        model.identity, corner, np.array([[0.0, 1.0, 0.0]]), neutral[6:7], 0.04 * np.eye(3)[None]
    )
    same = posterior(model.identity, np.array([6]), neutral[6:7], 0.2)
    np.testing.assert_allclose(at_vertex.mean, same.mean, atol=1e-5)
    again = model.posterior(np.array([6]), model.instance(expression=smiling)[6:7], 0.2, expression=smiling)
    unmoved = np.abs(again.identity.mean - model.identity.mean).max()
    assert unmoved < 1e-4  # the mean face with that expression says that the person is the mean


def test_a_point_known_along_one_direction_moves_only_there(rng):
    group = make_group(rng, noise=0.0)
    pin = np.diag([1e-8, 1e12, 1e12])
    there = group.mean[4:5] + np.array([[1.0, 50.0, 50.0]])
    found = posterior(group, np.array([4]), there, covariances=pin[None])
    assert found.mean[4, 0] == pytest.approx(there[0, 0], abs=1e-4)
    covariance = found.covariance(4)
    assert covariance[0, 0] < 1e-6
    assert covariance[1, 1] > 0.1 * group.covariance(4)[1, 1]


@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_evidence_is_the_gaussian_density_of_the_points(rng, noise, points):
    group = make_group(np.random.default_rng(1), noise=noise)
    covariances = random_covariances(rng, 3)
    rows = (3 * SEEN[:, None] + np.arange(3)).ravel()
    mean, _, covariance = dense(group)
    total = covariance[np.ix_(rows, rows)]
    for i in range(3):
        total[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] += covariances[i]
    expected = multivariate_normal(mean[rows], total).logpdf(points.ravel())
    found = log_evidence(group, SEEN, points, covariances=covariances)
    assert found == pytest.approx(expected, rel=1e-6)
    assert log_evidence(group, SEEN, points, np.inf) == 0.0
    first = log_evidence(group, SEEN[:1], points[:1], 0.5)
    rest = log_evidence(posterior(group, SEEN[:1], points[:1], 0.5), SEEN[1:], points[1:], 0.5)
    assert first + rest == pytest.approx(log_evidence(group, SEEN, points, 0.5), abs=1e-2)


def test_a_moved_model_is_the_model_of_moved_shapes(rng):
    model = make_model(rng)
    way = Similarity(2.5, Rotation.random(rng=rng).as_matrix(), np.array([10.0, -3.0, 4.0]))
    moved = model.transformed(way)
    identity, expression = rng.standard_normal(6), rng.standard_normal(4)
    there = way.apply(model.instance(identity, expression))
    np.testing.assert_allclose(moved.instance(identity, expression), there, atol=1e-4)
    back = moved.transformed(way.inverse()).identity
    np.testing.assert_allclose(back.basis, model.identity.basis, atol=1e-6)
    assert back.noise_variance == pytest.approx(model.identity.noise_variance)
    assert mahalanobis(moved.identity, way.apply(model.instance(identity))) == pytest.approx(
        mahalanobis(model.identity, model.instance(identity)), rel=1e-4
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: posterior(g, np.array([40]), np.zeros((1, 3)), 1.0), "beyond"),
        (lambda g: posterior(g, SEEN, np.full((3, 3), np.nan), 1.0), "finite"),
        (lambda g: posterior(g, SEEN, np.zeros((3, 3)), -1.0), "non-negative"),
        (lambda g: posterior(g, SEEN, np.zeros((3, 3))), "either"),
        (
            lambda g: posterior(g, SEEN, np.zeros((3, 3)), covariances=np.triu(np.ones((3, 3, 3)))),
            "symmetric",
        ),
        (lambda g: posterior(g, SEEN, np.zeros((3, 3)), covariances=-np.stack([np.eye(3)] * 3)), "negative"),
    ],
)
def test_bad_observations_are_named(group, call, message):
    with pytest.raises(ValueError, match=message):
        call(group)


def test_missing_landmark_sets_and_uncertainties_are_named(rng):
    model = make_model(rng)
    with pytest.raises(ValueError, match="no landmarks 'feet'"):
        model.posterior_from_landmarks(Landmarks(("0",), np.zeros((1, 3))), "feet", deviations=1.0)
    with pytest.raises(ValueError, match="either deviations or covariances"):
        model.posterior_from_landmarks(Landmarks(("0",), np.zeros((1, 3))))


def test_covariances_and_deviations_of_vertices(rng, group):
    full = spread(group)
    np.testing.assert_allclose(group.covariance(3, 7), full[9:12, 21:24], atol=1e-9)
    np.testing.assert_allclose(
        group.vertex_deviations(), np.sqrt(np.diag(full).reshape(-1, 3).sum(axis=1)), rtol=1e-6
    )


def test_densities_are_the_gaussians(rng, group):
    mean, _, covariance = dense(group)
    values = group.sample(rng) + 0.2 * rng.standard_normal((40, 3))
    gaussian = multivariate_normal(mean, covariance)
    assert log_likelihood(group, values) == pytest.approx(gaussian.logpdf(values.ravel()), rel=1e-6)
    residual = values.ravel() - mean
    expected = np.sqrt(residual @ np.linalg.solve(covariance, residual))
    assert mahalanobis(group, values) == pytest.approx(expected, rel=1e-5)
    c = rng.standard_normal(6)
    assert log_probability(c) == pytest.approx(multivariate_normal(np.zeros(6)).logpdf(c))
    draws = rng.multivariate_normal(mean, covariance, 200).reshape(200, 40, 3)
    squares = [mahalanobis(group, shape) ** 2 for shape in draws]
    assert abs(np.mean(squares) - 120) < 5 * np.sqrt(chi2(120).var() / 200)
    with pytest.raises(ValueError, match="no noise"):
        mahalanobis(LinearModel(group.mean, group.basis, group.standard_deviations), values)


def test_projection_knows_the_models_own_noise(rng):
    group = make_group(rng, scale=0.3, noise=0.05)
    loadings = group.basis.astype(float) * group.signal_deviations
    latent = rng.standard_normal((800, 6))
    shapes = latent @ loadings.T + np.sqrt(0.05) * rng.standard_normal((800, 120))
    shapes = (shapes + group.mean.ravel()).reshape(-1, 40, 3)
    noiseless = (latent @ loadings.T + group.mean.ravel()).reshape(-1, 40, 3)
    errors = {
        noise: np.mean(
            [
                np.sum((group.instance(group.project(x, noise)) - y) ** 2)
                for x, y in zip(shapes, noiseless, strict=True)
            ]
        )
        for noise in (None, 0.0, 0.02, 0.05, 0.1)
    }
    assert min(errors, key=errors.get) is None
    c = group.project(shapes[0], None)
    shrunk = group.signal_deviations**2 / group.standard_deviations**2 * group.project(shapes[0])
    np.testing.assert_allclose(c, shrunk, atol=1e-6)


@pytest.mark.parametrize("scale", [False, True])
def test_coefficients_do_not_depend_on_the_pose(rng, scale):
    model = make_model(rng, v=60)
    rigid = model.identity.mean * 40  # a thing with extent, so that its pose is well determined
    group = LinearModel(rigid.astype(np.float32), model.identity.basis, model.identity.standard_deviations)
    c = rng.standard_normal(6)
    rotation, factor = Rotation.random(rng=rng).as_matrix(), 3.0 if scale else 1.0
    moved = factor * group.instance(c) @ rotation.T + [10.0, -200.0, 35.0]
    found = pose_and_project(group, moved, scale=scale, tolerance=1e-12, max_iterations=5000)
    np.testing.assert_allclose(found.coefficients, c, atol=2e-3)
    np.testing.assert_allclose(found.similarity.apply(moved), group.instance(c), atol=5e-3)
    assert found.similarity.scale == pytest.approx(1 / factor, rel=1e-4)


def test_unknown_vertices_do_not_matter_to_pose_and_coefficients(rng):
    group = make_group(rng, v=60)
    group = LinearModel(group.mean * 40, group.basis, group.standard_deviations)
    c = rng.standard_normal(6)
    known = rng.uniform(size=60) < 0.6
    shape = np.where(known[:, None], group.instance(c), np.nan)
    found = pose_and_project(group, shape, weights=known.astype(float), tolerance=1e-12, max_iterations=5000)
    np.testing.assert_allclose(found.coefficients, c, atol=5e-3)
    with pytest.raises(ValueError, match="weights"):
        pose_and_project(group, shape, weights=-np.ones(60))


def test_coefficients_of_identity_and_expression_in_any_pose(rng):
    model = make_model(rng, v=60)
    identity, expression = rng.standard_normal(6), rng.standard_normal(4)
    shape = model.instance(identity, expression) + np.array([5.0, 0.0, -3.0])
    found, similarity = model.coefficients(shape, noise_variance=1e-4)
    again = model.instance(found.identity, found.expression)
    assert np.abs(similarity.apply(shape) - again).max() < 0.1
