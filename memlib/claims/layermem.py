"""Claims of page 04_1_layermem: where in ResNet9 memorization sits, by paper A's Tables 1, 3 and 18."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memlib.claims.pairs import (
    PERMUTATIONS,
    S_C,
    S_E,
    S_I,
    S_S,
    Array,
    Estimate,
    Nulls,
    Pair,
    judge,
    mirror,
    mirror_at,
    negligible,
)
from memlib.claims.rules import MARGIN, Claim, Verdict, correct, every
from memlib.stats import kendall, mirrored_pairs, two_level

if TYPE_CHECKING:
    import pandas as pd

PAGE = "04_1_layermem"
NEGLIGIBLE = 0.25  # a BatchNorm or max pool counts as negligible below this share of a convolution's mean delta
TOP = 0.02  # Table 3 takes 100 of 5,000 points
NEAR, FAR = 1, 4  # layers next to each other; layers that half of the encoder lies between

EVERY_LAYER = Claim(
    "every-layer",
    PAGE,
    "Every layer memorizes, the first one included",
    "paper A, section 4.1 and Table 1",
    "LayerMem from .091 (layer 1) to .308 (layer 8), without a control",
    "mirrored estimate",
)
DEPTH = Claim(
    "depth",
    PAGE,
    "Memorization increases with depth",
    "paper A, section 4.1 and Table 1",
    "LayerMem grows from each layer to the next: tau = 1",
    "Kendall's tau of mirrored estimate and depth",
)
DEEPEST = Claim(
    "deepest",
    PAGE,
    "The deepest convolution has the highest LayerMem of all",
    "paper A, Table 1",
    "layer 8: .308; layer 7: .276",
    "deepest layer less another",
)
SIXTH = Claim(
    "sixth",
    PAGE,
    "Layer 6 adds most: the highest delta is in the middle, not at the end",
    "paper A, Table 1 and section 4.1",
    "delta of layer 6 .034; 2 and 8 .032; 3 .031 (Table 18 has layer 8 highest)",
    "delta of layer 6 less another's",
)
NORMS = Claim(
    "norms",
    PAGE,
    "BatchNorm and max pool change memorization negligibly beside convolutions",
    "paper A, Table 18",
    "delta of BatchNorms -.002 to .001, of max pools .003 to .006, of convolutions .026 to .032",
    "delta",
)
ATYPICAL = Claim(
    "atypical",
    PAGE,
    "The most memorized points are memorized more than the least memorized ones at every layer",
    "paper A, section 4.1 and Table 1",
    "Top50 less Least50: .141 (layer 1) to .744 (layer 8), selected and scored on the same numbers",
    "Top less Least on unused views",
)
NEIGHBOURS = Claim(
    "neighbours",
    PAGE,
    "Layers next to each other memorize the same points more than layers far apart",
    "paper A, Table 3",
    "overlap of the top 100: .68 to .94 for neighbours, .16 to .45 four or more layers apart",
    "overlap of near less far layers",
)
ORDER = Claim(
    "order",
    PAGE,
    "Layers next to each other order the points more alike than layers far apart",
    "paper A, Table 3",
    "Kendall's tau .557 to .837 for neighbours, .104 to .396 four or more layers apart",
    "tau of near less far layers",
)
CLAIMS = (EVERY_LAYER, DEPTH, DEEPEST, SIXTH, NORMS, ATYPICAL, NEIGHBOURS, ORDER)


def deltas(pair: Pair, layers: Sequence[str]) -> dict[str, float]:
    """What each layer adds to the mirrored estimate of the one before it; none for the first (eq. 4)."""
    level = [mirror(pair, layer) for layer in layers]
    return dict(zip(layers[1:], np.diff(level).tolist(), strict=True))


def every_layer(pairs: Sequence[Pair], layers: Sequence[str], nulls: Nulls | None = None) -> Verdict:
    """Mirrored estimate above zero at each layer; less than .005 (distances within 1 %) would count as none."""
    return every(EVERY_LAYER, {n: judge(EVERY_LAYER, mirror_at(n), pairs, nulls, margin=MARGIN) for n in layers})


def depth(pairs: Sequence[Pair], layers: Sequence[str], nulls: Nulls | None = None, claim: Claim = DEPTH) -> Verdict:
    """Kendall's tau between mirrored estimate and depth, one for each pair."""
    step = 4 / (len(layers) * (len(layers) - 1))

    def tau(pair: Pair) -> float:
        level = [mirror(pair, layer) for layer in layers]
        return kendall(np.arange(len(layers)), level)[0] if np.ptp(level) else 0.0

    return judge(claim, tau, pairs, nulls, step=step, permutations=PERMUTATIONS)


