"""Page 04_2_finetuning: do layers that memorize most gain most by tuning (LayerMem paper, section 4.2, Table 5)?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from memlib.book import paper, show
from memlib.book.claims import Effect, NotJudged, Page
from memlib.book.cuts.finetuning import STARTS
from memlib.book.cuts.finetuning_results import HEAD, Layers, choice, memory, more, named, sets, size, tuned
from memlib.book.estimates import Estimate, mean, rank
from memlib.book.runs import Runs
from memlib.book.words import POINTS, TAU

POINT = 0.01  # of accuracy: the least that matters
COUNTS = (1, 2, 3)  # layers that are chosen together
CHOICES = {
    "layermem": "highest LayerMem",
    "delta": "highest delta",
    "last": "last layers",
    "least": "lowest LayerMem",
}
TRAINED, UNTRAINED = "trained encoder", "untrained encoder"
ACCURACY = "accuracy on test images (%)"

page = Page("04_2_finetuning", source="LayerMem paper, section 4.2 and Table 5", takes=("finetuning",))


# ---------------------------------------------------------------- claims


def trained(contrast: Callable[[str], Estimate], margin: float = POINT) -> Effect:
    """An effect of training: its control is the same number of the same encoders before training."""
    return Effect(contrast("f"), margin, control=contrast("untrained"))


def chosen(runs: Runs, *names: str, against: str = "last", budget: bool = False) -> Effect | NotJudged:
    """What choices yield beyond another, mean over them and over numbers of layers where some run's sets differ."""
    both = [(choice(name, k, budget), choice(against, k, budget)) for name in names for k in COUNTS]
    both = [(one, other) for one, other in both if any(one(run) != other(run) for run in runs)]
    if not both:
        return NotJudged("This choice takes the last layers in every run.")
    return trained(lambda start: mean(*(more(one, other, start) for one, other in both)))


def beats(one: str, other: str) -> dict[str, Any]:
    """The words of what yields more than something else, and of its control."""
    control = "In encoders that were never trained it is {}"
    return {"above": f"{one} [beats|trails] {other} by {{}}", "control": control, "scale": POINTS}


@page.claim(
    "The more a layer memorizes, the more tuning it yields",
    paper="layer 6, with the highest delta, 53.0 %; layer 8, with the highest LayerMem, 52.7 %; no other layer alone",
    ids=("A68",),
    above="Kendall's τ of a layer's memorization and accuracy after tuning it is {}",
    control="In encoders that were never trained it is {}",
    scale=TAU,
)
def order(runs: Runs) -> Effect:
    layers = runs[0].header["layers"]
    by = [memory(layer) for layer in layers]
    return trained(lambda start: rank([tuned((layer,), start) for layer in layers], by), margin=0.1)


@page.claim(
    "Tuning the most memorizing layers yields more than tuning as many of the least memorizing",
    paper="6, then 6 and 8, then 4, 6 and 8 yield most; the least memorizing are not tuned",
    ids=("A66",),
    **beats("Tuning the most memorizing layers", "tuning the least"),
)
def most(runs: Runs) -> Effect | NotJudged:
    return chosen(runs, "layermem", against="least")


@page.claim(
    "Tuning layer 6 yields more than tuning the last layer, 8",
    paper="53.0 ± 0.86 % and 52.7 ± 0.97 %",
    ids=("A62",),
    **beats("Tuning layer 6", "tuning layer 8"),
)
def sixth(runs: Runs) -> Effect:
    return trained(lambda start: more(("6",), ("8",), start))


@page.claim(
    "Tuning layers 6 and 8 yields more than tuning the last two, 7 and 8",
    paper="56.7 ± 0.84 % and 55.3 ± 0.77 %",
    ids=("A63",),
    **beats("Tuning layers 6 and 8", "tuning 7 and 8"),
)
def two(runs: Runs) -> Effect:
    return trained(lambda start: more(("6", "8"), ("7", "8"), start))


@page.claim(
    "Tuning layers 4, 6 and 8 yields more than tuning the last three, 6, 7 and 8",
    paper="57.9 ± 0.79 % and 56.5 ± 0.95 %",
    ids=("A64",),
    **beats("Tuning layers 4, 6 and 8", "the last three"),
)
def three(runs: Runs) -> Effect:
    return trained(lambda start: more(("4", "6", "8"), ("6", "7", "8"), start))


@page.claim(
    "Each further layer adds accuracy: layer 6 to the head, then 8, then 4",
    paper="48.6, 53.0, 56.7 and 57.9 %",
    ids=("A65",),
    above="Layer {part} [adds {} to|takes {} from] what was tuned before it",
    scale=POINTS,
    parts="layers",
    needs=(),  # of accuracy alone
)
def adding(runs: Runs) -> dict[str, Effect]:
    steps = {"6": (("6",), HEAD), "8": (("6", "8"), ("6",)), "4": (("4", "6", "8"), ("6", "8"))}
    return {layer: Effect(more(*step), POINT) for layer, step in steps.items()}


@page.claim(
    "Layers chosen by LayerMem yield more than as many last layers",
    paper="the highest LayerMem of Table 1 are the last layers'; Table 5 names 6, and 4, 6 and 8",
    ids=("A67",),
    **beats("Choosing by LayerMem", "taking the last layers"),
)
def by_layermem(runs: Runs) -> Effect | NotJudged:
    return chosen(runs, "layermem")


