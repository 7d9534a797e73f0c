"""A pair of encoders as its distances, and the estimates that the claims are made from. Arrays only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from memlib.claims.rules import Claim, Null, Verdict, verdict
from memlib.stats import Interval, equivalence, log_ratio, over_pairs, unbounded

if TYPE_CHECKING:
    from memlib.claims.unitmem import Units

Array = NDArray[np.float64]
View = Literal["select", "score"]

S_S, S_C, S_I, S_E = 0, 1, 2, 3
SETS = {S_S: "S_S shared", S_C: "S_C candidates", S_I: "S_I independent", S_E: "S_E external"}
VIEWS: dict[View, int] = {"select": 0, "score": 1}


@dataclass(frozen=True)
class Pair:
    """One pair f, g: mean distances between views of each point, by layer.

    Attributes:
        align_f: layer -> [2, N], distances >= 0 from two independent sets of views ("select", "score").
        align_g: the same of g, on the same views of the same points.
        sets: [N], the set of each point seen from f: 0 S_S, 1 S_C, 2 S_I, 3 S_E.
    """

    align_f: Mapping[str, Array]
    align_g: Mapping[str, Array]
    sets: NDArray[np.int64]
    _logs: dict[str, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        codes = np.asarray(self.sets)
        if codes.ndim != 1 or not np.isin(codes, list(SETS)).all():
            raise ValueError("sets must be a vector of codes: 0 S_S, 1 S_C, 2 S_I, 3 S_E")
        if list(self.align_f) != list(self.align_g) or not self.align_f:
            raise ValueError(f"f and g need the same layers: got {list(self.align_f)} and {list(self.align_g)}")
        for side, table in (("f", self.align_f), ("g", self.align_g)):
            for layer, d in table.items():
                d = np.asarray(d)
                if d.shape != (2, codes.size) or not np.isfinite(d).all() or d.min(initial=0) < 0:
                    raise ValueError(
                        f"distances of {side}, layer {layer!r}: finite numbers >= 0 of shape (2, {codes.size}) "
                        f"are needed, got shape {d.shape}"
                    )

    def sslmem(self, layer: str, view: View | None = None) -> Array:
        """SSLMem' of every point [N] in [-1, 1] (eq. 2); view None: from the distances of both sets of views."""
        f, g = (np.asarray(t[layer], dtype=np.float64) for t in (self.align_f, self.align_g))
        f, g = (t.mean(0) if view is None else t[VIEWS[view]] for t in (f, g))
        return np.divide(g - f, g + f, out=np.zeros_like(f), where=g + f > 0)

    def of(self, layer: str, code: int, view: View | None = None) -> Array:
        """SSLMem' of the points of one set.

        Raises:
            ValueError: if the pair has no point in that set.
        """
        return self.sslmem(layer, view)[self._rows(code)]

    def log_ratio(self, layer: str, code: int) -> Array:
        """Half the log ratio of distances, from both sets of views, of the points of one set.

        Raises:
            ValueError: if the pair has no point in that set.
        """
        if layer not in self._logs:
            self._logs[layer] = log_ratio(self.sslmem(layer))
        return self._logs[layer][self._rows(code)]

    def _rows(self, code: int) -> NDArray[np.bool_]:
        """Which points are in a set, [N]."""
        if not (chosen := self.sets == code).any():
            raise ValueError(f"this pair has no points in {SETS[code]}: its design does not test what is asked")
        return chosen

    def has(self, *codes: int) -> bool:
        """Whether the pair has points in all of these sets."""
        return all((self.sets == c).any() for c in codes)

    def permuted(self, seed: int = 0) -> Pair:
        """The same distances with membership drawn anew: a null that keeps every offset between f and g."""
        drawn = copy(self)  # with what was computed from the distances, which stay
        object.__setattr__(drawn, "sets", np.random.default_rng(seed).permutation(self.sets))
        return drawn


def pair(f: Any, g: Any) -> Pair:
    """The pair of two measured encoders (`tables.Table`).

    Raises:
        ValueError: if they were not measured on the same points.
    """
    if not (np.array_equal(f.points, g.points) and np.array_equal(f.sets, g.sets)):
        raise ValueError("f and g were measured on different points: take two encoders of one design and split seed")
    return Pair(f.align, g.align, f.sets)


class Evidence(Protocol):
    """What counts as one: a pair of encoders, or several that are compared."""

    @property
    def sets(self) -> NDArray[np.int64]:
        """The set of each point."""

    def permuted(self, seed: int = 0) -> Self:
        """The same with membership drawn anew."""


