"""One number a pair, its control and the smallest effect that matters: intervals and p, no verdict yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from memlib.stats import LEVEL, Interval, flipped_signs, random_effects, repeated, spent, unbounded
from memlib.stats.intervals import Array, clean


@dataclass(frozen=True)
class Contrast:
    """One number a pair, and what it is held against.

    Attributes:
        values: [K], the number that the claim is about.
        margin: > 0, the smallest effect that matters: in the units of `values`, or with `reference` a share of it.
        sign: +1 or -1 as claimed; 0: the claim is that there is no difference.
        variances: [K], > 0, what sampling its points makes each value vary by; None: not known.
        control: [K], the same number of the same pairs where memorization cannot be the reason.
        control_variances: of the control; without them the interval of the difference is a plain t.
        reference: [K], of the same pairs: the effect that `margin` is a share of.
        p: two-sided, of the values by permuted membership.
        step: grid that the values can only move on (Kendall's tau of eight layers: 1/14).
        points: how many data points they rest on in all.
        each: how many pairs of encoders stand behind each value.

    Raises:
        ValueError: for lengths that differ, numbers out of range, a control of zeros, or a control where sign is 0.
    """

    values: ArrayLike
    margin: float
    sign: int = 1
    variances: ArrayLike | None = None
    control: ArrayLike | None = None
    control_variances: ArrayLike | None = None
    reference: ArrayLike | None = None
    p: float | None = None
    step: float = 0.0
    points: int = 0
    each: int = 1

    def __post_init__(self) -> None:
        size = clean(self.values, "values of the pairs").size
        for name in ("variances", "control", "control_variances", "reference"):
            given = getattr(self, name)
            if given is not None and clean(given, name).size != size:
                raise ValueError(f"{name}: one number a pair is needed, {size} in all; got {np.size(given)}")
        if self.sign not in (-1, 0, 1) or not self.margin > 0:
            raise ValueError(f"sign is +1, -1 or 0 and the margin above 0, got {self.sign} and {self.margin}")
        if self.p is not None and (self.sign == 0 or not 0 <= self.p <= 1):
            raise ValueError(
                f"p of permuted membership, 0 to 1, is for claims with a sign: got {self.p}, {self.sign}"
            )
        if self.control is not None and (self.sign == 0 or not np.any(self.control)):
            raise ValueError(
                "a control is subtracted where a sign is claimed and must not be zero by construction: subtract it "
                "from the values for a claim of no difference, and leave it out where it cannot differ from zero"
            )

    @property
    def margins(self) -> Array:
        """The margin in the units of the values, [K]."""
        beside = np.ones(np.size(self.values)) if self.reference is None else clean(self.reference)
        return self.margin * beside


@dataclass(frozen=True)
class Tests:
    """Intervals and p of one contrast, each p twice a one-sided one.

    Attributes:
        seen: interval of the values.
        effect: of what is left of them after the control.
        control: of the control.
        shown: p that the observation is beyond zero (or, if that is the claim, within the margin).
        left: that what is left is; `shown` without a control.
        absent: that the observation is smaller than what matters.
        small: that what is left is; 1 without a control.
    """

    contrast: Contrast
    seen: Interval
    effect: Interval
    control: Interval | None
    shown: float
    left: float
    absent: float
    small: float

    @property
    def hold(self) -> float:
        """p of holding: both have to be shown."""
        return max(self.shown, self.left)

    @property
    def fall(self) -> float:
        """p of falling, not yet corrected for the two ways to fall that a control makes."""
        return min(self.absent, self.small)

    @property
    def margin(self) -> float:
        """The smallest effect that matters; 0 where it is a share of an effect that is not there."""
        return max(float(self.contrast.margins.mean()), 0.0)

    @property
    def same(self) -> bool:
        """Whether both sides of the contrast are the same by construction."""
        return not self.contrast.step and not np.any(self.contrast.values)

    @property
    def tested(self) -> bool:
        """Whether there is something to test, and pairs enough."""
        return self.seen.pairs > 1 and not self.same


def _interval(x: Array, v: ArrayLike | None, c: Contrast) -> Interval:
    return random_effects(x, v, c.points, step=c.step) if x.size > 1 else unbounded(float(x[0]), c.points)


def tested(c: Contrast, looks: tuple[float, ...]) -> Tests:
    """The tests of a contrast; `looks` as for `verdicts.Evidence`."""
    x, margins = clean(c.values), c.margins
    seen = _interval(x, c.variances, c)
    if x.size < 2:
        return Tests(c, seen, seen, None, 1.0, 1.0, 1.0, 1.0)

    if c.step:  # of so few pairs the signs decide nothing: an earlier look that could not spends nothing
        could = [s for s in looks[:-1] if 0.5 ** round(x.size * s / looks[-1]) <= spent((1 - LEVEL) / 2, s)]
        looks = (*could, *looks[-1:])

    def doubled(p: float, y: Array) -> float:
        if c.step:
            p = max(p, flipped_signs(y))  # t takes a few equal values on a grid for certainty
        return min(1.0, 2 * repeated(p, looks))

    def beyond(y: Array, v: ArrayLike | None = c.variances) -> float:
        """Twice the one-sided p that the mean of y is above zero."""
        interval = _interval(y, v, c)
        return doubled(interval.tail(interval.mean), y)

    def too_small(y: Array, v: ArrayLike | None = c.variances) -> float:
        # opposite is too small, also where a margin that is estimated in the same pairs is not sure to be positive
        return beyond(margins - y, v) if c.reference is None else min(beyond(margins - y, v), beyond(-y, v))

    if c.sign == 0:
        within = max(beyond(margins - x), beyond(margins + x))
        # beyond zero, too: a margin that is a share of an effect that is not there refutes nothing
        outside = min(max(beyond(y - margins), beyond(y)) for y in (x, -x))
        return Tests(c, seen, seen, None, within, within, outside, 1.0)
    claimed = c.sign * x
    shown = doubled(seen.tail(c.sign * seen.mean), claimed)
    if c.p is not None:
        drawn = min(1.0, 2 * repeated(c.p / 2, looks))
        shown = max(shown, drawn if c.sign * seen.mean > 0 else 1.0)
    absent = too_small(claimed)
    if c.control is None:
        return Tests(c, seen, seen, None, shown, shown, absent, 1.0)
    control, known = clean(c.control), c.variances is not None and c.control_variances is not None
    v = np.add(c.variances, c.control_variances) if known else None  # type: ignore[arg-type]
    effect, more = _interval(x - control, v, c), c.sign * (x - control)
    left = doubled(effect.tail(c.sign * effect.mean), more)
    beside = _interval(control, c.control_variances, c)
    return Tests(c, seen, effect, beside, shown, left, absent, too_small(more, v))
