"""How alike layers, or encoders, rank the same points: overlap of the highest, and Kendall's tau of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from memlib import stats
from memlib.book.claims import Effect, NotJudged
from memlib.book.estimates import Estimate
from memlib.book.study import Study
from memlib.pairs import S_C, S_E, S_I, Pair

TOP = 0.02  # Table 3 of the LayerMem paper takes 100 of 5,000 points
EXTREME = 1 / 8  # of the points are the most memorized, where few points are too few for that
NEAR, FAR = 1, 4  # layers next to each other; layers that half of a ResNet9 lies between

OWN_POINTS = "Pairs of encoders are not shown to memorize the same points, so that none can choose for another."

Alike = Callable[[np.ndarray, np.ndarray], float]


def overlap(a: np.ndarray, b: np.ndarray, k: int = 0) -> float:
    """Share of the k highest scores that are the same points; without k of as many points as the paper has it."""
    return stats.overlap(a, b, min(a.size, k or max(1, round(TOP * a.size))))[0]


def tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau of two scores of the same points."""
    return stats.kendall(a, b)[0]


def agreement(pair: Pair, layers: Sequence[str], alike: Alike, code: int = S_C) -> np.ndarray:
    """How alike every two layers rank the points of a set, each by views of its own, [L, L], symmetric.

    The diagonal is a layer with itself on other views: how well its own ranking repeats.
    """
    select, score = ([pair.of(row, code, view) for row in layers] for view in ("select", "score"))
    found = np.array([[alike(a, b) for b in score] for a in select])
    return (found + found.T) / 2


def neighbours(layers: Sequence[str], alike: Alike, code: int = S_C, less_far: bool = True) -> Estimate:
    """Mean agreement of layers next to each other; minus that of layers far apart unless `less_far` is False."""

    def of(piece: Any) -> float:
        found = agreement(piece.pair, layers, alike, code)
        apart = abs(np.subtract(*np.indices(found.shape)))
        return float(found[apart == NEAR].mean() - less_far * found[apart >= FAR].mean())

    return Estimate(of)


def near(layers: Sequence[str], alike: Alike, less_far: bool = True) -> Effect:
    """`neighbours` on points that f alone saw, against the same on points that neither saw."""
    seen, unseen = (neighbours(layers, alike, code, less_far) for code in (S_C, S_E))
    return Effect(seen, margin=0.1, control=unseen)


def repeats(study: Study, layer: str) -> tuple[float, float]:
    """Whether pairs of encoders memorize the same points: Kendall's tau of the scores by two halves of each pool's
    pairs, mean over the pools that have two pairs or more, and its one-sided p (no pool has two: 0 and 1).
    """
    found, variance = [], 0.0
    for some in (some for some in study.pools if len(some) > 1):
        rows = study.points(some[0])
        found.append(tau(*(study.scores(layer, by, rows) for by in (some[::2], some[1::2]))))
        variance += 2 * (2 * rows.size + 5) / (9 * rows.size * (rows.size - 1))  # of tau, where nothing is alike
    return (float(np.mean(found)), float(ndtr(-sum(found) / variance**0.5))) if found else (0.0, 1.0)


def disagree(study: Study) -> NotJudged | None:
    """Why nothing is said of the most memorized points, where other pairs do not show that they are the same ones."""
    return None if repeats(study, "output")[1] < (1 - stats.LEVEL) / 2 else NotJudged(OWN_POINTS)


def same_points(row: str, one: str, other: str, told: bool = True) -> Estimate:
    """Overlap of the most memorized points of two pairs of the same halves beyond chance, each by views of its own.

    Args:
        one, other: Designs of the joined pairs (`study.join`); the same twice: how well a pair's own ranking repeats.
        told: Of the points that f or g memorizes; False: of the points that neither saw, with as high scores.
    """

    def alike(a: Pair, b: Pair, code: int, sign: int) -> float:
        k = max(1, round(EXTREME * int((a.sets == code).sum())))
        views = (("select", "score"), ("score", "select"))
        found = [overlap(sign * a.of(row, code, first), sign * b.of(row, code, second), k) for first, second in views]
        return float(np.mean(found)) - k / int((a.sets == code).sum())

    sides = ((S_C, 1), (S_I, -1)) if told else ((S_E, 1), (S_E, -1))
    return Estimate(lambda p: float(np.mean([alike(p.here[one].pair, p.here[other].pair, *side) for side in sides])))
