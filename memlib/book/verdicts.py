"""The rules of evidence: from numbers of pairs of encoders to one of five verdicts, computed and never typed.

A claim has one contrast, or one for every part that it speaks of; a contrast has a smallest effect that matters
(`margin`) and, where it is about memorization, its control, subtracted within the pair. *Observation* asks about the
contrast as it is, *attribution* about what is left beyond its control. Both are a claim of two parts, so that:

- *does not hold*: the observation is shown to be smaller than what matters (or opposite), or what is left of it is
  and the observation is not shown either;
- *seen, not by memorization*: the observation is shown, and what is left of it is shown to be smaller than matters;
- *holds*: observation and what is left are shown to be beyond zero, by the interval and by permutation where given;
- *undecided*: none of these; *not judged*: it did not run, or the encoders do not memorize.

What is shown to be too small to matter does not hold, also where it is shown to differ from zero. A claim about every
part holds if each does (intersection-union), and falls with one, after Bonferroni over its parts and their controls.
A claim of no difference (`sign=0`) holds if it is shown to lie within the margin (TOST), and falls if beyond it.

Every p here is twice a one-sided p: below .05 where the 95 % interval says the same. Over the claims of a page Holm
corrects three families, each with one hypothesis a claim: *holds*, *seen*, *falls*. One family for holding and
falling together would let claims that fell lower the bar for the others: then false *holds* exceed the level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from memlib.book.contrasts import Contrast, Tests, tested
from memlib.book.words import Words, said
from memlib.stats import LEVEL, Interval, holm, pairs_needed
from memlib.stats.intervals import Array, clean

HOLDS, SEEN, FAILS = "holds", "seen, not by memorization", "does not hold"
UNDECIDED, UNJUDGED = "undecided", "not judged"
VERDICTS = (HOLDS, SEEN, FAILS, UNDECIDED, UNJUDGED)
YES, NO, OPEN = "yes", "no", "undecided"  # badges; "" where there is nothing to ask
ALPHA = 1 - LEVEL
NOTHING_MEMORIZED = "These encoders are not shown to memorize."
NOTHING_LEARNED = "A linear probe does not show that these encoders learned anything."
SAME = "Both are the same here by construction, so that there is nothing to compare."


@dataclass(frozen=True)
class Evidence:
    """What there is on one claim: its words, and the contrast of each part of it.

    Attributes:
        contrasts: the primary contrast, or {part: contrast} of a claim about every part.
        unjudged: why it is not judged, a sentence (see `gate`); "" where it is.
        looks: shares of the planned pairs at which it is judged so far, this time included; (): judged once.
        missing: {part that is not judged: why}: a claim about every part can fall without it, and not hold.
    """

    words: Words
    contrasts: Contrast | Mapping[str, Contrast] = field(default_factory=dict)
    unjudged: str = ""
    looks: tuple[float, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> Mapping[str, Contrast]:
        """{part: contrast}; of a claim without parts its name is ""."""
        return {"": self.contrasts} if isinstance(self.contrasts, Contrast) else self.contrasts


@dataclass(frozen=True)
class Verdict:
    """A verdict, its words, and what the page folds away.

    Attributes:
        verdict: one of `VERDICTS`.
        observation: whether what is claimed is seen: "yes", "no", "undecided"; "" if not judged.
        attribution: the same of memorization as its reason; "" without a control or permuted membership.
        text: verdict and two sentences, at most 40 words.
        effect: the contrast, its control subtracted, at 95 %; of several parts, of the one that decides.
        seen: the contrast as it is, at 95 %.
        control: its control, at 95 %.
        p: of what decides (twice one-sided; over parts the largest, or the smallest times their number).
        corrected_p: after Holm over the page.
        pairs: of encoders.
        needed: pairs that would decide with 90 % power, if all is as estimated; None: more than 1,000, or decided.
        margin: the smallest effect that matters, in the units of the contrast.
        sign: +1 or -1 as claimed; 0: the claim is that there is no difference.
        part: which part decides.
        parts: {part: its verdict} of a claim about every part.
        before_control: whether it falls, or stays open, by the contrast as it is, whatever its control says.
    """

    verdict: str
    observation: str
    attribution: str
    text: str
    effect: Interval | None = None
    seen: Interval | None = None
    control: Interval | None = None
    p: float = 1.0
    corrected_p: float = 1.0
    pairs: int = 0
    needed: int | None = None
    margin: float = 0.0
    sign: int = 1
    part: str = ""
    parts: Mapping[str, Verdict] = field(default_factory=dict)
    before_control: bool = False

    def __str__(self) -> str:
        return self.text

    @property
    def decisive(self) -> Interval | None:
        """The interval that the verdict rests on: the contrast, minus its control unless that is not what decides."""
        return self.seen if self.before_control else self.effect

    @property
    def subtracted(self) -> bool:
        """Whether the control is subtracted from what decides."""
        return self.control is not None and not self.before_control

    @property
    def why(self) -> str:
        """The sentences behind the verdict's own word."""
        return self.text.partition(". ")[2]


