"""The verdict rules: from an effect, its interval and its nulls to one of four verdicts, computed and never typed.

In this order, at the level that is left after the page's correction (Holm):

1. fewer than two pairs of encoders: *not tested here*; one pair is descriptive. Nor is tested what is the same in
   every pair by construction, as layers chosen in two ways can be;
2. the effect has the claimed sign, and a null shows it as strongly: its interval excludes zero on the claimed side,
   its estimate is half of the effect's or more, and the interval of effect - null does not exclude zero: *does not
   hold*;
3. claimed sign, corrected interval excludes zero: *holds*; but *trend only* where effect - null does not exclude
   zero and the null either shows a smaller part, or is too imprecise to be told from the effect (its estimate
   reaches into the effect's interval, or its bound reaches the effect's estimate);
4. opposite sign, interval excludes zero: *does not hold*;
5. equivalent to zero within the margin stated for the claim (TOST): *does not hold*;
6. claimed sign: *trend only*;
7. what is left has the opposite sign and zero in its interval: nothing was shown either way, *not tested here*.

Rules 4 and 5 speak against a claim. They are corrected by the number of all tests of the page (Bonferroni), parts of
claims included: a claim of many parts falls with any one of them.

A null that shows a part of the effect is taken off it: the excess decides. Where the null is another set of points
of the same pairs (S_E), the excess is computed within pairs; otherwise it is Welch's difference.

A claim of no difference (`sign=0`) *holds* if TOST shows it within its margin, *does not hold* if the interval lies
outside the margin, is *trend only* if the estimate lies within and *not tested here* if only the estimate is outside
(or if the margin is a share of an effect that is not there).

Before all of these: a claim about other encoders than those that ran (architecture, data set) is *not tested here*,
whatever theirs show; the number beside it is of the nearest that ran.

A claim about every layer (or row, or unit kind) holds if each part holds: the largest p decides (intersection-union),
and the parts are corrected among themselves for the question which of them pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtrit

from memlib.stats import LEVEL, Interval, equivalence, excess, holm

HOLDS, TREND, FAILS, OPEN = "holds", "trend only", "does not hold", "not tested here"
VERDICTS = (HOLDS, TREND, FAILS, OPEN)
NAMES = 120  # characters that the names of parts may take in a reason; beyond that they are counted
MARGIN = 0.005  # SSLMem' of .005: g's distances are within 1 % of f's. Less is taken as none.


@dataclass(frozen=True)
class Claim:
    """A claim of the papers in our words, where it stands there, and the paper's numbers.

    `unit` names the number that the effect is, in words; `over` what counts as one piece of evidence.
    """

    key: str
    page: str
    statement: str
    source: str
    paper: str
    unit: str
    over: str = "pairs"


@dataclass(frozen=True)
class Null:
    """The same number where there is nothing to find. `excess`: effect - null within the same pairs, if they are."""

    name: str
    interval: Interval
    excess: Interval | None = None


@dataclass(frozen=True)
class Verdict:
    """A verdict and what it rests on; `str` of it is plain text, `figures.verdict_box` its HTML.

    `effect` is the interval at 95 %, `corrected` the same at the level that the page's correction leaves, `raw` and
    `p` the p value before and after it, `margin` what counts as no difference.
    """

    verdict: str
    effect: Interval
    corrected: Interval
    sign: int
    raw: float
    p: float
    nulls: tuple[Null, ...]
    margin: float | None
    reason: str
    claim: Claim | None = None
    parts: Mapping[str, Verdict] = field(default_factory=dict)
    alike: bool = False  # nothing to compare, and so no test

    @property
    def tested(self) -> bool:
        """Whether there is something to test, and pairs enough: those count in the page's correction."""
        return self.effect.pairs > 1 and not self.alike

    def __str__(self) -> str:
        head = f"{self.claim.statement}: " if self.claim else ""
        return f"{head}{self.verdict}. {self.reason}"