def deepest(pairs: Sequence[Pair], layers: Sequence[str], nulls: Nulls | None = None) -> Verdict:
    """Mirrored estimate of the last layer less that of every other."""
    last = layers[-1]

    def above(other: str) -> Estimate:
        return lambda pair: mirror(pair, last) - mirror(pair, other)

    return every(DEEPEST, {f"{last} above {n}": judge(DEEPEST, above(n), pairs, nulls) for n in layers[:-1]})


def sixth(pairs: Sequence[Pair], layers: Sequence[str], nulls: Nulls | None = None, best: str = "6") -> Verdict:
    """Delta of layer 6 less that of every other layer."""

    def above(other: str) -> Estimate:
        def ahead(pair: Pair) -> float:
            found = deltas(pair, layers)
            return found[best] - found[other]

        return ahead

    rest = [n for n in layers[1:] if n != best]
    return every(SIXTH, {f"{best} above {n}": judge(SIXTH, above(n), pairs, nulls) for n in rest})


def norms(pairs: Sequence[Pair], kinds: Mapping[str, str]) -> Verdict:
    """Each BatchNorm's and max pool's delta within a quarter of the convolutions' mean delta of its pair (TOST).

    Args:
        kinds: row -> kind (`conv`, `bn`, `pool`, ...) of all modules in forward order, as in an encoder's table.
    """
    rows = list(kinds)

    def convolutions(pair: Pair) -> float:
        return float(np.mean([d for n, d in deltas(pair, rows).items() if kinds[n] == "conv"]))

    def small(row: str) -> Verdict:
        return negligible(NORMS, lambda pair: deltas(pair, rows)[row], pairs, convolutions, NEGLIGIBLE)

    return every(NORMS, {n: small(n) for n in rows[1:] if kinds[n] in ("bn", "pool")})


def selected(pair: Pair, layer: str, code: int, share: float, by: str = "output") -> tuple[Array, Array]:
    """SSLMem' at a layer of the share of a set's points that scores highest at `by`, and of the lowest, [k] each.

    Selected on one set of views and scored on the other, or they would differ under any null.

    Raises:
        ValueError: if the share is not in (0, .5].
    """
    if not 0 < share <= 0.5:
        raise ValueError(f"the most and the least memorized points need a share in (0, .5] each, got {share}")
    order = np.argsort(pair.of(by, code, "select"), kind="stable")
    k = max(1, round(share * order.size))
    score = pair.of(layer, code, "score")
    return score[order[-k:]], score[order[:k]]


def top_share(pairs: Sequence[Pair], k: int) -> float:
    """The share that k points are of the candidates, at most a quarter of them: controls take the same share."""
    return min(k / int((pairs[0].sets == S_C).sum()), 0.25)


def atypical(
    pairs: Sequence[Pair], layers: Sequence[str], k: int = 50, by: str = "output", nulls: Nulls | None = None
) -> Verdict:
    """Top-k less Least-k at every layer, against the same selection among points that neither encoder saw."""
    share = top_share(pairs, k)

    def contrast(layer: str, code: int) -> Estimate:
        def most_less_least(pair: Pair) -> float:
            most, least = selected(pair, layer, code, share, by)
            return float(most.mean() - least.mean())

        return most_less_least

    def part(layer: str) -> Verdict:
        return judge(ATYPICAL, contrast(layer, S_C), pairs, nulls, control=contrast(layer, S_E), spread=True)

    return every(ATYPICAL, {layer: part(layer) for layer in layers})


def agreement(pair: Pair, layers: Sequence[str], code: int = S_C, share: float = TOP, what: str = "overlap") -> Array:
    """Agreement of every two layers on the points of a set, [L, L], symmetric; each layer by independent views.

    Args:
        share: of the points that counts as the top, at least one point; the paper's 100 of 5,000 unless given.
        what: `overlap` of the top points, or Kendall's `tau` over all points.
    """
    select = [pair.of(n, code, "select") for n in layers]
    score = [pair.of(n, code, "score") for n in layers]
    k = max(1, round(share * select[0].size))
    if what == "overlap":
        a, b = (np.stack([_top(s, k) for s in scores]) for scores in (select, score))
        table = (a[:, None] & b).sum(-1) / k
    else:
        table = np.array([[kendall(a, b)[0] if np.ptp(a) and np.ptp(b) else 0.0 for b in score] for a in select])
    return (table + table.T) / 2


