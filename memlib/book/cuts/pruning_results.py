"""What a run of the pruning experiment says: accuracies by variant, and what units are ranked by, as estimates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from memlib.book.estimates import Estimate, mean
from memlib.book.runs import Run
from memlib.specs import nearest

Cell = tuple[str, float]  # scope and share
NONE: Cell = ("none", 0.0)


def rows(run: Run, scope: str, criterion: str, share: float) -> list[int]:
    """The variants of a pruning, one a draw.

    Raises:
        KeyError: There is no such pruning.
    """
    known = [(str(s), str(c), float(p)) for s, c, p, _ in run.header["variants"]]
    found = [i for i, one in enumerate(known) if one == (scope, criterion, share)]
    if not found:
        there = dict.fromkeys(f"{s} {c} {p:g}" for s, c, p in known)
        raise nearest(f"{scope} {criterion} {share:g}", there, "pruning")
    return found


def accuracy(dataset: str, cell: Cell, criterion: str, trained: bool = True) -> Estimate:
    """Accuracy in [0, 1] of a pruning, mean of f and g, draws and seeds; of a share of 0 that of the whole encoder.

    Args:
        trained: Whether of f and g, or of f before training.
    """

    def of(run: Run) -> float:
        found = run.arrays[f"{'accuracy' if trained else 'untrained'}-{dataset}"].astype(np.float64)
        at = rows(run, *NONE[:1], "none", 0.0) if not cell[1] else rows(run, cell[0], criterion, cell[1])
        return float((found[:, at] if trained else found[at]).mean())

    return Estimate(of)


def gap(dataset: str, cells: Sequence[Cell], more: str, less: str, trained: bool = True) -> Estimate:
    """Accuracy with units pruned by one criterion minus that by another, mean over cells."""
    return mean(*(accuracy(dataset, cell, more, trained) - accuracy(dataset, cell, less, trained) for cell in cells))


def shares(run: Run, scope: str) -> list[float]:
    """The shares of a scope's curve, from 0 up."""
    return [0.0, *sorted({float(p) for s, c, p, _ in run.header["variants"] if s == scope and c == "low"})]


def area(dataset: str, scope: str, criterion: str) -> Estimate:
    """Mean accuracy over a curve: the area under it, over the largest share."""

    def of(run: Run) -> float:
        at = shares(run, scope)
        return float(np.trapezoid([accuracy(dataset, (scope, p), criterion)(run) for p in at], at) / at[-1])

    return Estimate(of)


def scores(run: Run, name: str) -> NDArray[np.float64]:
    """What units are ranked by: [3, U], of f, g and the untrained encoder."""
    return run.arrays["scores"][:, run.header["scores"].index(name)].astype(np.float64)


def alike(name: str, number: Callable[[NDArray[np.float64], NDArray[np.float64]], float]) -> Estimate:
    """How alike UnitMem of seen points and another score rank the units, mean of f and g."""
    return Estimate(
        lambda run: float(np.mean([number(scores(run, "unitmem")[e], scores(run, name)[e]) for e in (0, 1)]))
    )


def taken(layer: str, criterion: str, cell: Cell) -> Estimate:
    """Share of a layer's units that a pruning takes, mean of f and g."""

    def of(run: Run) -> float:
        row, column = rows(run, cell[0], criterion, cell[1])[0], run.header["layers"].index(layer)
        return float(run.arrays["taken"][:, row, column].mean() / run.header["units"][column])

    return Estimate(of)


inactive = Estimate(lambda run: float((scores(run, "activation")[:2] == 0).mean()))
"""Share of the units that no view of a seen point activates: they are silent before they are pruned."""
