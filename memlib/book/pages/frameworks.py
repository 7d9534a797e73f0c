"""Page 04_1_frameworks: do frameworks share a pattern (LayerMem paper, Tables 4, 29 and 31, Fig. 12)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from memlib.book import paper, profiles, show
from memlib.book.claims import Effect, Found, NotJudged, Page
from memlib.book.designs import designs
from memlib.book.estimates import (
    HIGH,
    Estimate,
    mean,
    member_rate,
    mirrored,
    of,
    rank,
    share_high,
    unitmem,
    untrained,
)
from memlib.book.study import Study, design, join
from memlib.book.words import DIFFERENCE, TAU, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Families = Mapping[str, Mapping[str, Study]]  # architecture -> framework -> its design
Score = Callable[[Study], Estimate]
FAMILIES = {  # architecture -> what its designs' names begin with, frameworks; on ImageNet where a scale has them
    "ResNet": ("resnet9", ("simclr", "simsiam", "byol", "dino")),
    "ViT": ("vit", ("mae", "dino")),
    "ResNet50": ("resnet50", ("simclr", "dino")),
    "ViT-Base": ("vit_base", ("mae", "dino")),
}
PRINTED = {"ResNet": "table_29", "ViT": "table_31", "ResNet50": "table_29", "ViT-Base": "table_31"}
FIG_12: Any = {
    "paper": "histograms, no number, without unseen points or another control",
    "source": "LayerMem paper, section 4.1 and Fig. 12",
    "parts": "pairs of frameworks",
}
IMAGENET: Any = {"above": "Kendall's τ of the two frameworks' rows is {}", "scale": TAU}


def families(scale: str, **sizes: Any) -> dict[str, dict[str, Study]]:
    """The frameworks of every architecture that a scale has."""
    there = designs(scale)
    return {
        family: {name: design(scale, f"{first}_{name}", **sizes) for name in names}
        for family, (first, names) in FAMILIES.items()
        if f"{first}_{names[0]}" in there
    }


page = Page("04_1_frameworks", source="LayerMem paper, section 4.1, Tables 4, 29 and 31", takes=families)


def rows(study: Study) -> list[str]:
    """The rows that are compared: convolutions, or a ViT's blocks behind their second sum."""
    return study.convolutions or [f"FCRes{b}" for b in range(1, len(study.rows("attention")) + 1)]


def agreement(studies: Mapping[str, Study]) -> Estimate:
    """Kendall's tau of two frameworks' profiles, mean over every two.

    The two were trained on different halves: of the same ones, what their encoders do alike with the images that
    chance put into one half would pass for a profile.
    """
    here = {name: [of(name, mirrored(row)) for row in rows(study)] for name, study in studies.items()}
    there = {name: [of(name, mirrored(row), other=True) for row in rows(study)] for name, study in studies.items()}
    return mean(*(rank(here[a], there[b]) for a, b in combinations(studies, 2)))


def alike(studies: Families, score: Score, margin: float, share: bool = False) -> dict[str, Effect]:
    """A number of every two frameworks of an architecture is the same, within a margin, or a share of their mean."""
    effects = {}
    for family, of_it in studies.items():
        for two in map(dict, combinations(of_it.items(), 2)):
            a, b = (of(name, score(study)) for name, study in two.items())
            reference = mean(a, b) if share else None
            effects[f"{family} {', '.join(two)}"] = Effect(a - b, margin, reference, sign=0, over=join(two))
    return effects


def own(score: Callable[..., Estimate]) -> Score:
    """A score of the last layer's units beyond the same on points that the encoder did not see."""
    return lambda study: score(study.unit_rows[-1]) - score(study.unit_rows[-1], "unseen")


def on_imagenet(studies: Families, family: str) -> Found:
    """The paper's own encoders, where a scale has them."""
    if family not in studies:
        nearest = "ResNet9" if family.startswith("ResNet") else "ViT-Tiny"
        return NotJudged(f"{family} on ImageNet did not run; the nearest that did is {nearest}.")
    return Effect(agreement(studies[family]), 0.1, over=join(studies[family]))


# ---------------------------------------------------------------- claims


@page.claim(
    "With every framework, memorization occurs primarily in the deeper layers",
    paper="LayerMem grows from nearly each row to the next in both frameworks",
    ids=("A31",),
    above="In {part} Kendall's τ of memorization and depth is {}",
    scale=TAU,
    parts="frameworks",
)
def deeper(studies: Families) -> dict[str, Effect]:
    return {name: Effect(rank([mirrored(row) for row in rows(s)]), 0.1, over=s) for name, s in flat(studies).items()}


@page.claim(
    "Encoders of one architecture share a pattern over their layers, whatever the framework",
    paper="the rows of both frameworks are in the same order",
    ids=("A34", "B22"),
    above="Between frameworks of {part} Kendall's τ of the rows is {}",
    scale=TAU,
    parts="architectures",
)
def profile(studies: Families) -> dict[str, Effect]:
    return {family: Effect(agreement(of_it), 0.1, over=join(of_it)) for family, of_it in studies.items()}


@page.claim(
    "Corresponding layers memorize about as much with one framework as with another",
    paper="last rows .302 and .311 (ResNet50), .274 and .271 (ViT-Base)",
    ids=("A35",),
    above="Between {part} the mean over layers differs by {}",
    parts="pairs of frameworks",
)
def levels(studies: Families) -> dict[str, Effect]:
    return alike(studies, lambda study: mean(*map(mirrored, rows(study))), 0.25, share=True)


