"""Rankings agree where the same points are high, by views of their own."""

import fabricate
import numpy as np
import pytest

from memlib.book import rankings
from memlib.book.study import Joined
from memlib.pairs import S_C, S_E, S_I, Pair


def test_overlap_is_the_share_of_the_highest_that_are_the_same_points():
    a, b = np.arange(10.0), np.roll(np.arange(10.0), 1)
    assert rankings.overlap(a, a, k=3) == 1
    assert rankings.overlap(a, -a, k=3) == 0
    assert rankings.overlap(a, b, k=3) == pytest.approx(2 / 3)
    assert rankings.overlap(a, a[::-1]) == 0  # without k a fiftieth, one point at least
    assert rankings.overlap(a, -a, k=99) == 1  # of all points


def test_pairs_that_memorize_the_same_points_agree_and_pairs_that_do_not_let_none_choose():
    told, p = rankings.repeats(fabricate.study(fabricate.DEEPER, pairs=4), "output")
    assert told > 0.1  # what a layer memorizes drifts from pair to pair, too
    assert p < 1e-4
    assert rankings.disagree(fabricate.study(fabricate.DEEPER, pairs=4)) is None
    by_chance = [rankings.repeats(fabricate.study(None, pairs=2, seed=seed), "output")[1] for seed in range(20)]
    assert 0.2 < np.mean(by_chance) < 0.8
    assert rankings.disagree(fabricate.study(fabricate.DEEPER, pairs=1)).reason == rankings.OWN_POINTS


def test_noise_between_views_is_no_agreement():
    rng, sets = np.random.default_rng(0), np.full(400, S_C)
    noise = {row: np.exp(0.1 * rng.standard_normal((2, 400))) for row in "12"}
    pair = Pair(noise, {row: np.ones((2, 400)) for row in "12"}, sets)
    found = rankings.agreement(pair, "12", rankings.tau)
    assert (found == found.T).all()
    assert abs(found).max() < 0.1  # on the diagonal, too


def test_neighbours_agree_more_than_layers_far_apart():
    rng, sets, score = np.random.default_rng(0), np.full(300, S_C), np.zeros(300)
    align = {}
    for row in "123456":
        score = 0.7 * score + 0.7 * rng.standard_normal(300)
        align[row] = np.exp(-0.1 * np.stack([score, score]))
    pair = Pair(align, {row: np.ones((2, 300)) for row in align}, sets)
    piece = type("Piece", (), {"pair": pair})
    near = rankings.neighbours(list(align), rankings.tau, less_far=False)(piece)
    assert 0.3 < near < 1
    assert 0.2 < rankings.neighbours(list(align), rankings.tau)(piece) < near


def test_points_that_two_pairs_memorize_alike_are_found_where_they_are():
    rng, sets = np.random.default_rng(0), np.repeat([S_C, S_I, S_E], 160)
    mark, memory = np.select([sets == S_C, sets == S_I], [1.0, -1.0]), np.exp(rng.standard_normal(480))

    def pair(own):
        odd = memory if own is None else np.exp(own)
        log = 0.1 * mark * odd + 0.01 * rng.standard_normal((2, 480))
        return Pair({"8": np.exp(-log)}, {"8": np.exp(log)}, sets)

    here = {"a": pair(None), "b": pair(None), "c": pair(rng.standard_normal(480))}
    joined = Joined({name: type("Piece", (), {"pair": one}) for name, one in here.items()}, {})
    assert rankings.same_points("8", "a", "b")(joined) > 0.6
    assert rankings.same_points("8", "a", "a")(joined) > 0.6
    assert abs(rankings.same_points("8", "a", "c")(joined)) < 0.15
    assert abs(rankings.same_points("8", "a", "b", told=False)(joined)) < 0.15
