"""Page 04_2_replacement: do the layers that memorize matter most (LayerMem paper, sections 4.2, C.7, C.11, C.12)?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from memlib.book import paper, show
from memlib.book.claims import Effect, NotJudged, Page
from memlib.book.cuts import replacement_results as results
from memlib.book.cuts.replacement_results import Steps, at, chosen, gained, lost, memory, randomly, sets, steps
from memlib.book.estimates import Estimate, mean, rank
from memlib.book.runs import Runs
from memlib.book.verdicts import NOTHING_LEARNED
from memlib.book.words import POINTS, TAU

POINT, QUARTER = 0.01, 0.25  # the least that matters: of accuracy; of what layers memorized
SIZE, RUNS = 3, ("replacement", "replacement_blocks")  # layers replaced at once in the claims, as in tables 21 to 24
STANDS = {"donor": "another data set", "g": "same data set", "untrained": "untrained"}  # whose layer stands in
NINE = tuple("12345678")  # the layers of a ResNet9
LOST, LOST_G, GAINED = "lost", "lost, same data set", "gained on the donor's data"
PRINTED = ("LayerMem paper: which", "LayerMem paper: lost", "LayerMem paper: gained")
C11: Any = {"source": "LayerMem paper, section C.11", "parts": "layers"}

page = Page("04_2_replacement", "LayerMem paper, sections 4.2 and C.7, Tables 21 to 23", takes=RUNS)


# ---------------------------------------------------------------- claims


def costs(runs: Runs, contrast: Callable[[str], Estimate], margin: float = POINT) -> Effect | NotJudged:
    """What another data set's layers do, with g's in their place as the control, where f learned anything at all."""
    new = runs.over(lost(steps(runs), "untrained"))
    if new.pairs > 1 and new.low <= 0:
        return NotJudged(NOTHING_LEARNED)
    return Effect(contrast("donor"), margin, control=contrast("g"), over=runs)


def most_less_least(number: Callable[..., Estimate], role: str) -> Estimate:
    """A number of the three steps that memorize most, minus that of the three that memorize least."""
    return number(chosen(SIZE), role) - number(chosen(SIZE, most=False), role)


def words(one: str, other: str, verb: str = "costs") -> dict[str, Any]:
    """The words of what costs more than something else, and of its control."""
    above = f"Replacing {one} {verb} {{}} [more|fewer] than {other}"
    return {"above": above, "control": "Of layers of the same data set it is {} [more|fewer]", "scale": POINTS}


@page.claim(
    "Replacing the most memorizing layers costs more accuracy than replacing the least memorizing ones",
    paper="three layers: 36.6 and 39.1 % are left of 69.1 %, against 59.1 and 50.0 %",
    ids=("A46",),
    **words("the most memorizing layers", "the least"),
)
def most(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    return costs(runs, lambda role: most_less_least(lost, role))


@page.claim(
    "So it is, too, with layers of an encoder of SVHN",
    paper="three layers (Table 22b): 33.1 and 35.0 % are left of 69.1 %, against 52.8 and 45.4 %",
    ids=("A50",),
    **words("the most memorizing layers", "the least"),
)
def svhn(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    if results.donor(runs) != "svhn":
        return NotJudged(f"Encoders of SVHN did not run; layers here come from {results.donor(runs)}.")
    return most(runs, blocks)


@page.claim(
    "Replacing the most memorizing layers costs more accuracy than replacing random ones",
    paper="three layers: 36.6 and 39.1 % are left of 69.1 %, against 43.2 %",
    ids=("A47",),
    **words("the most memorizing layers", "random ones"),
)
def random(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    return costs(runs, lambda role: lost(chosen(SIZE), role) - randomly(lost, SIZE, role))


@page.claim(
    "Layers chosen by delta cost more accuracy than those chosen by LayerMem",
    paper="4, 6 and 8 leave 36.6 %, 6, 7 and 8 leave 39.1 %",
    ids=("A48",),
    **words("layers of the highest delta", "of the highest LayerMem"),
)
def by_delta(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    if all(chosen(SIZE, "delta")(run) == chosen(SIZE)(run) for run in runs):
        return NotJudged("Both choose the same layers in every run.")
    return costs(runs, lambda role: lost(chosen(SIZE, "delta"), role) - lost(chosen(SIZE), role))


@page.claim(
    "Replacing the most memorizing layers gains most accuracy on the donor's data set",
    paper="three layers: 32.3 and 29.8 % from 17.8 %, against 23.1 and 24.7 % for the least memorizing ones",
    ids=("A49",),
    **words("the most memorizing layers", "the least", "gains"),
)
def gain(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    return costs(runs, lambda role: most_less_least(gained, role))


@page.claim(
    "The largest deltas name layers whose replacement costs more than that of as many last ones",
    paper="6, 6 8 and 4 6 8 cost more than 8, 7 8 and 6 7 8",
    ids=("A51", "A52", "A53"),
    source="LayerMem paper, section C.12, Tables 30, 32 and 33",
    **words("layers of the highest delta", "the last ones"),
)
def largest(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    both = [(chosen(n, "delta"), results.last(n)) for n in results.sizes(runs)]
    both = [(one, other) for one, other in both if any(one(run) != other(run) for run in runs)]
    if not both:
        return NotJudged("The largest deltas are the last layers' in every run.")
    return costs(runs, lambda role: mean(*(lost(one, role) - lost(other, role) for one, other in both)))


@page.claim(
    "The more a layer memorizes, the more accuracy its replacement costs",
    paper="seen in the tables, no correlation computed",
    ids=("A54",),
    source="LayerMem paper, sections 4.2 and C.12, Table 30",
    above="Kendall's τ of a layer's memorization and the cost of replacing it is {}",
    control="Of layers of the same data set it is {}",
    scale=TAU,
)
def order(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    return costs(runs, lambda role: results.tau(memory(runs), role), margin=0.1)


@page.claim(
    "In a ResNet50, replacing the most memorizing blocks costs more accuracy than the least memorizing ones",
    paper="three blocks: 43.7 % are left of 77.1 %, against 57.4 %",
    ids=("A55", "A56"),
    source="LayerMem paper, section C.7, Table 24",
    **words("the most memorizing blocks", "the least"),
)
def of_blocks(runs: Runs, blocks: Runs) -> Effect | NotJudged:
    return costs(blocks, lambda role: most_less_least(lost, role))


@page.claim(
    "BatchNorms of encoders of different data sets are similar, so that their statistics need no adjustment",
    paper="cosine .779 to .881 by layer, .823 on average",
    ids=("A57",),
    source="LayerMem paper, section C.7, Table 25",
    above="The cosine of BatchNorms is {} [higher|lower] than with units permuted",
    needs=(),
)
def batchnorm(runs: Runs, blocks: Runs) -> Effect:
    chance = results.alike("donor", 3)
    room = Estimate(lambda run: 1 - chance(run))  # that chance leaves
    return Effect(results.alike("donor") - chance, margin=0.1, reference=room)


@page.claim(
    "The LayerMem of a replaced layer always drops",
    paper="it drops at every layer",
    ids=("A58",),
    **C11,
    above="Replacing layer {part} [lowers|raises] what it memorizes by {}",
)
def drops(runs: Runs, blocks: Runs) -> dict[str, Effect]:
    return {step: Effect(results.drop(runs, step), QUARTER, reference=of) for step, of in memory(runs).items()}


@page.claim(
    "The LayerMem of a replaced layer drops less at early layers",
    paper="it drops less at early ones",
    ids=("A59",),
    **C11,
    above="Kendall's τ of depth and the drop of memorization is {}",
    scale=TAU,
)
def early(runs: Runs, blocks: Runs) -> Effect:
    return Effect(rank([results.drop(runs, step) for step in memory(runs)]), margin=0.1)


@page.claim(
    "The LayerMem of the other layers is not affected by a replacement",
    paper="not affected significantly",
    ids=("A60",),
    **C11,
    above="Replacing layer {part} [raises|lowers] what those behind it memorize by {}",
)
def unchanged(runs: Runs, blocks: Runs) -> dict[str, Effect]:
    layers, found = runs[0].header["layers"], {}
    for step in steps(runs):
        behind = layers[layers.index(runs[0].header["rows"][step]) + 1 :]
        before, after = (mean(*(at(layer, one) for layer in behind)) for one in (None, step))
        found[step] = Effect(after - before, QUARTER, reference=before, sign=0)
    return found


@page.claim(
    "A layer of another data set costs more accuracy than one of an encoder of the same data set",
    paper="no number: the loss is taken for one of memorization without this control",
    ids=("A61",),
    source="not in the LayerMem paper",
    above="A layer of another data set costs {} [more|fewer] than one of the same",
    scale=POINTS,
    needs=(),
)
def foreign(runs: Runs, blocks: Runs) -> Effect:
    return Effect(randomly(lost, 1) - randomly(lost, 1, "g"), POINT)


# ---------------------------------------------------------------- what is shown


def printed(size: int) -> dict[Steps, tuple[float, float]]:
    """{layers: points lost on CIFAR10, and gained on STL10} of tables 30, 32 and 33."""
    table = paper.table({1: "table_30", 2: "table_32", 3: "table_33"}[size]).set_index("layers")
    own, other = (table[name] - table.loc["none", name] for name in ("cifar10 (%)", "stl10 (%)"))
    return {tuple(key.split()): (-own[key], other[key]) for key in table.index if key != "none"}


def printed_choices(runs: Runs, size: int) -> dict[str, dict[str, Any]]:
    """{choice: layers, points lost and gained} of tables 22 to 24: of the donor's data set, or else of STL10."""
    names = {1: "table_23", 3: "table_22"} if steps(runs) == NINE else {3: "table_24"}
    if size not in names:
        return {}
    table = paper.table(names[size])
    table = table[table["donor"] == ("svhn" if results.donor(runs) == "svhn" else "stl10")].set_index("chosen")
    own, other = (table[name] - table.loc["none", name] for name in ("cifar10 (%)", "donor (%)"))
    return {n: dict(zip(PRINTED, (table["layers"][n], -own[n], other[n]), strict=True)) for n in table.index}


