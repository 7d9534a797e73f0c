"""Claims of page 05_1_privacy: what does differential privacy take from the units of an MAE (paper A, Fig. 1c)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from memlib.claims.arms import Arm, contrast, each, judge, member_rate, unlearned_of
from memlib.claims.pairs import S_C, S_I, mirror_at
from memlib.claims.pairs import judge as judge_pairs
from memlib.claims.rules import MARGIN, Claim, Verdict, correct, every, unlearned, verdict
from memlib.claims.unitmem import CHANCE, HIGH, Units, share_high
from memlib.stats import Interval, mirrored_pairs

if TYPE_CHECKING:
    import pandas as pd

PAGE = "05_1_privacy"
UNSEEN = "points that the encoders did not see"
Side = Literal["seen", "unseen"]

FALLS = Claim(
    "falls",
    PAGE,
    "Units memorize less under differential privacy: average UnitMem decreases",
    "paper A, section 5.1 and Fig. 1c",
    "average UnitMem decreases with increasing privacy, without unseen points as a control",
    "mean UnitMem without privacy less that of the most private",
    "pairs of encoders",
)
STEPS = Claim(
    "steps",
    PAGE,
    "The more privacy, the less: average UnitMem decreases from each level to the next",
    "paper A, section 5.1 and Fig. 1c",
    "three levels: ε = ∞, 20 and 8",
    "mean UnitMem of one level less that of the next",
    "pairs of encoders",
)
REMAIN = Claim(
    "remain",
    PAGE,
    "At the highest level of privacy there remain units that memorize highly",
    "paper A, section 5.1 and Fig. 1c",
    "individual units with high memorization at every level",
    f"share of units with UnitMem >= {HIGH:g}",
    "pairs of encoders",
)
MEMBERS = Claim(
    "members",
    PAGE,
    "Under privacy a unit's strongest point is a training point no more often than by chance",
    "not in paper A: what privacy is to bring about",
    "no number",
    "member rate less 1/2",
    "pairs of encoders",
)
ALIGNED = Claim(
    "aligned",
    PAGE,
    "Under privacy the output holds the views of training points no closer together than those of others",
    "not in paper A: what privacy is to bring about",
    "no number",
    "mirrored estimate at the output",
)
CLAIMS = (FALLS, STEPS, REMAIN, MEMBERS, ALIGNED)


def level(epsilon: float | None) -> str:
    """The name of a level of privacy."""
    return "ε = ∞" if epsilon is None else f"ε = {epsilon:g}"


def average(layers: Sequence[str], side: Side = "seen") -> Callable[[Units], float]:
    """Mean UnitMem of all units of these layers."""
    return lambda units: float(np.mean(_all(units, layers, side)))


def beyond(layers: Sequence[str]) -> Callable[[Units], float]:
    """What mean UnitMem on seen points exceeds that on unseen ones by."""
    seen, unseen = average(layers), average(layers, "unseen")
    return lambda units: seen(units) - unseen(units)


def high(layers: Sequence[str], side: Side = "seen") -> Callable[[Units], float]:
    """Share of the units of these layers with UnitMem >= .5."""
    return lambda units: share_high(_all(units, layers, side))


def _all(units: Units, layers: Sequence[str], side: Side) -> np.ndarray:
    return np.concatenate([getattr(units, side)[layer] for layer in layers])


def _less(claim: Claim, more: Arm, less: Arm, layers: Sequence[str]) -> Verdict:
    """What UnitMem of one level exceeds another's by, against the same on unseen points."""
    return judge(claim, each(average(layers)), more, less, (UNSEEN, each(average(layers, "unseen"))))


def falls(arms: Mapping[str, Arm], layers: Sequence[str]) -> Verdict:
    """Mean UnitMem of the first level less that of the last."""
    first, *_, last = arms.values()
    return _less(FALLS, first, last, layers)


def steps(arms: Mapping[str, Arm], layers: Sequence[str]) -> Verdict:
    """Mean UnitMem of each level less that of the next."""
    parts = {f"{a} to {b}": _less(STEPS, arms[a], arms[b], layers) for a, b in pairwise(arms)}
    return every(STEPS, parts)


