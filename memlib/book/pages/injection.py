"""Page 05_2_injection: does UnitMem show that a point was inserted into a unit (LayerMem paper, section 5.2)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Found, NotJudged, Page
from memlib.book.cuts.injection_results import UNITS, WAYS, Inserted, inserted
from memlib.book.estimates import Estimate, deltas, mirrored
from memlib.book.runs import Runs
from memlib.book.words import DIFFERENCE, Scale
from memlib.stats import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = {"one": "table_13", "points": "table_14a", "copies": "table_14b"}
INSERTED = {
    "one": "its strongest point",
    "other": "another point",
    "none": "no point: weight decay alone",
    "points": "many points (table 14a)",
    "copies": "copies of one point (table 14b)",
}
MATTERS = 0.01  # of UnitMem, which lies in [0, 1]
OFTEN = 0.1  # of the epochs: a point that is the strongest at fewer beyond chance is not the unit's
EACH: Any = {"scale": Scale(3), "parts": "ways of tuning"}
RISES: Any = EACH | {
    "above": "With the {part} tuned UnitMem [rises|falls] by {}",
    "control": "With no point inserted it is {}",
}
STAYS: Any = EACH | {
    "above": "With the {part} tuned it is so at {} [more|fewer] epochs than by chance",
    "scale": DIFFERENCE,
}
NO_SILENT = NotJudged("No unit of these encoders is silent.")

page = Page("05_2_injection", source="LayerMem paper, section 5.2 and table 13", takes=("injection",))


def of(what: Callable[..., float], *at: Any) -> Estimate:
    """A number of a run: `of(Inserted.rise, "one", "unit alone", "highest")`."""
    return Estimate(lambda run: what(inserted(run), *at))


def called(runs: Runs, unit: str) -> str:
    """What a unit is called: a silent one is the `lowest` where some encoder has none that is silent."""
    return "lowest" if unit == "silent" and not all(inserted(run).quiet for run in runs) else unit


# ---------------------------------------------------------------- claims


def rise(unit: str) -> dict[str, Effect]:
    """The rise by one point, tuned alone and with its layer, against what the optimizer does without a point."""
    return {
        way: Effect(of(Inserted.rise, "one", way, unit), MATTERS, control=of(Inserted.rise, "none", way, unit))
        for way in WAYS
    }


@page.claim(
    "UnitMem of the unit with the highest UnitMem rises as a test point is inserted into it",
    paper=".754 to .826 in 1,000 epochs; one encoder, without controls",
    ids=("A91",),
    **RISES,
)
def rises(runs: Runs) -> dict[str, Effect]:
    return rise("highest")


@page.claim(
    "UnitMem of a silent unit rises as the point is inserted into it",
    paper="0 to .0109 in 1,000 epochs",
    ids=("A92",),
    **RISES,
)
def silent(runs: Runs) -> Found:
    return rise("silent") if any(inserted(run).quiet for run in runs) else NO_SILENT


@page.claim(
    "The inserted point remains the strongest of the unit",
    paper="so in both units, without a number",
    source="LayerMem paper, appendix B",
    ids=("A93",),
    **STAYS,
)
def remains(runs: Runs) -> dict[str, Effect]:
    return {way: Effect(of(Inserted.share, "one", way, "highest"), OFTEN) for way in WAYS}


@page.claim(
    "With many points inserted, the same point remains the most memorized one",
    paper="of 300 points, without a number",
    source="LayerMem paper, appendix C.1 and table 14a",
    ids=("A94",),
    **STAYS,
)
def same(runs: Runs) -> dict[str, Effect]:
    return {way: Effect(of(Inserted.share, "points", way, "highest"), OFTEN) for way in WAYS}


@page.claim(
    "One point many times raises UnitMem more than as many different points",
    paper=".862 against .828, and .081 against .051 in the silent unit",
    source="LayerMem paper, appendix C.1, tables 14a and 14b",
    ids=("A95",),
    above="With the {part} tuned copies raise UnitMem by {} [more|less]",
    **EACH,
)
def copies(runs: Runs) -> dict[str, Effect]:
    return {way: Effect(gap("copies", "points", way), MATTERS) for way in WAYS}


@page.claim(
    "The layer into which points are inserted, the last convolution, memorizes and adds most",
    paper="layer4.1.conv2 of a ResNet18 has the highest LayerMem and delta, without a number",
    ids=("A96",),
    above="The last convolution [leads|trails] {part} by {}",
    parts="comparisons with another layer",
)
def chosen(runs: Runs) -> dict[str, Effect]:
    study = runs.study
    *others, last = study.convolutions
    before = deltas(study.previous(study.convolutions))
    by_level = {f"layer {row}": mirrored(last) - mirrored(row) for row in others}
    by_delta = {f"layer {row}'s delta": before[last] - before[row] for row in others if row in before}
    return {part: Effect(e, 0.1, mirrored(last), over=study) for part, e in (by_level | by_delta).items()}


@page.claim(
    "The units that are not meant change less",
    paper="not in the paper, which reports two units while the whole layer is trained",
    ids=("A97",),
    above="With the {part} tuned the unit rises {} [more|less] than others change",
    **EACH,
)
def others(runs: Runs) -> dict[str, Effect]:
    beyond = {way: of(Inserted.beyond_others, "one", way, "highest") for way in WAYS}
    return {way: Effect(estimate, MATTERS) for way, estimate in beyond.items()}


@page.claim(
    "It takes the unit's own strongest point: another test point raises UnitMem less",
    paper="not in the paper: a control",
    ids=("A97",),
    above="With the {part} tuned its own point raises UnitMem by {} [more|less]",
    **EACH,
)
def specific(runs: Runs) -> dict[str, Effect]:
    return {way: Effect(gap("one", "other", way), MATTERS) for way in WAYS}


def gap(more: str, less: str, way: str) -> Estimate:
    """What UnitMem of the highest unit rises by with one insertion beyond another."""
    return of(Inserted.rise, more, way, "highest") - of(Inserted.rise, less, way, "highest")


# ---------------------------------------------------------------- what is shown


def curves(runs: Runs, what: str = "one") -> Figure:
    """UnitMem of the highest and the silent unit over the epochs, beside the paper's, and the band of all others.

    Args:
        what: `one` (table 13), `points` (14a) or `copies` (14b).
    """
    found = [inserted(run) for run in runs]
    epochs, printed = [f"{epoch:,}" for epoch in found[0].epochs], paper.table(TABLES[what]).set_index("epochs")
    series: dict[str, Any] = {}
    for way in WAYS:
        rest = np.quantile(np.concatenate([r.others(what, way, "highest") for r in found], 1), [0.5, 0.05, 0.95], 1).T
        units = {
            f"{called(runs, unit)} unit": {
                epoch: runs.over(of(Inserted.at, i, what, way, unit)) for i, epoch in enumerate(epochs)
            }
            for unit in UNITS
        }
        series[way] = {**units, "other units": dict(zip(epochs, map(tuple, rest.tolist()), strict=True))}
    theirs = {
        f"{called(runs, unit)} unit": {f"{epoch:,}": score for epoch, score in printed[unit].items()}
        for unit in UNITS
    }
    words = "epochs of fine-tuning, not to scale", "UnitMem"
    return show.curves(series, *words, paper=theirs, controls=["other units"], limits=(-0.05, 1.05))


def table(runs: Runs) -> show.Html:
    """Tables 13, 14a and 14b: UnitMem by epoch, the paper's and ours by what was tuned."""
    found, rows = [inserted(run) for run in runs], []
    for what, name in TABLES.items():
        printed = paper.table(name).set_index("epochs")
        for unit in UNITS:
            lines: dict[str, Mapping[int, float]] = {"LayerMem paper": printed[unit].to_dict()}
            for way in WAYS:
                mean = np.mean([one.curve(what, way, unit) for one in found], axis=0).tolist()
                lines[way] = dict(zip(found[0].epochs, mean, strict=True))
            for by, line in lines.items():
                scores = {f"epoch {epoch:,}": line.get(epoch) for epoch in found[0].epochs}
                rows.append({"": name.replace("_", " "), "unit": called(runs, unit), "tuned": by, **scores})
    return show.table(rows)