def cost_map(runs: Runs) -> Any:
    """Points of accuracy lost: one layer on the diagonal, two below it; beneath the mean of threes that hold it."""
    every = [some for n in results.sizes(runs) for some in sets(runs[0], n)]
    found = {"points lost here": {some: 100 * runs.over(lost(some)).mean for some in every}}
    if steps(runs) == NINE:
        theirs = printed(1) | printed(2) | printed(3)
        found["points lost in the LayerMem paper, STL10"] = {some: points for some, (points, _) in theirs.items()}
    cells = {}
    for name, cost in found.items():
        threes = {step: [v for some, v in cost.items() if len(some) == 3 and step in some] for step in steps(runs)}
        cells[name] = {(some[-1], some[0]): v for some, v in cost.items() if len(some) < 3}
        cells[name] |= {("threes", step): float(np.mean(v)) for step, v in threes.items() if v}
    return show.heat(cells, "replaced layer", "and replaced layer", form=".0f")


def cost_scatter(runs: Runs) -> Any:
    """What a layer memorizes against the accuracy that its replacement costs, by whose layer stands in."""
    x = {step: runs.over(of) for step, of in memory(runs).items()}
    found: dict[str, Any] = {}
    for role, name in STANDS.items():
        found[name] = {name: {step: (at, runs.over(lost((step,), role))) for step, at in x.items()}}
    return show.scatter(found, "memorization of the layer (SSLMem′)", "accuracy lost (points)", percent=True)


