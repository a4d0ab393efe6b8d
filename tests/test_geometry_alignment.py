from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from morphkit.geometry.procrustes import fit_similarity
from morphkit.geometry.similarity import Similarity


def _random(rng: np.random.Generator) -> Similarity:
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    return Similarity(float(rng.uniform(0.2, 5)), rotation, rng.normal(size=3) * 100)


def test_group_laws(rng: np.random.Generator) -> None:
    first, second, points = _random(rng), _random(rng), rng.normal(size=(20, 3))
    np.testing.assert_allclose(first.inverse().apply(first.apply(points)), points, atol=1e-12)
    np.testing.assert_allclose(
        second.compose(first).apply(points), second.apply(first.apply(points)), atol=1e-10
    )
    np.testing.assert_array_equal(Similarity.identity().apply(points), points)
    np.testing.assert_allclose(
        first.rotate(points), first.apply(points) / first.scale - first.translation / first.scale
    )


def test_fit_recovers_the_map(rng: np.random.Generator) -> None:
    truth, points = _random(rng), rng.normal(size=(30, 3)) * 50
    fitted = fit_similarity(points, truth.apply(points), rng.uniform(0.1, 1, 30))
    assert fitted.scale == pytest.approx(truth.scale, rel=1e-12)
    np.testing.assert_allclose(fitted.rotation, truth.rotation, atol=1e-12)
    np.testing.assert_allclose(fitted.translation, truth.translation, atol=1e-9)


def test_zero_weight_points_do_not_count(rng: np.random.Generator) -> None:
    truth, points = _random(rng), rng.normal(size=(30, 3))
    target = truth.apply(points)
    target[25:] += 1000
    fitted = fit_similarity(points, target, (np.arange(30) < 25).astype(float))
    np.testing.assert_allclose(fitted.apply(points)[:25], target[:25], atol=1e-9)


def test_never_a_reflection_and_rigid_keeps_the_scale(rng: np.random.Generator) -> None:
    points = rng.normal(size=(10, 3))
    fitted = fit_similarity(points, points * [-1, 1, 1], scale=False)
    assert np.linalg.det(fitted.rotation) == pytest.approx(1)
    assert fitted.scale == 1


def test_minimises_the_weighted_error(rng: np.random.Generator) -> None:
    source, target, weights = rng.normal(size=(12, 3)), rng.normal(size=(12, 3)), rng.uniform(0.1, 2, 12)
    fitted = fit_similarity(source, target, weights)

    def cost(similarity: Similarity) -> float:
        return float(weights @ ((similarity.apply(source) - target) ** 2).sum(axis=1))

    for _ in range(50):
        turn = Rotation.from_rotvec(rng.normal(scale=0.05, size=3)).as_matrix()
        moved = Similarity(
            fitted.scale * float(rng.uniform(0.95, 1.05)),
            turn @ fitted.rotation,
            fitted.translation + rng.normal(scale=0.05, size=3),
        )
        assert cost(fitted) <= cost(moved)


@pytest.mark.parametrize("weights", [np.zeros(4), np.array([1.0, 1, 1, -1])])
def test_bad_weights_are_named(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match="weights"):
        fit_similarity(np.ones((4, 3)), np.ones((4, 3)), weights)


def test_coincident_points_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        fit_similarity(np.ones((4, 3)), np.ones((4, 3)))