def verdict(
    effect: Interval,
    sign: int = 1,
    nulls: Sequence[Null | Interval] = (),
    margin: float | None = None,
    p: float | None = None,
    factor: float = 1.0,
    claim: Claim | None = None,
    tests: float = 1.0,
) -> Verdict:
    """Judge one effect by the rules above.

    Args:
        effect: its interval over pairs, at 95 %.
        sign: +1 or -1 as claimed; 0: the claim is that there is no difference, within `margin`.
        nulls: the same number on controls.
        margin: what counts as none; needed for sign 0.
        p: of the test, if it is not the interval's (or for sign 0 TOST's) own.
        factor: what the page's correction multiplies p by.
        tests: how many tests there are on the page, by which a refutation is corrected (Bonferroni).

    Raises:
        ValueError: for another sign, or sign 0 without a margin.
    """
    if sign not in (-1, 0, 1) or (sign == 0 and margin is None):
        raise ValueError(f"sign must be +1, -1, or 0 with a margin; got {sign} and margin {margin}")
    named = tuple(n if isinstance(n, Null) else Null(f"null {i}", n) for i, n in enumerate(nulls, 1))
    alone, alpha = effect.pairs < 2, 1 - LEVEL
    if p is None:
        p = effect.p if sign or margin is None or alone else equivalence(effect, margin)
    found = Verdict(
        OPEN,
        effect,
        effect if alone else effect.at(1 - alpha / factor),
        sign,
        float(p),
        min(1.0, float(p) * factor),
        named,
        margin,
        "",
        claim,
    )
    if alone:
        return replace(found, reason=f"One pair of encoders is descriptive: {effect}.")
    tests = max(tests, factor)
    against = replace(found, corrected=effect.at(1 - alpha / tests), p=min(1.0, float(p) * tests))
    word, reason = (_no_difference if sign == 0 else _directional)(found, against, alpha)
    return replace(found, verdict=word, reason=reason)


def _directional(v: Verdict, against: Verdict, alpha: float) -> tuple[str, str]:
    """The word and its reason; `against` is the same, corrected as a refutation is."""
    effect = v.corrected
    over = [(n, n.excess.at(effect.level) if n.excess else excess(effect, n.interval)) for n in v.nulls]
    for null, more in over:
        half = null.interval.mean * v.sign >= effect.mean * v.sign / 2 > 0
        if half and null.interval.excludes_zero(v.sign) and not more.excludes_zero(v.sign):
            return FAILS, f"{_number(v)}, but as much is seen for {null.name}: {null.interval}."
    claimed = effect.mean * v.sign > 0
    if v.p < alpha and claimed and effect.excludes_zero(v.sign):
        edge = effect.low if v.sign > 0 else effect.high
        for null, more in over:
            far = null.interval.high if v.sign > 0 else null.interval.low
            close = null.interval.mean * v.sign >= edge * v.sign or null.interval.excludes_zero(v.sign)
            close = close or far * v.sign >= effect.mean * v.sign  # too imprecise
            if close and not more.excludes_zero(v.sign):
                return TREND, f"{_number(v)}, but {null.name} cannot be told from it: {null.interval}."
        taken = [n.name for n, _ in over if n.interval.excludes_zero(v.sign)]
        beyond = f", beyond what is seen for {' and '.join(taken)}" if taken else ""
        small = (
            f"; less than the {v.margin:.3g} that would matter" if v.margin and abs(effect.mean) < v.margin else ""
        )
        return HOLDS, f"{_number(v)}{beyond}{small}."
    if against.p < alpha and not claimed and against.corrected.excludes_zero(-v.sign):
        return FAILS, f"The opposite: {_number(against)}."
    if v.margin and (p := equivalence(v.effect, v.margin)) < 1 - against.corrected.level:
        tests = alpha / (1 - against.corrected.level)
        return FAILS, f"None within a margin of {v.margin:.3g}: {_number(replace(against, p=min(1.0, p * tests)))}."
    if claimed:
        return TREND, f"The sign is as claimed, but the interval includes zero: {_number(v)}{_would_tell(effect)}."
    return OPEN, f"Open: the sign is not as claimed, but the interval includes zero: {_number(against)}."


