"""Claims of page 05_2_injection: does UnitMem show that a point was inserted into a unit (paper A, section 5.2)?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.claims.inserted import UNITS, WAYS, Run, tuned
from memlib.claims.pairs import interval
from memlib.claims.rules import MARGIN, Claim, Null, Verdict, correct, elsewhere, every, unlearned, verdict
from memlib.stats import Interval

if TYPE_CHECKING:
    import pandas as pd

PAGE = "05_2_injection"
TABLES = {"one": "table 13", "points": "table 14a", "copies": "table 14b"}
OVER = "encoders"

RISES = Claim(
    "rises",
    PAGE,
    "UnitMem of the unit with the highest UnitMem rises as a test point is inserted into it",
    "paper A, section 5.2 and table 13",
    ".754 to .826 in 1,000 epochs; one encoder, without controls",
    "UnitMem after the last epoch less before",
    OVER,
)
SILENT = Claim(
    "silent",
    PAGE,
    "UnitMem of a silent unit, or where none is silent of the lowest, rises as the point is inserted into it",
    "paper A, section 5.2 and table 13",
    "0 to .0109 in 1,000 epochs",
    "UnitMem after the last epoch less before",
    OVER,
)
REMAINS = Claim(
    "remains",
    PAGE,
    "The inserted point remains, or becomes, the strongest of the unit",
    "paper A, appendix B: details on fine-tuning with one test data point",
    "so in both units, without a number",
    "share of the later epochs at which it is, less chance",
    OVER,
)
OTHERS = Claim(
    "others",
    PAGE,
    "The units that are not meant change less",
    "not in paper A, which reports two units while the whole layer is trained",
    "no number",
    "rise of the highest unit less mean |change| of the other units",
    OVER,
)
SPECIFIC = Claim(
    "specific",
    PAGE,
    "It takes the unit's own strongest point: another test point raises UnitMem less",
    "not in paper A: a control",
    "no number",
    "rise by the unit's strongest point less rise by a random one",
    OVER,
)
SAME = Claim(
    "same",
    PAGE,
    "With many points inserted, the same point remains the most memorized one, in the silent or lowest unit too",
    "paper A, appendix C.1 and table 14a",
    "of 300 points, without a number",
    "share of the later epochs at which it is, less chance",
    OVER,
)
COPIES = Claim(
    "copies",
    PAGE,
    "One point many times raises UnitMem more than as many different points",
    "paper A, appendix C.1 and tables 14a and 14b",
    ".862 against .828, and .081 against .051 in the silent unit",
    "rise by copies of one point less rise by different points",
    OVER,
)
CLAIMS = (RISES, SILENT, REMAINS, OTHERS, SPECIFIC, SAME, COPIES)
OF_SILENT = (SILENT, REMAINS, SAME, COPIES)  # speak of a unit that was silent before
SHARE = 0.1  # of the epochs: a point that is the strongest at fewer beyond chance is not the unit's


def over(runs: Sequence[Run], of: Callable[..., float], *at: Any, step: float = 0.0) -> Interval:
    """Interval over encoders of a number of each run: `over(runs, Run.rise, "one", "unit alone", "highest")`.

    Args:
        step: grid that the number can only move on (see `stats.over_pairs`).
    """
    return interval([of(one, *at) for one in runs], sum(one.points for one in runs), step)


def called(runs: Sequence[Run], unit: str) -> str:
    """What a unit is called: a silent one is the `lowest` where some encoder has none that is silent."""
    return "lowest" if unit == "silent" and not all(one.quiet for one in runs) else unit


def between(runs: Sequence[Run], of: Callable[..., float], more: str, less: str, *at: Any) -> Interval:
    """What a number is with one insertion beyond what it is with another, within encoders."""
    return interval([of(one, more, *at) - of(one, less, *at) for one in runs], sum(one.points for one in runs))


def _alone(runs: Sequence[Run], of: Callable[..., float], inserted: str, way: str, unit: str) -> Null:
    """The same number with no point inserted."""
    found = over(runs, of, "none", way, unit)
    return Null("weight decay alone", found, between(runs, of, inserted, "none", way, unit))


def _rise(claim: Claim, runs: Sequence[Run], unit: str) -> Verdict:
    """The rise by one point, against what the optimizer does without a point."""
    parts = {}
    for way in WAYS:
        rise = over(runs, Run.rise, "one", way, unit)
        parts[way] = verdict(rise, 1, [_alone(runs, Run.rise, "one", way, unit)], MARGIN, claim=claim)
    return every(claim, parts)


def rises(runs: Sequence[Run]) -> Verdict:
    """The highest unit, tuned alone and with its layer."""
    return _rise(RISES, runs, "highest")


def silent(runs: Sequence[Run]) -> Verdict:
    """The silent unit, tuned alone and with its layer."""
    return _rise(SILENT, runs, "silent")


def _strongest(claim: Claim, inserted: str, runs: Sequence[Run]) -> Verdict:
    """Whether the point is the strongest of each unit; the silent unit's against no point.

    The highest unit has no such null: the point was chosen as its strongest before anything is inserted.
    """
    parts = {}
    for unit in UNITS:
        for way in WAYS:
            share = over(runs, Run.share, inserted, way, unit, step=1 / (len(runs[0].epochs) - 1))
            nulls = [_alone(runs, Run.share, inserted, way, unit)] if unit == "silent" else []
            parts[f"{called(runs, unit)} unit, {way}"] = verdict(share, 1, nulls, SHARE, claim=claim)
    return every(claim, parts)


def remains(runs: Sequence[Run]) -> Verdict:
    """The point is the strongest of both units after the start."""
    return _strongest(REMAINS, "one", runs)


def same(runs: Sequence[Run]) -> Verdict:
    """The point is the strongest of both units after many were inserted."""
    return _strongest(SAME, "points", runs)


def others(runs: Sequence[Run]) -> Verdict:
    """What the highest unit rises by beyond the mean change of those that nothing was to be inserted into."""
    found = {way: over(runs, Run.beyond_others, "one", way, "highest") for way in WAYS}
    return every(OTHERS, {way: verdict(more, 1, (), MARGIN, claim=OTHERS) for way, more in found.items()})


def _between(claim: Claim, runs: Sequence[Run], more: str, less: str, units: Sequence[str]) -> Verdict:
    """What UnitMem rises by with one insertion beyond another."""
    found = {f"{called(runs, u)} unit, {w}": between(runs, Run.rise, more, less, w, u) for u in units for w in WAYS}
    return every(claim, {name: verdict(gap, 1, (), MARGIN, claim=claim) for name, gap in found.items()})


def specific(runs: Sequence[Run]) -> Verdict:
    """The unit's strongest point against one at random."""
    return _between(SPECIFIC, runs, "one", "other", UNITS[:1])


