"""Page 05_1_points_and_units: do memorized points sit in memorizing units (sections 5.1, C.1, Tables 11 and 12)?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Found, Page
from memlib.book.cuts import ablation_results as results
from memlib.book.estimates import Estimate, unitmem, untrained
from memlib.book.measuring import Table
from memlib.book.pieces import Piece
from memlib.book.rankings import OWN_POINTS, disagree
from memlib.book.runs import Runs
from memlib.book.study import Study
from memlib.book.words import TAU, UNSEEN, Scale
from memlib.stats import Interval, kendall

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIFTH = 1 / 5  # of the seen points are the most memorized, and as many the least; the paper takes 300 each
TOP = 1 / 10  # of a layer's units are its most memorizing ones, as in Table 12
MANY = 4  # units of one point, and more of them
FEW = 3  # units or points that a rank needs
GROUPS = {"seen": (True, False), "unseen": (False, False), "untrained": (True, True)}  # seen, before training

page = Page("05_1_points_and_units", source="LayerMem paper, section 5.1 and Fig. 1b", takes=("base", "ablation"))


def scored(study: Study, first: int | None = None) -> Study:
    """The pairs whose points other pairs of the same images can score; of the first pairs alone."""
    pools = [piece.pool for piece in study]
    return replace(study, pieces=[piece for piece in study[:first] if pools.count(piece.pool) > 1])


def memorable(study: Study) -> dict[int, np.ndarray]:
    """SSLMem' at the output of each pair's points, by the other pairs of the same images: {pair's number: [R]}."""
    found = {}
    for piece in scored(study):
        known = study.points(piece)
        found[piece.number] = np.full(piece.pair.sets.size, np.nan)
        found[piece.number][known] = study.scores("output", study.others(piece), known)
    return found


def strongest(one: Table, row: str, seen: bool) -> tuple[np.ndarray, np.ndarray]:
    """UnitMem of the active units whose strongest point the encoder saw, or did not, and that point's row, [U] each.

    Among as many seen as unseen points.
    """
    chosen = one.active[row] & (one.seen[one.top_row[row]] == seen)
    return one.scores("both", row)[chosen], one.top_row[row][chosen]


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau; 0 where there is nothing to rank."""
    if a.size < FEW or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return kendall(a, b)[0]


def of_both(number: Callable[[Piece, Table], float]) -> Estimate:
    """A number of an encoder, mean of f and g."""
    return Estimate(lambda p: (number(p, p.f) + number(p, p.g)) / 2)


def aligned(study: Study, row: str, seen: bool = True) -> Estimate:
    """Kendall's tau, over units, of UnitMem and SSLMem' of the unit's strongest point, by other pairs."""
    scores = memorable(study)

    def of(piece: Piece, one: Table) -> float:
        units, points = strongest(one, row, seen)
        return tau(units, scores[piece.number][points])

    return of_both(of)


def often(study: Study, row: str, seen: bool = True) -> Estimate:
    """Kendall's tau, over points, of how many units respond most to a point and its SSLMem', by other pairs."""
    scores = memorable(study)

    def of(piece: Piece, one: Table) -> float:
        points = one.compared[one.seen[one.compared] == seen]
        counts = np.bincount(strongest(one, row, seen)[1], minlength=one.seen.size)
        return tau(counts[points], scores[piece.number][points])

    return of_both(of)


def on_points(study: Study, found: Runs, row: str, most: bool, seen: bool = True, before: bool = False) -> Estimate:
    """Mean UnitMem of a row's units on the points that other pairs memorize most, or least, of those it saw, or not.

    Args:
        before: Whether of f before training alone.
    """
    scores = memorable(study)

    def of(piece: Piece) -> float:
        run, each = found[piece.number], []
        for one, role in ((piece.f, "untrained"),) if before else ((piece.f, "f"), (piece.g, "g")):
            points = run.arrays["rows"]
            own = np.flatnonzero(one.seen[points] == seen)
            order = own[np.argsort(scores[piece.number][points[own]], kind="stable")]
            k = max(2, round(FIFTH * own.size))
            chosen = order[-k:] if most else order[:k]
            each.append(results.unitmem(run, role, row, np.isin(np.arange(points.size), chosen)))
        return float(np.mean(each))

    return Estimate(of)


def gap(study: Study, found: Runs, row: str, seen: bool = True, before: bool = False) -> Estimate:
    """UnitMem on the most memorized points minus that on the least memorized ones."""
    return on_points(study, found, row, True, seen, before) - on_points(study, found, row, False, seen, before)


# ---------------------------------------------------------------- claims


@page.claim(
    "The most memorized points are those of the most memorizing units",
    paper="Fig. 1b, no number",
    ids=("A75",),
    above="Kendall's τ of UnitMem and the strongest point's SSLMem′ is {}",
    control=UNSEEN,
    scale=TAU,
)
def together(study: Study, found: Runs) -> Found:
    return beside_unseen(study, aligned)


@page.claim(
    "A point to which more units respond most is memorized more",
    paper="SSLMem .694 of points of one unit, .891 of the point of five",
    source="LayerMem paper, section 5.1 and Table 12",
    ids=("A76",),
    above="Kendall's τ of a point's units and its SSLMem′ is {}",
    control=UNSEEN,
    scale=TAU,
)
def more_units(study: Study, found: Runs) -> Found:
    return beside_unseen(study, often)


def beside_unseen(study: Study, estimate: Callable[..., Estimate]) -> Found:
    """An estimate of the last convolution, against the same on points that the encoders did not see."""
    if reason := disagree(study):
        return reason
    some, last = scored(study), study.convolutions[-1]
    return Effect(estimate(study, last), margin=0.1, control=estimate(study, last, False), over=some)


@page.claim(
    "UnitMem is higher on the most than on the least memorized points, in every layer",
    paper="mean UnitMem from .507 against .235 (layer 1) to .522 against .248 (layer 8)",
    source="LayerMem paper, appendix C.1, Fig. 7 and Table 11",
    ids=("A77",),
    above="In layer {part} UnitMem is {} [higher|lower] on the most memorized points",
    control=UNSEEN,
    scale=Scale(3),
    parts="layers",
)
def most_and_least(study: Study, found: Runs) -> Found:
    if reason := disagree(study):
        return reason
    some = scored(study, len(found))
    return {
        row: Effect(gap(study, found, row), 0.1, unitmem(row), gap(study, found, row, False), over=some)
        for row in study.convolutions
    }


# ---------------------------------------------------------------- what is shown


def units_and_points(study: Study) -> Figure:
    """UnitMem of each unit of the last convolution over SSLMem' of its strongest point (Fig. 1b), of all encoders."""
    some, last = scored(study), study.convolutions[-1]
    scores, clouds = memorable(study), {}
    for name, seen in (("point trained on", True), ("point not trained on", False)):
        found = [(p, *strongest(one, last, seen)) for p in some for one in (p.f, p.g)]
        at = np.concatenate([scores[p.number][points] for p, _, points in found])
        clouds[name] = {name: {"": (at, np.concatenate([units for _, units, _ in found]))}}
    return show.scatter(clouds, "SSLMem′ of its strongest point", "UnitMem of a unit", columns=2)


def rank_table(study: Study) -> show.Html:
    """Both ranks in every layer, on seen points, on unseen ones, and before training."""
    some, cells = scored(study), []
    for row in study.convolutions:
        cell: dict[str, str | Interval] = {"layer": row}
        for words, rank in (("UnitMem, its point", aligned), ("units of a point", often)):
            seen, unseen = rank(study, row), rank(study, row, False)
            cell |= {f"{words}: seen": some.over(seen), f"{words}: unseen": some.over(unseen)}
            cell[f"{words}: untrained"] = some.over(untrained(seen))
        cells.append(cell)
    return show.table(cells, {name: ".2f" for name in cells[0] if name != "layer"})


def by_count(study: Study) -> show.Html:
    """Table 12: SSLMem' of the points of as many of the most memorizing units, and how many points those are."""
    some, last, printed = scored(study), study.convolutions[-1], paper.table("table_12").set_index("units")["SSLMem"]
    scores = memorable(study)
    found: dict[tuple[int, bool], list[float]] = {(n, s): [] for n in range(1, MANY + 1) for s in (True, False)}
    for piece in some:
        for one in (piece.f, piece.g):
            unitmems = np.where(one.active[last], one.scores("both", last), -1)
            top = one.top_row[last][np.argsort(-unitmems, kind="stable")[: round(TOP * unitmems.size)]]
            for point, count in zip(*np.unique(top, return_counts=True), strict=True):
                found[min(count, MANY), bool(one.seen[point])].append(scores[piece.number][point])
    cells = []
    for n in range(1, MANY + 1):
        cell: dict[str, str | float] = {"units": f"{n}" if n < MANY else f"{n} and more"}
        cell["LayerMem paper"] = printed.get(n)
        for words, seen in (("seen", True), ("unseen", False)):
            values = found[n, seen]
            cell |= {f"points, {words}": len(values), f"SSLMem′, {words}": float(np.mean(values or [np.nan]))}
        cells.append(cell)
    return show.table(cells)


def extreme_curves(study: Study, found: Runs) -> Figure:
    """UnitMem on the most and the least memorized points by layer (Fig. 7), with both controls."""
    some = scored(study, len(found))
    parts = {
        words: {
            name: {row: some.over(on_points(study, found, row, most, *of)) for row in study.convolutions}
            for name, most in (("most memorized", True), ("least memorized", False))
        }
        for words, of in GROUPS.items()
    }
    return show.curves(parts, "layer", "mean UnitMem", columns=3)


def extreme_table(study: Study, found: Runs) -> show.Html:
    """Table 11 beside ours: how much higher UnitMem is on the most memorized points, and on both controls."""
    some, printed, cells = scored(study, len(found)), paper.table("table_11").set_index("layer"), []
    for row in study.convolutions:
        gaps = {words: gap(study, found, row, *of) for words, of in GROUPS.items()}
        gaps["seen minus unseen"] = gaps["seen"] - gaps["unseen"]
        cell = {"layer": row, "LayerMem paper": printed["most memorized"][row] - printed["least memorized"][row]}
        cells.append(cell | {words: some.over(one) for words, one in gaps.items()})
    return show.table(cells, {name: "+.3f" for name in cells[0] if name != "layer"})


def answer(study: Study) -> str:
    """How UnitMem and the memorization of the units' points go together, on seen points and on unseen ones."""
    last, some = study.convolutions[-1], scored(study)
    if len(some) < 2:
        return OWN_POINTS
    seen, unseen = (some.over(aligned(study, last, of)) for of in (True, False))
    return (
        f"In layer {last} Kendall's τ of a unit's UnitMem and the SSLMem′ of its strongest point is {seen:.2f} where "
        f"the point was trained on, and {unseen:.2f} where it was not."
    )