def gate(p: float, estimate: float) -> str:
    """Why claims about these encoders are not judged; "" if they memorize in their last layer or output.

    Args:
        p: two-sided, of that layer's mirrored estimate by permuted membership over all pairs (`stats.permuted_p`).
        estimate: its mean.
    """
    return "" if p < ALPHA and estimate > 0 else NOTHING_MEMORIZED


def judge(page: Mapping[str, Evidence]) -> dict[str, Verdict]:
    """The verdicts on all claims of a page, corrected for their number.

    What did not run, has one pair or is the same by construction is no test; what the gate stops still counts as one.
    """
    found = {key: {part: tested(c, e.looks) for part, c in e.parts.items()} for key, e in page.items()}
    run = [key for key, parts in found.items() if parts and all(t.tested for t in parts.values())]
    families = [
        [max(t.shown for t in found[key].values()) for key in run],
        [max(t.hold for t in found[key].values()) for key in run],
        [min(1.0, min(t.fall for t in found[key].values()) * _count(found[key])) for key in run],
    ]
    corrected = dict(zip(run, zip(*map(_factors, families), strict=True), strict=True))
    return {key: _verdict(e, found[key], *corrected.get(key, (1.0, 1.0, 1.0))) for key, e in page.items()}


def _count(parts: Mapping[str, Tests]) -> int:
    """Hypotheses of a claim that can each make it fall: its parts, and their controls."""
    return sum(1 if t.control is None else 2 for t in parts.values())


def _factors(ps: Sequence[float]) -> Array:
    """What Holm multiplies each p by, rather than the product: the p of a claim's parts are multiplied by it, too."""
    if not len(ps):
        return np.empty(0)
    p = np.array(ps)
    return np.where(p > 0, np.maximum(holm(p) / np.where(p > 0, p, 1), 1), p.size)


def _verdict(e: Evidence, found: Mapping[str, Tests], shown: float, hold: float, fall: float) -> Verdict:
    """The verdict on a claim, from the tests of its parts and the factors of the page's correction."""
    pairs = min((t.seen.pairs * t.contrast.each for t in found.values()), default=0)
    same = any(t.same for t in found.values())
    if e.unjudged or not found or same:
        reason = e.unjudged or (SAME if same else "It did not run.")
        return Verdict(UNJUDGED, "", "", said(UNJUDGED, reason), pairs=pairs)
    count = _count(found)
    parts = {part: _part(e, part, t, (shown, hold, fall), count) for part, t in found.items()}
    words = [v.verdict for v in parts.values()]
    observation, attribution = (
        NO if NO in badges else YES if set(badges) == {YES} else OPEN if any(badges) else ""
        for badges in ([v.observation for v in parts.values()], [v.attribution for v in parts.values()])
    )
    if FAILS in words or (SEEN in words and observation != YES):
        word = FAILS
    else:
        word = SEEN if SEEN in words else HOLDS if set(words) == {HOLDS} else UNDECIDED
    falls = word in (FAILS, SEEN)
    decides = min(found, key=lambda n: found[n].fall) if falls else max(found, key=lambda n: found[n].hold)
    t, v = found[decides], parts[decides]
    p = min(1.0, t.fall * count) if falls else t.hold
    needed = None if word != UNDECIDED else _needed(found.values(), ALPHA / hold, ALPHA / fall / count)
    v = replace(v, verdict=word, observation=observation, attribution=attribution, part=decides, needed=needed)
    v = replace(v, p=p, corrected_p=min(1.0, p * (fall if falls else hold)))
    v = replace(v, parts=parts if isinstance(e.contrasts, Mapping) else {})
    if e.missing and word != FAILS:
        cannot = f"{' and '.join(list(e.missing)[:2])} cannot be judged"
        reason = next(iter(e.missing.values()))
        return replace(v, verdict=UNJUDGED, text=said(UNJUDGED, cannot, reason))
    return replace(v, text=_text(e.words, v, t))


