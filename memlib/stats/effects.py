"""One estimate a pair, with what its points alone would make it vary: random effects, exact signs, pairs needed."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import nctdtr, stdtrit

from memlib.stats.intervals import LEVEL, Array, Interval, _half_width, back, clean, over_pairs

POWER = 0.9
MOST = 1000  # pairs: beyond that nobody trains
EXACT = 12  # pairs up to which all patterns of signs are counted (4,096); beyond, as many are drawn


def random_effects(
    estimates: ArrayLike,
    variances: ArrayLike | None = None,
    points: int = 0,
    step: float = 0.0,
    scale: Literal["plain", "log ratio"] = "plain",
) -> Interval:
    """Interval of the mean over pairs that differ by more than their points do.

    The variance between pairs is Paule and Mandel's (1982), the standard error Hartung and Knapp's (2001), with t of
    pairs - 1 degrees of freedom. Pairs that agree by chance more than their points allow would make that interval
    narrower than one pair's points justify: it is never narrower than the normal interval of sampling alone.

    Args:
        estimates: [K], K >= 2, one number a pair.
        variances: [K], > 0, what sampling its points makes each estimate vary by; None: not known, plain t.
        points: how many data points they rest on in all.
        step, scale: see `over_pairs`; the grid counts where `variances` is None.

    Raises:
        ValueError: for fewer than two pairs, numbers that are not finite, or variances that are not positive.
    """
    if variances is None:
        return over_pairs(estimates, points, step=step, scale=scale)
    x, v = clean(estimates, "estimates of the pairs"), clean(variances, "sampling variances of the pairs")
    if x.size < 2 or v.shape != x.shape:
        raise ValueError(f"two pairs or more with a variance each are needed, got {x.size} and {v.size} variances")
    if v.min() <= 0:
        raise ValueError("sampling variances must be positive: give None where they are not known")
    df = x.size - 1
    weights = 1 / (v + _between(x, v))
    mean = float(weights @ x / weights.sum())
    spread = float(np.sqrt(weights @ (x - mean) ** 2 / df / weights.sum()))
    floor = float((1 / v).sum() ** -0.5)
    half = _half_width(spread, df, floor, LEVEL)
    found = Interval(mean, mean - half, mean + half, x.size, int(points), 1.0, spread=spread, floor=floor)
    found = replace(found, p=min(1.0, 2 * found.tail(abs(mean))))
    return found if scale == "plain" else back(found)


def _between(x: Array, v: Array) -> float:
    """Paule and Mandel's variance between pairs: that at which the weighted squares are what K - 1 allow.

    Newton's steps from zero: the squares fall and are convex in the variance, so that no step goes too far
    (DerSimonian and Kacker 2007).
    """
    tau2, df = 0.0, x.size - 1
    for _ in range(100):
        weights = 1 / (v + tau2)
        squares = (x - weights @ x / weights.sum()) ** 2
        surplus = float(weights @ squares) - df
        if surplus <= 1e-10 * df:
            break
        tau2 += surplus / float(weights**2 @ squares)
    return tau2


def flipped_signs(estimates: ArrayLike) -> float:
    """One-sided exact p that the mean is above zero: how many patterns of signs [K] give as much, its own included.

    It holds for any symmetric distribution, also on a coarse grid: K values that are all the same say no more than
    K coins that fall alike, 1 in 2^K.
    """
    x = clean(estimates, "estimates of the pairs")
    if x.size <= EXACT:
        signs = 1 - 2 * (np.arange(2**x.size)[:, None] >> np.arange(x.size) & 1)
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (2**EXACT - 1, x.size))
        signs = 1 - 2 * np.concatenate([np.zeros((1, x.size), dtype=drawn.dtype), drawn])
    sums = signs @ x
    return float((sums >= sums[0] - 1e-9 * np.abs(x).sum()).mean())


def pairs_needed(distance: float, deviation: float, level: float = LEVEL) -> int | None:
    """Pairs that tell a mean `distance` from what it is held against, with 90 % power; None: more than 1,000.

    Args:
        distance: of the true mean, > 0 on the side to be shown.
        deviation: standard deviation of one pair's estimate, points and pairs together.
        level: of the two-sided interval that has to exclude it.
    """
    if distance <= 0 or np.isnan(distance):
        return None
    if deviation == 0:
        return 2

    def tells(pairs: int) -> bool:
        critical = stdtrit(pairs - 1, (1 + level) / 2)
        missed = nctdtr(pairs - 1, min(distance / deviation * np.sqrt(pairs), 1e3), critical)
        return not missed > 1 - POWER  # SciPy gives NaN where it underflows

    found = 2 + bisect_left(range(2, MOST + 1), True, key=tells)  # power grows with the pairs
    return found if found <= MOST else None
