"""Page 04_1_vit: where in a Vision Transformer memorization sits (LayerMem paper, section 4.1, Tables 2 and 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memlib.book import paper, profiles, show
from memlib.book.claims import Effect, Page
from memlib.book.estimates import Estimate, delta, mean, mirrored, rank
from memlib.book.study import Study
from memlib.book.words import TAU, Scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 0.25  # a residual sum changes little if below this share of what a fully connected layer adds
KINDS = {"attention": "ATT", "fully connected": "FC"}

page = Page("04_1_vit", source="LayerMem paper, section 4.1, Tables 2 and 10", takes=("vit_blocks",))


def blocks(study: Study) -> range:
    """Numbers of the encoder's blocks.

    Raises:
        ValueError: It is no ViT of two blocks or more, with the rows `ATT1`, `ATTRes1`, `FC1`, `FCRes1`, …
    """
    found = range(1, len(study.rows("attention")) + 1)
    missing = [
        row for b in found for row in (f"ATT{b}", f"ATTRes{b}", f"FC{b}", f"FCRes{b}") if row not in study.rows()
    ]
    if len(found) < 2 or missing:
        raise ValueError(
            "two blocks or more with rows ATT1, ATTRes1, FC1, FCRes1, … are needed, got "
            + (f"no {', '.join(missing)}" if missing else f"{len(found)} attention rows among {study.rows()[:6]}")
        )
    return found


def over_blocks(study: Study, row: str, other: str) -> Estimate:
    """One kind of row minus another of the same block, mean over blocks."""
    return mean(*(mirrored(f"{row}{b}") - mirrored(f"{other}{b}") for b in blocks(study)))


def added(study: Study, kind: str) -> dict[int, Estimate]:
    """Block -> what its rows of a kind add to the row before (eq. 4), where there is one."""
    previous = study.previous(study.rows())
    return {b: delta(f"{kind}{b}", previous[f"{kind}{b}"]) for b in blocks(study) if f"{kind}{b}" in previous}


# ---------------------------------------------------------------- claims


@page.claim(
    "Memorization is higher in deeper blocks",
    paper="blocks from .022 (the first) to .304 (the twelfth)",
    ids=("A27",),
    above="Kendall's τ of memorization and block is {}",
    scale=TAU,
)
def deeper(study: Study) -> Effect:
    return Effect(rank([mirrored(f"FCRes{b}") for b in blocks(study)]), 0.1)


@page.claim(
    "Within blocks, fully connected layers memorize more than attention layers",
    paper="fully connected minus attention .011 to .023, in every block",
    ids=("A28",),
    above="Fully connected layers [lead|trail] attention by {}",
)
def within(study: Study) -> Effect:
    return Effect(over_blocks(study, "FC", "ATT"), 0.1, mirrored(f"FCRes{blocks(study)[-1]}"))


@page.claim(
    "Fully connected layers add more to what enters them than attention layers do",
    paper="delta .011 to .023 of fully connected layers, .006 to .009 of attention layers",
    ids=("A29",),
    source="LayerMem paper, Table 10",
    above="Fully connected layers add {} [more|less] than attention",
    scale=Scale(4, log_ratio=True),
)
def deltas(study: Study) -> Effect:
    fc, att = added(study, "FC"), added(study, "ATT")
    both = mean(*(fc[b] - att[b] for b in fc if b in att))
    return Effect(both, SMALL, mean(*fc.values()))


@page.claim(
    "The residual sums change little beside fully connected layers",
    paper="sums differ from the layer before them by −.001 to .002",
    ids=("A30",),
    source="LayerMem paper, Table 10",
    above="The sum {part} changes {}",
    scale=Scale(4, log_ratio=True),
    parts="sums",
)
def sums(study: Study) -> dict[str, Effect]:
    typical = mean(*added(study, "FC").values())
    parts = {"behind attention": ("ATTRes", "ATT"), "behind the layer": ("FCRes", "FC")}
    return {name: Effect(over_blocks(study, *rows), SMALL, typical, sign=0) for name, rows in parts.items()}


# ---------------------------------------------------------------- what is shown


def curves(study: Study) -> Figure:
    """Attention and fully connected layers by block; the paper's Table 10 above, in a scale of its own."""
    theirs = paper.table("table_10").set_index("layer")["LayerMem"]
    ours = {name: {b: study.over(mirrored(f"{kind}{b}")) for b in blocks(study)} for name, kind in KINDS.items()}
    above = {name: {b: theirs[f"{kind}{b}"] for b in blocks(study)} for name, kind in KINDS.items()}
    return show.curves(ours, "block", "LayerMem, mirrored", paper=above, above="LayerMem")


def by_block(study: Study) -> show.Html:
    """Table 10 by block: what attention, the fully connected layer and the block add, the paper's beside ours."""
    theirs = paper.table("table_10").set_index("layer")
    adds = {name: added(study, kind) for name, kind in (*KINDS.items(), ("block", "FCRes"))}
    found = []
    for b in blocks(study):
        row = {
            "block": b,
            "LayerMem paper: FC minus ATT": theirs["LayerMem"][f"FC{b}"] - theirs["LayerMem"][f"ATT{b}"],
            "FC minus ATT": study.over(mirrored(f"FC{b}") - mirrored(f"ATT{b}")),
        }
        for (name, some), kind in zip(adds.items(), (*KINDS.values(), "FCRes"), strict=True):
            row[f"LayerMem paper: delta, {name}"] = theirs["delta"].get(f"{kind}{b}")
            row[f"delta, {name}"] = study.over(some[b]) if b in some else None
        found.append(row)
    formats = {name: "+.3f" if name.startswith("LayerMem paper") else "+.4f" for name in found[0] if name != "block"}
    return show.table(found, formats)


def all_rows(study: Study) -> show.Html:
    """Every row, with what the papers' two tables print of it."""
    printed = {f"Table {n}": paper.table(f"table_{n}").set_index("layer")["LayerMem"].to_dict() for n in (10, 2)}
    return profiles.table(study, study.rows(), printed)


def controls(study: Study) -> Figure:
    """Controls by block, of attention and of fully connected layers."""
    return profiles.controls({name: (study, [f"{kind}{b}" for b in blocks(study)]) for name, kind in KINDS.items()})


def answer(study: Study) -> str:
    """In how many blocks the fully connected layer lies above attention, and by how much."""
    above = sum(study.over(mirrored(f"FC{b}") - mirrored(f"ATT{b}")).mean > 0 for b in blocks(study))
    return (
        f"The fully connected layer lies above attention in {above} of {len(blocks(study))} blocks, by "
        f"{study.over(over_blocks(study, 'FC', 'ATT'))} on average."
    )