def _part(e: Evidence, name: str, t: Tests, factors: tuple[float, float, float], count: int) -> Verdict:
    """The verdict on one part, at the level of its claim."""
    shown, hold, fall = factors
    absent, small = (p * count * fall < ALPHA for p in (t.absent, t.small))
    holds, seen = t.hold * hold < ALPHA, t.shown * shown < ALPHA
    observation = NO if absent else YES if seen else OPEN
    word = HOLDS if holds else UNDECIDED
    if absent or small:
        word = SEEN if seen and not absent else FAILS
    attribution = NO if small else YES if holds else OPEN
    if t.control is None:
        attribution = "" if t.contrast.p is None else NO if absent else YES if holds else OPEN
    falls = absent or small
    p, factor = (min(1.0, t.fall * count), fall) if falls else (t.hold, hold)
    needed = None if word != UNDECIDED else _needed([t], ALPHA / hold, ALPHA / fall / count)
    v = Verdict(
        word,
        observation,
        attribution,
        "",
        t.effect,
        t.seen,
        t.control,
        p,
        min(1.0, p * factor),
        t.seen.pairs * t.contrast.each,
        needed,
        t.margin,
        t.contrast.sign,
        name,
        before_control=t.absent <= t.small if falls else word == UNDECIDED and t.shown > t.left,
    )
    return replace(v, text=_text(e.words, v, t))


def _needed(parts: Iterable[Tests], hold: float, fall: float) -> int | None:
    """Pairs with which the claim would hold or fall, whichever takes fewer, if all is as estimated."""
    holds, falls, more = [], [], []
    for t in parts:
        intervals = [t.seen] if t.control is None else [t.seen, t.effect]
        sign, step, each = t.contrast.sign, t.contrast.step, t.contrast.each
        room = [t.margin - abs(i.mean) if sign == 0 else sign * i.mean for i in intervals]
        short = [abs(i.mean) - t.margin if sign == 0 else t.margin - sign * i.mean for i in intervals]
        holds.append(each * max(_pairs(r, i, hold, step) for r, i in zip(room, intervals, strict=True)))
        falls.append(each * min(_pairs(r, i, fall, step) for r, i in zip(short, intervals, strict=True)))
        more.append(each * (t.seen.pairs + 1))  # where it is the permutation that does not tell
    fewest = min(max(holds), min(falls))
    return max(int(fewest), min(more)) if np.isfinite(fewest) else None


def _pairs(distance: float, i: Interval, alpha: float, step: float) -> float:
    if i.pairs < 2:
        return np.inf
    deviation = float(np.sqrt(i.pairs)) * max(i.error, i.floor)
    needed = pairs_needed(distance, deviation, 1 - alpha) or np.inf
    return max(needed, np.ceil(np.log2(2 / alpha))) if step else needed  # signs alone give 1 in 2^K


def _text(words: Words, v: Verdict, t: Tests) -> str:
    """Two sentences: the number, and what it stands beside."""
    assert v.seen is not None
    x, sign = v.seen.mean, t.contrast.sign
    margin = words.scale.show(v.margin)
    first = words.effect(x, [0.0, v.margin, *([] if v.control is None else [v.control.mean])], v.part)
    if v.verdict == UNDECIDED and v.pairs < 2:
        first += "; one pair of encoders cannot tell"
    elif v.verdict == UNDECIDED:
        first += f"; about {v.needed} pairs would tell" if v.needed else "; not even 1,000 pairs would tell"
    side = sign if v.verdict == HOLDS else -sign
    agree = int((np.sign(clean(t.contrast.values)) == side).sum()) * t.contrast.each
    second = f"{agree} of {v.pairs} pairs of encoders agree" if v.verdict in (HOLDS, FAILS) else ""
    if v.control is not None:
        second = words.beside(v.control.mean, [x, 0.0])
    elif sign == 0:
        second = f"Up to {margin} counts as no difference"
    elif len(v.parts) > 1:
        held = sum(part.verdict == HOLDS for part in v.parts.values())
        second = f"Of {len(v.parts)} {words.parts}, {held} hold{'s' if held == 1 else ''}"
        if v.verdict == HOLDS:
            second = f"It is the least certain of {len(v.parts)} {words.parts}"
    elif v.verdict == FAILS and v.margin and x * sign > -v.margin:
        second = f"At least {margin} would matter"
    return said(v.verdict, first, second)
