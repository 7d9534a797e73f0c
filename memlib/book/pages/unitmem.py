"""Page 05_1_unitmem: are memorizing units spread over the encoder (LayerMem paper, section 5.1, Figs. 1a and 3)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import show
from memlib.book.claims import Effect, Found, Judged, NotJudged, Page
from memlib.book.designs import designs
from memlib.book.estimates import HIGH, beyond_chance, member_rate, of, rank, share_high, unitmem, untrained
from memlib.book.profiles import units
from memlib.book.study import Study, design, join
from memlib.book.verdicts import HOLDS
from memlib.book.words import DIFFERENCE, SHARE, TAU

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIMPLE = "SVHN"
LINE = {"highly memorizing": HIGH}
UNSEEN = "On as many unseen points it is {}"

DATA_SETS = {"CIFAR10": "base", "CIFAR100": "ssl", "STL10": "stl10", "SVHN": "donors_svhn"}  # {name: its design}
FIG_1A = "LayerMem paper, section 5.1 and Fig. 1a"


def taken(scale: str, **sizes: Any) -> tuple[Study, Mapping[str, Study]]:
    """The pairs of CIFAR10, and of every data set that the scale has an encoder of."""
    base = design(scale, "base", **sizes)
    own = {name: design(scale, where) for name, where in DATA_SETS.items() if where in designs(scale)}
    return base, own | {"CIFAR10": base}


page = Page("05_1_unitmem", source="LayerMem paper, section 5.1 and Fig. 3", takes=taken)


# ---------------------------------------------------------------- claims


@page.claim(
    "Memorizing units are spread over the entire encoder, as in every layer they respond most to training points",
    paper="UnitMem alone, without unseen points or another control",
    ids=("A69",),
    above="{} [more|fewer] of layer {part}'s units prefer training points than by chance",
    scale=DIFFERENCE,
    parts="layers",
)
def spread(study: Study, *_: Any) -> dict[str, Effect]:
    return {row: Effect(beyond_chance(row), margin=0.1) for row in study.convolutions}


@page.claim(
    "The first layer has highly memorizing units",
    paper="UnitMem of layer 1 up to .845 (Table 34), of .507 on average on the most memorized points (Table 11)",
    ids=("A70",),
    above="{} of the first layer's units memorize highly",
    control=UNSEEN,
    scale=SHARE,
)
def first(study: Study, *_: Any) -> Effect:
    return high(study.convolutions[0])


@page.claim(
    "Units of deeper layers memorize more on average",
    paper="mean UnitMem from .366 in layer 1 to .409 in layer 8 (Table 34)",
    ids=("A71",),
    above="Kendall's τ of mean UnitMem and depth is {}",
    control=UNSEEN,
    scale=TAU,
)
def deeper(study: Study, *_: Any) -> Effect:
    seen, unseen = (rank([unitmem(row, of) for row in study.convolutions]) for of in ("seen", "unseen"))
    return Effect(seen, margin=0.1, control=unseen)


@page.claim(
    "A considerable share of the last convolution's units memorizes single training points",
    paper="histogram of Fig. 1a, no number",
    ids=("A72",),
    source=FIG_1A,
    above="{} of the last convolution's units memorize highly",
    control=UNSEEN,
    scale=SHARE,
)
def fraction(study: Study, *_: Any) -> Effect:
    return high(study.convolutions[-1])


@page.claim(
    "Highly memorizing units are spread over the encoder, whatever the data set",
    paper="histograms of CIFAR10, STL10 and SVHN, no number",
    ids=("A73",),
    source=FIG_1A,
    above="On {part} {} of the units of all layers memorize highly",
    control=UNSEEN,
    scale=SHARE,
    parts="data sets",
)
def everywhere(_: Study, studies: Mapping[str, Study]) -> dict[str, Effect]:
    return {name: replace(high(study.convolutions), over=study) for name, study in studies.items()}


@page.claim(
    "SVHN, which is simpler to see, has the fewest highly memorizing units",
    paper="the lowest histogram of three, no number",
    ids=("A74",),
    source=FIG_1A,
    above="On {part} [more|fewer] units of all layers memorize highly, by {}",
    control=UNSEEN,
    scale=DIFFERENCE,
    parts="data sets",
)
def fewest(_: Study, studies: Mapping[str, Study]) -> Found:
    if SIMPLE not in studies:
        return NotJudged(f"Encoders of {SIMPLE} did not run; the data sets that did are {', '.join(studies)}.")
    found = {}
    for name in [name for name in studies if name != SIMPLE]:
        both = {one: studies[one] for one in (name, SIMPLE)}
        rows = both[name].convolutions
        seen, unseen = (of(name, share_high(rows, w)) - of(SIMPLE, share_high(rows, w)) for w in ("seen", "unseen"))
        found[name] = Effect(seen, margin=0.1, control=unseen, over=join(both, same_points=False))
    return found


def high(rows: str | Sequence[str]) -> Effect:
    """The share of these rows' units with a UnitMem of .5 and more, against that on unseen points."""
    return Effect(share_high(rows), margin=0.1, control=share_high(rows, "unseen"))


