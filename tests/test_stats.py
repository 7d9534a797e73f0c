"""The intervals cover what they say when encoders differ, and the tests agree with values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scistats

from memlib import stats

RNG = np.random.default_rng


def two_levels(rng, pairs=4, points=100, effect=0.02, pair_sd=0.03, point_sd=0.1):
    """Points around a mean that differs from pair to pair, as two encoders' offset does."""
    offsets = effect + pair_sd * rng.standard_normal(pairs)
    return [o + point_sd * rng.standard_normal(points) for o in offsets]


def coverage(interval, truth=0.02, draws=400):
    hits = [i.low <= truth <= i.high for i in (interval(two_levels(RNG(d))) for d in range(draws))]
    return np.mean(hits)


def test_interval_over_four_pairs_covers_and_a_bootstrap_over_points_would_not():
    def points_only(values):
        return stats.two_level([np.concatenate(values)])

    assert coverage(stats.two_level) >= 0.92
    assert coverage(points_only, draws=100) < 0.6


def test_bootstrap_over_pairs_then_points_covers_less_at_four_pairs_than_t_does():
    """Why few pairs get t: the percentile bootstrap of two levels is too narrow there."""

    def bootstrap(values, rng=RNG(0), draws=200):  # noqa: B008
        x = np.stack(values)
        means = []
        for _ in range(draws):
            picked = x[rng.integers(4, size=4)]
            means.append(np.mean([p[rng.integers(p.size, size=p.size)].mean() for p in picked]))
        low, high = np.quantile(means, [0.025, 0.975])
        return stats.Interval(0, low, high, 4, x.size, 1)

    assert coverage(bootstrap, draws=150) < 0.9


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_interval_covers_at_any_number_of_pairs(pairs):
    hits = [i.low <= 0.02 <= i.high for i in (stats.two_level(two_levels(RNG(d), pairs=pairs)) for d in range(400))]
    assert np.mean(hits) >= 0.92


def test_two_level_is_the_t_interval_of_the_pair_means():
    found = stats.two_level([[1.0, 3.0], [2.0, 2.0], [6.0]])
    classic = scistats.ttest_1samp([2.0, 2.0, 6.0], 0)
    assert found.mean == pytest.approx(10 / 3)
    assert (found.low, found.high) == pytest.approx(tuple(classic.confidence_interval()))
    assert found.p == pytest.approx(classic.pvalue)
    assert (found.pairs, found.points) == (3, 5)


def test_one_pair_gets_a_bootstrap_over_points_that_repeats():
    x = RNG(0).normal(0.1, 1, 500)
    first = stats.two_level([x])
    assert first == stats.two_level([x])
    assert first.pairs == 1
    assert first.high - first.low == pytest.approx(2 * 1.96 * x.std() / np.sqrt(500), rel=0.1)


def test_interval_at_another_level_is_the_interval_computed_there():
    values = two_levels(RNG(1))
    wide = stats.two_level(values).at(0.99)
    direct = scistats.ttest_1samp([v.mean() for v in values], 0).confidence_interval(0.99)
    assert (wide.low, wide.high, wide.level) == pytest.approx((direct.low, direct.high, 0.99))
    others = two_levels(RNG(2))
    pairs = [(np.tanh(a / 2), np.tanh(b / 2)) for a, b in zip(values, others, strict=True)]
    halves = [(a.mean() - b.mean()) / 4 for a, b in zip(values, others, strict=True)]
    mirror, other = stats.mirrored_pairs(pairs).at(0.9), scistats.ttest_1samp(halves, 0).confidence_interval(0.9)
    assert (mirror.low, mirror.high) == pytest.approx(tuple(np.tanh([other.low, other.high])))


def test_interval_reads_as_mean_and_bounds():
    assert str(stats.Interval(0.012, 0.008, 0.016, 4, 100, 0.01)) == ".012 [.008,\u00a0.016]"
    assert str(stats.Interval(0.0012, 0.0008, 0.0016, 4, 100, 0.01)) == ".0012 [.0008,\u00a0.0016]"
    assert str(stats.Interval(-0.0001, -0.1, 0.1, 4, 100, 0.9)) == ".000 [−.100,\u00a0.100]"
    assert f"{stats.Interval(-0.1234, -0.2, 0.034, 4, 100, 0.1):%}" == "−12.3 [−20.0,\u00a03.4]"
    assert f"{stats.Interval(-0.1234, -0.2, 0.034, 4, 100, 0.1):+.2f}" == "−.12 [−.20,\u00a0+.03]"
    assert str(stats.unbounded(1.5, 100)) == "1.500"


