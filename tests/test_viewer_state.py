"""The face on the screen: it is what the model says, however it was reached."""

import numpy as np
import pytest
from viewer_scenes import round_model

from morphkit.archive import load_default_model
from morphkit.viewer.state import GROUPS, FaceCoefficients, FaceState

FLOAT32 = 1e-4  # millimetres: the model multiplies in single precision


@pytest.fixture(scope="module")
def head():
    return load_default_model()


def drawn(model, rng):
    sizes = (getattr(model, name) for name in GROUPS)
    return FaceCoefficients(
        *(rng.standard_normal(0 if group is None else group.n_components) for group in sizes)
    )


def test_a_face_is_the_models_instance(head, rng):
    given = drawn(head, rng)
    state = FaceState(head, given)
    np.testing.assert_array_equal(state.vertices, head.instance(given.identity, given.expression))
    np.testing.assert_array_equal(state.colors, head.albedo_instance(given.albedo))
    for name in GROUPS:
        np.testing.assert_array_equal(state.group(name), getattr(given, name))


def test_a_thousand_small_moves_end_where_one_product_does(head, rng):
    state, target = FaceState(head, drawn(head, rng)), drawn(head, rng)
    for _ in range(1000):
        name = GROUPS[rng.integers(3)]
        state.move(name, int(rng.integers(state.count(name))), float(rng.uniform(-3, 3)))
    for name in GROUPS:
        for index, value in enumerate(getattr(target, name)):
            state.move(name, index, float(value))
    whole = FaceState(head, target)
    np.testing.assert_allclose(state.vertices, whole.vertices, rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(state.colors, whole.colors, rtol=0, atol=1e-5)
    # in double precision, so that nothing adds up
    exact = sum(
        (group.basis.astype(np.float64) @ (group.standard_deviations * values)).reshape(-1, 3) + group.mean
        for group, values in ((head.identity, target.identity), (head.expression, target.expression))
    )
    np.testing.assert_allclose(state.vertices, exact, rtol=0, atol=FLOAT32)


def test_moving_back_and_forth_changes_nothing(head):
    state = FaceState(head)
    before = state.vertices
    for _ in range(500):
        state.move("identity", 0, 2.7)
        state.move_unit(head.expression_units.names[0], 0.9)
        state.move("identity", 0, 0.0)
        state.move_unit(head.expression_units.names[0], 0.0)
    np.testing.assert_allclose(state.vertices, before, rtol=0, atol=1e-9)


def test_units_are_the_models_directions(head):
    state, wanted = FaceState(head), {"jawOpen": 0.7, "mouthSmileLeft": 0.4}
    for name, strength in wanted.items():
        state.move_unit(name, strength)
    coefficients = head.expression_units.combine(wanted)
    np.testing.assert_allclose(state.coefficients.expression, coefficients, atol=1e-12)
    np.testing.assert_allclose(state.vertices, head.instance(expression=coefficients), rtol=0, atol=FLOAT32)
    at_once = FaceState(head)
    at_once.assign_strengths(wanted)
    np.testing.assert_allclose(at_once.vertices, state.vertices, rtol=0, atol=FLOAT32)
    assert at_once.strengths == state.strengths


def test_a_units_slider_leaves_the_rest_of_an_expression_alone(head, rng):
    given = drawn(head, rng)
    state = FaceState(head, given)
    strengths = state.strengths
    name = max(strengths, key=strengths.get)
    state.move_unit(name, 0.0)
    row = head.expression_units.coefficients[head.expression_units.names.index(name)]
    wanted = given.expression - strengths[name] * row
    np.testing.assert_allclose(state.vertices, head.instance(given.identity, wanted), rtol=0, atol=FLOAT32)


def test_arrays_that_were_given_out_do_not_change(head):
    state = FaceState(head)
    before, copy = state.vertices, state.vertices.copy()
    state.move("identity", 0, 3.0)
    np.testing.assert_array_equal(before, copy)


def test_a_model_of_identity_alone(rng):
    model = round_model()
    state = FaceState(model)
    assert state.colors is None
    assert [state.count(name) for name in GROUPS] == [6, 0, 0]
    state.move("identity", 5, -1.5)
    np.testing.assert_allclose(
        state.vertices, model.instance(np.array([0.0, 0, 0, 0, 0, -1.5])), rtol=0, atol=FLOAT32
    )
    with pytest.raises(ValueError, match="names no expression units"):
        state.assign_strengths({})


def test_more_coefficients_than_components_are_refused():
    with pytest.raises(ValueError, match="7 entries; the model has 6"):
        FaceState(round_model(), FaceCoefficients(np.zeros(7), np.zeros(0), np.zeros(0)))