# ---------------------------------------------------------------- what is shown


def member_rates(study: Study) -> Figure:
    """Share of units whose strongest point was trained on, by layer, after and before training, against chance."""
    rates = {row: member_rate(row) for row in study.convolutions}
    series = {
        "trained encoders": {row: study.over(rate) for row, rate in rates.items()},
        "untrained, the same before": {row: study.over(untrained(rate)) for row, rate in rates.items()},
    }
    words = "units whose strongest point was trained on"
    return show.curves(series, "layer", words, lines={"chance": 0.5}, joined=False)


def layer_table(study: Study) -> show.Html:
    """UnitMem, the share of highly memorizing units, and the member rate by layer."""
    cells = [
        {
            "layer": row,
            "UnitMem, seen": study.over(unitmem(row)),
            "UnitMem, unseen": study.over(unitmem(row, "unseen")),
            "UnitMem, untrained": study.over(untrained(unitmem(row))),
            "% of units from .5 on, seen": study.over(share_high(row)),
            "% from .5 on, unseen": study.over(share_high(row, "unseen")),
            "% from .5 on, untrained": study.over(untrained(share_high(row))),
            "member rate": study.over(member_rate(row)),
        }
        for row in study.convolutions
    ]
    return show.table(cells, {column: ".0%" for column in cells[0] if column.startswith("%")})


def distributions(study: Study) -> Figure:
    """UnitMem of all units by layer: median, the middle half (thick) and the middle 95 % (thin)."""
    found = {row: units(study, row) for row in study.convolutions}
    series = {name: {row: one[name] for row, one in found.items()} for name in ("seen", "unseen", "untrained")}
    return show.spreads(series, "layer", "UnitMem of the units", lines=LINE, limits=(0, 1))


def last_layer(study: Study) -> Figure:
    """Distribution of UnitMem over the units of the last convolution (Fig. 1a), with its controls."""
    last = study.convolutions[-1]
    words = f"UnitMem of a unit of layer {last}"
    return show.histograms(units(study, last), words, bins=25, limits=(0, 1), lines=LINE)


def data_sets(studies: Mapping[str, Study]) -> show.Html:
    """A row a data set: UnitMem of all layers' units, and how many memorize highly, with their controls."""
    cells = []
    for name, study in studies.items():
        rows = study.convolutions
        cells.append(
            {
                "data set": name,
                "pairs": len(study),
                "points of an encoder": int(study.tables[0].seen.sum()),
                "UnitMem, seen": study.over(unitmem(rows)),
                "UnitMem, unseen": study.over(unitmem(rows, "unseen")),
                "% of units from .5 on, seen": study.over(share_high(rows)),
                "% from .5 on, unseen": study.over(share_high(rows, "unseen")),
                "member rate": study.over(member_rate(*rows)),
            }
        )
    return show.table(cells, {column: ".0%" for column in cells[0] if column.startswith("%")})


def unit_images(study: Study, k: int = 8) -> Figure:
    """The strongest image of the k units of highest UnitMem in each layer of one encoder, marked seen or not."""
    one, points, captions = study.tables[0], {}, {}
    for row in study.convolutions:
        best = np.argsort(-one.scores("seen", row), kind="stable")[:k]
        points[f"layer {row}"] = one.top_row[row][best]
        captions[f"layer {row}"] = one.scores("seen", row)[best].tolist()
    seen = {name: one.seen[some].tolist() for name, some in points.items()}
    return show.images(study.images(points), captions, seen, columns=k)


def block_table(study: Study) -> show.Html:
    """Mean UnitMem on disjoint blocks of the seen points, and its spread between blocks and between encoders."""
    blocks, cells = [name for name in study.tables[0].unitmem if name.startswith("seen-")], []
    for row in study.convolutions:
        means = np.array([[one.scores(block, row).mean() for block in blocks] for one in study.tables])  # [E, B]
        cells.append(
            {
                "layer": row,
                "UnitMem, a block": float(means.mean()),
                "std between blocks": float(means.std(1, ddof=1).mean()),
                "std between encoders": float(means.mean(1).std(ddof=1)),
            }
        )
    return show.table(cells)


def answer(judged: Mapping[str, Judged], study: Study) -> str:
    """Which layers have units that prefer what was trained on, and how many of the last layer's do."""
    last, parts = study.convolutions[-1], judged["spread"].verdict.parts
    shown = [row for row, part in parts.items() if part.verdict == HOLDS]
    return (
        f"The strongest point of a unit is a training point in {study.over(member_rate(last))} of the units of layer "
        f"{last}, where .5 is chance; more than by chance in layers {', '.join(shown) or '(none)'}."
    )
