"""Permuted membership: exact tests on the points of pairs, as the pages make them."""

from itertools import combinations

import numpy as np
import pytest

from memlib import stats
from memlib.book.estimates import Estimate, rank
from memlib.pairs import S_C, S_I, Pair

RNG = np.random.default_rng


def pair(x, member):
    """A pair whose half log ratios are x [L, N]."""
    f, g = ({str(i): np.exp(sign * row) for i, row in enumerate(x)} for sign in (-1, 1))
    return Pair(f, g, np.where(member, S_C, S_I))


def p_of(pairs, *estimates, draws=500):
    """p of estimates over pairs, as the pages compute it."""
    drawn = [one.permuted(draws, seed) for seed, one in enumerate(pairs)]
    observed = [np.mean([of(one) for one in pairs]) for of in estimates]
    return stats.permuted_p(observed, [np.mean([of(one) for one in drawn], axis=0) for of in estimates])


def mirrored(layer):
    return lambda one: one.mirrored(str(layer))


def test_permutation_agrees_with_all_splits_of_few_points():
    x, member = RNG(0).normal(0, 1, (2, 8)), np.arange(8) < 4
    every = np.array([x[:, list(c)].mean(1) - np.delete(x, c, axis=1).mean(1) for c in combinations(range(8), 4)]) / 2
    one = pair(x, member)
    for layer in range(2):
        observed, drawn = one.mirrored(str(layer)), one.permuted(20_000).mirrored(str(layer))
        assert observed == pytest.approx((x[layer, member].mean() - x[layer, ~member].mean()) / 2)
        assert drawn.var() == pytest.approx(every[:, layer].var(), rel=0.05)
        assert every[:, layer].var() == pytest.approx(x[layer].var(ddof=1) / 8)
        tails = (every[:, layer] >= observed - 1e-12).mean(), (every[:, layer] <= observed + 1e-12).mean()
        assert stats.permuted_p(observed, drawn) == pytest.approx(2 * min(tails), abs=0.02)


def test_permutation_is_exact_where_nothing_is_planted():
    x, member = 0.1 * RNG(0).standard_t(3, (4000, 40)) + 0.5, RNG(1).permutation(40) < 20
    p = p_of([pair(x, member)], *map(mirrored, range(4000)), draws=999)
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_a_difference_is_its_own_layer_and_exchanging_f_and_g_turns_it():
    rng = RNG(2)
    made = [(rng.normal(0, 0.3, (2, 30)), rng.permutation(30) < 15) for _ in range(3)]
    pairs = [pair(x, m) for x, m in made]
    one = p_of(pairs, lambda p: p.mirrored("1") - p.mirrored("0"))
    other = p_of([pair((x[1] - x[0])[None], m) for x, m in made], mirrored(0))
    assert one == pytest.approx(other)
    turned = [pair(-x, ~m) for x, m in made]
    assert [one.mirrored("0") for one in turned] == pytest.approx([one.mirrored("0") for one in pairs])
    shifted = [pair(x + 0.9, m) for x, m in made]
    assert p_of(shifted, mirrored(0)) == pytest.approx(p_of(pairs, mirrored(0)))  # an offset cancels


def test_one_planted_layer_is_found_by_permutation():
    rng = RNG(3)
    pairs = []
    for _ in range(4):
        member = rng.permutation(100) < 50
        pairs.append(pair(rng.normal(0, 0.2, (3, 100)) + np.outer([0, 0, 0.1], np.where(member, 1, -1)), member))
    p = p_of(pairs, *map(mirrored, range(3)), draws=2000)
    assert p[2] == 2 / 2001
    assert p[:2].min() > 0.05


def test_tau_with_depth_is_kendalls_also_under_permutation():
    x, member = RNG(4).normal(0, 0.3, (5, 20)), np.arange(20) < 10
    one = pair(x, member)
    tau = rank([Estimate(mirrored(layer)) for layer in range(5)])
    levels = [one.mirrored(str(layer)) for layer in range(5)]
    assert tau(one) == pytest.approx(stats.kendall(np.arange(5), levels)[0])
    drawn = one.permuted(300)
    found = np.transpose([drawn.mirrored(str(layer)) for layer in range(5)])
    assert tau(drawn) == pytest.approx([stats.kendall(np.arange(5), row)[0] for row in found])