def _would_tell(effect: Interval, most: int = 1000) -> str:
    """How many pairs, of the spread seen here, would give this estimate an interval that excludes zero."""
    if not effect.error or not effect.mean:
        return ""
    pairs = np.arange(2, most + 1)
    centre = np.arctanh(effect.mean) if effect.scale == "log ratio" else effect.mean
    half = stdtrit(pairs - 1, (1 + effect.level) / 2) * effect.error * np.sqrt(effect.pairs / pairs)
    enough = pairs[half < abs(centre)]
    return (
        f"; about {enough[0]} pairs of this spread would tell"
        if enough.size
        else f"; not even {most} pairs would tell"
    )


def _no_difference(v: Verdict, against: Verdict, alpha: float) -> tuple[str, str]:
    assert v.margin is not None
    within = f"margin {v.margin:.3g}"
    if v.margin == 0:  # a share of an effect that is not there
        return OPEN, f"Open: nothing is memorized that it could be small beside: {_number(v)}."
    if v.p < alpha:
        return HOLDS, f"No difference within the {within}: {_number(v)}."
    if against.corrected.low > v.margin or against.corrected.high < -v.margin:
        return FAILS, f"They differ by more than the {within}: {_number(against, p=False)}."
    if abs(v.effect.mean) < v.margin:
        return TREND, f"The estimate lies within the {within}, but its interval does not: {_number(v)}."
    return OPEN, f"Open: the estimate lies outside the {within}, but not its interval: {_number(against)}."


def _number(v: Verdict, p: bool = True) -> str:
    unit, over = (f"{v.claim.unit} ", v.claim.over) if v.claim else ("", "pairs")
    said = "p < .001" if v.p < 0.001 else f"p = {v.p:.3f}".replace("0.", ".")
    ending = f", corrected {said}" if p else ""
    return f"{unit}{v.corrected} ({100 * v.corrected.level:.3g} % interval, {v.effect.pairs} {over}{ending})"


def every(claim: Claim, parts: Mapping[str, Verdict], factor: float = 1.0, tests: float = 1.0) -> Verdict:
    """A claim that says something of every part: it holds if each part does (intersection-union).

    Args:
        parts: verdicts not yet corrected; Holm is applied among them here.
        factor: what the page's correction multiplies the largest p by.
        tests: how many tests there are on the page: a part is refuted among all parts of them.

    Raises:
        ValueError: without parts.
    """
    if not parts:
        raise ValueError(f"claim {claim.key!r} speaks of every part, but none was given")
    judged = dict(zip(parts, correct(list(parts.values()), tests), strict=True))
    # a part on the wrong side is no evidence for the claim, however small its two-sided p
    against = {n: v.raw if v.sign == 0 or v.effect.mean * v.sign > 0 else 1.0 for n, v in parts.items()}
    weakest = max(parts, key=lambda n: (against[n], -abs(parts[n].effect.mean)))
    part, raw = parts[weakest], against[weakest]
    by = {word: [n for n, v in judged.items() if v.verdict == word] for word in VERDICTS}
    p = min(1.0, raw * factor)
    if len(by[HOLDS]) == len(judged):
        word = HOLDS if p < 1 - LEVEL else TREND
    elif by[FAILS]:
        word = FAILS
    else:
        word = OPEN if by[OPEN] else TREND
    counted = "; ".join(f"{w}: {', '.join(names)}" for w, names in by.items() if names)
    if len(counted) > NAMES:
        counted = "; ".join(f"{w}: {len(names)} of {len(judged)} parts" for w, names in by.items() if names)
    reason = f"{counted[0].upper()}{counted[1:]}. The weakest is {weakest}: {judged[weakest].reason}"
    corrected = part.effect.at(1 - (1 - LEVEL) / factor) if part.tested else part.effect
    return Verdict(word, part.effect, corrected, part.sign, raw, p, (), part.margin, reason, claim, judged)


