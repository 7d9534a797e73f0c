"""Claims of page 04_1_resnets: does memorization grow with depth in ResNet18 to 50 (paper A, tables 15 to 17)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memlib.claims.layermem import depth as rising
from memlib.claims.pairs import Estimate, Measured, interval, judge, mirror, mirror_at
from memlib.claims.rules import MARGIN, Claim, Verdict, above_zero, correct, every, partial, unlearned

PAGE = "04_1_resnets"

DEPTH = Claim(
    "resnets-depth",
    PAGE,
    "Memorization increases with depth in ResNet18, ResNet34 and ResNet50",
    "paper A, appendix C.3, Tables 15 to 17",
    "from the first to the last convolution .074 to .295 (ResNet18), .037 to .313 (34), .046 to .335 (50)",
    "Kendall's tau of mirrored estimate and depth",
)
FIRST = Claim(
    "resnets-first",
    PAGE,
    "Already the first convolution memorizes",
    "paper A, appendix C.3, Tables 15 to 17",
    "conv1: .074 (ResNet18), .037 (34), .046 (50), without a control",
    "mirrored estimate of conv1",
)
LAST = Claim(
    "resnets-last",
    PAGE,
    "The last convolution memorizes most",
    "paper A, appendix C.3, Tables 15 to 17",
    "last convolution .295 (ResNet18), .313 (34), .335 (50), the highest of each table",
    "last convolution less the mean of others",
)
POOL = Claim(
    "resnets-pool",
    PAGE,
    "Behind the last convolution memorization falls again: the average pool has less",
    "paper A, appendix C.3, Tables 15 to 17",
    "average pool .266 after .295 (ResNet18), .297 after .313 (34), .328 after .335 (50)",
    "last convolution less average pool",
)
CLAIMS = (DEPTH, FIRST, LAST, POOL)

Kinds = Mapping[str, Mapping[str, str]]  # encoder -> row -> kind, in forward order


def convolutions(kinds: Mapping[str, str]) -> list[str]:
    """The convolutions among an encoder's rows.

    Raises:
        ValueError: If there are fewer than four: neither half of them could be compared.
    """
    found = [row for row, kind in kinds.items() if kind == "conv"]
    if len(found) < 4:
        raise ValueError(f"four convolutions or more are needed to compare halves, got {found}")
    return found


def depth(studies: Mapping[str, Measured], kinds: Kinds) -> Verdict:
    """Kendall's tau between mirrored estimate and depth over the convolutions, in each encoder."""
    return every(
        DEPTH, {name: rising(s.pairs, convolutions(kinds[name]), s.nulls, DEPTH) for name, s in studies.items()}
    )


def first(studies: Mapping[str, Measured], kinds: Kinds) -> Verdict:
    """Mirrored estimate of the first convolution above zero; less than .005 would count as none.

    Of the encoders whose last convolution is shown to memorize, where there is one: where nothing is shown anywhere,
    nothing in the first layer tells nothing.
    """

    def at(row: int, name: str) -> Verdict:
        where = mirror_at(convolutions(kinds[name])[row])
        return judge(FIRST, where, studies[name].pairs, studies[name].nulls, margin=MARGIN)

    shown = [name for name in studies if at(-1, name).effect.excludes_zero(1)]
    return every(FIRST, {name: at(0, name) for name in shown or studies})


def last(studies: Mapping[str, Measured], kinds: Kinds) -> Verdict:
    """Last convolution less the mean of the encoder's first half, and less that of the rest of its second half.

    Means, and not one by one: 16 to 48 comparisons an encoder, corrected, would need more pairs than can be trained.
    """
    parts = {}
    for name, study in studies.items():
        rows = convolutions(kinds[name])
        half = len(rows) // 2
        for others, label in ((rows[:half], "first half"), (rows[half:-1], "rest of the second half")):
            parts[f"{name} ({label})"] = judge(LAST, above(rows[-1], others), study.pairs, study.nulls)
    return every(LAST, parts)


def pool(studies: Mapping[str, Measured], kinds: Kinds) -> Verdict:
    """Mirrored estimate of the last convolution less that of the average pool, which is the output."""
    return every(
        POOL,
        {
            name: judge(POOL, above(convolutions(kinds[name])[-1], ["output"]), s.pairs, s.nulls, margin=MARGIN)
            for name, s in studies.items()
        },
    )


def above(row: str, others: Sequence[str]) -> Estimate:
    """Mirrored estimate of a row less the mean of others'."""
    return lambda pair: mirror(pair, row) - float(np.mean([mirror(pair, other) for other in others]))


def page(
    studies: Mapping[str, Measured], kinds: Kinds, lost: Mapping[str, Sequence[str]] | None = None
) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm), on the encoders that are shown to have learned.

    That is by their probe, or by what they memorize: the last convolution's mirrored estimate is above zero, which
    before training it cannot be; corrected over the encoders (Bonferroni).

    Args:
        studies: encoder -> its pairs, with S_C and S_I, and their nulls.
        kinds: encoder -> row -> kind (`conv`, `pool`, `output`), in forward order.
        lost: encoder -> what `arms.unlearned_of` says of it, nothing where it is shown to have learned.

    Raises:
        ValueError: if an encoder has fewer than four convolutions.
    """
    ends = {name: mirror_at(convolutions(kinds[name])[-1]) for name in studies}
    memorizing = above_zero({n: interval([ends[n](pair) for pair in s.pairs], 0) for n, s in studies.items()})
    lost = {name: said for name, said in (lost or {}).items() if said and name not in memorizing}
    named = [said for one in lost.values() for said in one]
    kept = {name: study for name, study in studies.items() if name not in lost}
    found = correct([claim(kept or studies, kinds) for claim in (depth, first, last, pool)])
    if not kept:
        return [unlearned(one, named) for one in found]
    if not named:
        return found
    said = f"Not judged of {', '.join(named)}, which are not shown to have learned anything; of the others"
    return [partial(one, said) for one in found]
