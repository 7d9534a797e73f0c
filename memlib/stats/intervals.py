"""Intervals and tests whose unit is the pair of encoders: numbers in, numbers out.

Two encoders differ by more than the points they saw, so points of one pair are no independent evidence.
Everything here therefore works on one estimate a pair (a mean over that pair's points, which carries the
points' noise with it) and takes t with pairs - 1 degrees of freedom. A percentile bootstrap over two to five
pairs would cover far less than it says; `tests/test_stats.py` measures both. One pair alone has only its
points: it gets a bootstrap over them, and whoever reads `pairs == 1` knows that it is descriptive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # scipy.stats itself takes half a second to import

Array = NDArray[np.float64]

LEVEL = 0.95
CLIP = 0.999  # SSLMem' of .999 is a ratio of distances of 2000 : 1; beyond it 2 artanh measures rounding
RESAMPLES, CHUNK = 2000, 200  # of the bootstrap over points: in all, and at a time, so that memory stays flat


def number(value: float, form: str = "") -> str:
    """A number as every page prints it: the true minus sign, no minus before zero, no zero before the point, no unit.

    Args:
        form: as of Python's `format`; `%` is 100 times the value with one digit, `.0%` without. By default integers
            with separators of thousands, and three digits otherwise, or a power of ten where these would hide it.
    """
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞" if value > 0 else "−∞"
    if form.endswith("%"):
        value, form = 100 * value, f"{form[:-1]}{'' if '.' in form else '.1'}f"
    elif not form:
        form = "," if isinstance(value, Integral) else ".1e" if 0 < abs(value) < 0.0005 else ".3f"
    shown = format(value, form)
    if not shown.strip("+-0.,"):  # what rounds to zero has no sign
        shown = shown.lstrip("+-")
    return re.sub(r"^([+-]?)0\.", r"\1.", shown).replace("-", "−")


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, and what it rests on.

    `pairs` counts the units of evidence (pairs of encoders; encoders for unit scores), `points` the data points
    in all, `p` is two-sided against zero. `scale` "log ratio": computed on artanh(SSLMem') and transformed back.
    `spread` and `floor` belong to `random_effects`: the standard error between pairs, and that of sampling the points
    alone, the least there is.
    """

    mean: float
    low: float
    high: float
    pairs: int
    points: int
    p: float
    level: float = LEVEL
    scale: Literal["plain", "log ratio"] = "plain"
    spread: float | None = None
    floor: float = 0.0

    def __format__(self, form: str) -> str:
        """The mean and the interval, each as `number` prints it: `.3f`, `+.2f`, `%` (points: 100 times, one digit).

        Without a form three digits, four where the interval is narrow. The mean alone where there are no bounds.
        """
        form = form or (".4f" if self.high - self.low < 0.004 else ".3f")
        mean, low, high = (number(x, form) for x in (self.mean, self.low, self.high))
        return f"{mean} [{low},\u00a0{high}]" if np.isfinite([self.low, self.high]).all() else mean

    def __str__(self) -> str:
        return format(self)

    @property
    def df(self) -> float:
        """Degrees of freedom: pairs - 1; a single pair has its points alone and is taken as normal."""
        return self.pairs - 1 if self.pairs > 1 else np.inf

    @property
    def error(self) -> float:
        """Standard error on the scale that the interval was computed on."""
        if self.spread is not None:
            return self.spread
        low, high = np.arctanh([self.low, self.high]) if self.scale == "log ratio" else (self.low, self.high)
        return float((high - low) / 2 / stdtrit(self.df, (1 + self.level) / 2))

    def at(self, level: float) -> Interval:
        """The same interval at another level, as a correction for many tests wants it."""
        half = _half_width(self.error, self.df, self.floor, level)
        if self.scale == "log ratio":
            centre = np.arctanh(self.mean)
            low, high = float(np.tanh(centre - half)), float(np.tanh(centre + half))
        else:
            low, high = self.mean - half, self.mean + half
        return replace(self, low=low, high=high, level=level)

    def tail(self, distance: float) -> float:
        """One-sided p that the true mean lies on the mean's side of a number that is `distance` away from it."""
        return max(upper_tail(distance, self.error, self.df), upper_tail(distance, self.floor, np.inf))


def clean(values: ArrayLike, what: str = "values") -> Array:
    """One-dimensional float64 array [N], N >= 1, without NaN or infinity.

    Raises:
        ValueError: if it is empty, of another shape, or holds a number that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{what}: a non-empty one-dimensional array is needed, got shape {array.shape}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise ValueError(f"{what}: {bad} of {array.size} numbers are not finite; leave out what was not measured")
    return array


def upper_tail(distance: float, error: float, df: float) -> float:
    """One-sided p of t = distance / error; without error it is certain, one way or the other."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(ndtr(-distance / error) if np.isinf(df) else stdtr(df, -distance / error))


