"""Page 04_1_layermem: where in ResNet9 memorization sits (LayerMem paper, section 4.1, Tables 1, 3 and 18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Found, Judged, Page
from memlib.book.estimates import Estimate, deltas, level, mean, mirrored, most_less_least, rank
from memlib.book.rankings import EXTREME, agreement, disagree, near, overlap, tau
from memlib.book.study import NUMBERED, Study
from memlib.book.verdicts import HOLDS
from memlib.book.words import DIFFERENCE, SHARE, TAU, Scale
from memlib.pairs import S_E, S_S
from memlib.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 0.25  # of a convolution's mean delta: less than that is hardly anything

ADDS: Any = {"above": "{part} [adds|takes away] {}", "scale": Scale(4, log_ratio=True)}
SIXTH = "Layer 6 adds {} [more|less] than layer {part}"
NEITHER = "On points that neither encoder saw it is {}"
TABLE_3, TABLE_18 = "LayerMem paper, section 4.1 and Table 3", "LayerMem paper, appendix C.3 and Table 18"
MODULES: Any = {"source": TABLE_18, "parts": "modules", **ADDS}

page = Page("04_1_layermem", source="LayerMem paper, section 4.1 and Table 1", takes=("base",))


def deepest(study: Study) -> Estimate:
    """Memorization of the last convolution."""
    return mirrored(study.convolutions[-1])


def added_by(study: Study, *among: str, points: Sequence[np.ndarray] | None = None) -> dict[str, Estimate]:
    """What each row adds to the one before it, among rows of these kinds; the first has none before it."""
    return deltas(study.previous(study.rows(*among)), points)


def typical(study: Study, found: Mapping[str, Estimate]) -> Estimate:
    """What a convolution adds on average."""
    return mean(*(found[row] for row in study.convolutions[1:]))


def beside(study: Study, found: Mapping[str, Estimate], rows: Sequence[str], sign: int = 1) -> dict[str, Effect]:
    """What each of these rows adds; less than a share of what a convolution adds on average does not matter."""
    names = {row: f"layer {row}" if row in study.convolutions else row for row in rows}
    return {name: Effect(found[row], SMALL, typical(study, found), sign=sign) for row, name in names.items()}


# ---------------------------------------------------------------- claims


@page.claim(
    "Every layer memorizes, the first one included",
    paper="LayerMem from .091 (layer 1) to .308 (layer 8), without a control",
    ids=("A2",),
    above="Layer {part} memorizes {}",
    parts="layers",
)
def every_layer(study: Study) -> dict[str, Effect]:
    return {row: Effect(mirrored(row), margin=0.1, reference=deepest(study)) for row in study.convolutions}


@page.claim(
    "Memorization increases with depth",
    paper="LayerMem grows from each layer to the next, τ = 1",
    ids=("A1",),
    above="Kendall's τ of memorization and depth is {}",
    scale=TAU,
)
def depth(study: Study) -> Effect:
    return Effect(rank([mirrored(row) for row in study.convolutions]), margin=0.1)


@page.claim(
    "The deepest convolution memorizes most",
    paper="layer 8 .308, layer 7 .276",
    ids=("A3",),
    above="The deepest layer [leads|trails] layer {part} by {}",
    parts="other layers",
)
def last(study: Study) -> dict[str, Effect]:
    top = deepest(study)
    return {row: Effect(top - mirrored(row), margin=0.1, reference=top) for row in study.convolutions[:-1]}


@page.claim(
    "Every convolution adds memorization",
    paper="delta from .027 to .034 in all layers",
    ids=("A4",),
    parts="layers",
    **ADDS,
)
def added(study: Study) -> dict[str, Effect]:
    return beside(study, added_by(study, *NUMBERED), study.convolutions[1:])


@page.claim(
    "Layer 6 adds most, and not the last one",
    paper="delta of layer 6 .034; 2 and 8 .032; 3 .031 (Table 18 has layer 8 highest)",
    ids=("A6", "A7"),
    parts="other layers",
    above=SIXTH,
)
def sixth(study: Study) -> dict[str, Effect]:
    found, rows = added_by(study, *NUMBERED), [row for row in study.convolutions[1:] if row != "6"]
    return {row: Effect(found["6"] - found[row], SMALL, typical(study, found)) for row in rows}


@page.claim(
    "What layers add is not monotonic in depth, as layer 6 adds more than its neighbours",
    paper="delta .027, .034, .030 in layers 5, 6, 7",
    ids=("A5",),
    parts="neighbours",
    above=SIXTH,
)
def peak(study: Study) -> dict[str, Effect]:
    return {row: sixth(study)[row] for row in ("5", "7")}


@page.claim(
    "Layers 4, 6 and 8 add most",
    paper="delta .032, .031 and .029 of layers 8, 6 and 4; 7 has .029, too (in Table 1 layers 6, 2 and 8 lead)",
    ids=("A8",),
    source=TABLE_18,
    above="Of layers {part} the first adds {} [more|less]",
    parts="pairs of layers",
)
def three(study: Study) -> dict[str, Effect]:
    found, named = added_by(study), ("4", "6", "8")
    others = [row for row in study.convolutions[1:] if row not in named]
    return {f"{a} and {b}": Effect(found[a] - found[b], SMALL, typical(study, found)) for a in named for b in others}


@page.claim(
    "Residual additions add hardly anything",
    paper="delta .002 and .003, of convolutions .027 to .034",
    ids=("A9",),
    parts="residual additions",
    **ADDS,
)
def residuals(study: Study) -> dict[str, Effect]:
    return beside(study, added_by(study, *NUMBERED), study.rows("residual"), sign=0)


@page.claim(
    "BatchNorm changes memorization negligibly",
    paper="delta of BatchNorms −.002 to .001, of convolutions .026 to .032",
    ids=("A10",),
    **MODULES,
)
def norms(study: Study) -> dict[str, Effect]:
    return beside(study, added_by(study), study.rows("bn"), sign=0)


@page.claim(
    "Max pool changes memorization negligibly",
    paper="delta of max pools .003 to .006, of convolutions .026 to .032",
    ids=("A11",),
    **MODULES,
)
def pools(study: Study) -> dict[str, Effect]:
    return beside(study, added_by(study), study.rows("pool"), sign=0)


@page.claim(
    "Most of what layers memorize is due to their convolutions",
    paper="convolutions add .026 to .032, everything else .006 at most",
    ids=("A12",),
    source=TABLE_18,
    above="Convolutions add {} [more|less] than all else together",
)
def convolutions(study: Study) -> Effect:
    found, own = added_by(study), mirrored(study.convolutions[0])  # the first has none before it
    for row in study.rows("conv", "bn", "pool", "residual")[1:]:
        own = own + (1 if row in study.convolutions else -1) * found[row]
    return Effect(own, margin=0.1, reference=deepest(study))


@page.claim(
    "The most memorized points are memorized more than the least memorized ones at every layer",
    paper="Top50 minus Least50 from .141 (layer 1) to .744 (layer 8), selected and scored on the same numbers",
    ids=("A21",),
    above="In layer {part} the most memorized [lead|trail] by {}",
    parts="layers",
)
def atypical(study: Study) -> Found:
    if reason := disagree(study):
        return reason
    points = study.extremes("output", EXTREME)
    return {row: Effect(most_less_least(row, points), 0.1, deepest(study)) for row in study.convolutions}


@page.claim(
    "The most and the least memorized points are both memorized more with depth",
    paper="Top50 from .144 to .817, Least50 from .003 to .073",
    ids=("A22",),
    above="Kendall's τ with depth is {} in the {part} points",
    scale=TAU,
    parts="groups of points",
)
def both_rise(study: Study) -> Found:
    if reason := disagree(study):
        return reason
    groups = zip(("most memorized", "least memorized"), study.extremes("output", EXTREME), strict=True)
    return {name: Effect(rank([mirrored(row, of) for row in study.convolutions]), 0.1) for name, of in groups}


@page.claim(
    "No particular layer memorizes the most memorized points, as every one adds to them",
    paper="delta of Top50 from .076 to .120 in all layers",
    ids=("A23",),
    parts="layers",
    **ADDS,
)
def spread(study: Study) -> Found:
    if reason := disagree(study):
        return reason
    most, _ = study.extremes("output", EXTREME)
    return beside(study, added_by(study, *NUMBERED, points=most), study.convolutions[1:])


@page.claim(
    "Layers next to each other share most memorized points, and more than layers far apart",
    paper="overlap of the top 100 from 68 to 94 % for neighbours, 16 to 45 % four or more layers apart",
    ids=("A38",),
    source=TABLE_3,
    above="Neighbours share {} [more|less] of the most memorized points than distant layers",
    control=NEITHER,
    scale=DIFFERENCE,
)
def top(study: Study) -> Effect:
    return near(study.convolutions, overlap)


@page.claim(
    "Layers next to each other order the points alike, and layers far apart do not",
    paper="Kendall's τ from .557 to .837 for neighbours, .104 to .396 four or more layers apart",
    ids=("A39",),
    source=TABLE_3,
    above="Kendall's τ of neighbours [leads|trails] that of distant layers by {}",
    control=NEITHER,
    scale=TAU,
)
def order(study: Study) -> Effect:
    return near(study.convolutions, tau)


@page.claim(
    "Layers next to each other share images among their ten most memorized",
    paper="Fig. 13, no number",
    ids=("A40",),
    source="LayerMem paper, appendix C.5 and Fig. 13",
    above="Neighbours share {} of their ten most memorized points",
    control=NEITHER,
    scale=SHARE,
)
def ten(study: Study) -> Effect:
    return near(study.convolutions, partial(overlap, k=10), less_far=False)


# ---------------------------------------------------------------- what is shown


def by_layer(study: Study, rows: Sequence[str]) -> dict[str, dict[str, Interval]]:
    """Mirrored estimate, raw LayerMem and the same of both controls, by row."""
    return {
        "mirrored estimate": {row: study.over(mirrored(row)) for row in rows},
        "f only, raw": {row: study.over(level(row)) for row in rows},
        "both saw": {row: study.crossed.over(level(row, S_S)) for row in rows},
        "neither saw": {row: study.over(level(row, S_E)) for row in rows},
    }


def layer_curves(study: Study) -> Figure:
    """The paper's curve, the mirrored estimate, and raw LayerMem with its controls, on scales of their own."""
    theirs = {"Table 1 (raw)": paper.table("table_1").set_index("layer")["LayerMem"].to_dict()}
    found = by_layer(study, study.rows(*NUMBERED))
    series = {"mirrored, here": {"mirrored estimate": found.pop("mirrored estimate")}, "raw, here": found}
    return show.curves(series, "layer", paper=theirs, above="LayerMem", joined=False)


