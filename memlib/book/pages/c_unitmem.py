"""Page C_unitmem: what does UnitMem depend on (LayerMem paper, appendices C.1 and C.2, Figs. 5 to 11, Table 34)?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memlib.book import paper, show
from memlib.book.claims import Effect, Found, NotJudged, Page
from memlib.book.cuts.remeasured import excess, layers, members, unitmem
from memlib.book.cuts.units import CLASSES, MEDIAN, OWN, SIDES, concepts
from memlib.book.estimates import accuracy, member_rate, of, untrained
from memlib.book.estimates import unitmem as measured
from memlib.book.experiments import experiments
from memlib.book.pieces import Pieces
from memlib.book.runs import Runs, experiment
from memlib.book.study import Joined, by_arm, sweep
from memlib.book.words import POINTS, UNSEEN, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER_FEWEST = 100  # points in Fig. 6
ALIKE_SETS = ("weak", "independent")  # that the paper says report the same; masking, in Fig. 9 as well, is shown
SAME = 0.1  # of UnitMem: less counts as alike
SAME_EXCESS = 0.25  # of what seen points have beyond unseen ones: noisier, as a difference of two means
BOTH = ("UnitMem", "seen minus unseen")  # what is alike: what is reported, and what of it is memory
DECAY = NotJudged("No encoders with other weight decays were trained here.")
STRENGTH = NotJudged("No encoders with weaker and stronger augmentations were trained here.")
LABELS = NotJudged("No encoders trained with labels are measured again here.")

Arms = Pieces[Joined]
ALIKE = "comparisons"


def again(scale: str, name: str, **sizes: Any) -> Runs:
    """The runs of an experiment, or none where the scale does not have it."""
    return experiment(scale, name, **sizes) if name in experiments(scale) else Runs([], scale=scale, experiment=name)


def taken(scale: str, **sizes: Any) -> tuple[Runs, Runs, Runs, Arms, Arms]:
    """Units measured again: of base, of encoders with more points, of supervised ones; and both sweeps, so far."""
    runs, ssl, sl = (again(scale, name, **sizes) for name in ("units", "units_ssl", "units_sl"))
    return runs, ssl, sl, sweep(scale, "strength"), sweep(scale, "decay")


page = Page("C_unitmem", source="LayerMem paper, appendix C.1", takes=taken)


def last(runs: Runs) -> list[str]:
    """The last convolution alone, which the paper's figures show."""
    return layers(runs)[-1:]


def own(arms: Arms) -> str:
    """The data set that the encoders were trained on."""
    return str(next(iter(arms.studies.values())).spec["dataset"])


def alike(runs: Runs, one: str, other: str) -> dict[str, Effect]:
    """That two variants report the same: UnitMem, and what is left of it beyond unseen points."""
    rows = last(runs)
    reported = Effect(unitmem(one, rows) - unitmem(other, rows), SAME, unitmem(other, rows), sign=0, over=runs)
    beyond = Effect(excess(one, rows) - excess(other, rows), SAME_EXCESS, excess(other, rows), sign=0, over=runs)
    return dict(zip(BOTH, (reported, beyond), strict=True))


def more(runs: Runs, one: str, other: str, rows: list[str]) -> Effect:
    """That a variant reports more than another, against the same on points that the encoders did not see."""
    seen, unseen = (unitmem(one, rows, side) - unitmem(other, rows, side) for side in SIDES)
    return Effect(seen, SAME, reference=unitmem(one, rows), control=unseen, over=runs)


def fall(arms: Arms, low: str, high: str, plain: str) -> Effect:
    """What UnitMem falls by from one arm of training to another, against the same on unseen points.

    Only encoders of the plain arm have to memorize: that those of another do not may be the result.
    """
    base = arms.studies[plain]
    row = base.unit_rows[-1]
    seen, unseen = (of(low, measured(row, side)) - of(high, measured(row, side)) for side in SIDES)
    pieces = Pieces(arms.pieces, {plain: base})
    return Effect(seen, SAME, reference=of(low, measured(row)), control=unseen, over=pieces)


# ---------------------------------------------------------------- claims


def about(claim: str, place: str, text: str, **how: Any) -> dict[str, Any]:
    """Which claim of the list it is, where it stands, and its sentence."""
    return {"ids": (claim,), "source": f"LayerMem paper, appendix {place}", "above": text, "scale": Scale(3)} | how


@page.claim(
    "Without augmentations UnitMem is lower, without labels and with them",
    paper="constantly lower by layer, SSL and SL on CIFAR100, without unseen points",
    parts="trainings",
    **about("A104", "C.1 and Fig. 5", "In {part} UnitMem with augmentations is [higher|lower] by {}", control=UNSEEN),
)
def augmented(runs: Runs, ssl: Runs, sl: Runs, *_: Arms) -> Found:
    ours = more(runs, OWN, "none", layers(runs))
    return {"SSL": ours, "SL": more(sl, OWN, "none", layers(sl)) if sl else LABELS}