def changes(runs: Runs) -> show.Html:
    """What each insertion changes from the first to the last epoch: UnitMem of both units, and of all others."""
    return show.table(
        [
            {
                "inserted": INSERTED[what],
                "tuned": way,
                "highest unit": runs.over(of(Inserted.rise, what, way, "highest")),
                f"{called(runs, 'silent')} unit": runs.over(of(Inserted.rise, what, way, "silent")),
                "a random unit": runs.over(of(Inserted.rise, what, way, "random")),
                "other units, mean |change|": runs.over(of(Inserted.change, what, way, "highest")),
            }
            for what in INSERTED
            for way in WAYS
        ]
    )


def encoders(runs: Runs) -> show.Html:
    """What each encoder learned: linear probes in % after and before training, and how alike its features are."""
    found = [
        {
            "encoder": i,
            "linear probe": one.accuracy["f"],
            "before training": one.accuracy["untrained"],
            "cosine of two views of a point": one.cosine["same"],
            "of two points": one.cosine["different"],
        }
        for i, one in enumerate(map(inserted, runs))
    ]
    return show.table(found, {"linear probe": "%", "before training": "%"})


def units(runs: Runs) -> show.Html:
    """Which units and points were taken, an encoder a row."""
    return show.table(
        [
            {
                "encoder": i,
                "highest unit": one.units["highest"],
                "its UnitMem": one.curve("one", WAYS[0], "highest")[0],
                "its strongest point on these views, too": bool(
                    one.strongest["one", "highest"]["highest"][0] == one.point
                ),
                f"{called(runs, 'silent')} unit": one.units["silent"],
                "UnitMem of it": one.curve("one", WAYS[0], "silent")[0],
                "silent on every view": bool(one.quiet),
            }
            for i, one in enumerate(map(inserted, runs))
        ]
    )


def answer(runs: Runs) -> str:
    """What inserting its strongest point changes in the unit of highest UnitMem, both ways."""
    alone, layer = (runs.over(of(Inserted.rise, "one", way, "highest")) for way in WAYS)
    return (
        f"In {number(inserted(runs[0]).epochs[-1])} epochs on its strongest point UnitMem of the highest unit "
        f"changes by {alone} where it is tuned alone, and by {layer} where its layer is."
    )
