"""Page 04_1_resnets: does memorization grow with depth in ResNet18, 34 and 50 (appendix C.3, Tables 15 to 17)?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from memlib.book import paper, show
from memlib.book.claims import Effect, Page
from memlib.book.estimates import Estimate, mean, mirrored, rank
from memlib.book.profiles import profile, table
from memlib.book.study import Study, design
from memlib.book.words import TAU

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = {"ResNet18": "table_15", "ResNet34": "table_16", "ResNet50": "table_17"}
Studies = Mapping[str, Study]  # encoder -> its design


def resnets(scale: str, **sizes: Any) -> Studies:
    """Each encoder's design."""
    return {name: design(scale, name.lower(), **sizes) for name in TABLES}


page = Page("04_1_resnets", source="LayerMem paper, appendix C.3, Tables 15 to 17", takes=resnets)


def each(studies: Studies, of: Callable[[list[str]], Estimate], **effect: Any) -> dict[str, Effect]:
    """An estimate of the convolutions of every encoder, by encoder."""
    return {name: Effect(of(study.convolutions), over=study, **effect) for name, study in studies.items()}


def deepest(studies: Studies, of: Callable[[list[str]], Estimate]) -> dict[str, Effect]:
    """The same, where a tenth of what the last convolution memorizes matters."""
    return {
        name: Effect(of(s.convolutions), 0.1, mirrored(s.convolutions[-1]), over=s) for name, s in studies.items()
    }


# ---------------------------------------------------------------- claims


def deepens(name: str, number: str, paper: str) -> None:
    """Declare that memorization increases with depth in an encoder."""

    def depth(studies: Studies) -> Effect:
        study = studies[name]
        return Effect(rank([mirrored(row) for row in study.convolutions]), 0.1, over=study)

    depth.__name__ = f"depth_{name.removeprefix('ResNet')}"
    words = f"Kendall's τ of memorization and depth in {name} is {{}}"
    page.claim(f"Memorization increases with depth in {name}", paper=paper, ids=(number,), above=words, scale=TAU)(
        depth
    )


deepens("ResNet18", "A17", "from the first to the last convolution .074 to .295")
deepens("ResNet34", "A18", "from the first to the last convolution .037 to .313")
deepens("ResNet50", "A19", "from the first to the last convolution .046 to .335")


@page.claim(
    "Already the first convolution memorizes",
    paper="conv1 .074 (ResNet18), .037 (34), .046 (50), without a control",
    ids=("A20",),
    above="The first convolution of {part} memorizes {}",
    parts="encoders",
)
def first(studies: Studies) -> dict[str, Effect]:
    return deepest(studies, lambda rows: mirrored(rows[0]))


@page.claim(
    "The last convolution memorizes most",
    paper="last convolution .295 (ResNet18), .313 (34), .335 (50), the highest of each table",
    ids=("A24",),
    above="The last convolution of {part} [leads|trails] the mean of the others by {}",
    parts="encoders",
)
def last(studies: Studies) -> dict[str, Effect]:
    """Against the mean of the others: one by one, 16 to 48 comparisons would need more pairs than can be trained."""
    return deepest(studies, lambda rows: mirrored(rows[-1]) - mean(*(mirrored(row) for row in rows[:-1])))


@page.claim(
    "Behind the last convolution memorization falls again: the average pool has less",
    paper="average pool .266 after .295 (ResNet18), .297 after .313 (34), .328 after .335 (50)",
    ids=("A25",),
    above="The average pool of {part} has {} [less|more] than the last convolution",
    parts="encoders",
)
def pool(studies: Studies) -> dict[str, Effect]:
    return deepest(studies, lambda rows: mirrored(rows[-1]) - mirrored("output"))


# ---------------------------------------------------------------- what is shown


def curves(studies: Studies) -> Figure:
    """Mirrored estimates by the share of each network's depth; the paper's above, in a scale of their own."""
    ours = {name: profile(study, study.rows()) for name, study in studies.items()}
    theirs = {name: {row: printed(name)[row] for row in study.rows()} for name, study in studies.items()}
    return show.curves(ours, "share of the depth", "LayerMem, mirrored", paper=theirs, above="LayerMem", depth=True)


def printed(name: str) -> dict[str, float]:
    """Row -> the paper's LayerMem of an encoder."""
    return paper.table(TABLES[name]).set_index("layer")["LayerMem"].to_dict()


def rows(studies: Studies, name: str) -> show.Html:
    """An encoder's table of the paper, ours beside it."""
    return table(studies[name], studies[name].rows(), {"LayerMem": printed(name)})


def answer(studies: Studies) -> str:
    """How memorization goes from the first to the last convolution of each encoder."""
    ends = []
    for name, study in studies.items():
        low, high = (study.over(mirrored(study.convolutions[i])) for i in (0, -1))
        ends.append(f"{low} to {high} in {name}")
    return f"From the first to the last convolution the mirrored estimate goes from {', from '.join(ends)}."