def layer_table(study: Study, name: str, *among: str) -> show.Html:
    """A table of the paper beside our numbers, of rows of these kinds: their deltas are to the row before."""
    rows, (most, least) = study.rows(*among), study.extremes("output", EXTREME)
    printed, ours = paper.table(name).set_index("layer").reindex(rows), by_layer(study, rows)
    change = {row: study.over(one) for row, one in added_by(study, *among).items()}
    cells = [
        {
            "layer": row,
            "LayerMem paper: LayerMem": printed["LayerMem"][row],
            **{column: found[row] for column, found in ours.items()},
            "LayerMem paper: delta": printed["delta"][row],
            "delta": change.get(row),
            "LayerMem paper: Top50": printed["LayerMem Top50"][row],
            "most memorized": study.over(mirrored(row, most)),
            "LayerMem paper: Least50": printed["LayerMem Least50"][row],
            "least memorized": study.over(mirrored(row, least)),
        }
        for row in rows
    ]
    return show.table(cells, {"mirrored estimate": ".4f", "delta": "+.4f", "LayerMem paper: delta": "+.3f"})


def extreme_curves(study: Study) -> Figure:
    """Mirrored estimate of the most and the least memorized points by layer."""
    most, least = study.extremes("output", EXTREME)
    groups = {"most memorized": most, "all points": None, "least memorized": least}
    series = {name: {row: study.over(mirrored(row, of)) for row in study.convolutions} for name, of in groups.items()}
    return show.curves(series, "layer", "LayerMem, mirrored")