def after_map(runs: Runs) -> Any:
    """Mirrored estimate of each layer before, and after each single replacement in f and in g (C.11)."""
    layers, after = runs[0].header["layers"], (None, *steps(runs))
    cells = {(n, step or "none"): 1000 * runs.over(at(n, step)).mean for n in layers for step in after}
    return show.heat({"1000 × SSLMem′, by layer": cells}, "replaced layer", "layer", form=".1f")


def whole_table(runs: Runs) -> show.Html:
    """Accuracy of f, and of the encoders whose layers stood in, on the data set of f and on the donor's."""
    rows = {f"all layers from: {name}": (role, steps(runs)) for role, name in STANDS.items()}
    columns = {f"{runs[0].header['encoders'][one]['dataset']} (%)": one for one in ("f", "donor")}
    table = [
        {"encoder": name} | {words: runs.over(results.accuracy(*which, one)) for words, one in columns.items()}
        for name, which in {"f, nothing replaced": ("f", ()), **rows}.items()
    ]
    return show.table(table, dict.fromkeys(columns, "%"))


def single_table(runs: Runs) -> show.Html:
    """By layer: what it memorizes, what its replacement costs by whose layer stands in, and gains (Table 30)."""
    level, added, theirs = memory(runs), memory(runs, "delta"), printed(1)
    costs = {f"lost, {name}": role for role, name in STANDS.items()}
    rows = [
        {
            "layer": step,
            "parameters": count,
            "SSLMem′": runs.over(level[step]),
            "delta": runs.over(added[step]) if step in added else None,
            **{name: runs.over(lost((step,), role)) for name, role in costs.items()},
            GAINED: runs.over(gained((step,))),
            **dict(zip(PRINTED[1:], theirs.get((step,), (None, None)), strict=True)),
        }
        for step, count in zip(level, runs[0].arrays["parameters"], strict=True)
    ]
    return show.table(rows, dict.fromkeys((*costs, GAINED), "%") | dict.fromkeys(PRINTED[1:], ".1f"))


