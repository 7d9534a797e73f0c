"""Claims of page 05_1_unitmem: are highly memorizing units spread over the entire encoder (paper A, section 5.1)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memlib.claims.pairs import S_C, S_I, Array, interval
from memlib.claims.rules import Claim, Null, Verdict, correct, every, verdict
from memlib.stats import MemberRate, complementary, kendall, member_rate_test

if TYPE_CHECKING:
    import pandas as pd

PAGE = "05_1_unitmem"
CHANCE = 0.02  # a member rate within .02 of its null is taken as chance: 5 of 256 units
HIGH = 0.5  # a unit with UnitMem from here on is called highly memorizing

FIRST = Claim(
    "first-layer",
    PAGE,
    "Units of the first layer memorize training points",
    "paper A, section 5.1, Fig. 1a and Fig. 3",
    "the first layer has highly memorizing units (Table 11: mean .507 on the most memorized points)",
    "mean UnitMem of layer 1",
    "pairs of encoders",
)
SPREAD = Claim(
    "spread",
    PAGE,
    "Memorizing units are spread over the entire encoder: in every layer they respond most to training points",
    "paper A, section 5.1",
    "UnitMem alone, without unseen points or another control",
    "member rate less 1/2",
    "pairs of encoders",
)
DEEPER = Claim(
    "deeper",
    PAGE,
    "Units of deeper layers memorize more on average",
    "paper A, section 5.1 and Fig. 3",
    "earlier layers lower on average (Table 11: .507 to .522 on the most memorized points)",
    "Kendall's tau of mean UnitMem and depth",
    "pairs of encoders",
)
FRACTION = Claim(
    "fraction",
    PAGE,
    "A considerable share of the last convolution's units memorizes single training points",
    "paper A, Fig. 1a and section 5.1",
    "histogram of Fig. 1a, no number",
    f"share of units with UnitMem >= {HIGH:g}",
    "pairs of encoders",
)
CLAIMS = (FIRST, SPREAD, DEEPER, FRACTION)


@dataclass(frozen=True)
class Units:
    """The units of one encoder, by layer.

    Attributes:
        seen: layer -> UnitMem [U] on points that the encoder was trained on.
        unseen: the same on as many points that it was not trained on.
        strongest: layer -> index [U] of each unit's strongest point, among both sets together (N points).
        active: layer -> [U] bool, whether any point activates the unit.
        member: [N] bool, which of the points the encoder was trained on.
        classmem: layer -> ClassMem [U] on all points that it was trained on; empty where it was not measured.
        classmem_unseen: the same on points that it was not trained on.
        classmem_shuffled: the same as `classmem` with labels permuted over the points.
    """

    seen: Mapping[str, Array]
    unseen: Mapping[str, Array]
    strongest: Mapping[str, NDArray[np.int64]]
    active: Mapping[str, NDArray[np.bool_]]
    member: NDArray[np.bool_]
    classmem: Mapping[str, Array] = field(default_factory=dict)
    classmem_unseen: Mapping[str, Array] = field(default_factory=dict)
    classmem_shuffled: Mapping[str, Array] = field(default_factory=dict)


def units(table: Any) -> Units:
    """The units of a measured encoder (`tables.Table`), with the points that its member rate compares."""
    told, n = np.isin(table.sets, (S_C, S_I)), table.header["points_a_set"]
    # as many of the one as of the other: the first n of each, as they were measured
    compared = np.flatnonzero(told & (_first(told & table.seen, n) | _first(told & ~table.seen, n)))
    place = np.full(told.size, told.size)  # an index that the test refuses, for rows that are not compared
    place[compared] = np.arange(compared.size)
    strongest = {layer: place[rows] for layer, rows in table.top_row.items()}
    return Units(
        table.unitmem["seen"],
        table.unitmem["unseen"],
        strongest,
        table.active,
        table.seen[compared].astype(bool),
        table.classmem,
        table.classmem_unseen,
        table.classmem_shuffled,
    )


def _first(mask: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    return mask & (np.cumsum(mask) <= n)


def member_rate(encoders: Sequence[Units], layer: str) -> MemberRate:
    """Share of a layer's active units whose strongest point is a member, over encoders (statistics, 11)."""
    return member_rate_test(
        [e.strongest[layer] for e in encoders], [e.member for e in encoders], [e.active[layer] for e in encoders]
    )