def test_number_reads_as_on_every_page():
    shown = {-0.0004: "−4.0e−04", -0.01: "−.010", 2e-10: "2.0e−10", 0.0: ".000", 12.0: "12.000", 1234: "1,234"}
    assert {value: stats.number(value) for value in shown} == shown
    assert [stats.number(0.4567, form) for form in ("%", ".0%", "+.1f", ".1e")] == ["45.7", "46", "+.5", "4.6e−01"]
    assert [stats.number(x) for x in (np.nan, np.inf, -np.inf)] == ["–", "∞", "−∞"]
    assert stats.number(-0.0001, "+.2f") == ".00"


def test_difference_is_within_pairs():
    """An offset that a pair's two sets share is no difference, however large it is."""
    offsets = [0.0, 5.0, -5.0, 100.0]
    found = stats.difference([(o + np.array([1.0, 3.0]), o + np.array([0.0])) for o in offsets])
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2, 2))
    one = stats.difference([(RNG(0).normal(1, 1, 300), RNG(1).normal(0, 1, 300))])
    assert one.pairs == 1
    assert one.low < 1 < one.high


def test_mirror_cancels_an_offset_exactly_on_the_log_ratio_scale():
    rng, effect = RNG(0), 0.05
    pairs = []
    for offset in (-0.8, 0.0, 0.3, 0.9):
        noise = 0.1 * rng.standard_normal(200)
        # f saw S_C, g saw S_I: the effect has opposite signs, the offset has not
        pairs.append((np.tanh(offset + noise + effect), np.tanh(offset + noise - effect)))
    found = stats.mirrored_pairs(pairs)
    assert found.mean == pytest.approx(np.tanh(effect))
    assert found.high - found.low < 1e-9


@given(st.floats(-1, 1), st.floats(-1, 1))
@settings(deadline=None, max_examples=50)
def test_exchanging_f_and_g_turns_the_mirror(c, i):
    one = stats.mirrored_pairs([([c], [i]), ([c], [i])])
    other = stats.mirrored_pairs([([-i], [-c]), ([-i], [-c])])
    back = stats.mirrored_pairs([([i], [c]), ([i], [c])])
    assert one.mean == pytest.approx(other.mean)
    assert one.mean == pytest.approx(-back.mean)
    assert -1 < one.mean < 1


def test_perfect_alignment_of_one_encoder_is_cut_not_infinite():
    assert np.isfinite(stats.log_ratio([1.0, -1.0, 0.0])).all()
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        stats.log_ratio([1.5])


@pytest.mark.parametrize("bad", [[], [np.nan], [1.0, np.inf], [[1.0], [2.0]]])
def test_what_is_empty_or_not_finite_is_refused(bad):
    for call in (
        lambda: stats.two_level([bad]),
        lambda: stats.difference([([1.0], bad)]),
        lambda: stats.mirrored_pairs([(bad, [0.1])]),
        lambda: stats.holm(bad),
        lambda: stats.kendall(bad, bad),
        lambda: stats.overlap(bad, bad, 1),
        lambda: stats.over_pairs(bad, 1),
    ):
        with pytest.raises(ValueError, match=r"finite|one-dimensional"):
            call()
    with pytest.raises(ValueError, match="no pairs"):
        stats.two_level([])


def test_difference_of_two_independent_means_is_welch():
    a, b = RNG(0).normal(1, 1, 6), RNG(1).normal(0, 3, 4)
    by_hand = scistats.ttest_ind(a, b, equal_var=False)
    assert stats.welch(a, b) == pytest.approx((by_hand.statistic, by_hand.pvalue))


def test_corrections_equal_values_worked_out_by_hand():
    ps = [0.01, 0.04, 0.03, 0.005]
    assert stats.holm(ps) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with pytest.raises(ValueError, match="between 0 and 1"):
        stats.holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None, max_examples=50)
def test_corrected_p_values_keep_their_order_and_never_shrink(ps):
    corrected = stats.holm(ps)
    assert (corrected >= np.array(ps) - 1e-12).all()
    assert corrected.max() <= 1
    order = np.argsort(ps, kind="stable")
    assert (np.diff(corrected[order]) >= -1e-12).all()


def test_overlap_of_unrelated_rankings_is_chance_and_of_one_ranking_is_all():
    assert stats.overlap(np.arange(50), np.arange(50), 10) == pytest.approx((1, 0.2, 0), abs=1e-9)
    found = [stats.overlap(RNG(d).random(200), RNG(d + 999).random(200), 20) for d in range(300)]
    shares, chance, ps = (np.array(x) for x in zip(*found, strict=True))
    assert shares.mean() == pytest.approx(chance[0], abs=0.02)
    assert (ps < 0.05).mean() < 0.08
    with pytest.raises(ValueError, match="k must be"):
        stats.overlap([1.0, 2.0], [1.0, 2.0], 3)


def test_kendall_counts_pairs_and_refuses_a_constant():
    assert stats.kendall([1, 2, 3, 4], [1, 2, 4, 3])[0] == pytest.approx(4 / 6)
    with pytest.raises(ValueError, match="constant"):
        stats.kendall([1, 1, 1], [1, 2, 3])