def remain(arms: Mapping[str, Arm], layers: Sequence[str]) -> Verdict:
    """Share of the last level's units with UnitMem >= .5, against unseen points and untrained encoders."""
    return judge(REMAIN, each(high(layers)), list(arms.values())[-1], None, (UNSEEN, each(high(layers, "unseen"))))


def members(arms: Mapping[str, Arm], layers: Sequence[str]) -> Verdict:
    """Member rate within .02 of chance at every private level (TOST)."""
    rates = {name: member_rate(arm.units, layers) for name, arm in _private(arms).items()}
    return every(MEMBERS, {name: verdict(rate.excess, 0, (), CHANCE, claim=MEMBERS) for name, rate in rates.items()})


def aligned(arms: Mapping[str, Arm]) -> Verdict:
    """Mirrored estimate at the output within .005 of zero at every private level (TOST)."""
    at = mirror_at("output")
    private = _private(arms)
    return every(ALIGNED, {n: judge_pairs(ALIGNED, at, a.pairs, sign=0, margin=MARGIN) for n, a in private.items()})


def _private(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    return dict(list(arms.items())[1:])


def page(arms: Mapping[str, Arm], layers: Sequence[str]) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm); each is about every level.

    None is judged where the probes of a level do not show that its encoders learned anything.

    Args:
        arms: level -> its encoders, without privacy first and the most private last.
        layers: those with units, in forward order.

    Raises:
        ValueError: for fewer than two levels.
    """
    if len(arms) < 2:
        raise ValueError(f"privacy is compared between levels, two or more of them: got {list(arms)}")
    found = correct(
        [falls(arms, layers), steps(arms, layers), remain(arms, layers), members(arms, layers), aligned(arms)]
    )
    return [unlearned(one, unlearned_of(arms)) for one in found]


def mirrored(arm: Arm, layer: str = "output") -> Interval:
    """Mirrored LayerMem of a layer over the pairs of an arm."""
    return mirrored_pairs([(p.of(layer, S_C), p.of(layer, S_I)) for p in arm.pairs])


def level_table(arms: Mapping[str, Arm], layers: Sequence[str]) -> pd.DataFrame:
    """A row a level: UnitMem seen, unseen and before training, shares >= .5, member rate, mirrored LayerMem."""
    import pandas as pd

    rows = []
    for name, arm in arms.items():
        found = {
            "UnitMem": contrast(arm, None, each(average(layers))),
            "unseen": contrast(arm, None, each(average(layers, "unseen"))),
            "more": contrast(arm, None, each(beyond(layers))),
            "high": contrast(arm, None, each(high(layers))),
            "high unseen": contrast(arm, None, each(high(layers, "unseen"))),
            "member rate": member_rate(arm.units, layers).interval,
            "mirrored": mirrored(arm),
        }
        if arm.untrained:
            found["untrained"] = contrast(arm.before, None, each(average(layers)))
            found["high untrained"] = contrast(arm.before, None, each(high(layers)))
        rows.append({"level": name} | found)
    return pd.DataFrame(rows)


def takeaways(arms: Mapping[str, Arm], verdicts: Sequence[Verdict], layers: Sequence[str]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    found, table = {v.claim.key: v for v in verdicts if v.claim}, level_table(arms, layers).set_index("level")

    def by_level(column: str) -> str:
        return ", ".join(f"{table.loc[n, column]} at {n}" for n in table.index)

    open_rate = table["member rate"].iloc[0]
    shown = open_rate.low > 0.5
    return [
        f"Mean UnitMem is {by_level('UnitMem')}; on as many unseen points it is {by_level('unseen')}. That units "
        f"memorize less under privacy gets «{found['falls'].verdict}»: what falls on seen points falls on unseen "
        f"ones by {found['falls'].nulls[0].interval}.",
        f"At {table.index[-1]}, {_percent(table['high'].iloc[-1])} of the units have a UnitMem of .5 and more, on "
        f"unseen points {_percent(table['high unseen'].iloc[-1])}: that highly memorizing units remain gets "
        f"«{found['remain'].verdict}».",
        f"The member rate is {by_level('member rate')}, where .5 is chance: that it is at chance under privacy gets "
        f"«{found['members'].verdict}»"
        + (
            "."
            if shown
            else f", and as it is not shown to be above chance at {table.index[0]} either, privacy cannot be said to "
            "have lowered it."
        ),
    ]


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.0f} %"