@page.claim(
    "The number of points does not matter for UnitMem",
    paper="100 points or more: within each other's standard deviation",
    **about("A105", "C.1 and Fig. 6", "On few points instead of all {part} is [higher|lower] by {}", parts=ALIKE),
)
def number(runs: Runs, ssl: Runs, *_: Any) -> Found:
    many = ssl or runs
    few = min(dict(many[0].header["choices"])["counts"])
    if few < PAPER_FEWEST:
        return NotJudged(f"The claim begins at {PAPER_FEWEST} points, and here it is measured from {few} on.")
    return alike(many, f"{few} points", OWN)


@page.claim(
    "One point of each class or random points: no difference for UnitMem",
    paper="100 points of CIFAR100: within each other's standard deviation",
    **about("A106", "C.1 and Fig. 6", "On one point of each class {part} is [higher|lower] by {}", parts=ALIKE),
)
def chosen(runs: Runs, *_: Any) -> Found:
    return alike(runs, CLASSES, f"as many as {CLASSES}")


@page.claim(
    "UnitMem against the median of the other points is like UnitMem against their mean",
    paper="very similar on the 300 most and the 300 least memorized points",
    **about("A107", "C.1 and Fig. 8", "Against the median {part} is [higher|lower] by {}", parts=ALIKE),
)
def rest(runs: Runs, *_: Any) -> Found:
    return alike(runs, MEDIAN, OWN)


@page.claim(
    "In SSL, the augmentation set that UnitMem is measured with hardly matters",
    paper="weak and independent sets report extremely similar UnitMem",
    parts=ALIKE,
    **about("A108", "C.1 and Fig. 9", "{part}, is [higher|lower] by {} than with the training augmentations"),
)
def sets(runs: Runs, *_: Any) -> Found:
    found: dict[str, Effect] = {}
    for name in (one for one in runs[0].header["sets"] if one in ALIKE_SETS):
        reported, beyond = alike(runs, name, OWN).values()
        found |= {f"UnitMem, {name}": reported, f"excess, {name}": beyond}
    return found


@page.claim(
    "In SL, the training augmentations give the highest UnitMem",
    paper="the highest of four sets in the last convolution, curves without numbers",
    parts="sets",
    **about("A109", "C.1 and Fig. 9", "UnitMem is [higher|lower] by {} than with the set {part}", control=UNSEEN),
)
def labels(runs: Runs, ssl: Runs, sl: Runs, *_: Arms) -> Found:
    if not sl:
        return LABELS
    random = [name for name in sl[0].header["sets"] if name not in (OWN, "none")]
    return {name: more(sl, OWN, name, last(sl)) for name in random}


@page.claim(
    "Stronger augmentations in training reduce UnitMem",
    paper="three strengths in the last convolution, curves without numbers",
    **about("A110", "C.1 and Fig. 10", "From weak to strong views UnitMem [falls|rises] by {}", control=UNSEEN),
)
def stronger(runs: Runs, ssl: Runs, sl: Runs, strength: Arms, decay: Arms) -> Found:
    return fall(strength, "weak", "strong", "normal") if strength else STRENGTH


@page.claim(
    "Stronger weight decay reduces UnitMem",
    paper="three levels in the last convolution, curves without numbers",
    **about("A111", "C.1 and Fig. 11", "From least to most decay UnitMem [falls|rises] by {}", control=UNSEEN),
)
def decays(runs: Runs, ssl: Runs, sl: Runs, strength: Arms, decay: Arms) -> Found:
    least, *_, most = decay.studies or ("", "")
    return fall(decay, least, most, least) if decay else DECAY


@page.claim(
    "Stronger weight decay decreases probe accuracy",
    paper="accuracy of a linear probe falls over three levels, no numbers in the text",
    needs=(),
    **about("A112", "C.1 and Fig. 11", "From least to most decay the probe [falls|rises] by {}") | {"scale": POINTS},
)
def probed(runs: Runs, ssl: Runs, sl: Runs, strength: Arms, decay: Arms) -> Found:
    if not decay:
        return DECAY
    (least, *_, most), score = decay.studies, accuracy(own(decay))
    return Effect(of(least, score) - of(most, score), 0.01, over=decay)


@page.claim(
    "UnitMem stays as high where all points share a concept: it is about points, not concepts",
    paper="wheels: mean UnitMem of layer 8 is .409 on all classes and .385 on trucks, planes and cars",
    **about("A113", "C.2 and Table 34", "On points that share a concept {part} is [higher|lower] by {}", parts=ALIKE),
)
def individual(runs: Runs, *_: Any) -> Found:
    concept = next(concepts(runs[0].header["variants"]))
    return alike(runs, concept, f"as many as {concept}")


# ---------------------------------------------------------------- what is shown


