"""Intervals over pairs by random effects, and looks at a design that grows: closed forms, coverage and levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scistats

from memlib import stats

RNG = np.random.default_rng


# ---------------------------------------------------------------- intervals


def test_pairs_that_vary_as_much_with_equal_points_get_the_t_interval():
    x = np.linspace(-0.7, 1.3, 6)
    found, plain = stats.random_effects(x, np.full(6, 0.1), points=9), stats.over_pairs(x, 9)
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high))
    assert (found.p, found.df, found.points) == pytest.approx((plain.p, 5, 9))
    assert stats.random_effects(x) == stats.over_pairs(x, 0)


def test_pairs_that_agree_too_well_get_no_less_than_sampling_their_points_gives():
    found = stats.random_effects([1.0, 1.0001, 0.9999], [0.1, 0.2, 0.4])
    half = scistats.norm.ppf(0.975) / np.sqrt(1 / 0.1 + 1 / 0.2 + 1 / 0.4)
    assert (found.high - found.mean, found.mean - found.low) == pytest.approx((half, half))
    assert found.p == pytest.approx(2 * scistats.norm.sf(found.mean * 1.959964 / half), rel=1e-5)
    wide = found.at(0.99)
    assert wide.high - wide.mean == pytest.approx(half * scistats.norm.ppf(0.995) / 1.959964)


def test_weighted_squares_are_pairs_minus_1_at_paule_and_mandels_variance():
    from memlib.stats.effects import _between

    x, v = RNG(0).normal(0, 2, 7), RNG(1).uniform(0.2, 2, 7)
    weights = 1 / (v + _between(x, v))
    assert weights @ (x - weights @ x / weights.sum()) ** 2 == pytest.approx(6)
    found = stats.random_effects(x, v)
    assert found.error == pytest.approx(weights.sum() ** -0.5)  # Hartung and Knapp's error is then the plain one
    assert found.mean == pytest.approx(weights @ x / weights.sum())


@given(st.floats(0.1, 100), st.booleans(), st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_an_interval_follows_its_numbers_when_they_are_scaled_turned_or_reordered(scale, turned, seed):
    rng = RNG(seed)
    x, v, order = rng.normal(0.5, 1, 5), rng.uniform(0.1, 2, 5), rng.permutation(5)
    sign = -1 if turned else 1
    one = stats.random_effects(x, v)
    other = stats.random_effects(sign * scale * x[order], scale**2 * v[order])
    low, high = sorted((sign * scale * one.low, sign * scale * one.high))
    assert (other.low, other.high, other.p) == pytest.approx((low, high, one.p), rel=1e-6, abs=1e-9)


def test_random_effects_cover_what_they_say_with_few_pairs_of_unequal_points():
    for pairs in (4, 12):
        hits = []
        for seed in range(500):
            rng = RNG(seed)
            v = rng.uniform(0.2, 3, pairs)
            found = stats.random_effects(rng.normal(0, np.sqrt(v + 0.5)), v)
            hits.append(found.low <= 0 <= found.high)
        assert np.mean(hits) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 500)


@pytest.mark.parametrize("variances", [[0.0, 1.0], [1.0], [-1.0, 1.0]])
def test_variances_that_are_none_are_refused(variances):
    with pytest.raises(ValueError, match="variance"):
        stats.random_effects([1.0, 2.0], variances)


def test_equal_pairs_on_a_grid_say_no_more_than_coins():
    assert stats.flipped_signs(np.ones(4)) == 1 / 16
    assert stats.flipped_signs([3.0, 2.0, -1.0]) == 2 / 8
    assert stats.flipped_signs(-np.ones(4)) == 1
    assert stats.flipped_signs(np.ones(40)) < 0.001


def test_the_pairs_needed_give_the_power_and_one_fewer_do_not():
    assert stats.pairs_needed(1, 1) == 13  # Cohen's d of 1, 5 %, 90 %
    n = stats.pairs_needed(0.4, 1, level=0.99)
    for pairs, enough in ((n, True), (n - 1, False)):
        critical = scistats.t.ppf(0.995, pairs - 1)
        assert (scistats.nct.sf(critical, pairs - 1, 0.4 * np.sqrt(pairs)) >= 0.9) == enough
    assert stats.pairs_needed(0.01, 1) is None
    assert stats.pairs_needed(-1, 1) is None
    assert stats.pairs_needed(1, 0) == 2


@pytest.mark.parametrize("level", [0.95, 0.9955])
def test_the_farther_an_effect_is_the_fewer_pairs_are_needed(level):
    needed = [stats.pairs_needed(distance, 1, level) for distance in np.linspace(0.2, 12, 300)]
    assert needed == sorted(needed, reverse=True)
    assert needed[-1] < 5


# ---------------------------------------------------------------- looks

THIRDS = (1 / 3, 2 / 3, 1.0)


def test_bounds_of_three_looks_are_the_published_ones():
    bounds = [scistats.norm.isf(stats.nominal(0.025, THIRDS[:look])) for look in (1, 2, 3)]
    assert bounds == pytest.approx([2.3940, 2.2937, 2.1998], abs=5e-4)
    assert stats.spent(0.025, 1) == pytest.approx(0.025)


@pytest.mark.parametrize("looks", [THIRDS[:1], THIRDS[:2], THIRDS, (0.5,), (0.5, 1.0)])
def test_a_repeated_p_is_the_error_at_which_the_look_decides(looks):
    for alpha in (1e-4, 0.003, 0.025, 0.2):
        assert stats.repeated(stats.nominal(alpha, looks), looks) == pytest.approx(alpha, rel=0.01)
    assert stats.repeated(0.6, looks) == 1


def test_what_is_judged_once_is_held_against_the_level_itself():
    assert stats.nominal(0.025, ()) == stats.repeated(0.025, ()) == 0.025
    assert stats.nominal(0.025, (1.0,)) == pytest.approx(0.025)


@pytest.mark.parametrize("looks", [(0.5, 0.5), (1.0, 0.5), (0.0,), (0.5, 1.5)])
def test_looks_that_do_not_rise_to_all_pairs_are_refused(looks):
    with pytest.raises(ValueError, match="looks must rise"):
        stats.nominal(0.025, looks)


def test_looks_spend_the_level_once():
    z = RNG(0).standard_normal((100_000, 3)).cumsum(1) / np.sqrt([1, 2, 3])
    bounds = [scistats.norm.isf(stats.nominal(0.025, THIRDS[:look])) for look in (1, 2, 3)]
    assert (z > bounds).any(1).mean() == pytest.approx(0.025, abs=0.002)
