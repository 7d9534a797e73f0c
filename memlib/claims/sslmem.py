"""Claims of page 03_sslmem: what paper B says of the four sets' scores at the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from memlib.claims.pairs import (
    S_C,
    S_E,
    S_I,
    S_S,
    SETS,
    Array,
    Nulls,
    Pair,
    gap,
    judge,
    mean_of,
    mirror_at,
    negligible,
)
from memlib.claims.rules import MARGIN, Claim, Verdict, correct
from memlib.stats import two_level, welch

if TYPE_CHECKING:
    import pandas as pd

PAGE = "03_sslmem"
SHARE = 0.25  # S_S and S_E count as equal if they differ by less than this share of the pair's mirrored estimate

MEMORIZED = Claim(
    "memorized",
    PAGE,
    "Candidates are memorized: their mean score lies above zero",
    "paper B, section 4; protocol of both papers",
    "mean score of S_C well above 0; LayerMem .31 in the last layers of ResNet9 (paper A, Table 1)",
    "mean SSLMem' of S_C",
)
MIRRORED = Claim(
    "mirrored",
    PAGE,
    "Candidates are memorized once the offset between f and g is taken out",
    "ours; paper B compares the sets without a mirror",
    "no number",
    "mirrored estimate",
)
CANDIDATES = Claim(
    "candidates-above-shared",
    PAGE,
    "Points that only f saw score higher than points that both saw",
    "paper B, section 4 (t-test of S_S against S_C)",
    "S_C above S_S",
    "S_C less S_S",
)
INDEPENDENT = Claim(
    "shared-above-independent",
    PAGE,
    "Points that only g saw score lower than points that both saw",
    "paper B, section 4 (t-test of S_S against S_I)",
    "S_S above S_I",
    "S_S less S_I",
)
EXTERNAL = Claim(
    "shared-like-external",
    PAGE,
    "Points that both saw score like points that neither saw",
    "paper B, section 4 (t-test of S_S against S_E)",
    "S_S about equal to S_E",
    "S_S less S_E",
)
CLAIMS = (MEMORIZED, MIRRORED, CANDIDATES, INDEPENDENT, EXTERNAL)


def memorized(pairs: Sequence[Pair], layer: str = "output", nulls: Nulls | None = None) -> Verdict:
    """Mean SSLMem' of S_C above zero; S_E of the same pairs is the control."""
    control = mean_of(layer, S_E) if all(p.has(S_E) for p in pairs) else None
    return judge(MEMORIZED, mean_of(layer, S_C), pairs, nulls, margin=MARGIN, control=control)


def mirrored_memorized(pairs: Sequence[Pair], layer: str = "output", nulls: Nulls | None = None) -> Verdict:
    """Mirrored estimate above zero; less than .005 (distances within 1 %) would count as none."""
    return judge(MIRRORED, mirror_at(layer), pairs, nulls, margin=MARGIN)


def candidates_above_shared(pairs: Sequence[Pair], layer: str = "output", nulls: Nulls | None = None) -> Verdict:
    """Mean of S_C less mean of S_S, within pairs."""
    return judge(CANDIDATES, gap(layer, S_C, S_S), pairs, nulls, margin=MARGIN)


def shared_above_independent(pairs: Sequence[Pair], layer: str = "output", nulls: Nulls | None = None) -> Verdict:
    """Mean of S_S less mean of S_I, within pairs."""
    return judge(INDEPENDENT, gap(layer, S_S, S_I), pairs, nulls, margin=MARGIN)


def shared_like_external(pairs: Sequence[Pair], layer: str = "output") -> Verdict:
    """S_S and S_E equal within a quarter of the same pair's mirrored estimate (TOST).

    A share and no fixed number: .005 would be nearly all of the effect after a few epochs, and a sixtieth of the
    papers'.
    """
    return negligible(EXTERNAL, gap(layer, S_S, S_E), pairs, mirror_at(layer), SHARE)


def page(pairs: Sequence[Pair], layer: str = "output", nulls: Nulls | None = None) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    Args:
        pairs: of the papers' design, with all four sets.
        nulls: name -> pairs with nothing to find, in the same layout.
    """
    return correct(
        [
            memorized(pairs, layer, nulls),
            mirrored_memorized(pairs, layer, nulls),
            candidates_above_shared(pairs, layer, nulls),
            shared_above_independent(pairs, layer, nulls),
            shared_like_external(pairs, layer),
        ]
    )


def scores(pairs: Sequence[Pair], layer: str = "output") -> dict[str, list[Array]]:
    """SSLMem' of each set at a layer: set -> one array a pair, for the figure of the distributions."""
    present = [c for c in SETS if all(p.has(c) for p in pairs)]
    return {SETS[c]: [p.of(layer, c) for p in pairs] for c in present}


def set_table(pairs: Sequence[Pair], layer: str = "output") -> pd.DataFrame:
    """A row a set: mean SSLMem' with its interval over pairs, and the numbers of points and pairs."""
    import pandas as pd

    rows = []
    for name, values in scores(pairs, layer).items():
        found = two_level(values)
        rows.append({"set": name, "mean": found.mean, "low": found.low, "high": found.high, "points": found.points})
    return pd.DataFrame(rows).assign(pairs=len(pairs))


def point_tests(pairs: Sequence[Pair], layer: str = "output") -> pd.DataFrame:
    """Paper B's t-tests over points, of S_S against each other set, for each pair by itself.

    Descriptive: they take an offset between two encoders for a result, and their p says nothing of other encoders.
    """
    import pandas as pd

    rows = []
    for i, pair in enumerate(pairs):
        for other in (S_C, S_I, S_E):
            t, p = welch(pair.of(layer, other), pair.of(layer, S_S))
            rows.append({"pair": i + 1, "set": SETS[other], "against": SETS[S_S], "t": t, "p": p})
    return pd.DataFrame(rows)