def by_layer(runs: Runs, variants: Mapping[str, str]) -> Figure:
    """Variants of UnitMem, {label: variant}, by layer: on seen points, on unseen ones, and one minus the other."""
    panels: dict[str, Any] = {
        "UnitMem, seen points": lambda variant, row: unitmem(variant, [row]),
        "UnitMem, unseen points": lambda variant, row: unitmem(variant, [row], "unseen"),
        "seen minus unseen points": lambda variant, row: excess(variant, [row]),
    }
    series = {
        title: {
            label: {row: runs.over(estimate(variant, row)) for row in layers(runs)}
            for label, variant in variants.items()
        }
        for title, estimate in panels.items()
    }
    return show.curves(series, "layer", joined=False)


def points(runs: Runs) -> Figure:
    """Fig. 6: fewer points, one point of each class, and as many random ones."""
    counted = {name: name for name in runs[0].header["variants"] if name.endswith(" points")}
    return by_layer(
        runs, {"all points": OWN, **counted, "one of each class": CLASSES, "as many random": f"as many as {CLASSES}"}
    )


def by_set(trainings: Mapping[str, Runs]) -> Figure:
    """Fig. 9: UnitMem of the last convolution by the augmentation set that it is measured with, as far as it ran."""
    series = {
        title: {
            f"{side} points": {
                "the training augmentations" if name == OWN else name: runs.over(unitmem(name, last(runs), side))
                for name in runs[0].header["sets"]
            }
            for side in SIDES
        }
        for title, runs in trainings.items()
        if runs
    }
    return show.intervals(series, "mean UnitMem of the last convolution", "measured with")


def sets_table(trainings: Mapping[str, Runs]) -> show.Html:
    """The last convolution by the augmentation set that it is measured with, after training and before it."""
    return show.table(
        [
            {
                "training": title,
                "measured with": "the training augmentations" if name == OWN else name,
                "UnitMem, seen": runs.over(unitmem(name, last(runs))),
                "UnitMem, unseen": runs.over(unitmem(name, last(runs), "unseen")),
                "seen minus unseen": runs.over(excess(name, last(runs))),
                "UnitMem, untrained": runs.over(unitmem(name, last(runs), trained=False)),
                "member rate": runs.over(members(name, last(runs))),
            }
            for title, runs in trainings.items()
            if runs
            for name in runs[0].header["sets"]
        ]
    )


def arms_table(arms: Arms, missing: NotJudged) -> show.Html:
    """A sweep, a row an arm: the last convolution, its controls, and the probe."""
    if not arms:
        return show.Html(f"<p>{missing.reason}</p>", missing.reason)
    row = next(iter(arms.studies.values())).unit_rows[-1]
    columns = {
        "UnitMem, seen": measured(row),
        "UnitMem, unseen": measured(row, "unseen"),
        "seen minus unseen": measured(row) - measured(row, "unseen"),
        "UnitMem, untrained": untrained(measured(row)),
        "member rate": member_rate(row),
        f"probe on {own(arms)} (%)": accuracy(own(arms)),
    }
    return show.table(by_arm(arms, columns), {f"probe on {own(arms)} (%)": "%"})


def table_34(runs: Runs) -> show.Html:
    """Table 34 beside ours: UnitMem by layer on points of a concept, and on as many of all classes."""
    printed, names = paper.table("table_34").set_index("layer"), list(concepts(runs[0].header["variants"]))
    theirs = dict(zip(names, ("truck plane car", "car"), strict=False))
    found = [
        {
            "layer": row,
            "points": variant.replace("as many as", "all classes, as many as"),
            "lowest": runs.over(unitmem(variant, [row], stat="lowest")).mean,
            "highest": runs.over(unitmem(variant, [row], stat="highest")).mean,
            "mean": runs.over(unitmem(variant, [row])),
            "mean, unseen": runs.over(unitmem(variant, [row], "unseen")),
            "paper, mean": printed[f"{theirs.get(variant, 'all classes')} mean"].get(row),
        }
        for row in layers(runs)
        for name in names
        for variant in (name, f"as many as {name}")
    ]
    return show.table(found, dict.fromkeys(("lowest", "highest", "paper, mean"), ".3f"))


def answer(runs: Runs) -> str:
    """UnitMem as it is reported, what of it unseen points do not show, and what it is measured otherwise."""
    row = last(runs)
    ways = {name: runs.over(unitmem(name, row)) for name in runs[0].header["variants"] if name != OWN}
    ways["without augmentations"] = ways.pop("none")
    low, *_, high = sorted(ways, key=lambda name: ways[name].mean)
    plain, beyond = runs.over(unitmem(OWN, row)), runs.over(excess(OWN, row))
    return (
        f"Mean UnitMem of layer {row[0]} is {plain}, and {beyond} above that on unseen points; "
        f"measured otherwise it goes from {ways[low]} ({low}) to {ways[high]} ({high})."
    )
