"""How a verdict reads: numbers in one style, and two plain sentences of at most 40 words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from memlib.pairs import S_C, S_E, S_I, S_S
from memlib.stats import Interval, number

SAW = {S_C: "f only", S_I: "g only", S_S: "both", S_E: "neither"}  # who saw the points of a set, for readers
CLAIMED, BESIDE, NAMED = 14, 12, 3  # words that an effect, its control and the name of a part may take
UNSEEN = "On points that the encoders did not see it is {}"  # the control of most claims about units


def p_value(p: float) -> str:
    """A p as every page prints it, with its sign: `= .032`, `< .001`, `> .99`."""
    if p < 0.001:
        return "< .001"
    return "> .99" if p > 0.99 else f"= {number(p, '.2f' if p >= 0.1 else '.3f')}"


@dataclass(frozen=True)
class Scale:
    """How the numbers of a claim are shown: times `factor` or as SSLMem', with `digits` and a unit behind them."""

    digits: int = 3
    factor: float = 1.0
    unit: str = ""
    log_ratio: bool = False  # half log ratios of distances are shown as SSLMem', their tanh
    limits: tuple[float, float] = (-np.inf, np.inf)  # what the number can be: its interval ends there

    def show(self, x: float, near: Iterable[float] = (), unit: bool = True) -> str:
        """The number, with its unit where that is wanted.

        Args:
            near: numbers that it is read against: one more digit where it would look like one of them and is not.
        """
        value, digits = self.value(x), self.digits
        text = number(value, f".{digits}f")
        if any(number(y, f".{digits}f") == text and y != value for y in map(self.value, near)):
            text = number(value, f".{digits + 1}f")
        return text + (self.unit if unit else "")

    def span(self, found: Interval, terms: int = 1) -> str:
        """The number with its interval.

        Args:
            terms: how many such numbers it is the sum or difference of.
        """
        ends = max(found.low, terms * self.limits[0]), min(found.high, terms * self.limits[1])
        mean, low, high = (self.value(x) for x in (found.mean, *ends))
        return format(replace(found, mean=mean, low=low, high=high), f".{self.digits}f")

    @property
    def apart(self) -> str:
        """The unit of a difference of two such numbers: of two shares, percentage points."""
        return DIFFERENCE.unit if self.unit == SHARE.unit else self.unit

    def value(self, x: float) -> float:
        """The number on this scale."""
        return float(np.tanh(x)) if self.log_ratio else x * self.factor


SSLMEM = Scale(log_ratio=True)
POINTS = Scale(1, 100, " points", limits=(-1, 1))  # of accuracy, given as a share
SHARE = Scale(0, 100, " %", limits=(-1, 1))
DIFFERENCE = replace(SHARE, unit=" percentage points")  # of two shares
TAU = Scale(2, limits=(-1, 1))


@dataclass(frozen=True)
class Words:
    """The words of a claim; `{}` stands for the number, `{part}` for the part of a claim about every part.

    Attributes:
        above: the effect where it is positive: "Layer 8 leads layer 7 by {}".
        below: where it is negative, its size in the place of the number: "Layer 8 trails layer 7 by {}".
        control: what the control says: "In encoders that were never trained it is {}".
        scale: how numbers are shown.
        parts: what the parts are, in the plural: "layers".

    Raises:
        ValueError: for more words than two short sentences have, a colon, or a sentence without its number.
    """

    above: str
    below: str
    control: str = ""
    scale: Scale = SSLMEM
    parts: str = "parts"

    def __post_init__(self) -> None:
        for text, most in ((self.above, CLAIMED), (self.below, CLAIMED), (self.control, BESIDE)):
            if len(text.split()) > most or ":" in text or (text and "{}" not in text):
                raise ValueError(f"at most {most} words without a colon, with {{}} for the number, got {text!r}")

    def effect(self, x: float, near: Iterable[float] = (), part: str = "") -> str:
        """The effect as a sentence without its full stop."""
        if len(part.split()) > NAMED:
            raise ValueError(f"a part is named in at most {NAMED} words, got {part!r}")
        template, size = (self.above, x) if x >= 0 else (self.below, -x)
        text = template.replace("{part}", part).replace("{}", self.scale.show(size, map(abs, near)))
        return text[0].upper() + text[1:]

    def beside(self, x: float, near: Iterable[float] = ()) -> str:
        """What the control says, a sentence; of `[more|fewer]` in it one word, and the size in the number's place."""
        text = re.sub(r"\[(.*?)\|(.*?)\]", r"\1" if x >= 0 else r"\2", self.control)
        if text != self.control:
            x, near = abs(x), map(abs, near)
        return text.replace("{}", self.scale.show(x, near, unit=self.scale.unit.strip() == "%")) + "."


def said(verdict: str, first: str, second: str = "") -> str:
    """The verdict and its sentences, with one full stop each."""
    return " ".join(f"{s[0].upper()}{s[1:].rstrip('.')}." for s in (verdict, first, second) if s)
