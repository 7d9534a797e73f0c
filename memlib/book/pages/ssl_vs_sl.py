"""Page 05_1_ssl_vs_sl: do units hold points or classes, without labels and with them (section 5.1, Table 20)?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Page
from memlib.book.estimates import Estimate, accuracy, mean, member_rate, of, rank, unit_score, unitmem, untrained
from memlib.book.pieces import Pieces
from memlib.book.study import Joined, Study, design, join
from memlib.book.words import DIFFERENCE, POINTS, TAU, UNSEEN, Scale
from memlib.stats import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SSL, SL, STOPPED = "SSL", "SL", "SL, stopped"
DESIGNS = {SSL: "ssl", SL: "sl_converged", STOPPED: "sl"}  # stopped: where a probe is as good as on SSL
EDGE = 2  # convolutions that are called the first and the last ones, of eight
MATTERS = 0.01  # of a score in [0, 1]: less is none, as a point of accuracy is
CLASSMEM = {"seen": "classmem", "unseen": "classmem_unseen"}  # ClassMem on the same points
SCORES: Any = {"control": UNSEEN, "scale": Scale(3)}
PROBES: Any = {"source": "LayerMem paper, appendix C.4 and Table 20", "scale": POINTS, "needs": ()}


def joined(scale: str, **sizes: Any) -> Pieces[Joined]:
    """The three ways to train, side by side."""
    return join({name: design(scale, where, **sizes) for name, where in DESIGNS.items()})


page = Page("05_1_ssl_vs_sl", source="LayerMem paper, section 5.1, Figs. 2 and 3", takes=joined)


def gap(row: str, points: str = "seen") -> Estimate:
    """Mean UnitMem minus mean ClassMem of a row, on points that the encoder saw, or on others."""
    return unitmem(row, points) - unit_score(row, CLASSMEM[points])


def under(row: str, points: str = "seen") -> Estimate:
    """Share of a row's units with a UnitMem above their ClassMem, minus one half; equal ones count half."""

    def share(piece: Any) -> float:
        both = [(one.scores(points, row), one.scores(CLASSMEM[points], row)) for one in (piece.f, piece.g)]
        return float(np.mean([((a > b) + 0.5 * (a == b)).mean() for a, b in both])) - 0.5

    return Estimate(share)


def beyond(study: Study, row: str, sign: int = 1) -> Effect:
    """UnitMem minus ClassMem on seen points, against the same on points that the encoders did not see."""
    return Effect(sign * gap(row), MATTERS, control=sign * gap(row, "unseen"), over=study)


# ---------------------------------------------------------------- claims


@page.claim(
    "In SSL, units hold single points more than classes, in every layer",
    paper="mean UnitMem above mean ClassMem throughout all layers, without a control",
    ids=("A82",),
    above="In layer {part} UnitMem [exceeds|falls short of] ClassMem by {}",
    parts="layers",
    **SCORES,
)
def points(joined: Pieces[Joined]) -> dict[str, Effect]:
    ssl = joined.studies[SSL]
    return {row: beyond(ssl, row) for row in ssl.convolutions}


@page.claim(
    "In SSL, most units of every layer lie under the diagonal, with a higher UnitMem than ClassMem",
    paper="most units of all eight layers, seen in scatter plots",
    ids=("A83",),
    above="In layer {part} the share under the diagonal [exceeds one|falls short of] half by {}",
    parts="layers",
    **SCORES | {"scale": DIFFERENCE},
)
def diagonal(joined: Pieces[Joined]) -> dict[str, Effect]:
    ssl = joined.studies[SSL]
    return {row: Effect(under(row), 0.1, control=under(row, "unseen"), over=ssl) for row in ssl.convolutions}


