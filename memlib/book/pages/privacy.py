"""Page 05_1_privacy: what does differential privacy take from the units of an MAE (section 5.1, Fig. 1c)?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import profiles, show
from memlib.book.claims import Effect, Found, NotJudged, Page, memorizes
from memlib.book.estimates import HIGH, beyond_chance, member_rate, mirrored, of, share_high, unitmem, untrained
from memlib.book.pieces import Pieces
from memlib.book.study import Joined, Study, design, join
from memlib.book.words import SHARE, UNSEEN, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATTERS = 0.01  # of UnitMem, which lies in [0, 1]
CHANCE = 0.02  # a member rate within .02 of one half is taken as chance: 5 of 256 units
SIDES = ("seen", "unseen")


def level(study: Study) -> str:
    """The name of a design's level of privacy."""
    epsilon = study.spec["epsilon"]
    return "ε = ∞" if epsilon is None else f"ε = {epsilon:g}"


def joined(scale: str, **sizes: Any) -> Pieces[Joined]:
    """Levels of privacy side by side, by their names."""
    studies = [design(scale, name, **sizes) for name in ("vit_mae", "dp20", "dp8")]
    return join({level(study): study for study in studies})


page = Page("05_1_privacy", source="LayerMem paper, section 5.1 and Fig. 1c", takes=joined)


def rows(levels: Pieces[Joined]) -> list[str]:
    """The rows with units, in forward order."""
    return next(iter(levels.studies.values())).unit_rows


def fall(levels: Pieces[Joined], more: str, less: str) -> Effect:
    """What UnitMem falls by from one level to another, against the same on points that the encoders did not see."""
    scores = {which: unitmem(rows(levels), which) for which in SIDES}
    seen, unseen = (of(more, score) - of(less, score) for score in scores.values())
    return Effect(seen, MATTERS, control=unseen)


def without(levels: Pieces[Joined]) -> NotJudged | None:
    """Why nothing can fall: encoders without privacy have to memorize, and private ones need not."""
    reason = memorizes(next(iter(levels.studies.values())))
    return NotJudged(f"Without privacy, {reason[0].lower()}{reason[1:]}") if reason else None


# ---------------------------------------------------------------- claims


@page.claim(
    "Units memorize less under differential privacy: average UnitMem decreases",
    paper="average UnitMem decreases with increasing privacy, without unseen points as a control",
    ids=("A78",),
    above="UnitMem [falls|rises] by {} from no privacy to the most",
    control=UNSEEN,
    scale=Scale(3),
    needs=(),
)
def falls(levels: Pieces[Joined]) -> Found:
    first, *_, last = levels.studies
    return without(levels) or fall(levels, first, last)


@page.claim(
    "The more privacy, the less: average UnitMem decreases from each level to the next",
    paper="three levels: ε = ∞, 20 and 8",
    ids=("A79",),
    above="From {part} UnitMem [falls|rises] by {}",
    control=UNSEEN,
    scale=Scale(3),
    parts="steps",
    needs=(),
)
def steps(levels: Pieces[Joined]) -> Found:
    names = {f"{a[4:]} to {b[4:]}": (a, b) for a, b in pairwise(levels.studies)}
    return without(levels) or {name: fall(levels, *two) for name, two in names.items()}


@page.claim(
    "At the highest level of privacy, highly memorizing units remain",
    paper="individual units with high memorization at every level",
    ids=("A80",),
    above="The share of units with UnitMem above .5 is {}",
    control=UNSEEN,
    scale=SHARE,
    needs=(),
)
def remain(levels: Pieces[Joined]) -> Found:
    last = list(levels.studies.values())[-1]
    seen, unseen = (share_high(rows(levels), which) for which in SIDES)
    return Effect(seen, 0.1, control=unseen, over=last)


@page.claim(
    "Under privacy a unit's strongest point is a training point no more often than by chance",
    paper="not in the paper: what privacy is meant to achieve",
    ids=("A81",),
    above="At {part} the member rate [exceeds one|falls short of] half by {}",
    scale=Scale(3),
    parts="levels",
    needs=(),
)
def members(levels: Pieces[Joined]) -> Found:
    rate = beyond_chance(*rows(levels))
    return {name: Effect(rate, CHANCE, sign=0, over=study) for name, study in list(levels.studies.items())[1:]}