def first_layer(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> Verdict:
    """Mean UnitMem of the first layer on seen points, against unseen ones and untrained encoders."""
    return _against(FIRST, lambda table: float(np.mean(table[layers[0]])), encoders, untrained)


def fraction(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> Verdict:
    """Share of the last layer's units with UnitMem >= .5, against unseen points and untrained encoders."""
    return _against(FRACTION, lambda table: share_high(table[layers[-1]]), encoders, untrained)


def deeper(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> Verdict:
    """Kendall's tau of mean UnitMem and depth, against unseen points and untrained encoders."""

    def tau(table: Mapping[str, Array]) -> float:
        means = [float(np.mean(table[layer])) for layer in layers]
        return kendall(np.arange(len(layers)), means)[0] if np.ptp(means) else 0.0

    return _against(DEEPER, tau, encoders, untrained, step=4 / (len(layers) * (len(layers) - 1)))


def spread(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> Verdict:
    """Member rate above chance in every layer; the rate itself has chance as its null."""
    parts = {}
    for layer in layers:
        rate = member_rate(encoders, layer).excess
        nulls = [Null("untrained encoders", member_rate(untrained, layer).excess)] if len(untrained) > 1 else []
        parts[layer] = verdict(rate, 1, nulls, margin=CHANCE, claim=SPREAD)
    return every(SPREAD, parts)


def share_high(unitmem: Array) -> float:
    """Share of units with UnitMem of .5 and more, in [0, 1]."""
    return float((np.asarray(unitmem) >= HIGH).mean())


def page(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    Args:
        layers: the convolutions `1` to `8` in forward order.
        untrained: the same encoders before training.
    """
    claims = (first_layer, spread, deeper, fraction)
    return correct([claim(encoders, layers, untrained) for claim in claims])


def layer_table(encoders: Sequence[Units], layers: Sequence[str], untrained: Sequence[Units] = ()) -> pd.DataFrame:
    """A row a layer: mean UnitMem seen, unseen and untrained, shares >= .5, and the member rate with its interval."""
    import pandas as pd

    rows = []
    for layer in layers:
        rate = member_rate(encoders, layer)
        tables = {"seen": [e.seen for e in encoders], "unseen": [e.unseen for e in encoders]}
        if untrained:
            tables["untrained"] = [e.seen for e in untrained]
        means = {name: float(np.mean([t[layer].mean() for t in ts])) for name, ts in tables.items()}
        high = {f"high {name}": float(np.mean([share_high(t[layer]) for t in ts])) for name, ts in tables.items()}
        i = rate.interval
        rows.append({"layer": layer, **means, **high, "member rate": i.mean, "low": i.low, "high": i.high, "p": i.p})
    return pd.DataFrame(rows)


def _against(
    claim: Claim,
    estimate: Callable[[Mapping[str, Array]], float],
    encoders: Sequence[Units],
    untrained: Sequence[Units],
    step: float = 0.0,
) -> Verdict:
    """An estimate of UnitMem on seen points against the same on unseen points and on untrained encoders."""
    points = sum(e.member.size for e in encoders) // 2
    seen, unseen = _values(encoders, lambda e: estimate(e.seen)), _values(encoders, lambda e: estimate(e.unseen))
    more = interval(np.subtract(seen, unseen).tolist(), 2 * points, step)
    nulls = [Null("points that the encoders did not see", interval(unseen, points, step), more)]
    if untrained:
        before = _values(untrained, lambda e: estimate(e.seen))
        nulls.append(Null("untrained encoders", interval(before, points, step)))
    return verdict(interval(seen, points, step), 1, nulls, claim=claim)


def _values(encoders: Sequence[Units], estimate: Callable[[Units], float]) -> list[float]:
    """The estimate of each piece of evidence: of encoders of complementary halves their mean."""
    groups = complementary([e.member for e in encoders])
    return [float(np.mean([estimate(encoders[e]) for e in group])) for group in groups]
