"""Page 05_2_pruning: does it matter which units are pruned, and does UnitMem tell (LayerMem paper, Table 6)?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, Page
from memlib.book.cuts.pruning import CELLS
from memlib.book.cuts.pruning_results import NONE, Cell, accuracy, alike, area, gap, inactive, rows, shares, taken
from memlib.book.estimates import Estimate
from memlib.book.runs import Run, Runs
from memlib.book.words import POINTS
from memlib.stats import Interval, kendall, number, overlap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINT = 0.01  # of accuracy: the least that matters
PRINTED: list[Cell] = [("layer", 0.1), ("layer", 0.2), ("total", 0.1)]  # the cells of Table 6
OTHERS = ("magnitude", "activation")  # what a user would prune by
CRITERIA = {
    "top": "top UnitMem",
    "random": "random",
    "low": "low UnitMem",
    "magnitude": "magnitude",
    "activation": "mean activation",
    "top unseen": "top, unseen points",
    "low unseen": "low, unseen points",
}
SCOPES = {"layer": "in each layer", "total": "in total"}
OURS: Any = {"source": "not in the paper", "scale": POINTS, "ids": ("A100",), "parts": "criteria"}

page = Page("05_2_pruning", source="LayerMem paper, section 5.2 and Table 6", takes=("pruning",))


def own(runs: Runs) -> str:
    """The data set that the encoders were trained on: its probe is first."""
    return str(runs[0].header["probe"][0])


def unseen(criterion: str) -> str:
    """The same criterion by points that the encoder did not see; random units know of none."""
    return criterion if criterion == "random" else f"{criterion} unseen"


# ---------------------------------------------------------------- claims


def beyond(runs: Runs, more: str, less: str) -> Effect:
    """A contrast over Table 6's cells, against the same by points that the encoders did not see."""
    seen, other = gap(own(runs), PRINTED, more, less), gap(own(runs), PRINTED, unseen(more), unseen(less))
    return Effect(seen, POINT, control=other)


@page.claim(
    "Pruning the units of the highest UnitMem costs more accuracy than pruning random ones",
    paper="2.1 to 7.6 points more on three data sets, without a control",
    ids=("A98",),
    above="Without the top units accuracy is {} [lower|higher] than without random ones",
    control="By points that the encoders did not see it is {}",
    scale=POINTS,
)
def top(runs: Runs) -> Effect:
    return beyond(runs, "random", "top")


@page.claim(
    "Pruning the units of the lowest UnitMem costs less accuracy than pruning random ones",
    paper="3.3 to 5.9 points less on three data sets, without a control",
    ids=("A99",),
    above="Without the low units accuracy is {} [higher|lower] than without random ones",
    control="By points that the encoders did not see it is {}",
    scale=POINTS,
)
def low(runs: Runs) -> Effect:
    return beyond(runs, "low", "random")


@page.claim(
    "Pruning by low UnitMem keeps more accuracy than pruning by magnitude or by mean activation",
    paper="compares with random units alone",
    above="Pruning by low UnitMem keeps {} [more|less] than by {part}",
    **OURS,
)
def wins(runs: Runs) -> dict[str, Effect]:
    return {CRITERIA[other]: Effect(gap(own(runs), PRINTED, "low", other), POINT) for other in OTHERS}


@page.claim(
    "Over all shares that are pruned, low UnitMem keeps more accuracy than random, magnitude and activation",
    paper="has 10 % and 20 % alone",
    above="Over the curve low UnitMem keeps {} [more|less] than {part}",
    **OURS,
)
def curve(runs: Runs) -> dict[str, Effect]:
    def more(other: str) -> Estimate:
        both = [area(own(runs), scope, "low") - area(own(runs), scope, other) for scope in SCOPES]
        return 0.5 * (both[0] + both[1])

    return {CRITERIA[other]: Effect(more(other), POINT) for other in ("random", *OTHERS)}


# ---------------------------------------------------------------- what is shown


def tenth(runs: Runs) -> Figure:
    """Accuracy without a tenth of each layer's units: by UnitMem of seen points, and of points that were not seen."""

    def left(*criteria: str, suffix: str = "") -> dict[str, Interval]:
        return {CRITERIA[c]: runs.over(accuracy(own(runs), CELLS[0], c + suffix)) for c in criteria}

    series = {
        "by seen points": left("top", "random", "low"),
        "by unseen points": left("top", "low", suffix=" unseen"),
    }
    words = f"accuracy on {own(runs)} (%)", "pruned units"
    return show.intervals(series, *words, percent=True, controls=["by unseen points"])