def alike(claim: Claim, effect: Interval, what: str) -> Verdict:
    """The verdict on a comparison of a thing with itself: *not tested here*.

    Args:
        effect: zero in every pair.
        what: why both sides are the same.
    """
    reason = f"Nothing to compare: {what}."
    return Verdict(OPEN, effect, effect, 1, 1.0, 1.0, (), None, reason, claim, alike=True)


def partial(found: Verdict, judged: str) -> Verdict:
    """The verdict on a claim about several things, of which some were judged: it falls with one, and holds with all.

    Args:
        found: of those that were judged.
        judged: which these are, and why not the others.
    """
    word = found.verdict if found.verdict == FAILS else OPEN
    return replace(found, verdict=word, reason=f"{judged}: {found.verdict}. {found.reason}")


def elsewhere(found: Verdict, asked: Mapping[str, str], ran: Mapping[str, str]) -> Verdict:
    """The verdict on a claim that names its encoders: `found` where these ran, otherwise *not tested here*.

    Args:
        found: of the test on what ran.
        asked: what the claim is about, such as {"arch": "resnet50", "dataset": "imagenet"}.
        ran: the same fields of what ran.
    """
    if dict(asked) == dict(ran):
        return found
    theirs, ours = (", ".join(facts.values()) for facts in (asked, ran))
    near = f"the nearest that ran ({ours}) shows {_number(found)}"
    return replace(found, verdict=OPEN, reason=f"The claim is about {theirs}, which did not run; {near}.")


def unlearned(found: Verdict, lost: Sequence[str]) -> Verdict:
    """The verdict on a claim about trained encoders: *not tested here* where some show no sign of having learned.

    Args:
        found: of the test on what ran.
        lost: encoders whose linear probe is not shown to be better after training than before it.
    """
    if not lost:
        return found
    said = (
        f"Not judged, as a linear probe is not shown to be better after training than before with {', '.join(lost)}."
    )
    return replace(found, verdict=OPEN, reason=f"{said} {found.reason}")


def above_zero(estimates: Mapping[str, Interval]) -> list[str]:
    """The names of the estimates that are above zero, corrected over all of them (Bonferroni)."""
    level = 1 - (1 - LEVEL) / len(estimates)
    return [name for name, i in estimates.items() if i.pairs > 1 and i.at(level).excludes_zero(1)]


def unranked(found: Verdict, shown: Sequence[str]) -> Verdict:
    """The verdict on a claim that needs an order of layers by memorization: *not tested here* where it is but noise.

    Args:
        found: of the test on what ran.
        shown: the layers that are shown to memorize.
    """
    if shown or not found.tested:
        return found
    said = "Not judged, as no single layer is shown to memorize, so that their order is noise."
    return replace(found, verdict=OPEN, reason=f"{said} {found.reason}")


def correct(verdicts: Sequence[Verdict], tests: float = 1.0) -> list[Verdict]:
    """The verdicts of a page (or the parts of a claim) judged again with Holm's correction over those tested.

    Args:
        tests: of parts, how many tests the page has; refutations are corrected by the product.
    """
    raw = np.array([v.raw for v in verdicts if v.tested])
    # what Holm multiplies each p by, rather than its product: it also says at which level the interval is drawn
    factors = iter(
        np.where(raw > 0, np.maximum(holm(raw) / np.where(raw > 0, raw, 1), 1), raw.size) if raw.size else ()
    )
    return [_again(v, float(next(factors)), tests * raw.size) if v.tested else v for v in verdicts]


def _again(v: Verdict, factor: float, tests: float) -> Verdict:
    if v.parts and v.claim:
        return every(v.claim, v.parts, factor, tests)
    return verdict(v.effect, v.sign, v.nulls, v.margin, v.raw, factor, v.claim, tests)