def choice_table(runs: Runs) -> show.Html:
    """Tables 21 to 24: what each rule chooses, and what replacing it costs, by g's layers too, and gains."""
    rows = []
    for n in results.sizes(runs):
        picks = {f"most by {by}": chosen(n, by) for by in results.RULES} | {"last": results.last(n)}
        picks |= {f"least by {by}": chosen(n, by, most=False) for by in results.RULES}
        found: dict[str, tuple[Any, ...]] = {}
        for name, pick in picks.items():
            which = ", ".join(dict.fromkeys(" ".join(pick(run)) for run in runs))
            found[name] = which, lost(pick), lost(pick, "g"), gained(pick)
        every = "" if str(n) in runs[0].header["drawn"].get("donor", {}) else "all "
        which = f"mean of {every}{len(sets(runs[0], n))}"
        found["random"] = which, randomly(lost, n), randomly(lost, n, "g"), randomly(gained, n)
        theirs = printed_choices(runs, n)
        for name, (which, *numbers) in found.items():
            beside = theirs.get(name) or theirs.get(name.split(" by ")[0], {})  # Table 24 does not say by which rule
            ours = dict(zip((LOST, LOST_G, GAINED), map(runs.over, numbers), strict=True))
            rows.append({"layers": n, "chosen": name, "which": which, **ours, **dict.fromkeys(PRINTED), **beside})
    return show.table(rows, dict.fromkeys((LOST, LOST_G, GAINED), "%") | dict.fromkeys(PRINTED[1:], ".1f"))


def batchnorm_table(runs: Runs) -> show.Html:
    """Table 25: cosine of BatchNorm weights and biases between f and the encoders whose layers stood in."""
    theirs = paper.table("table_25").set_index("layer")["cosine"]
    columns: dict[str, tuple[str, int]] = {"donor": ("donor", 0), "donor, units permuted": ("donor", 3)}
    columns |= {"donor, weights": ("donor", 1), "donor, biases": ("donor", 2)}
    columns |= {"same data set": ("g", 0), "untrained": ("untrained", 0)}
    rows = []
    for step in (*runs[0].header["normed"], "mean"):
        found = {n: runs.over(results.alike(*one, None if step == "mean" else step)) for n, one in columns.items()}
        rows.append({"layer": step, **found, "LayerMem paper": theirs.get(step)})
    return show.table(rows)


def answer(runs: Runs) -> str:
    """What the most memorizing layers cost beyond the least, and what g's cost in their place."""
    donor, g = (runs.over(most_less_least(lost, role)) for role in ("donor", "g"))
    return (
        f"The accuracy lost with the {SIZE} layers that memorize most, minus that with the {SIZE} that memorize "
        f"least, is {donor:%} points; where layers of an encoder of the same data set stand in it is {g:%}."
    )
