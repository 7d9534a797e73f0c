"""Claims of page 04_1_vit: where in a Vision Transformer memorization sits (paper A, tables 2 and 10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from memlib.claims.layermem import depth as rising
from memlib.claims.pairs import Estimate, Nulls, Pair, interval, judge, mirror, negligible
from memlib.claims.rules import MARGIN, Claim, Verdict, correct, every, unlearned

if TYPE_CHECKING:
    import pandas as pd

PAGE = "04_1_vit"
NEGLIGIBLE = 0.25  # a residual sum changes little if below this share of what a fully connected layer adds

BLOCKS = Claim(
    "vit-blocks",
    PAGE,
    "Memorization is higher in deeper blocks",
    "paper A, section 4.1, Tables 2 and 10",
    "blocks from .022 (the first) to .304 (the twelfth)",
    "Kendall's tau of mirrored estimate and block",
)
WITHIN = Claim(
    "vit-within",
    PAGE,
    "Within blocks, fully connected layers memorize more than attention layers",
    "paper A, section 4.1, Tables 2 and 10",
    "fully connected less attention .011 to .023, in every block",
    "mirrored FC less ATT, mean over blocks",
)
ADDED = Claim(
    "vit-added",
    PAGE,
    "Fully connected layers add more to what enters them than attention layers do",
    "paper A, Table 10, delta",
    "delta .011 to .023 of fully connected layers, .006 to .009 of attention layers",
    "delta of FC less delta of ATT, mean over blocks",
)
SUMS = Claim(
    "vit-sums",
    PAGE,
    "The residual sums change little beside fully connected layers",
    "paper A, Table 10",
    "sums differ from the layer before them by -.001 to .002",
    "sum less the layer before it, mean over blocks",
)
CLAIMS = (BLOCKS, WITHIN, ADDED, SUMS)


def count(kinds: Mapping[str, str]) -> int:
    """How many blocks an encoder with these rows has.

    Raises:
        ValueError: if it is no ViT of two blocks or more, with the rows `ATT1`, `ATTRes1`, `FC1`, `FCRes1`, …
    """
    blocks = sum(kind == "attention" for kind in kinds.values())
    missing = [f"{n}{b}" for b in range(1, blocks + 1) for n in ("ATT", "ATTRes", "FC", "FCRes")]
    missing = [row for row in missing if row not in kinds]
    if blocks < 2 or missing:
        raise ValueError(
            "two blocks or more with rows ATT1, ATTRes1, FC1, FCRes1, … are needed, got "
            + (f"no {', '.join(missing)}" if missing else f"{blocks} attention rows among {list(kinds)[:6]}")
        )
    return blocks


def blocks(pairs: Sequence[Pair], kinds: Mapping[str, str], nulls: Nulls | None = None) -> Verdict:
    """Kendall's tau between mirrored estimate and depth over the blocks, each behind its second sum."""
    return rising(pairs, [f"FCRes{b}" for b in range(1, count(kinds) + 1)], nulls, BLOCKS)


def within(pairs: Sequence[Pair], kinds: Mapping[str, str], nulls: Nulls | None = None) -> Verdict:
    """Mirrored estimate of the fully connected layer less that of attention in the same block, mean over blocks."""
    return judge(WITHIN, mean_difference("FC", "ATT", count(kinds)), pairs, nulls, margin=MARGIN)


def added(
    pairs: Sequence[Pair], kinds: Mapping[str, str], previous: Mapping[str, str], nulls: Nulls | None = None
) -> Verdict:
    """Delta of the fully connected layer less that of attention (eq. 4), mean over the blocks that have both."""
    both = [b for b in range(1, count(kinds) + 1) if f"ATT{b}" in previous and f"FC{b}" in previous]
    if not both:
        raise ValueError("no block has predecessors of both its layers: pass encoders.previous(layers, rows)")

    def more(pair: Pair) -> float:
        return float(np.mean([delta(pair, f"FC{b}", previous) - delta(pair, f"ATT{b}", previous) for b in both]))

    return judge(ADDED, more, pairs, nulls)


def sums(pairs: Sequence[Pair], kinds: Mapping[str, str], previous: Mapping[str, str]) -> Verdict:
    """Each kind of sum less the layer before it, within a quarter of the FC layers' mean delta (TOST)."""
    n = count(kinds)

    def typical(pair: Pair) -> float:
        return float(np.mean([delta(pair, f"FC{b}", previous) for b in range(1, n + 1)]))

    parts = {"after attention": ("ATTRes", "ATT"), "after the fully connected layer": ("FCRes", "FC")}
    return every(
        SUMS,
        {
            name: negligible(SUMS, mean_difference(*rows, n), pairs, typical, NEGLIGIBLE)
            for name, rows in parts.items()
        },
    )


def delta(pair: Pair, row: str, previous: Mapping[str, str]) -> float:
    """What a row adds to the mirrored estimate of its predecessor."""
    return difference(row, previous[row])(pair)


def difference(row: str, other: str) -> Estimate:
    """Mirrored estimate of one row less another's."""
    return lambda pair: mirror(pair, row) - mirror(pair, other)


def mean_difference(row: str, other: str, blocks: int) -> Estimate:
    """Mirrored estimate of one row less another's of the same block, mean over blocks."""
    return lambda pair: float(
        np.mean([mirror(pair, f"{row}{b}") - mirror(pair, f"{other}{b}") for b in range(1, blocks + 1)])
    )


def page(
    pairs: Sequence[Pair],
    kinds: Mapping[str, str],
    previous: Mapping[str, str],
    nulls: Nulls | None = None,
    lost: Sequence[str] = (),
) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    Args:
        pairs: with S_C and S_I.
        kinds: row -> kind, in forward order.
        previous: row -> its predecessor (`encoders.previous`).
        nulls: name -> pairs with nothing to find, in the same layout.
        lost: encoders not shown to have learned anything (`arms.unlearned_of`): no claim is tested then.

    Raises:
        ValueError: if the rows are not those of a ViT.
    """
    found = correct(
        [
            blocks(pairs, kinds, nulls),
            within(pairs, kinds, nulls),
            added(pairs, kinds, previous, nulls),
            sums(pairs, kinds, previous),
        ]
    )
    return [unlearned(one, lost) for one in found]


def block_table(pairs: Sequence[Pair], kinds: Mapping[str, str], previous: Mapping[str, str]) -> pd.DataFrame:
    """A row a block: mirrored FC less ATT, both deltas and the block's, each with its interval over pairs."""
    import pandas as pd

    points, rows = sum(p.sets.size for p in pairs), []
    for b in range(1, count(kinds) + 1):
        estimates: dict[str, Estimate] = {"FC less ATT": difference(f"FC{b}", f"ATT{b}")}
        for name in ("ATT", "FC", "FCRes"):
            if f"{name}{b}" in previous:
                estimates[f"delta {name}"] = difference(f"{name}{b}", previous[f"{name}{b}"])
        row: dict[str, object] = {"block": b}
        for name, estimate in estimates.items():
            found = interval([estimate(p) for p in pairs], points)
            row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)
