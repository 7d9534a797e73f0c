"""Page 03_sslmem: what the SSLMem paper says of the four sets' scores at the output (section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from memlib.book import show
from memlib.book.claims import Effect, Page
from memlib.book.estimates import Estimate, level, mirrored
from memlib.book.pieces import Pieces
from memlib.book.plan import reads
from memlib.book.rankings import repeats
from memlib.book.study import Study, design
from memlib.book.words import SAW, p_value
from memlib.pairs import S_C, S_E, S_I, S_S
from memlib.stats import number, welch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTPUT = "output"
SMALL = 0.25  # of what candidates are memorized: less than that is about equal
PRINTED = {S_S: "about as neither", S_C: "highest", S_I: "lowest", S_E: "about as both"}


def crossed(scale: str, **sizes: Any) -> Pieces[Any]:
    """Encoders of different halves, as pairs with all four sets."""
    return design(scale, "base", **sizes).crossed


page = Page("03_sslmem", source="SSLMem paper, section 4", takes=crossed)


# ---------------------------------------------------------------- claims, of pairs with all four sets


def gap(first: int, second: int) -> Estimate:
    """Mean score of one set minus that of another of the same pair: what f and g differ by on every point cancels."""
    return level(OUTPUT, first) - level(OUTPUT, second)


def deepest(study: Pieces[Any]) -> Estimate:
    """Memorization of the last convolution."""
    return mirrored(next(iter(study.studies.values())).convolutions[-1])


@page.claim(
    "Candidates are memorized, as their mean score lies above zero",
    paper="mean score of S_C well above 0",
    ids=("B1",),
    above="Candidates score {}",
    control="Points that neither encoder saw score {}",
)
def candidates(study: Pieces[Any]) -> Effect:
    return Effect(level(OUTPUT, S_C), margin=0.1, reference=deepest(study), control=level(OUTPUT, S_E))


@page.claim(
    "Candidates are memorized once the offset between f and g is taken out",
    paper="no number: the sets are compared without a mirror",
    source="ours",
    ids=("B2",),
    above="With the offset taken out candidates score {}",
)
def without_offset(study: Pieces[Any]) -> Effect:
    return Effect(mirrored(OUTPUT), margin=0.1, reference=deepest(study))


@page.claim(
    "Points that only f saw score higher than points that both saw",
    paper="S_C above S_S, by a t-test over points",
    ids=("B3",),
    above="Points that only f saw [lead|trail] those that both saw by {}",
)
def above_shared(study: Pieces[Any]) -> Effect:
    return Effect(gap(S_C, S_S), margin=0.1, reference=deepest(study))


@page.claim(
    "Points that only g saw score lower than points that both saw",
    paper="S_S above S_I, by a t-test over points",
    ids=("B4",),
    above="Points that only g saw [trail|lead] those that both saw by {}",
)
def below_shared(study: Pieces[Any]) -> Effect:
    return Effect(gap(S_S, S_I), margin=0.1, reference=deepest(study))


@page.claim(
    "Points that both saw score like points that neither saw",
    paper="S_S about equal to S_E, by a t-test over points",
    ids=("B5",),
    above="Points that both saw [lead|trail] those that neither saw by {}",
)
def like_external(study: Pieces[Any]) -> Effect:
    return Effect(gap(S_S, S_E), margin=SMALL, reference=mirrored(OUTPUT), sign=0)


@page.claim(
    "Leaving a point out of training moves its views further apart than those of points never seen",
    paper="no number",
    source="SSLMem paper, section 1",
    ids=("B13",),
    above="Points that only f saw [lead|trail] those that neither saw by {}",
)
def removed(study: Pieces[Any]) -> Effect:
    return Effect(gap(S_C, S_E), margin=0.1, reference=deepest(study))


# ---------------------------------------------------------------- what is shown


def designs(base: Study, **sizes: Any) -> dict[str, Pieces[Any]]:
    """Pairs with all four sets: crossed halves, and the papers' own design where the scale has it."""
    found: dict[str, Pieces[Any]] = {"crossed halves": base.crossed}
    if "papers" in reads(base.scale, page.name):
        found["the papers' design"] = design(base.scale, "papers", **sizes)
    return found


