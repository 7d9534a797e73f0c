"""Splits: disjoint, equally large, the same for the same seed for ever."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memlib.splits import choose, halves, split_points

SEEDS = st.integers(0, 2**40)


@st.composite
def sizes(draw):
    """(n, shared, candidates) that fit."""
    candidates, shared = draw(st.integers(1, 40)), draw(st.integers(0, 40))
    return shared + 2 * candidates + draw(st.integers(0, 20)), shared, candidates


def is_set_of_points(points, n):
    assert points.dtype == torch.int64
    assert points.tolist() == sorted(set(points.tolist()))
    assert all(0 <= point < n for point in points.tolist())


@settings(max_examples=50, deadline=None)
@given(sizes(), SEEDS)
def test_shared_candidates_and_independent_are_disjoint_and_as_large_as_stated(sizes, seed):
    n, shared, candidates = sizes
    splits = split_points(n, shared, candidates, seed)
    sets = [splits.shared, splits.candidates, splits.independent]
    assert [len(points) for points in sets] == [shared, candidates, candidates]
    for points in sets:
        is_set_of_points(points, n)
    assert len(torch.cat(sets).unique()) == shared + 2 * candidates


@settings(max_examples=50, deadline=None)
@given(sizes(), SEEDS)
def test_f_and_g_see_equally_many_points_and_share_the_shared_ones(sizes, seed):
    splits = split_points(*sizes, seed)
    for points in (splits.f, splits.g):
        is_set_of_points(points, sizes[0])
    f, g = set(splits.f.tolist()), set(splits.g.tolist())
    assert len(f) == len(g)
    assert f & g == set(splits.shared.tolist())
    assert f - g == set(splits.candidates.tolist())
    assert g - f == set(splits.independent.tolist())


def test_the_papers_split_of_cifar10_fits_and_uses_every_point():
    splits = split_points(50_000, 40_000, 5_000)
    assert (len(splits.f), len(splits.g)) == (45_000, 45_000)
    assert len(torch.cat([splits.f, splits.independent]).unique()) == 50_000


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 60), pairs=st.integers(1, 5), seed=SEEDS)
def test_halves_come_in_complementary_pairs_with_every_point_in_half_of_them(n, pairs, seed):
    seen = torch.zeros(n)
    for pair in range(pairs):
        inside, outside = halves(n, 2 * pair, 2 * pairs, seed)
        is_set_of_points(inside, n)
        is_set_of_points(outside, n)
        assert len(inside) == len(outside) == n // 2
        assert len(torch.cat([inside, outside]).unique()) == n // 2 * 2
        mirrored = halves(n, 2 * pair + 1, 2 * pairs, seed)
        assert torch.equal(mirrored[0], outside)
        assert torch.equal(mirrored[1], inside)
        seen[inside] += 1
        seen[outside] += 1
    if n % 2 == 0:
        assert torch.equal(seen, torch.full((n,), float(pairs)))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 60), k=st.integers(0, 7), seed=SEEDS)
def test_more_halves_leave_the_first_ones_as_they_are(n, k, seed):
    assert torch.equal(halves(n, k, 8, seed)[0], halves(n, k, 20, seed)[0])


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), data=st.data(), seed=SEEDS)
def test_choose_gives_as_many_points_as_wanted(n, data, seed):
    count = data.draw(st.integers(1, n))
    points = choose(n, count, seed)
    is_set_of_points(points, n)
    assert len(points) == count


def test_seeds_pairs_and_uses_are_different_draws():
    draws = [
        choose(1000, 500, 0),
        choose(1000, 500, 1),
        split_points(1000, 500, 250, 0).shared,
        split_points(1000, 500, 250, 1).shared,
        halves(1000, 0, 4, 0)[0],
        halves(1000, 2, 4, 0)[0],
        halves(1000, 0, 4, 1)[0],
        halves(1000, 2, 4, 1)[0],
    ]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            common = len(set(one.tolist()) & set(other.tolist()))
            assert abs(common - 250) < 60  # 250 expected of independent draws, standard deviation 8


def test_points_are_equally_likely_in_every_set():
    counts = torch.zeros(3, 20)
    for seed in range(600):
        splits = split_points(20, 10, 5, seed)
        for row, points in enumerate((splits.shared, splits.candidates, splits.independent)):
            counts[row, points] += 1
    expected = 600 * torch.tensor([[0.5], [0.25], [0.25]])
    assert (counts - expected).abs().max() < 5 * (600 * 0.25) ** 0.5


def test_draws_never_change():
    splits = split_points(12, 4, 3, seed=7)
    assert [splits.shared.tolist(), splits.candidates.tolist(), splits.independent.tolist()] == [
        [4, 5, 6, 8],
        [0, 9, 11],
        [1, 2, 7],
    ]
    assert halves(9, 3, 4, seed=7)[0].tolist() == [0, 2, 5, 8]
    assert choose(50_000, 5, seed=7).tolist() == [5813, 10801, 21016, 36513, 44940]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: split_points(10, 5, 3), r"5 \+ 2 x 3 = 11 points, and there are 10: .*up to 4 .*up to 2"),
        (lambda: split_points(10, -1, 3), "shared=-1: allowed are whole numbers from 0"),
        (lambda: split_points(10, 5, 0), "candidates=0: allowed are whole numbers from 1"),
        (lambda: split_points(10, 5.0, 1), r"shared=5\.0: allowed are whole numbers"),
        (lambda: split_points(10, True, 1), "shared=True: allowed are whole numbers"),
        (lambda: split_points(10, 5, 1, seed=-1), "seed=-1: allowed are whole numbers from 0"),
        (lambda: split_points(10, 5, 1, seed=None), "seed=None: allowed are whole numbers"),
        (lambda: halves(10, 0, 3), "of=3 is odd, of=4 would do"),
        (lambda: halves(10, 4, 4), "half k=4 of 4: allowed are 0 to 3"),
        (lambda: halves(10, -1, 4), "k=-1"),
        (lambda: halves(10, 0, 0), "of=0"),
        (lambda: halves(1, 0, 2), "halves need 2 points or more, and there are 1"),
        (lambda: choose(10, 11), "count=11 points wanted, and there are 10"),
        (lambda: choose(10, 0), "count=0"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(call, says):
    with pytest.raises(ValueError, match=says):
        call()