@page.claim(
    "Layers chosen by the delta of LayerMem yield more than as many last layers",
    paper="6 above 8, 6 and 8 above 7 and 8, 4, 6 and 8 above 6, 7 and 8, by 0.3, 1.4 and 1.4 %",
    ids=("A67",),
    **beats("Choosing by delta", "taking the last layers"),
)
def by_delta(runs: Runs) -> Effect | NotJudged:
    return chosen(runs, "delta")


@page.claim(
    "At equal numbers of tuned parameters LayerMem and its delta choose better than taking the last layers",
    paper="no number: layers are counted, not parameters",
    ids=("A68",),
    source="not in the LayerMem paper",
    **beats("At equal parameters, choosing by memorization", "taking the last layers"),
)
def equal(runs: Runs) -> Effect | NotJudged:
    return chosen(runs, "layermem", "delta", budget=True)


# ---------------------------------------------------------------- what is shown


def common(runs: Runs) -> list[Layers]:
    """The sets that were tuned in every run, fewer layers first."""
    return [one for one in sets(runs[0]) if all(one in sets(run) for run in runs)]


def sides(of: Callable[[str], Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The same of trained and of untrained encoders."""
    return {label: of(start) for start, label in zip(STARTS, (TRAINED, UNTRAINED), strict=True)}


def sets_figure(runs: Runs) -> Any:
    """Accuracy after tuning each set, of trained and of untrained encoders."""
    found = sides(lambda start: {named(one): runs.over(tuned(one, start)) for one in common(runs)})
    return show.intervals(found, ACCURACY, "tuned layers, with the head", percent=True, controls=[UNTRAINED])


def layers_figure(runs: Runs) -> Any:
    """By layer: the mirrored estimate of its memorization, and what tuning it adds to the head alone."""
    layers = runs[0].header["layers"]
    gained = sides(lambda start: {n: runs.over(100 * more((n,), HEAD, start)) for n in layers})
    level: dict[str, Mapping[str, Any]] = {TRAINED: {n: runs.over(memory(n)) for n in layers}}
    return show.curves({"memorization (SSLMem′)": level, "points of accuracy gained": gained}, "layer", joined=False)


def parameters_figure(runs: Runs) -> Any:
    """Accuracy against the number of the encoder's parameters that were tuned, a point a set."""

    def points(start: str) -> dict[str, Any]:
        return {named(one): (runs.over(size(one)).mean, runs.over(tuned(one, start))) for one in common(runs) if one}

    head = {"head alone, trained": runs.over(tuned(HEAD)).mean}
    words = "parameters of the encoder that are tuned"
    return show.scatter(sides(points), words, ACCURACY, log=True, percent=True, lines=head)


def sets_table(runs: Runs) -> show.Html:
    """By set: parameters, the paper's accuracy and ours, and what tuning it adds to the head alone."""
    printed = paper.table("table_5").set_index("layers").to_dict("index")
    rows = []
    for one in common(runs):
        theirs = printed.get(" ".join(one) or "none")
        rows.append(
            {
                "tuned layers": named(one),
                "parameters": round(runs.over(size(one)).mean),
                "LayerMem paper (%)": theirs and f"{theirs['accuracy (%)']:.1f} ± {theirs['deviation']:.2f}",
                "ours (%)": runs.over(tuned(one)),
                "beyond the head": runs.over(more(one, HEAD)) if one else None,
                "untrained (%)": runs.over(tuned(one, "untrained")),
                "beyond its head": runs.over(more(one, HEAD, "untrained")) if one else None,
            }
        )
    return show.table(rows, dict.fromkeys(("ours (%)", "beyond the head", "untrained (%)", "beyond its head"), "%"))


def choices_table(runs: Runs, budget: bool = False) -> show.Html:
    """By choice of 1, 2 and 3 layers: which in how many runs, accuracy, and what it yields beyond the last layers.

    Args:
        budget: Of at most as many parameters as the last 1, 2 and 3 layers have.
    """
    rows = []
    for name, k in product(CHOICES, COUNTS):
        pick, last = choice(name, k, budget), choice("last", k, budget)
        times = Counter(sorted(named(pick(run)) for run in runs))
        rows.append(
            {
                "choice": CHOICES[name],
                "within the last" if budget else "layers": k,
                "which": "; ".join(n if m == len(runs) else f"{n} ({m} of {len(runs)})" for n, m in times.items()),
                **({"parameters": round(runs.over(size(pick)).mean)} if budget else {}),
                "ours (%)": runs.over(tuned(pick)),
                "beyond the last": None if name == "last" else runs.over(more(pick, last)),
                "untrained (%)": runs.over(tuned(pick, "untrained")),
            }
        )
    return show.table(rows, dict.fromkeys(("ours (%)", "beyond the last", "untrained (%)"), "%"))


def answer(runs: Runs) -> str:
    """What the most memorizing layers yield beyond the least, and what they did before training."""
    trained, before = (
        runs.over(mean(*(more(choice("layermem", k), choice("least", k), start) for k in COUNTS))) for start in STARTS
    )
    return (
        f"The accuracy after tuning the layers that memorize most, minus that after tuning as many of the least "
        f"memorizing, is {trained:%} points; in encoders that were never trained it is {before:%}."
    )