def _top(scores: Array, k: int) -> NDArray[np.bool_]:
    """Whether each point is among the k highest, [N]."""
    top = np.zeros(scores.size, dtype=bool)
    top[np.argsort(-scores, kind="stable")[:k]] = True
    return top


def near_less_far(table: Array) -> float:
    """Mean agreement of neighbouring layers less that of layers four or more apart."""
    i, j = np.indices(table.shape)
    return float(table[abs(i - j) == NEAR].mean() - table[abs(i - j) >= FAR].mean())


def neighbours(
    pairs: Sequence[Pair], layers: Sequence[str], what: str = "overlap", nulls: Nulls | None = None
) -> Verdict:
    """Agreement of near less far layers on S_C, against S_E: layers share features whoever memorized what."""

    def on(code: int) -> Estimate:
        return lambda p: near_less_far(agreement(p, layers, code, what=what))

    claim = NEIGHBOURS if what == "overlap" else ORDER
    return judge(claim, on(S_C), pairs, nulls, control=on(S_E), spread=True)


def page(
    pairs: Sequence[Pair],
    layers: Sequence[str],
    kinds: Mapping[str, str],
    nulls: Nulls | None = None,
    k: int = 50,
) -> list[Verdict]:
    """All verdicts of the page, corrected among themselves (Holm).

    Args:
        pairs: with S_C, S_I and S_E.
        layers: the convolutions `1` to `8` in forward order.
        kinds: row -> kind of all modules in forward order.
        nulls: name -> pairs with nothing to find, in the same layout.
        k: how many candidates are the most and the least memorized, at most a quarter of them each.
    """
    return correct(
        [
            every_layer(pairs, layers, nulls),
            depth(pairs, layers, nulls),
            deepest(pairs, layers, nulls),
            sixth(pairs, layers, nulls),
            norms(pairs, kinds),
            atypical(pairs, layers, k, nulls=nulls),
            neighbours(pairs, layers, "overlap", nulls),
            neighbours(pairs, layers, "tau", nulls),
        ]
    )


def layer_table(
    pairs: Sequence[Pair], layers: Sequence[str], previous: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """A row a layer: raw LayerMem of S_C, the mirrored estimate, the controls S_S and S_E, with their intervals.

    Intervals are over pairs; of a single pair over its points. The mirrored columns are averaged as log ratios.

    Args:
        previous: layer -> the one that its delta is taken against (`encoders.previous`); None: the row before it.
    """
    import pandas as pd

    codes = {"raw": S_C, "shared": S_S, "external": S_E}
    before = dict(zip(layers[1:], layers, strict=False)) if previous is None else previous
    rows, level = [], {}
    for layer in layers:
        mirrored = mirrored_pairs([(p.of(layer, S_C), p.of(layer, S_I)) for p in pairs])
        columns = {"mirrored": mirrored}
        columns |= {
            name: two_level([p.of(layer, code) for p in pairs])
            for name, code in codes.items()
            if all(p.has(code) for p in pairs)
        }
        level[layer] = mirrored.mean
        other = level.get(before.get(layer, ""))
        row: dict[str, object] = {"layer": layer, "delta": None if other is None else mirrored.mean - other}
        for name, found in columns.items():
            row |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows).assign(pairs=len(pairs))


def extremes(pairs: Sequence[Pair], layers: Sequence[str], k: int = 50, by: str = "output") -> pd.DataFrame:
    """A row a layer and set (S_C, S_E): mean SSLMem' of the k points highest and lowest at `by`, on unused views."""
    import pandas as pd

    rows, share = [], top_share(pairs, k)
    for layer in layers:
        for name, code in (("S_C", S_C), ("S_E", S_E)):
            if all(p.has(code) for p in pairs):
                picked = [selected(p, layer, code, share, by) for p in pairs]
                for part, values in zip(("most", "least"), zip(*picked, strict=True), strict=True):
                    found = two_level(values)
                    row = {"mean": found.mean, "low": found.low, "high": found.high}
                    rows.append({"layer": layer, "set": name, "points": part, **row})
    return pd.DataFrame(rows)
