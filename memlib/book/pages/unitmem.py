"""Page 05_1_unitmem: are memorizing units spread over the encoder (LayerMem paper, section 5.1, Figs. 1a and 3)?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from memlib.book import show
from memlib.book.claims import Effect, Judged, Page
from memlib.book.estimates import HIGH, beyond_chance, member_rate, rank, share_high, unitmem, untrained
from memlib.book.profiles import units
from memlib.book.study import Study
from memlib.book.verdicts import HOLDS
from memlib.book.words import DIFFERENCE, SHARE, TAU

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = {"highly memorizing": HIGH}
UNSEEN = "On as many unseen points it is {}"

page = Page("05_1_unitmem", source="LayerMem paper, section 5.1 and Fig. 3", takes=("base",))


# ---------------------------------------------------------------- claims


@page.claim(
    "Memorizing units are spread over the entire encoder, as in every layer they respond most to training points",
    paper="UnitMem alone, without unseen points or another control",
    ids=("A69",),
    above="{} [more|fewer] of layer {part}'s units prefer training points than by chance",
    scale=DIFFERENCE,
    parts="layers",
)
def spread(study: Study) -> dict[str, Effect]:
    return {row: Effect(beyond_chance(row), margin=0.1) for row in study.convolutions}


@page.claim(
    "The first layer has highly memorizing units",
    paper="UnitMem of layer 1 up to .845 (Table 34), of .507 on average on the most memorized points (Table 11)",
    ids=("A70",),
    above="{} of the first layer's units memorize highly",
    control=UNSEEN,
    scale=SHARE,
)
def first(study: Study) -> Effect:
    return high(study.convolutions[0])


@page.claim(
    "Units of deeper layers memorize more on average",
    paper="mean UnitMem from .366 in layer 1 to .409 in layer 8 (Table 34)",
    ids=("A71",),
    above="Kendall's τ of mean UnitMem and depth is {}",
    control=UNSEEN,
    scale=TAU,
)
def deeper(study: Study) -> Effect:
    seen, unseen = (rank([unitmem(row, of) for row in study.convolutions]) for of in ("seen", "unseen"))
    return Effect(seen, margin=0.1, control=unseen)


@page.claim(
    "A considerable share of the last convolution's units memorizes single training points",
    paper="histogram of Fig. 1a, no number",
    ids=("A72",),
    source="LayerMem paper, section 5.1 and Fig. 1a",
    above="{} of the last convolution's units memorize highly",
    control=UNSEEN,
    scale=SHARE,
)
def fraction(study: Study) -> Effect:
    return high(study.convolutions[-1])


def high(row: str) -> Effect:
    """The share of a row's units with a UnitMem of .5 and more, against that on unseen points."""
    return Effect(share_high(row), margin=0.1, control=share_high(row, "unseen"))


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