def _half_width(error: float, df: float, floor: float, level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    upper = (1 + level) / 2
    return max(error * float(stdtrit(df, upper)), floor * float(ndtri(upper)))


def over_pairs(
    estimates: ArrayLike,
    points: int,
    step: float = 0.0,
    scale: Literal["plain", "log ratio"] = "plain",
) -> Interval:
    """Interval of the mean of one estimate a pair: t with pairs - 1 degrees of freedom.

    Args:
        estimates: [K], K >= 2, one number a pair.
        points: how many data points they rest on in all.
        step: grid that an estimate can only move on (Kendall's tau of eight layers: 1/14). Its rounding
            variance step^2/12 is added, or four equal taus would be infinite evidence.
        scale: "log ratio": the estimates are half log ratios, and the interval is transformed back to SSLMem'.

    Raises:
        ValueError: for fewer than two pairs, or numbers that are not finite.
    """
    x = clean(estimates, "estimates of the pairs")
    if x.size < 2:
        raise ValueError("an interval over pairs needs at least two pairs; use two_level for a single one")
    error = float(np.sqrt((x.var(ddof=1) + step**2 / 12) / x.size))
    mean, df = float(x.mean()), x.size - 1
    half = _half_width(error, df, 0.0, LEVEL)
    p = min(1.0, 2 * upper_tail(abs(mean), error, df))
    found = Interval(mean, mean - half, mean + half, x.size, int(points), p)
    return found if scale == "plain" else back(found)


def back(found: Interval) -> Interval:
    """An interval of half log ratios on the scale of SSLMem'."""
    mean, low, high = np.tanh([found.mean, found.low, found.high]).tolist()
    return replace(found, mean=mean, low=low, high=high, scale="log ratio")


def unbounded(mean: float, points: int) -> Interval:
    """What one pair says about pairs: an estimate without bounds, t with no degree of freedom."""
    return Interval(mean, -np.inf, np.inf, 1, points, 1.0)


def _means(x: Array, rng: np.random.Generator) -> Array:
    """Means of resamples of x, [RESAMPLES]."""
    return np.concatenate([x[rng.integers(x.size, size=(CHUNK, x.size))].mean(1) for _ in range(RESAMPLES // CHUNK)])


def _over_points(mean: float, sample: Array, points: int) -> Interval:
    """Percentile interval of a bootstrap over the points of one pair: descriptive."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(sample, [tail, 1 - tail])
    p = 2 * (min((sample <= 0).sum(), (sample >= 0).sum()) + 1) / (sample.size + 1)
    return Interval(mean, float(low), float(high), 1, points, min(1.0, float(p)))


def two_level(values: Sequence[ArrayLike]) -> Interval:
    """Mean over pairs of encoders of the means over their points.

    Args:
        values: one array [N] a pair. A single pair gets a bootstrap over its points.

    Raises:
        ValueError: without pairs, or if a pair's array is empty or not finite.
    """
    arrays = [clean(v, f"pair {i}") for i, v in enumerate(values)]
    if not arrays:
        raise ValueError("no pairs of encoders were given")
    points = sum(a.size for a in arrays)
    if len(arrays) > 1:
        return over_pairs([a.mean() for a in arrays], points)
    return _over_points(float(arrays[0].mean()), _means(arrays[0], np.random.default_rng(0)), points)


def difference(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Interval:
    """Mean over pairs of mean(a) - mean(b), where a and b are two sets of points of the same pair.

    Raises:
        ValueError: without pairs, or if a set is empty or not finite.
    """
    sets = [
        (clean(a, f"first set of pair {i}"), clean(b, f"second set of pair {i}")) for i, (a, b) in enumerate(pairs)
    ]
    if not sets:
        raise ValueError("no pairs of encoders were given")
    points = sum(a.size + b.size for a, b in sets)
    if len(sets) > 1:
        return over_pairs([a.mean() - b.mean() for a, b in sets], points)
    rng = np.random.default_rng(0)
    a, b = sets[0]
    return _over_points(float(a.mean() - b.mean()), _means(a, rng) - _means(b, rng), points)


def log_ratio(sslmem: ArrayLike) -> Array:
    """artanh(SSLMem') = log(SSL_g / SSL_f) / 2 of each point, [N]: here an offset of two encoders is a plain sum.

    Close to SSLMem' itself where that is small. Values beyond +-.999 are cut there.

    Raises:
        ValueError: for values outside [-1, 1], which are no SSLMem' of eq. 2.
    """
    x = clean(sslmem, "SSLMem'")
    if np.abs(x).max() > 1:
        raise ValueError(f"SSLMem' of eq. 2 lies in [-1, 1], got {x[np.abs(x).argmax()]:.3g}: normalise by the ratio")
    return np.arctanh(np.clip(x, -CLIP, CLIP))


def mirrored_pairs(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Interval:
    """Mirrored estimate over pairs: SSLMem' of S_C and of S_I, averaged as log ratios and transformed back.

    Args:
        pairs: (SSLMem' on S_C [N], SSLMem' on S_I [M]) of each pair, in [-1, 1].

    Returns:
        The interval on the scale of SSLMem', in (-1, 1).
    """
    # halves before the mean: mean(a/2) - mean(b/2) is the mirrored estimate
    return back(difference([(log_ratio(c) / 2, log_ratio(i) / 2) for c, i in pairs]))
