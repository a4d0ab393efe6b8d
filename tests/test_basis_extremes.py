"""Numbers that do not belong with the others, however few or many there are."""

import numpy as np
import pytest

from morphkit.basis.extremes import deviations, find_extremes


def lengths(rng, n, freedom):
    return np.sqrt(rng.chisquare(freedom, n))


@pytest.mark.parametrize("freedom", [2, 5, 50])
@pytest.mark.parametrize(("n", "sets"), [(6, 1000), (12, 1000), (100, 100), (5000, 3)])
def test_a_clean_family_has_hardly_any_false_ones(rng, n, sets, freedom):
    false = sum(find_extremes(lengths(rng, n, freedom), 0.05 / n).sum() for _ in range(sets))
    assert false < 0.1 * sets


def test_the_longest_tail_for_its_spread_is_no_alarm(rng):
    values = np.sqrt(40.0 + rng.standard_normal(10_000) ** 2)  # one direction in much noise
    assert not find_extremes(values, 1e-6).any()


def test_normal_numbers_are_odd_on_both_sides(rng):
    values = rng.standard_normal(200)
    values[[3, 8]] = -9.0, 9.0
    np.testing.assert_array_equal(np.flatnonzero(find_extremes(values, 1e-4, signed=True)), [3, 8])
    np.testing.assert_array_equal(
        find_extremes(values, 1e-4, signed=True), find_extremes(5 - 3 * values, 1e-4, signed=True)
    )


def test_odd_ones_that_are_alike_do_not_hide_each_other(rng):
    values = lengths(rng, 24, 6)
    values[[2, 5, 11]] = 14.0
    np.testing.assert_array_equal(np.flatnonzero(find_extremes(values, 1e-3)), [2, 5, 11])


def test_lengths_have_no_unit(rng):
    values = np.append(lengths(rng, 9, 6), 9.0)
    found, again = (find_extremes(factor * values, 1e-3) for factor in (1.0, 1e4))
    np.testing.assert_array_equal(found, again)
    assert found.sum() == 1
    first, second = (deviations(f * values[-1:], f * values[:-1], 1e-3).shares for f in (1.0, 1e4))
    np.testing.assert_allclose(first, second)


def test_the_chance_is_shared_out_to_the_tries(rng):
    usual, level = lengths(rng, 99, 6), 1e-3

    def family(share):
        """Return the usual ones and one that is just beyond the limit of a share of the level."""
        far = next(
            x for x in np.arange(2, 30, 1e-3) if deviations(np.array([x]), usual, share * level).shares[0] > 1
        )
        return np.append(usual, far)

    assert not find_extremes(family(1.0), level).any()
    assert not find_extremes(family(0.3), level).any()
    np.testing.assert_array_equal(np.flatnonzero(find_extremes(family(0.24), level)), [99])


def test_what_is_slight_belongs(rng):
    values = np.append(1 + 1e-3 * rng.standard_normal(30), 1.5)
    assert find_extremes(values, 1e-3).sum() == 1
    assert not find_extremes(values, 1e-3, least=0.6).any()
    assert not find_extremes(np.append(np.ones(30), 1.001), 1e-3).any()


def test_more_of_the_usual_find_less_gross_ones(rng):
    def limit(n):
        usual = np.sqrt(rng.permutation(np.sort(rng.chisquare(6, (200, n)), axis=1).mean(axis=0)))
        return next(
            x for x in np.arange(2, 30, 0.1) if deviations(np.array([x]), usual, 0.01 / n).shares[0] > 1
        )

    assert limit(6) > limit(8) > limit(12)