@page.claim(
    "Under privacy the output holds the views of training points no closer together than those of others",
    paper="not in the paper: what privacy is meant to achieve",
    ids=("A81",),
    above="At {part} the output memorizes {}",
    parts="levels",
    needs=(),
)
def aligned(levels: Pieces[Joined]) -> Found:
    at, (first, *private) = mirrored("output"), levels.studies
    return without(levels) or {n: Effect(of(n, at), 0.1, of(first, at), sign=0) for n in private}


# ---------------------------------------------------------------- what is shown


def guarantees(studies: Mapping[str, Study]) -> show.Html:
    """The privacy that each encoder reached, as its training accounted for it."""
    found = []
    for name, study in studies.items():
        for one in study.tables:
            spec, training = one.header["encoder"], one.header["training"]
            private = training.get("private") or {}
            found.append(
                {
                    "level": name,
                    "encoder": one.header["name"],
                    "ε asked for": private.get("target", np.inf),
                    "ε reached": private.get("epsilon", np.inf),
                    "δ": private.get("delta"),
                    "noise multiplier": private.get("noise_multiplier"),
                    "clip": private.get("clip"),
                    "batch": spec["batch"],
                    "steps": training["steps"],
                    "points": training["points"],
                }
            )
    digits = {"ε asked for": "g", "ε reached": ".3f", "δ": "g", "noise multiplier": ".3f", "clip": "g"}
    return show.table(found, digits)


def means(studies: Mapping[str, Study]) -> Figure:
    """Mean UnitMem by level on points that the encoders saw, on as many that they did not, and before training."""
    series = {
        "seen": {name: study.over(unitmem(study.unit_rows)) for name, study in studies.items()},
        "unseen": {name: study.over(unitmem(study.unit_rows, "unseen")) for name, study in studies.items()},
        "untrained": {name: study.over(untrained(unitmem(study.unit_rows))) for name, study in studies.items()},
    }
    return show.intervals(series, "mean UnitMem", "level of privacy", controls=["unseen", "untrained"])


def distributions(studies: Mapping[str, Study]) -> Figure:
    """Distribution of UnitMem over all units (Fig. 1c), a panel a level: seen points, unseen points, untrained."""
    series = {name: profiles.units(study, *study.unit_rows) for name, study in studies.items()}
    return show.histograms(series, "UnitMem of a unit", lines={"high": HIGH}, limits=(0, 1))


def by_level(studies: Mapping[str, Study]) -> show.Html:
    """UnitMem and its controls, the member rate and the mirrored estimate by level; the paper printed no numbers."""
    found = []
    for name, study in studies.items():
        units = study.unit_rows
        found.append(
            {
                "level": name,
                "UnitMem, seen": study.over(unitmem(units)),
                "unseen": study.over(unitmem(units, "unseen")),
                "seen minus unseen": study.over(unitmem(units) - unitmem(units, "unseen")),
                "untrained": study.over(untrained(unitmem(units))),
                "UnitMem ≥ .5, seen (%)": study.over(share_high(units)).mean,
                "unseen (%)": study.over(share_high(units, "unseen")).mean,
                "untrained (%)": study.over(untrained(share_high(units))).mean,
                "member rate": study.over(member_rate(*units)),
                "mirrored LayerMem, output": study.over(mirrored("output")),
            }
        )
    return show.table(found, dict.fromkeys((name for name in found[0] if name.endswith("(%)")), "%"))


def by_layer(studies: Mapping[str, Study]) -> Figure:
    """By layer and level: mean UnitMem on seen points, what it exceeds that on unseen ones by, the member rate."""
    numbers = {
        "UnitMem on seen points": unitmem,
        "seen minus unseen": lambda row: unitmem(row) - unitmem(row, "unseen"),
        "member rate": member_rate,
    }
    series = {
        words: {name: {row: study.over(one(row)) for row in study.unit_rows} for name, study in studies.items()}
        for words, one in numbers.items()
    }
    return show.curves(series, "layer", joined=False)


def answer(studies: Mapping[str, Study]) -> str:
    """How often a unit prefers a training point, at every level."""
    units = next(iter(studies.values())).unit_rows
    said = ", ".join(f"{study.over(member_rate(*units))} at {name}" for name, study in studies.items())
    return f"The share of units whose strongest point is a training point is {said}; .5 is chance."