def scores(study: Pieces[Any], code: int) -> np.ndarray:
    """SSLMem' at the output of a set's points, of all pairs."""
    return np.concatenate([piece.pair.of(OUTPUT, code) for piece in study])


def means(designs: Mapping[str, Pieces[Any]]) -> Figure:
    """Mean SSLMem' of each set, a panel a design: candidates beside what points score that both or neither saw."""
    series = {
        title: {"mean over pairs": {name: study.over(level(OUTPUT, code)) for code, name in SAW.items()}}
        for title, study in designs.items()
    }
    return show.intervals(series, "mean SSLMem′ at the output", "who saw the points")


def distributions(designs: Mapping[str, Pieces[Any]]) -> Figure:
    """Distribution of SSLMem' of each set, a panel a design."""
    series = {title: {name: scores(study, code) for code, name in SAW.items()} for title, study in designs.items()}
    return show.histograms(series, "SSLMem′ of a point", "share of the points", bins=25)


def set_table(designs: Mapping[str, Pieces[Any]]) -> show.Html:
    """Mean SSLMem' of each set in each design, beside what the paper claims."""
    cells: list[dict[str, Any]] = []
    for code, name in SAW.items():
        cells.append({"who saw the points": name, "SSLMem paper": PRINTED[code]})
        for title, study in designs.items():
            cells[-1][title] = study.over(level(OUTPUT, code))
            cells[-1][f"{title}: pieces, points"] = f"{len(study)}, {scores(study, code).size:,}"
    return show.table(cells, dict.fromkeys(designs, ".4f"))


def extreme_images(study: Study, k: int = 12) -> Figure:
    """The k most and the k least memorized images: chosen by a pool's other pairs, with the scores by its first."""
    by_others, score = study.chosen_and_scored(OUTPUT)
    order = np.argsort(-by_others, kind="stable")
    k = min(k, order.size // 2)
    chosen = {"most memorized": order[:k], "least memorized": order[::-1][:k]}
    pictures = study.images({name: study.points()[of] for name, of in chosen.items()})
    return show.images(pictures, {name: score[of].tolist() for name, of in chosen.items()})


def chosen(study: Study, k: int = 12) -> str:
    """What the images of `extreme_images` score by a pair that did not choose them, and whether pairs agree."""
    by_others, score = study.chosen_and_scored(OUTPUT)
    order = np.argsort(-by_others, kind="stable")
    most, least = (number(score[rows].mean()) for rows in (order[:k], order[-k:]))
    tau, p = repeats(study, OUTPUT)
    return (
        f"By a pair that did not choose them, the {k} most memorized images score {most} and the {k} least {least}. "
        f"Kendall's τ of all points' scores by two halves of their pairs is {number(tau)} (p {p_value(p)})."
    )


def point_tests(study: Pieces[Any]) -> show.Html:
    """The paper's t-tests over points, of S_S against each other set, for each pair by itself.

    Descriptive: they take an offset between two encoders for a result, and their p says nothing of other encoders.
    """
    cells = []
    for i, piece in enumerate(study, 1):
        for other in (S_C, S_I, S_E):
            t, p = welch(piece.pair.of(OUTPUT, other), piece.pair.of(OUTPUT, S_S))
            cells.append(
                {"pair": i, "points of": SAW[other], "against": SAW[S_S], "t": t, "p": p_value(p).removeprefix("= ")}
            )
    return show.table(cells, caption="Welch's t-tests over points, each crossed pair by itself.")


def answer(base: Study) -> str:
    """The number that the page's question is about."""
    found = base.crossed.over(mirrored(OUTPUT))
    return f"With the offset between f and g removed, images that only f saw score {found} at the output."
