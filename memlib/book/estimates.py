"""Estimates: numbers of one piece of evidence, that can be added, subtracted, scaled and averaged.

    mirrored("8") - mirrored("7")          how much more layer 8 memorizes than layer 7
    mean(delta("6", "5"), delta("8", "7"))
    rank([mirrored(row) for row in rows])  Kendall's tau of memorization and depth
    untrained(unitmem("8"))                the same of the encoders before training

What a piece is says `memlib.book.study`. Estimates of distances and of member rates are functions of membership, so
that they can be taken on a piece whose membership is permuted: they give an array then, a number a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from memlib.pairs import S_C

HIGH = 0.5  # a unit with UnitMem from here on is called highly memorizing


@dataclass(frozen=True)
class Estimate:
    """A number of one piece of evidence.

    Attributes:
        of: The piece to the number; to an array [D] of a piece permuted D times.
        grid: What it can only move by (Kendall's tau of eight layers: 1/14); 0: anything.
        scale: "log ratio" of half a log ratio of distances: shown as SSLMem', by tanh.
        limits: What it can be: its interval ends there. Sums and differences have none.
    """

    of: Callable[[Any], Any]
    grid: float = 0.0
    scale: Literal["plain", "log ratio"] = "plain"
    limits: tuple[float, float] = (-np.inf, np.inf)

    def __call__(self, piece: Any) -> Any:
        return self.of(piece)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(lambda p: self(p) + other(p), max(self.grid, other.grid), _common(self, other))

    def __sub__(self, other: Estimate) -> Estimate:
        return self + -1 * other

    def __rmul__(self, factor: float) -> Estimate:
        return Estimate(lambda p: factor * self(p), abs(factor) * self.grid, self.scale)


def _common(*estimates: Estimate) -> Literal["plain", "log ratio"]:
    """The scale that numbers of several estimates are shown on."""
    return "log ratio" if all(one.scale == "log ratio" for one in estimates) else "plain"


def mean(*estimates: Estimate) -> Estimate:
    """The mean of several estimates of the same piece.

    Raises:
        ValueError: There are none.
    """
    if not estimates:
        raise ValueError("the mean of no estimates: give one or more")
    step = max(one.grid for one in estimates) / len(estimates)
    return Estimate(lambda p: sum(one(p) for one in estimates) / len(estimates), step, _common(*estimates))


# ---------------------------------------------------------------- distances


def mirrored(row: str, among: Sequence[np.ndarray] | None = None) -> Estimate:
    """The mirrored estimate of a row: (m(S_C) - m(S_I)) / 2, m the mean of half the log ratio of distances.

    Args:
        among: By piece, mask of the points that count (see `Study.extremes`); None: all.
    """
    if among is None:
        return Estimate(lambda p: p.pair.mirrored(row), scale="log ratio")
    return Estimate(lambda p: p.pair.mirrored(row, among[p.number]), scale="log ratio")


def most_less_least(row: str, extremes: tuple[Sequence[np.ndarray], Sequence[np.ndarray]]) -> Estimate:
    """Mirrored estimate of the points that other pairs memorize most minus that of those they memorize least.

    Args:
        extremes: Masks of both by piece, as `Study.extremes` returns them.
    """
    most, least = extremes
    return mirrored(row, most) - mirrored(row, least)


def delta(row: str, before: str, among: Sequence[np.ndarray] | None = None) -> Estimate:
    """What a row adds to the mirrored estimate of the one before it (eq. 4); `among` as for `mirrored`."""
    return mirrored(row, among) - mirrored(before, among)


def deltas(previous: Mapping[str, str], among: Sequence[np.ndarray] | None = None) -> dict[str, Estimate]:
    """{row: what it adds to the one before it}, of rows as `Study.previous` returns them."""
    return {row: delta(row, before, among) for row, before in previous.items()}


def level(row: str, code: int = S_C) -> Estimate:
    """Mean SSLMem' of a set of points at a row: raw LayerMem (eq. 3), offsets between f and g included."""
    return Estimate(lambda p: p.pair.mean(row, code))


def rank(estimates: Sequence[Estimate], by: Sequence[float] | Sequence[Estimate] | None = None) -> Estimate:
    """Kendall's tau of estimates with their place, or with other numbers or estimates of the same piece.

    Tau-a, where ties count as neither: 0 where all estimates are the same.

    Raises:
        ValueError: There are fewer than two, or not as many of the others.
    """
    others = list(by) if by is not None else list(range(len(estimates)))
    if len(estimates) < 2 or len(others) != len(estimates):
        raise ValueError(f"ranks of two or more are compared, and as many: got {len(estimates)} and {len(others)}")

    def tau(piece: Any) -> Any:
        a: list[Any] = [one(piece) for one in estimates]
        b: list[Any] = [one(piece) if isinstance(one, Estimate) else one for one in others]
        signs = [np.sign(a[j] - a[i]) * np.sign(b[j] - b[i]) for i, j in combinations(range(len(a)), 2)]
        return sum(signs) / len(signs)

    return Estimate(tau, grid(len(estimates)), limits=(-1.0, 1.0))


def grid(count: int) -> float:
    """What Kendall's tau of so many can only move by."""
    return 4 / (count * (count - 1))


# ---------------------------------------------------------------- units and probes


def unit_score(
    rows: str | Sequence[str], of: str = "seen", number: Callable[[np.ndarray], float] = np.mean
) -> Estimate:
    """A number of the scores of all units of a row, or of several, mean of f and g.

    Args:
        of: UnitMem on `seen`, `unseen` or `external` points; `classmem`, `classmem_unseen`, `classmem_shuffled`.
        number: Of the scores [U]; the mean unless said.
    """
    named = [rows] if isinstance(rows, str) else list(rows)
    return Estimate(lambda p: p.units(of, named, number), limits=(0.0, 1.0))


def unitmem(rows: str | Sequence[str], of: str = "seen") -> Estimate:
    """Mean UnitMem of the units of one row or several (eq. 8)."""
    return unit_score(rows, of)


def share_high(rows: str | Sequence[str], of: str = "seen") -> Estimate:
    """Share of the units of one row or several with UnitMem of .5 and more."""
    return unit_score(rows, of, lambda scores: float((scores >= HIGH).mean()))


def member_rate(*rows: str) -> Estimate:
    """Share of the active units of these rows whose strongest point is one that the encoder saw; chance is 1/2."""
    return Estimate(lambda p: p.member_rate(rows), limits=(0.0, 1.0))


def beyond_chance(*rows: str) -> Estimate:
    """The member rate minus one half."""
    return Estimate(lambda p: p.member_rate(rows) - 0.5)


def accuracy(dataset: str) -> Estimate:
    """Accuracy of a linear probe on a data set, in [0, 1], mean of f and g."""
    return Estimate(lambda p: (p.f.accuracy(dataset) + p.g.accuracy(dataset)) / 2, limits=(0.0, 1.0))


# ---------------------------------------------------------------- of other encoders


def untrained(estimate: Estimate) -> Estimate:
    """The same of the encoders before training."""
    return Estimate(lambda p: estimate(p.before), estimate.grid, estimate.scale, estimate.limits)


def of(name: str, estimate: Estimate, other: bool = False) -> Estimate:
    """An estimate of one of the designs that are joined (`study.join`), or of its pair of other halves."""
    return Estimate(
        lambda p: estimate((p.other if other else p.here)[name]), estimate.grid, estimate.scale, estimate.limits
    )
