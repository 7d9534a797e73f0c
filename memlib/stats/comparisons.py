"""Tests on intervals, rankings and units: equivalence, corrections, agreement of rankings, the member rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr

from memlib.stats.intervals import CHUNK, LEVEL, Array, Interval, clean, over_pairs


def equivalence(found: Interval | ArrayLike, margin: ArrayLike) -> float:
    """p of two one-sided tests (TOST) that the mean lies within +-margin: small p shows "no difference".

    Args:
        found: an interval over at least two pairs, or one estimate a pair [K].
        margin: a number > 0; with estimates also one a pair [K] (a share of another effect of the same pair,
            whose own uncertainty then counts: the tests are on margin - x and margin + x).

    Raises:
        ValueError: for a single pair, or a margin that is not positive.
    """
    width = np.asarray(margin, dtype=np.float64)
    if width.ndim == 0 and not width > 0:
        raise ValueError(f"the margin must be a positive number stated before the test, got {margin!r}")
    if isinstance(found, Interval):
        if found.pairs < 2:
            raise ValueError("a single pair cannot show equivalence: its points do not carry the pairs' variance")
        if width.ndim:
            raise ValueError("a margin for each pair needs the estimates of the pairs, not their interval")
        curve = np.arctanh if found.scale == "log ratio" else np.asarray
        room = float(curve(width) - abs(curve(found.mean)))  # the nearer bound decides
        return _upper_tail(room, found.error, found.df)
    x = clean(found, "estimates of the pairs")
    if x.size < 2:
        raise ValueError("a single pair cannot show equivalence: its points do not carry the pairs' variance")
    below, above = np.broadcast_to(width, x.shape) - x, np.broadcast_to(width, x.shape) + x
    errors = [float(d.std(ddof=1) / np.sqrt(d.size)) for d in (below, above)]
    return max(_upper_tail(float(d.mean()), e, d.size - 1) for d, e in zip((below, above), errors, strict=True))


def _upper_tail(distance: float, error: float, df: float) -> float:
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stdtr(df, -distance / error))


def _ps(ps: ArrayLike) -> Array:
    array = clean(ps, "p values")
    if array.min() < 0 or array.max() > 1:
        raise ValueError("p values lie between 0 and 1")
    return array


def holm(ps: ArrayLike) -> Array:
    """Holm's corrected p values [M], in the order given: the chance of any false finding stays at the level."""
    p = _ps(ps)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


def benjamini_hochberg(ps: ArrayLike) -> Array:
    """Benjamini-Hochberg p values [M]: the expected share of false findings stays at the level."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(_ps(ps), method="bh"))


def overlap(a: ArrayLike, b: ArrayLike, k: int) -> tuple[float, float, float]:
    """Share of the k highest points of a that are among the k highest of b, chance k/N, and p against chance.

    Args:
        a, b: scores [N] of the same points; take them from independent views, or shared noise overlaps too.

    Raises:
        ValueError: if the scores differ in length or k is not in 1..N.
    """
    from scipy.stats import hypergeom

    x, y = clean(a, "first scores"), clean(b, "second scores")
    if x.size != y.size:
        raise ValueError(f"scores of the same points are needed, got {x.size} and {y.size}")
    if not 1 <= k <= x.size:
        raise ValueError(f"k must be between 1 and the number of points, {x.size}; got {k}")
    top = [set(np.argsort(-s, kind="stable")[:k].tolist()) for s in (x, y)]
    common = len(top[0] & top[1])
    return common / k, k / x.size, float(hypergeom.sf(common - 1, x.size, k, k))


def kendall(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Kendall's tau-b of two scores [N] of the same points, and its two-sided p.

    Raises:
        ValueError: if the scores differ in length or one of them is constant (tau is then undefined).
    """
    from scipy.stats import kendalltau

    x, y = clean(a, "first scores"), clean(b, "second scores")
    if x.size != y.size:
        raise ValueError(f"scores of the same points are needed, got {x.size} and {y.size}")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise ValueError("Kendall's tau needs scores that differ: one of them is constant")
    found = kendalltau(x, y)
    return float(found.statistic), float(found.pvalue)