@page.claim(
    "In SSL, UnitMem and ClassMem both increase with depth",
    paper="both increase slightly, curves without numbers",
    ids=("A84",),
    above="Kendall's τ of {part} and depth is {}",
    parts="scores",
    **SCORES | {"scale": TAU},
)
def increase(joined: Pieces[Joined]) -> dict[str, Effect]:
    ssl, effects = joined.studies[SSL], {}
    for name, scores in {"UnitMem": tuple(CLASSMEM), "ClassMem": tuple(CLASSMEM.values())}.items():
        seen, unseen = (rank([unit_score(row, score) for row in ssl.convolutions]) for score in scores)
        effects[name] = Effect(seen, 0.1, control=unseen, over=ssl)
    return effects


@page.claim(
    "In SL, ClassMem increases in deep layers",
    paper="a significant increase in deeper layers",
    ids=("A85",),
    above="ClassMem of the last layers [exceeds that|falls short] of the first by {}",
    **SCORES,
)
def grows(joined: Pieces[Joined]) -> Effect:
    sl = joined.studies[SL]

    def growth(score: str) -> Estimate:
        first, last = sl.convolutions[:EDGE], sl.convolutions[-EDGE:]
        return mean(*(unit_score(row, score) for row in last)) - mean(*(unit_score(row, score) for row in first))

    return Effect(growth("classmem"), MATTERS, control=growth("classmem_unseen"), over=sl)


@page.claim(
    "In SL, units of the first layers tend to points rather than classes",
    paper="a slight tendency in the initial layers",
    ids=("A86",),
    above="In layer {part} UnitMem [exceeds|falls short of] ClassMem by {}",
    parts="first layers",
    **SCORES,
)
def first(joined: Pieces[Joined]) -> dict[str, Effect]:
    sl = joined.studies[SL]
    return {row: beyond(sl, row) for row in sl.convolutions[:EDGE]}


@page.claim(
    "In SL, units of the last layers hold classes more than points",
    paper="the trend reverses in later layers, where most units memorize classes",
    ids=("A87",),
    above="In layer {part} ClassMem [exceeds|falls short of] UnitMem by {}",
    parts="last layers",
    **SCORES,
)
def last(joined: Pieces[Joined]) -> dict[str, Effect]:
    sl = joined.studies[SL]
    return {row: beyond(sl, row, -1) for row in sl.convolutions[-EDGE:]}


@page.claim(
    "It is supervision that turns the last layer to classes: more so in SL than in SSL",
    paper="in SSL no such difference over the network; both scores increase slightly",
    ids=("A88",),
    above="ClassMem minus UnitMem is [higher|lower] in SL by {}",
    **SCORES,
)
def turn(joined: Pieces[Joined]) -> Effect:
    both = {name: joined.studies[name] for name in (SSL, SL)}
    row = both[SSL].convolutions[-1]
    seen, unseen = (of(SSL, gap(row, which)) - of(SL, gap(row, which)) for which in ("seen", "unseen"))
    return Effect(seen, MATTERS, control=unseen, over=join(both))


@page.claim(
    "On the data set that it was trained on, the SL encoder is the better one",
    paper="CIFAR100: 66.1 % against 65.4 %",
    ids=("A89",),
    above="The probe on the SL encoder is [better|worse] by {}",
    **PROBES,
)
def own(joined: Pieces[Joined]) -> Effect:
    probed = accuracy(joined.studies[SSL].spec["dataset"])
    return Effect(of(SL, probed) - of(SSL, probed), 0.01)


@page.claim(
    "On other data sets, the SSL encoder is the better one",
    paper="CIFAR10 57.6 against 56.7 %, STL10 48.7 against 46.1 %, SVHN 59.2 against 58.6 %",
    ids=("A90",),
    above="On {part} the probe on the SSL encoder is [better|worse] by {}",
    parts="data sets",
    **PROBES,
)
def others(joined: Pieces[Joined]) -> dict[str, Effect]:
    study = joined.studies[SSL]
    names = [name for name in study.tables[0].probe if name != study.spec["dataset"]]
    return {n: Effect(of(SSL, accuracy(n)) - of(SL, accuracy(n)), 0.01) for n in names}