@page.claim(
    "Units of the last layer memorize about as much with one framework as with another",
    ids=("A36",),
    above="Between {part} UnitMem beyond unseen points differs by {}",
    scale=Scale(3),
    **FIG_12,
)
def magnitude(studies: Families) -> dict[str, Effect]:
    return alike(studies, own(unitmem), 0.01)


@page.claim(
    "Frameworks give roughly the same number of highly memorizing units",
    ids=("A37",),
    above="Between {part} the share beyond unseen points differs by {}",
    scale=DIFFERENCE,
    **FIG_12,
)
def count(studies: Families) -> dict[str, Effect]:
    return alike(studies, own(share_high), 0.1)


@page.claim(
    "ResNet50 on ImageNet: SimCLR and DINO share a pattern",
    paper="LayerMem .038 (conv1) to .304 (last convolution) with SimCLR, .040 to .309 with DINO",
    ids=("A32",),
    **IMAGENET,
)
def resnet50(studies: Families) -> Found:
    return on_imagenet(studies, "ResNet50")


@page.claim(
    "ViT-Base on ImageNet: MAE and DINO share a pattern",
    paper="LayerMem .019 (block 1) to .271 (block 12) with MAE, .019 to .275 with DINO",
    ids=("A33",),
    **IMAGENET,
)
def vit_base(studies: Families) -> Found:
    return on_imagenet(studies, "ViT-Base")


# ---------------------------------------------------------------- what is shown


def flat(studies: Families) -> dict[str, Study]:
    """Every framework of every architecture, by both names."""
    return {f"{family} {name}": study for family, of_it in studies.items() for name, study in of_it.items()}


def facts(studies: Families) -> show.Html:
    """What was run, a column a framework."""
    return show.facts({name: study.ran() for name, study in flat(studies).items()})


def probes(studies: Families) -> show.Html:
    """Probes after training and before; beside those on ImageNet the paper's."""
    printed = paper.table("section_4_1").set_index(["arch", "framework"])["accuracy (%)"]
    specs = {name: study.spec for name, study in flat(studies).items() if study.spec["dataset"] == "imagenet"}
    theirs = {name: printed.get((spec["arch"], spec["framework"])) for name, spec in specs.items()}
    return profiles.learned(flat(studies), theirs)


def curves(studies: Families, family: str) -> Figure:
    """Profiles of an architecture's frameworks by the share of its depth; the paper's above, in their own scale."""
    of_it, printed = studies[family], paper.table(PRINTED[family]).set_index("layer")
    ours = {name: profiles.profile(study, rows(study)) for name, study in of_it.items()}
    theirs = {name: printed[name].to_dict() for name in FAMILIES[family][1] if name in printed}
    return show.curves(ours, "share of the depth", "LayerMem, mirrored", paper=theirs, above="LayerMem", depth=True)


def differences(studies: Families, family: str) -> show.Html:
    """By row, what one framework memorizes more than another, every two; the paper's beside, where rows match."""
    of_it, printed = studies[family], paper.table(PRINTED[family]).set_index("layer")
    found = []
    for row in rows(next(iter(of_it.values()))):
        cells: dict[str, Any] = {"row": row}
        for a, b in combinations(of_it, 2):
            if {a, b} <= {*printed} and row in printed.index:
                cells[f"LayerMem paper: {a} minus {b}"] = printed[a][row] - printed[b][row]
            two = join({a: of_it[a], b: of_it[b]})
            cells[f"{a} minus {b}"] = two.over(of(a, mirrored(row)) - of(b, mirrored(row)))
        found.append(cells)
    return show.table(found)


def units(studies: Families) -> Figure:
    """UnitMem of the last layer's units by framework (Fig. 12), with its controls."""
    every = {name.replace(" ", "\n"): profiles.units(s, s.unit_rows[-1]) for name, s in flat(studies).items()}
    series = {of: {name: found[of] for name, found in every.items()} for of in ("seen", "unseen", "untrained")}
    return show.spreads(series, "encoder and framework", "UnitMem of a unit", lines={"high": HIGH}, limits=(0, 1))


def by_framework(studies: Families) -> show.Html:
    """A row an encoder and framework: how memorization grows, its last row, and the units of its last layer."""
    found = [
        {
            "encoder": family,
            "framework": name,
            "τ with depth": study.over(rank([mirrored(r) for r in rows(study)])),
            "mirrored, last row": study.over(mirrored(rows(study)[-1])),
            "UnitMem, seen": study.over(unitmem(row)).mean,
            "unseen": study.over(unitmem(row, "unseen")).mean,
            "untrained": study.over(untrained(unitmem(row))).mean,
            "units ≥ .5 (%)": study.over(share_high(row)).mean,
            "member rate": study.over(member_rate(row)),
        }
        for family, of_it in studies.items()
        for name, study in of_it.items()
        for row in study.unit_rows[-1:]
    ]
    return show.table(found, {"units ≥ .5 (%)": "%"})


def controls(studies: Families) -> Figure:
    """Controls by row, a panel an encoder and framework."""
    return profiles.controls({name: (study, rows(study)) for name, study in flat(studies).items()}, columns=2)


def answer(studies: Families) -> str:
    """How alike the profiles of frameworks are."""
    alike = "; ".join(f"{family} {join(of_it).over(agreement(of_it))}" for family, of_it in studies.items())
    return f"Kendall's τ of the rows' order between frameworks, trained on different halves, is: {alike}."
