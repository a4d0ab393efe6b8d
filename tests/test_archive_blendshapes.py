"""Blendshapes as a group: units stay exact, the basis is orthonormal, and the prior is a face's."""

import numpy as np
import pytest

from morphkit.archive.layouts._blendshapes import _second_moment, _stem, unit_group

ARKIT = [
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeBlinkRight"),
    *("eyeLookInRight", "eyeLookOutRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthLeft"),
    *("mouthRight", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "tongueOut"),
]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("eyeBlinkLeft", "eyeBlinkRight", True),
        ("browDown_L", "browDown_R", True),
        ("Smile.L", "Smile.R", True),
        ("mouthLeft", "mouthRight", False),
        ("jaw_Left", "jaw_Right", False),
        ("eyeLookInLeft", "eyeLookOutRight", True),
        ("eyeLookIn_L", "eyeLookIn_R", False),
        ("eyeLookInLeft", "eyeLookOutLeft", False),
        ("anger", "fear", False),
    ],
)
def test_which_units_come_together(one, other, together):
    assert (_stem(one) == _stem(other)) == together


def test_the_second_moment_is_one(rng):
    moment = _second_moment(ARKIT)
    np.testing.assert_array_equal(moment, moment.T)
    assert np.linalg.eigvalsh(moment).min() > 0
    pair = moment[ARKIT.index("mouthSmileLeft"), ARKIT.index("mouthSmileRight")]
    assert moment[0, 10] < pair < moment[0, 0]  # apart, together, itself


def test_units_are_exact_and_the_basis_is_orthonormal(rng):
    offsets = rng.standard_normal((len(ARKIT), 600)) * np.geomspace(1e-2, 5, len(ARKIT))[:, None]
    offsets = offsets.astype(np.float32)
    offsets[3] = 0
    offsets[5] = 2 * offsets[6]  # not independent
    group, units = unit_group(ARKIT, offsets)
    assert group.n_components == len(ARKIT) - 2
    assert np.abs(group.gram - np.eye(group.n_components)).max() < 1e-5
    assert (np.diff(group.standard_deviations) < 0).all()
    for name, offset in zip(ARKIT, offsets, strict=True):
        found = group.offset(units.combine({name: 1.0}))
        np.testing.assert_allclose(found.reshape(-1), offset, atol=3e-5)
    lengths = np.linalg.norm(units.coefficients[np.abs(offsets).max(axis=1) > 0], axis=1)
    assert ((lengths > 1) & (lengths < 7)).all()


def test_the_group_varies_as_faces_do(rng):
    """The covariance of the group is the second moment of the units' sums."""
    offsets = rng.standard_normal((len(ARKIT), 60)).astype(np.float32)
    group, _ = unit_group(ARKIT, offsets)
    scaled = group.basis * group.standard_deviations
    np.testing.assert_allclose(scaled @ scaled.T, offsets.T @ _second_moment(ARKIT) @ offsets, atol=1e-4)


def test_no_units(rng):
    group, units = unit_group((), np.zeros((0, 30), np.float32))
    assert group.n_components == 0
    assert units.names == ()
