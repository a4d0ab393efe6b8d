"""Landmarks as values: units, uncertainty, selection."""

import numpy as np
import pytest

from morphkit.mesh import Landmarks


@pytest.fixture
def marks(rng):
    root = rng.standard_normal((3, 3, 3))
    return Landmarks(("a", "b", "c"), rng.standard_normal((3, 3))).with_covariances(
        root @ root.transpose(0, 2, 1)
    )


def test_deviations_agree_with_covariances(marks):
    np.testing.assert_allclose(
        3 * marks.standard_deviations**2, np.einsum("nii->n", marks.covariances), rtol=1e-12
    )
    isotropic = marks.with_covariances(np.broadcast_to(4 * np.eye(3), (3, 3, 3)))
    np.testing.assert_array_equal(isotropic.standard_deviations, 2)


def test_other_units_and_back(marks):
    there = marks.scaled(1000.0)
    np.testing.assert_allclose(there.points, 1000 * marks.points)
    np.testing.assert_allclose(there.standard_deviations, 1000 * marks.standard_deviations)
    np.testing.assert_allclose(there.covariances, 1e6 * marks.covariances)
    np.testing.assert_allclose(there.scaled(1e-3).covariances, marks.covariances)
    bare = Landmarks(marks.names, marks.points).scaled(2.0)
    assert bare.standard_deviations is None
    assert bare.covariances is None


def test_less_certain_moves_nothing(marks):
    doubted = marks.less_certain(3.0)
    np.testing.assert_array_equal(doubted.points, marks.points)
    np.testing.assert_allclose(doubted.covariances, 9 * marks.covariances)
    np.testing.assert_allclose(doubted.standard_deviations, 3 * marks.standard_deviations)


def test_selection_takes_uncertainties_along(marks):
    chosen = marks.select(["c", "a"])
    np.testing.assert_array_equal(chosen.covariances, marks.covariances[[2, 0]])
    with pytest.raises(KeyError, match="d"):
        marks.select(["d"])


@pytest.mark.parametrize("shape", [(2, 3, 3), (3, 2, 2), (3, 9)])
def test_covariances_of_another_shape_are_refused(marks, shape):
    with pytest.raises((ValueError, TypeError)):
        Landmarks(marks.names, marks.points, None, np.zeros(shape))
