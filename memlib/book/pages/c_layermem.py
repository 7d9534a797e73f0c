"""Page C_layermem: how much of LayerMem is a choice (LayerMem paper, appendix C.3 and C.8 to C.10)?"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Found, NotJudged, Page
from memlib.book.cuts.ablation_results import OTHERS, PLAIN, chosen, swapped, ways
from memlib.book.estimates import Estimate, deltas, mean, mirrored, of, rank
from memlib.book.pieces import Piece, Pieces
from memlib.book.rankings import same_points
from memlib.book.runs import Runs, experiment
from memlib.book.study import NUMBERED, Joined, Study, design, join, so_far
from memlib.book.words import DIFFERENCE, SHARE, TAU
from memlib.pairs import S_C, S_I

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARMS = ("base_weak", "base_strong", "base_seeds")
DISTANCES = ("l1", "cosine", "angular")  # beside l2, which all other pages take
NUMBERS = (25, 50, 100)  # candidates; Table 19 begins with 100, of 5,000
LITTLE = 0.3  # a Kendall's tau that is hardly any
SWAPPED = 0.1  # of the pairs of layers: fewer of them in another order are the same order

NO_ARM = NotJudged("Encoders with these augmentations did not run.")
NO_SEEDS = NotJudged("Encoders of other seeds did not run.")

CHOICES = {"l2": PLAIN, **{way: (way, "ratio") for way in DISTANCES}, **OTHERS}

TABLE_19, TABLE_26 = "LayerMem paper, appendix C.3 and Table 19", "LayerMem paper, appendix C.8 and Table 26"
TABLE_28 = "LayerMem paper, appendix C.10 and Table 28"


def taken(scale: str, pairs: int | None = None, runs: int | None = None, **sizes: Any) -> tuple[Study | Runs, ...]:
    """The pairs, the same measured again, and the arms of training as far as they are measured."""
    again = experiment(scale, "ablation", runs=runs, **sizes)
    return design(scale, "base", pairs=pairs, **sizes), again, *(so_far(scale, arm, **sizes) for arm in ARMS)


page = Page("C_layermem", source=TABLE_26, takes=taken)


def first(row: str, n: int) -> Estimate:
    """The mirrored estimate of a row on the first n points of S_C and of S_I: a random draw, as hashes order them."""

    def of_pair(piece: Piece) -> float:
        sets = piece.pair.sets
        among = np.logical_or.reduce([(sets == code) & (np.cumsum(sets == code) <= n) for code in (S_C, S_I)])
        return piece.pair.mirrored(row, among)

    return Estimate(of_pair, scale="log ratio")


def deviation(row: str, n: int) -> Estimate:
    """Standard deviation between draws of n points of LayerMem, the mean of their SSLMem' (eq. 3)."""
    return Estimate(lambda p: float(p.pair.of(row, S_C).std(ddof=1)) / n**0.5)


def fewest(study: Study) -> tuple[int, int]:
    """The smallest number of points that is looked at, and the paper's smallest, or as many as each set has."""
    there = min(int((piece.pair.sets == code).sum()) for piece in study for code in (S_C, S_I))
    return min(NUMBERS[0], there), min(NUMBERS[-1], there)


# ---------------------------------------------------------------- claims


@page.claim(
    "What a layer adds is not correlated with its number of parameters",
    paper="layer 6 adds most, layers 7 and 8 have twice as many parameters; no number",
    ids=("A13",),
    source="LayerMem paper, appendix C.3 and Table 18",
    above="Kendall's τ of a layer's delta and its parameters is {}",
    scale=TAU,
)
def parameters(study: Study, *_: Pieces) -> Effect:
    added = deltas(study.previous(study.rows(*NUMBERED)))
    sizes = {row.name: float(row.parameters) for row in study.layers}
    rows = study.convolutions[1:]
    return Effect(rank([added[row] for row in rows], by=[sizes[row] for row in rows]), LITTLE, sign=0)


@page.claim(
    "LayerMem does not depend on the number of points",
    paper="layer 8 .309 on 100 points, .307 on 5,000",
    ids=("A15",),
    source=TABLE_19,
    above="With the fewest points the deepest layer memorizes {} [more|less] than with all",
)
def number(study: Study, *_: Pieces) -> Effect:
    last, n = study.convolutions[-1], fewest(study)[0]
    return Effect(first(last, n) - mirrored(last), 0.1, mirrored(last), sign=0)


@page.claim(
    "LayerMem does not depend on which points are drawn",
    paper="standard deviation of .0009 between draws of 100 points, LayerMem .309",
    ids=("A16",),
    source=TABLE_19,
    above="The deepest layer's LayerMem varies by {} between draws",
)
def composition(study: Study, *_: Pieces) -> Effect:
    last = study.convolutions[-1]
    return Effect(deviation(last, fewest(study)[1]), 0.1, mirrored(last), sign=0)


