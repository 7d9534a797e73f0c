"""Page 05_1_training: when do units begin to memorize (LayerMem paper, appendix C.1 and Fig. 4)?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from memlib.book import show
from memlib.book.claims import Effect, Found, NotJudged, Page
from memlib.book.cuts.remeasured import accuracy_at, epochs, half_way, layers, members_at, mirrored_at, unitmem_at
from memlib.book.estimates import Estimate, rank
from memlib.book.runs import Runs
from memlib.book.words import TAU, UNSEEN, Scale
from memlib.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EARLY = 0.25  # of the training: its first epochs, with the warm-up
FEWEST = 4  # moments from which on an order in time can be told
ALONG = NotJudged("The encoders were not measured during their training here.")

page = Page("05_1_training", source="LayerMem paper, appendix C.1 and Fig. 4", takes=("training",))

Curve = Callable[[int], Estimate]  # a moment to a number


def row(runs: Runs, layer: str) -> int:
    """The place of a layer or of the output among the rows whose distances were measured."""
    return list(runs[0].header["rows"]).index(layer)


def own(runs: Runs) -> str:
    """The data set that the probes are on."""
    return str(runs[0].header["probe"][0])


def moments(runs: Runs) -> range:
    """The places of the moments, the first before training and the last after it."""
    return range(len(epochs(runs[0])))


def quarter(runs: Runs) -> int:
    """The last moment in the first quarter of the training: 0, its start, where there is no other."""
    times = epochs(runs[0])
    return max(m for m, epoch in enumerate(times) if epoch <= EARLY * times[-1])


def unit_curve(layer: int, side: str = "seen") -> Curve:
    """Mean UnitMem of a layer, by moment."""
    return lambda moment: unitmem_at(moment, layer, side)


def looked(runs: Runs) -> bool:
    """Whether the encoders were looked at often enough along their training."""
    return len(moments(runs)) >= FEWEST


# ---------------------------------------------------------------- claims


def rises(runs: Runs, layer: int) -> Effect:
    """Kendall's tau of time and a layer's mean UnitMem beyond that on points that the encoders did not see.

    What is ranked is the difference: both can rise at every moment, and the one by far more.
    """
    seen, unseen = (unit_curve(layer, side) for side in ("seen", "unseen"))
    return Effect(rank([seen(m) - unseen(m) for m in moments(runs)]), margin=0.1)


@page.claim(
    "UnitMem of the last convolution, beyond what it is on unseen points, rises steadily over training",
    paper="UnitMem alone increases monotonically over 800 epochs, without unseen points or another control",
    ids=("A101",),
    above="Kendall's τ of time and UnitMem beyond unseen points is {}",
    scale=TAU,
)
def steadily(runs: Runs) -> Found:
    return rises(runs, len(layers(runs)) - 1) if looked(runs) else ALONG


@page.claim(
    "Most of the rise comes in the first epochs, and then UnitMem converges",
    paper="particularly high during the first epochs; stagnates after the warm-up, 120 of 800 epochs",
    ids=("A102",),
    above="UnitMem rises by {} [more|less] in the first quarter than after it",
    control=UNSEEN,
    scale=Scale(3),
)
def early(runs: Runs) -> Found:
    if not looked(runs):
        return ALONG
    if not (soon := quarter(runs)):
        return NotJudged("There is no snapshot in the first quarter of the training.")
    last, final = len(layers(runs)) - 1, len(moments(runs)) - 1

    def more(side: str) -> Estimate:
        start, then, end = (unit_curve(last, side)(m) for m in (0, soon, final))
        return (then - start) - (end - then)

    whole = unit_curve(last)(final) - unit_curve(last)(0)
    return Effect(more("seen"), 0.1, reference=whole, control=more("unseen"))


@page.claim(
    "UnitMem rises steadily in every layer",
    paper="the same trend over all layers, no numbers",
    ids=("A103",),
    above="In layer {part} τ of time and UnitMem beyond unseen points is {}",
    scale=TAU,
    parts="layers",
)
def everywhere(runs: Runs) -> Found:
    return {layer: rises(runs, i) for i, layer in enumerate(layers(runs))} if looked(runs) else ALONG


@page.claim(
    "Memorization goes on when the probe no longer improves: it completes half of its rise later",
    paper="a sign of failure: memorization grows while accuracy does not; no number",
    source="SSLMem paper, summary of its pitfalls",
    ids=("B21",),
    above="Memorization completes half its rise {} of the training [later|earlier] than the probe",
    scale=Scale(0, 100, " %"),
)
def later(runs: Runs) -> Found:
    if not looked(runs):
        return ALONG
    output = row(runs, "output")
    memory, probed = (
        [mirrored_at(m, output) for m in moments(runs)],
        [accuracy_at(m, own(runs)) for m in moments(runs)],
    )
    return Effect(half_way(memory) - half_way(probed), 0.1)


# ---------------------------------------------------------------- what is shown


def over_time(runs: Runs, curve: Curve) -> dict[int, Interval]:
    """{epoch: the interval of a curve over runs}."""
    return {epoch: runs.over(curve(m)) for m, epoch in enumerate(epochs(runs[0]))}


def figure_4(runs: Runs) -> Figure:
    """Units of the last convolution along training: mean UnitMem on seen and unseen points, and the member rate."""
    last = len(layers(runs)) - 1
    series = {
        "mean UnitMem": {
            "seen points": over_time(runs, unit_curve(last)),
            "unseen points": over_time(runs, unit_curve(last, "unseen")),
        },
        "member rate": {"seen against unseen": over_time(runs, lambda m: members_at(m, last))},
    }
    return show.curves(series, "epochs of training", lines={"member rate": {"chance": 0.5}})


def beside(runs: Runs) -> Figure:
    """What distances and a probe say along training: mirrored estimates, and the accuracy of the probe."""
    at = {"last convolution": row(runs, layers(runs)[-1]), "output": row(runs, "output")}
    series = {
        "mirrored estimate": {
            name: over_time(runs, lambda m, place=place: mirrored_at(m, place))  # type: ignore[misc]
            for name, place in at.items()
        },
        f"probe on {own(runs)}": {"output": over_time(runs, lambda m: accuracy_at(m, own(runs)))},
    }
    return show.curves(series, "epochs of training")


def every_layer(runs: Runs) -> Figure:
    """All layers along training, as colours: what is left of UnitMem beyond unseen points, and LayerMem."""
    names, times = layers(runs), epochs(runs[0])
    beyond = [[unit_curve(i)(m) - unit_curve(i, "unseen")(m) for m in moments(runs)] for i in range(len(names))]
    memory = [[mirrored_at(m, row(runs, name)) for m in moments(runs)] for name in names]
    cells = {
        title: {
            (f"{epoch:,}", name): runs.over(found[i][m]).mean
            for m, epoch in enumerate(times)
            for i, name in enumerate(names)
        }
        for title, found in (("UnitMem, seen minus unseen points", beyond), ("mirrored estimate", memory))
    }
    return show.heat(cells, "layer", "epochs of training", form=".3f")


def moments_table(runs: Runs) -> show.Html:
    """The last convolution, the output and the probe, by moment."""
    last, output = len(layers(runs)) - 1, row(runs, "output")
    found = [
        {
            "epochs": epoch,
            "UnitMem, seen": runs.over(unit_curve(last)(m)),
            "UnitMem, unseen": runs.over(unit_curve(last, "unseen")(m)),
            "member rate": runs.over(members_at(m, last)),
            "mirrored estimate, output": runs.over(mirrored_at(m, output)),
            f"probe on {own(runs)} (%)": runs.over(accuracy_at(m, own(runs))),
        }
        for m, epoch in enumerate(epochs(runs[0]))
    ]
    return show.table(found, {"epochs": ",.0f", f"probe on {own(runs)} (%)": "%"})


def answer(runs: Runs) -> str:
    """What mean UnitMem changes by over training, on points of both sides, and in its first quarter."""
    last, end, then = len(layers(runs)) - 1, len(moments(runs)) - 1, quarter(runs)
    seen, unseen = (unit_curve(last, side) for side in ("seen", "unseen"))
    soon = f", and by {runs.over(seen(then) - seen(0))} in the first quarter" if then else ""
    return (
        f"Over training mean UnitMem of layer {layers(runs)[-1]} changes by {runs.over(seen(end) - seen(0))} on seen "
        f"points{soon}; on unseen points it changes by {runs.over(unseen(end) - unseen(0))}."
    )