def welch(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Two-sample t and p over points, as paper B reports: within one pair, so it takes any offset for a result."""
    from scipy.stats import ttest_ind

    x, y = clean(a, "first set"), clean(b, "second set")
    if min(x.size, y.size) < 2 or (np.ptp(x) == 0 and np.ptp(y) == 0):
        raise ValueError("a t-test needs at least two points a set, not all equal")
    found = ttest_ind(x, y, equal_var=False)
    return float(found.statistic), float(found.pvalue)


@dataclass(frozen=True)
class MemberRate:
    """Share of active units whose strongest point is a member: each encoder's, the null, the mean's interval."""

    rates: tuple[float, ...]
    null: float
    interval: Interval

    @property
    def excess(self) -> Interval:
        """Rate minus null, so that zero means chance."""
        i = self.interval
        return replace(i, mean=i.mean - self.null, low=i.low - self.null, high=i.high - self.null)


def complementary(member: Sequence[ArrayLike]) -> list[tuple[int, ...]]:
    """Encoders that count as one piece of evidence: two in a row where each saw just what the other did not.

    Which point of a set is strongest is mostly a property of the images, and such a point is a member for one of the
    two and none for the other: it cancels within them, and would count as spread between encoders otherwise.

    Args:
        member: for each encoder [N] bool, which points it was trained on.

    Returns:
        Indices of the encoders of each piece, one or two.
    """
    inside, e = [np.asarray(m, dtype=bool) for m in member], 0
    groups: list[tuple[int, ...]] = []
    while e < len(inside):
        paired = e + 1 < len(inside) and np.array_equal(inside[e], ~inside[e + 1])
        groups.append((e, e + 1) if paired else (e,))
        e += 1 + paired
    return groups


def member_rate_test(
    strongest: Sequence[ArrayLike],
    member: Sequence[ArrayLike],
    active: Sequence[ArrayLike] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> MemberRate:
    """Do units respond most to points that their encoder was trained on? Encoders are the unit (statistics, 11).

    Encoders of complementary halves count as one (`complementary`). Membership is permuted over the points, of such
    two together, which keeps that many units may share one strongest point. The p value is the larger of that
    permutation test's and of the t-test's.

    Args:
        strongest: for each encoder the index [U] of each unit's strongest point among all N points.
        member: for each encoder [N] bool, which of the points it was trained on.
        active: for each encoder [U] bool; None: all units are.

    Raises:
        ValueError: without encoders, an index out of range, no active unit, or members on one side only.
    """
    if not len(strongest) or len(strongest) != len(member) or (active is not None and len(active) != len(member)):
        raise ValueError("strongest, member (and active) need one entry for each of at least one encoder")
    rng = np.random.default_rng(seed)
    rates, weights, units = [], [], 0
    sides = [np.asarray(seen, dtype=bool) for seen in member]
    for e, (points, inside) in enumerate(zip(strongest, sides, strict=True)):
        index = np.asarray(points, dtype=np.int64)
        if active is not None:
            index = index[np.asarray(active[e], dtype=bool)]
        if not index.size:
            raise ValueError(f"encoder {e} has no active unit: leave the layer out")
        if index.min() < 0 or index.max() >= inside.size:
            raise ValueError(f"encoder {e}: strongest points must be indices below {inside.size}")
        if inside.all() or not inside.any():
            raise ValueError(f"encoder {e}: members and non-members are both needed to compare them")
        rates.append(float(inside[index].mean()))
        weights.append(np.bincount(index, minlength=inside.size) / index.size)  # units it is strongest for, [N]
        units += index.size
    groups = complementary(sides)
    found = [float(np.mean([rates[e] for e in group])) for group in groups]
    nulls = [float(np.mean([sides[e].mean() for e in group])) for group in groups]
    permuted = np.zeros(draws)  # mean rate over the groups, for each permutation
    for group in groups:
        for start in range(0, draws, CHUNK):
            labels = rng.permuted(np.tile(sides[group[0]], (min(CHUNK, draws - start), 1)), axis=1)
            for e, inside in zip(group, (labels, ~labels), strict=False):
                permuted[start : start + CHUNK] += inside @ weights[e] / len(group) / len(groups)
    mean, null = float(np.mean(found)), float(np.mean(nulls))
    extreme = (np.abs(permuted - null) >= abs(mean - null) - 1e-12).sum()
    p = float((extreme + 1) / (draws + 1))
    if len(groups) > 1:
        spread = over_pairs(found, units)
        t = over_pairs(np.subtract(found, null), units).p
        return MemberRate(tuple(rates), null, replace(spread, p=max(p, t)))
    low, high = mean - null + np.quantile(permuted, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return MemberRate(tuple(rates), null, Interval(mean, float(low), float(high), 1, units, p))