Nulls = Mapping[str, Sequence[Pair]]
Estimate = Callable[[Pair], float]
E = TypeVar("E", bound=Evidence)
PERMUTATIONS = 20  # of membership, for rank correlations: each of them is nearly +1 or -1, whichever set has more


class Measured(Protocol):
    """The encoders of one design, as `tables.Study` has them: what pages compare that have several designs."""

    @property
    def pairs(self) -> Sequence[Pair]:
        """f and g of each pair."""

    @property
    def nulls(self) -> Nulls:
        """Name -> pairs with nothing to find."""

    @property
    def units(self) -> Sequence[Units]:
        """The units of all encoders, f and g of the first pair first."""

    @property
    def untrained(self) -> Sequence[Units]:
        """The same before training."""


def mirror(pair: Pair, layer: str) -> float:
    """Mirrored estimate of one pair, as half a log ratio of distances (close to SSLMem' where small)."""
    return float(pair.log_ratio(layer, S_C).mean() - pair.log_ratio(layer, S_I).mean()) / 2


def mirror_at(layer: str) -> Estimate:
    """Mirrored estimate of a layer."""
    return lambda pair: mirror(pair, layer)


def mean_of(layer: str, code: int) -> Estimate:
    """Mean SSLMem' of a set."""
    return lambda pair: float(pair.of(layer, code).mean())


def gap(layer: str, first: int, second: int) -> Estimate:
    """Mean SSLMem' of one set less that of another of the same pair: what offsets f and g have cancels."""
    return lambda pair: float(pair.of(layer, first).mean() - pair.of(layer, second).mean())


def interval(values: Sequence[float], points: int, step: float = 0.0) -> Interval:
    """Interval of one estimate a pair (or encoder); a single one has no bounds.

    Raises:
        ValueError: without any.
    """
    if not len(values):
        raise ValueError("no pairs of encoders were given")
    return over_pairs(values, points, step=step) if len(values) > 1 else unbounded(float(values[0]), points)


def judge(
    claim: Claim,
    estimate: Callable[[E], float],
    pairs: Sequence[E],
    nulls: Mapping[str, Sequence[E]] | None = None,
    sign: int = 1,
    margin: float | None = None,
    control: Callable[[E], float] | None = None,
    step: float = 0.0,
    spread: bool = False,
    permutations: int = 1,
) -> Verdict:
    """Judge an estimate over pairs against its nulls: those given, permuted membership, and a control set.

    Args:
        nulls: name -> pairs in which there is nothing to find, in the same layout (untrained encoders; f and g
            trained on the same points with different seeds).
        control: the same number on points that neither encoder saw.
        step: see `stats.over_pairs`.
        spread: the estimate grows with the spread of a set's scores. Permuted sets mix S_C and S_I, whose scores
            memorization moves apart, so they spread most where there is most to find: they are no null for it.
        permutations: of membership, whose mean is the null of a pair. One leaves chance's excess of S_C in the one
            set, which has memorization's own profile over layers.
    """
    points = sum(p.sets.size for p in pairs)
    values = np.array([estimate(p) for p in pairs])
    # numbers of the same pairs, so that the excess over them is taken within pairs
    within: dict[str, list[float]] = {}
    if not spread:
        drawn = [[estimate(p.permuted(i + len(pairs) * k)) for k in range(permutations)] for i, p in enumerate(pairs)]
        within["permuted membership"] = [float(np.mean(one)) for one in drawn]
    if control:
        within["points that neither saw"] = [control(p) for p in pairs]
    found = []
    for name, null in (nulls or {}).items():
        found.append(Null(name, interval([estimate(p) for p in null], sum(p.sets.size for p in null), step)))
    for name, same in within.items():
        more = interval((values - same).tolist(), points, step)
        found.append(Null(name, interval(same, points, step), more))
    return verdict(interval(values.tolist(), points, step), sign, found, margin, claim=claim)


def negligible(
    claim: Claim, estimate: Callable[[E], float], pairs: Sequence[E], beside: Callable[[E], float], share: float
) -> Verdict:
    """Judge that an estimate is small beside another one of the same pairs: within a share of it (TOST).

    Margin and estimate come from the same pairs, so the test is on their contrasts and the margin's own uncertainty
    counts.
    """
    values = [estimate(p) for p in pairs]
    margins = share * np.array([beside(p) for p in pairs])
    margin = max(float(margins.mean()), 0.0)  # nothing there: no difference is small beside it
    p = equivalence(values, margins) if len(pairs) > 1 else 1.0
    return verdict(interval(values, sum(one.sets.size for one in pairs)), 0, (), margin, p, claim=claim)