def curves(runs: Runs) -> Figure:
    """Accuracy on the encoders' own data set over the share of pruned units: in each layer above, in total below."""
    series = {
        f"pruned {said}": {
            CRITERIA[name]: {p: runs.over(accuracy(own(runs), (scope, p), name)) for p in shares(runs[0], scope)}
            for name in ("top", "random", "low", *OTHERS)
        }
        for scope, said in SCOPES.items()
    }
    words = "share of the units that is pruned", f"accuracy on {own(runs)} (%)"
    return show.curves(series, *words, percent=True)


def layers(runs: Runs) -> Figure:
    """Which layers the scope `total` takes its tenth from, and the accuracy lost where one layer alone is pruned."""
    names, share = list(runs[0].header["layers"]), dict(runs[0].header["choices"]).get("alone")

    def of(criteria: tuple[str, ...], estimate: Callable[[str, str], Estimate]) -> dict[str, dict[str, Interval]]:
        return {CRITERIA[c]: {layer: runs.over(estimate(layer, c)) for layer in names} for c in criteria}

    series = {
        "% of the layer’s units among 10 % in total": of(
            ("top", "low", *OTHERS), lambda layer, name: taken(layer, name, ("total", 0.1))
        )
    }
    if share:
        whole = accuracy(own(runs), NONE, "none")
        series[f"points of accuracy lost with {share:.0%} of this layer alone"] = of(
            ("top", "random", "low"), lambda layer, name: whole - accuracy(own(runs), (f"only {layer}", share), name)
        )
    return show.curves(series, "layer", joined=False, percent=True)


def table(runs: Runs) -> show.Html:
    """Table 6 beside ours, and what a user would prune by: accuracy in percent, with 95 % intervals over runs."""
    printed = paper.table("table_6").set_index(["scope", "criterion", "share (%)"])
    ours, theirs = list(runs[0].header["probe"]), [name for name in printed.columns if name.endswith("(%)")]
    found = []
    for scope, share in (NONE, *CELLS):
        for criterion in CRITERIA if share else ("none",):
            cell: dict[str, Any] = {
                "units pruned": CRITERIA.get(criterion, criterion),
                "share": f"{share:.0%} {SCOPES[scope]}" if share else None,
                **{name: runs.over(accuracy(name, (scope, share), criterion)) for name in ours},
            }
            if criterion == "random":
                cell["between draws"] = number(
                    float(np.mean([spread(run, ours[0], scope, share) for run in runs])), "%"
                )
            cell |= {
                f"untrained, {n}": runs.over(accuracy(n, (scope, share), criterion, trained=False)) for n in ours
            }
            key = scope, criterion, 100 * share
            cell |= {
                f"LayerMem paper, {n[:-4]}": printed[n].get(key) if key in printed.index else None for n in theirs
            }
            found.append(cell)
    percent = [*ours, *(f"untrained, {name}" for name in ours)]
    return show.table(
        found,
        dict.fromkeys([*percent, "between draws"], "%") | {f"LayerMem paper, {name[:-4]}": ".1f" for name in theirs},
    )


def spread(run: Run, dataset: str, scope: str, share: float) -> float:
    """Standard deviation between draws within an encoder, mean of f and g."""
    draws = run.arrays[f"accuracy-{dataset}"].astype(np.float64)[:, rows(run, scope, "random", share)].mean(2)
    return float(draws.std(1, ddof=1).mean()) if draws.shape[1] > 1 else 0.0


def rankings(runs: Runs) -> show.Html:
    """How alike the criteria are: rank correlation with UnitMem of seen points, and the lowest tenth in common."""

    def same(which: int) -> Callable[[np.ndarray, np.ndarray], float]:
        return lambda a, b: overlap(-a, -b, max(1, round(0.1 * len(a))))[which]

    names = {"unseen": "UnitMem of unseen points", **{name: CRITERIA[name] for name in OTHERS}}
    found = [
        {
            "UnitMem of seen points and": said,
            "Kendall’s τ": runs.over(alike(name, lambda a, b: kendall(a, b)[0])),
            "lowest tenth in common": runs.over(alike(name, same(0))),
            "by chance": runs.over(alike(name, same(1))).mean,
        }
        for name, said in names.items()
    ]
    return show.table(found, {"by chance": ".2f"})


def silent(runs: Runs) -> str:
    """How many units no seen point activates, a sentence."""
    return (
        f"Units that no view of a seen point activates: {runs.over(inactive):%} %. Their UnitMem is 0, and pruning "
        "them changes nothing on such points."
    )


def answer(runs: Runs) -> str:
    """What is left without the units of highest UnitMem, random ones, and those of lowest."""
    data, cell = own(runs), CELLS[0]
    left = {c: number(runs.over(accuracy(data, cell, c)).mean, "%") for c in ("top", "random", "low")}
    whole = number(runs.over(accuracy(data, NONE, "none")).mean, "%")
    return (
        f"Of {whole} % on {data}, {left['top']} % are left without the tenth of each layer of highest UnitMem, "
        f"{left['random']} % without random units and {left['low']} % without the lowest."
    )