@page.claim(
    "LayerMem is alike for all four distances",
    paper="layer 8 .325, .308, .321, .328 for l1, l2, cosine and angular distance",
    ids=("A41",),
    above="By {part} distance the deepest layer memorizes {} [more|less] than by l2",
    parts="distances",
)
def distances(study: Study, found: Runs, *_: Pieces) -> dict[str, Effect]:
    last, joined = study.convolutions[-1], ways(study, found)
    ours = chosen(last, PLAIN)
    return {way: Effect(of(way, mirrored(last)) - ours, 0.1, ours, sign=0, over=joined) for way in DISTANCES}


@page.claim(
    "The layers that memorize most are the same for all four distances",
    paper="layers in the same order, τ = 1",
    ids=("A42",),
    above="By {part} distance {} of the pairs of layers change places",
    scale=SHARE,
    parts="distances",
)
def most(study: Study, found: Runs, *_: Pieces) -> dict[str, Effect]:
    rows, joined = study.convolutions, ways(study, found)
    return {way: Effect(swapped(rows, (way, "ratio")), SWAPPED, sign=0, over=joined) for way in DISTANCES}


@page.claim(
    "Stronger augmentations in training reduce LayerMem",
    paper="layer 8 .313, .308, .300 with weak, normal and strong augmentations",
    ids=("A43",),
    source="LayerMem paper, appendix C.9 and Table 27",
    above="LayerMem [falls|rises] by {} from {part} augmentations",
    parts="steps",
)
def strength(study: Study, _: Runs, weak: Study, strong: Study, *__: Study) -> dict[str, Effect | NotJudged]:
    arms, every = {"weak": weak, "normal": study, "strong": strong}, mean(*map(mirrored, study.convolutions))
    effects: dict[str, Effect | NotJudged] = {}
    for a, b in pairwise(arms):
        effects[f"{a} to {b}"] = NO_ARM
        if arms[a] and arms[b]:
            # that the encoders of another arm do not memorize may be the result: those of the plain one have to
            pieces = Pieces(join({a: arms[a], b: arms[b]}).pieces, {"normal": study})
            effects[f"{a} to {b}"] = Effect(of(a, every) - of(b, every), 0.1, of("normal", every), over=pieces)
    return effects


@page.claim(
    "An encoder of another initialization memorizes the same points",
    paper="overlap of the most memorized points from 69 to 90 %",
    ids=("A44",),
    source=TABLE_28,
    above="The overlap of layer {part}'s most memorized points [exceeds|falls short of] chance by {}",
    control="On points that no encoder saw it is {}",
    scale=DIFFERENCE,
    parts="layers",
)
def initialization(study: Study, *others: Any) -> Found:
    if not (seeds := others[-1]):
        return NO_SEEDS
    joined, effects = join({"base": study, "seeds": seeds}), {}
    for row in study.convolutions:
        told, unseen = (same_points(row, "base", "seeds", told) for told in (True, False))
        effects[row] = Effect(told, 0.1, control=unseen, over=joined)
    return effects


@page.claim(
    "Two initializations share more points in later layers",
    paper="overlap of 73 % in layer 1, 90 % in layer 8",
    ids=("A45",),
    source=TABLE_28,
    above="Kendall's τ of depth and the overlap beyond unseen points is {}",
    scale=TAU,
)
def later(study: Study, *others: Any) -> Found:
    if not (seeds := others[-1]):
        return NO_SEEDS
    both = [[same_points(row, "base", "seeds", told) for told in (True, False)] for row in study.convolutions]
    beyond = [told - unseen for told, unseen in both]
    return Effect(rank(beyond), 0.1, over=join({"base": study, "seeds": seeds}))


# ---------------------------------------------------------------- what is shown


def draws_table(study: Study) -> show.Html:
    """Table 19: memorization on the first points and on all, and what draws of that many points vary by."""
    few, several = fewest(study)
    printed = paper.table("table_19").set_index("layer")
    cells = [
        {
            "layer": row,
            "LayerMem paper: 100": printed["100 points"][row],
            "LayerMem paper: deviation": printed["100 points deviation"][row],
            **{f"here: {n}": study.over(first(row, n)) for n in (few, several)},
            "here: all": study.over(mirrored(row)),
            **{f"deviation, {n}": study.over(deviation(row, n)).mean for n in (few, several)},
        }
        for row in study.convolutions
    ]
    return show.table(cells, {"LayerMem paper: deviation": ".4f"})


def distance_table(study: Study, found: Runs) -> show.Html:
    """Table 26: memorization by four distances beside the paper's."""
    joined, printed = ways(study, found), paper.table("table_26").set_index("layer")
    cells: list[dict[str, Any]] = []
    for row in study.rows(*NUMBERED):
        cells.append({"layer": row})
        for way in (PLAIN[0], *DISTANCES):
            cells[-1] |= {f"LayerMem paper: {way}": printed[way][row], way: joined.over(of(way, mirrored(row)))}
    return show.table(cells)


