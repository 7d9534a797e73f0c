"""Corrections for many tests, agreement of rankings, and the difference of two independent means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from memlib.stats.intervals import Array, clean


def holm(ps: ArrayLike) -> Array:
    """Holm's corrected p values [M], in the order given: the chance of any false finding stays at the level."""
    p = clean(ps, "p values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError("p values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return corrected


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
    """Two-sample t and p over points, as in the SSLMem paper: within one pair, so any offset counts as a result."""
    from scipy.stats import ttest_ind

    x, y = clean(a, "first set"), clean(b, "second set")
    if min(x.size, y.size) < 2 or (np.ptp(x) == 0 and np.ptp(y) == 0):
        raise ValueError("a t-test needs at least two points a set, not all equal")
    found = ttest_ind(x, y, equal_var=False)
    return float(found.statistic), float(found.pvalue)