def agreement_maps(study: Study) -> Figure:
    """Table 3 as heat maps, the mean over pairs; the diagonal is a layer with itself on other views."""
    layers, printed = study.convolutions, paper.table("table_3")
    places = list(zip(printed["layer"], printed["other layer"], strict=True))
    ours, theirs = {}, {}
    for title, alike, numbers in (
        ("overlap of the most memorized points", overlap, printed["overlap (%)"] / 100),
        ("Kendall’s τ of all points", tau, printed["tau"]),
    ):
        found = np.mean([agreement(piece.pair, layers, alike) for piece in study], axis=0)
        ours[title] = {(a, b): found[i, j] for i, a in enumerate(layers) for j, b in enumerate(layers)}
        theirs[title] = dict(zip(places, numbers, strict=True))
    return show.heat(ours, "layer", "layer", above=theirs, limits=(0, 1))


def top_images(study: Study, k: int = 10) -> Figure:
    """The k most memorized images of each layer (Fig. 13): chosen by a pool's other pairs, scored by its first."""
    by = {f"layer {row}": study.chosen_and_scored(row) for row in study.convolutions}
    chosen = {name: np.argsort(-others, kind="stable")[:k] for name, (others, _) in by.items()}
    pictures = study.images({name: study.points()[best] for name, best in chosen.items()})
    return show.images(pictures, {name: by[name][1][best].tolist() for name, best in chosen.items()}, columns=k)


def answer(judged: Mapping[str, Judged], base: Study) -> str:
    """Which layers memorize, and how much the first and the last do."""
    layers, parts = base.convolutions, judged["every_layer"].verdict.parts
    shown = [row for row in layers if parts and parts[row].verdict == HOLDS]
    first, last = (base.over(mirrored(row)) for row in (layers[0], layers[-1]))
    return (
        f"Of {len(layers)} convolutions {len(shown)} are shown to memorize{': ' * bool(shown)}{', '.join(shown)}; "
        f"the mirrored estimate goes from {first} in the first to {last} in the last."
    )