# ---------------------------------------------------------------- what is shown

CURVES = {  # score -> its name
    "seen": "UnitMem, seen points",
    "unseen": "UnitMem, unseen points",
    "classmem": "ClassMem, seen points",
    "classmem_unseen": "ClassMem, unseen points",
}


def class_curves(studies: Mapping[str, Study]) -> Figure:
    """Mean UnitMem and ClassMem by layer on points that the encoders saw and on others (Fig. 2)."""
    series = {
        name: {
            label: {row: study.over(unit_score(row, score)) for row in study.convolutions}
            for score, label in CURVES.items()
        }
        for name, study in studies.items()
    }
    return show.curves(series, "layer", "mean over units", limits=(0, None))


def class_table(studies: Mapping[str, Study]) -> show.Html:
    """UnitMem, ClassMem, their controls, the share of units under the diagonal and the member rate by layer."""
    found = [
        {
            "encoders": name,
            "layer": row,
            **{label: study.over(unit_score(row, score)) for score, label in CURVES.items()},
            "ClassMem, permuted labels": study.over(unit_score(row, "classmem_shuffled")).mean,
            "UnitMem untrained": study.over(untrained(unitmem(row))).mean,
            "ClassMem untrained": study.over(untrained(unit_score(row, "classmem"))).mean,
            "UnitMem above ClassMem": study.over(under(row)).mean + 0.5,
            "the same, unseen points": study.over(under(row, "unseen")).mean + 0.5,
            "member rate": study.over(member_rate(row)),
        }
        for name, study in studies.items()
        for row in study.convolutions
    ]
    return show.table(found, dict.fromkeys(("UnitMem above ClassMem", "the same, unseen points"), ".0%"))


def unit_scatter(studies: Mapping[str, Study]) -> Figure:
    """ClassMem against UnitMem of every unit (Fig. 3), a panel a layer, with the share under the diagonal."""
    panels = {}
    for name, study in ((name, studies[name]) for name in (SSL, SL)):
        for row in study.convolutions:
            share = number(study.over(under(row)).mean + 0.5, ".0%")
            units = study.unit_scores("seen", row), study.unit_scores("classmem", row)
            panels[f"{name}, {row}: {share} %"] = {"units": {"": units}}
    return show.scatter(panels, "UnitMem", "ClassMem", diagonal=True, limits=(0, 1), columns=4)


def probes(studies: Mapping[str, Study]) -> show.Html:
    """Table 20: accuracy in % of linear probes, the paper's numbers beside ours, with intervals over pairs."""
    printed = paper.table("table_20").set_index("data set")
    ours = {name.split(":")[0]: name for name in studies[SSL].tables[0].probe}  # cifar100: cifar100:20
    found = [
        {
            "data set": ours.get(name, name),
            **{f"LayerMem paper: {kind}": printed[f"{kind} (%)"].get(name) for kind in (SSL, SL)},
            **{kind: study.over(accuracy(ours[name])) if name in ours else None for kind, study in studies.items()},
            "before training": studies[SSL].over(untrained(accuracy(ours[name]))) if name in ours else None,
        }
        for name in dict.fromkeys([*ours, *printed.index])
    ]
    percent = dict.fromkeys([*studies, "before training"], "%")
    return show.table(found, {f"LayerMem paper: {SSL}": ".1f", f"LayerMem paper: {SL}": ".1f"} | percent)


def answer(studies: Mapping[str, Study]) -> str:
    """How far points lead classes in the last layer, without labels and with them, beyond what is no memory."""
    row = studies[SSL].convolutions[-1]
    left = gap(row) - gap(row, "unseen")
    said = " and ".join(f"{studies[name].over(left)} in {name}" for name in (SSL, SL))
    return (
        f"Beyond what unseen points show, UnitMem minus ClassMem of layer {row} is {said}; below zero, classes are "
        "memorized more than points."
    )