def story(study: Study, found: Runs) -> show.Html:
    """What each choice makes of the page on layers: growth with depth, the layers' order, the highest ones."""
    rows, joined = study.convolutions, ways(study, found)
    before, cells = study.previous(study.rows(*NUMBERED)), []
    for name, choice in CHOICES.items():
        one = {row: joined.over(chosen(row, choice)).mean for row in study.rows(*NUMBERED)}
        added = {row: one[row] - one[before[row]] for row in rows[1:]}
        cells.append(
            {
                "choice": name,
                "deepest layer": joined.over(chosen(rows[-1], choice)),
                "τ with depth": joined.over(rank([chosen(row, choice) for row in rows])),
                "% of pairs of layers swapped": joined.over(swapped(rows, choice)),
                "highest": max(rows, key=lambda row: one[row]),
                "adds most": max(added, key=lambda row: added[row]),
            }
        )
    return show.table(cells, {"τ with depth": ".2f", "% of pairs of layers swapped": ".0%"})


def lengths(study: Study, found: Runs) -> show.Html:
    """Memorization with vectors of length 1 and as they are, and by how much those of seen points must be longer.

    Twice the difference, as memorization is half a log ratio of distances, mirrored.
    """
    joined, cells = ways(study, found), []
    for row in study.convolutions:
        unit, raw = (of(way, mirrored(row)) for way in ("l2", "l2, raw"))
        cell = {"layer": row, "vectors of length 1": joined.over(unit), "as they are": joined.over(raw)}
        cells.append(cell | {"% longer on seen points": joined.over(Estimate((2 * (unit - raw)).of))})
    return show.table(cells, {"% longer on seen points": ".1%"})


def profiles(study: Study, found: Runs) -> Figure:
    """Memorization by layer as a share of the largest in size, by distance, normalization and scale."""
    rows, joined = study.convolutions, ways(study, found)
    cells: dict[tuple[str, str], float] = {}
    for name, choice in CHOICES.items():
        values = {row: joined.over(chosen(row, choice)).mean for row in rows}
        most = max(map(abs, values.values()))
        cells |= {(name, row): value / most for row, value in values.items()}
    return show.heat(cells, "layer", "choice", limits=(0, 1), form=".1f")


def strength_curves(study: Study, weak: Study, strong: Study) -> Figure:
    """Memorization by layer of encoders trained with three sets of augmentations (Table 27), as far as they ran."""
    arms = {name: arm for name, arm in (("weak", weak), ("normal", study), ("strong", strong)) if len(arm)}
    printed = paper.table("table_27").set_index("layer").loc[study.convolutions]
    series = {name: {row: arm.over(mirrored(row)) for row in study.convolutions} for name, arm in arms.items()}
    theirs = {name: printed[name].to_dict() for name in ("weak", "normal", "strong")}
    return show.curves(series, "layer", "LayerMem, here", paper=theirs, above="LayerMem, paper")


def overlap_curves(study: Study, seeds: Study) -> Figure:
    """Overlap of the most memorized points, beyond chance: of f and f' (as far as it ran), and of f with itself."""
    alone = Pieces([Joined({"base": piece}, {}) for piece in study], study.studies)
    rows = study.convolutions
    series = {"f, other views of it": {row: alone.over(same_points(row, "base", "base")) for row in rows}}
    if len(seeds):
        joined = join({"base": study, "seeds": seeds})
        for name, told in (("f and f′", True), ("f and f′, points that neither saw", False)):
            series[name] = {row: joined.over(same_points(row, "base", "seeds", told)) for row in rows}
    printed = {"f and f′": (paper.table("table_28").set_index("layer")["overlap (%)"] / 100).to_dict()}
    return show.curves(series, "layer", "overlap beyond chance", paper=printed, above="overlap, paper")


def ran(study: Study, found: Runs, **arms: Study) -> dict[str, dict[str, str]]:
    """What was run, and which of the arms did not."""
    absent = {"encoders": "not trained at this scale yet: claims that need them are not judged"}
    there = {name: arm.ran() if arm else absent for name, arm in arms.items()}
    return {"base": study.ran(), "measured again": found.ran(), **there}


def answer(study: Study, found: Runs) -> str:
    """How many pairs of layers other distances put in another order, and what the deepest layer memorizes by two."""
    rows, joined = study.convolutions, ways(study, found)
    moved = [f"by {way} {joined.over(swapped(rows, (way, 'ratio'))):.0%} %" for way in DISTANCES]
    ours, cosine = (joined.over(of(way, mirrored(rows[-1]))) for way in (PLAIN[0], "cosine"))
    return (
        f"The pairs of layers that stand in another order than by l2 are {', '.join(moved)}; layer {rows[-1]} "
        f"memorizes {ours} by l2 and {cosine} by cosine."
    )