def copies(runs: Sequence[Run]) -> Verdict:
    """Copies of one point against different points."""
    return _between(COPIES, runs, "copies", "points", UNITS)


def page(runs: Sequence[Run]) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    None is judged where a linear probe does not show that the encoders learned anything, and none of those that speak
    of a silent unit where no encoder has one.

    Raises:
        ValueError: Without runs.
    """
    if not runs:
        raise ValueError("no run of the experiment was given")
    found = correct([test(runs) for test in (rises, silent, remains, others, specific, same, copies)])
    gain = over(runs, Run.gain)
    lost = [] if len(runs) < 2 or gain.excludes_zero(1) else [f"these encoders (gain {gain})"]
    if not any(one.quiet for one in runs):
        asked, ran = {"unit": "a silent unit"}, {"unit": "the unit of the lowest UnitMem"}
        found = [elsewhere(v, asked, ran) if v.claim in OF_SILENT else v for v in found]
    return [unlearned(v, lost) for v in found]


def control_table(runs: Sequence[Run]) -> pd.DataFrame:
    """A row an insertion and way of tuning: what changed from the first to the last epoch.

    The rise of both units and a random one; the others' mean |change|; the point's activation of the highest unit, as
    (before, after); the distance of views at the output.
    """
    import pandas as pd

    rows = []
    for inserted in ("one", "other", "none", "points", "copies"):
        for way in WAYS:
            rows.append(
                {
                    "inserted": inserted,
                    "way": way,
                    **{unit: over(runs, Run.rise, inserted, way, unit) for unit in UNITS},
                    "random": over(runs, Run.rise, inserted, way, "random"),
                    "others": over(runs, Run.change, inserted, way, "highest"),
                    "activation": tuple(
                        float(np.mean([r.activation[inserted, tuned(way, "highest")][e, 0] for r in runs]))
                        for e in (0, -1)
                    ),
                    "view distance": over(runs, Run.moved, inserted, way, 0),
                    "of others": over(runs, Run.moved, inserted, way, 1),
                }
            )
    return pd.DataFrame(rows)


def takeaways(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> list[str]:
    """Three sentences, made from the page's numbers."""
    found = {v.claim.key: v for v in verdicts if v.claim}
    alone, layer = (over(runs, Run.rise, "one", way, "highest") for way in WAYS)
    quiet, decay = (over(runs, Run.rise, inserted, WAYS[0], "silent") for inserted in ("one", "none"))
    change = over(runs, Run.change, "one", WAYS[1], "highest")
    other = over(runs, Run.rise, "other", WAYS[0], "highest")
    return [
        f"In {runs[0].epochs[-1]:,} epochs on its strongest point UnitMem of the highest unit changes by {alone} "
        f"where it is tuned alone and by {layer} where its layer is: that it rises gets «{found['rises'].verdict}», "
        f"that the {called(runs, 'silent')} unit's does «{found['silent'].verdict}» ({quiet}; weight decay alone "
        f"{decay}).",
        f"Where the whole layer is tuned, as in the paper, the units that nothing was to be inserted into change by "
        f"{change} on average; a single unit leaves them at exactly the same score. That they change less than the "
        f"unit that is meant gets «{found['others'].verdict}».",
        f"A test point drawn at random changes UnitMem of the highest unit by {other}: that it takes the unit's own "
        f"point gets «{found['specific'].verdict}», and that copies of one point do more than different points "
        f"«{found['copies'].verdict}».",
    ]
