"""What a run of the ablation says: the pairs of its design by other distances, and UnitMem on any of its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from memlib import metrics
from memlib.book.cuts.ablation import ROLES
from memlib.book.estimates import Estimate, mirrored, of, rank
from memlib.book.pieces import Piece, Pieces
from memlib.book.runs import Run, Runs
from memlib.book.study import Joined, Study, join
from memlib.pairs import S_C, S_I, Pair
from memlib.specs import nearest

PLAIN = ("l2", "ratio")  # what all other pages take
OTHERS = {  # name: way of the distance, normalization of SSLMem
    "range normalization": ("l2", "range"),
    "no normalization": ("l2", "none"),
    "raw representations": ("l2, raw", "ratio"),
    "raw and unnormalized": ("l2, raw", "none"),
}


def taken_by(study: Study, found: Runs) -> dict[str, Study]:
    """{way of `cuts.ablation.WAYS`: the pairs that were measured again, with their distances taken that way}."""

    def taken(piece: Piece, run: Run, way: int) -> Piece:
        f, g = (dict(zip(run.header["rows"], side[way], strict=True)) for side in run.arrays["align"])
        return replace(piece, pair=Pair(f, g, piece.pair.sets[run.arrays["rows"]]), before=None)

    return {
        way: replace(study, pieces=[taken(*one, i) for one in zip(study, found, strict=False)])
        for i, way in enumerate(found[0].header["ways"])
    }


def ways(study: Study, found: Runs) -> Pieces[Joined]:
    """The pairs with their distances taken each way, side by side."""
    return Pieces(join(taken_by(study, found)).pieces, study.studies)


def normalized(row: str, normalization: str) -> Estimate:
    """The mirrored estimate of a row with SSLMem normalized otherwise: half of mean over S_C minus mean over S_I."""

    def of_pair(piece: Piece) -> float:
        pair = piece.pair
        f, g = (torch.from_numpy(np.atleast_2d(d[row]).mean(0)) for d in (pair.align_f, pair.align_g))
        scores = metrics.sslmem(f, g, normalization).double().numpy()
        return float(scores[pair.sets == S_C].mean() - scores[pair.sets == S_I].mean()) / 2

    return mirrored(row) if normalization == "ratio" else Estimate(of_pair)


def chosen(row: str, choice: tuple[str, str]) -> Estimate:
    """The mirrored estimate of a row by a way of taking distances and a normalization, of joined ways."""
    return of(choice[0], normalized(row, choice[1]))


def swapped(rows: Sequence[str], choice: tuple[str, str]) -> Estimate:
    """Share of the pairs of layers that a choice puts in another order than the one that all other pages take."""
    theirs, ours = ([chosen(row, one) for row in rows] for one in (choice, PLAIN))
    tau = rank(theirs, by=ours)
    return Estimate(lambda p: (1 - tau(p)) / 2, tau.grid / 2, limits=(0.0, 1.0))


def activations(run: Run, role: str, layer: str) -> NDArray[np.float32]:
    """Mean activation of each unit of a layer on each point of the run, [P, U]; roles are f, g and untrained.

    Raises:
        KeyError: There is no such role, or the layer has no units.
    """
    counts = dict(zip(run.header["layers"], run.header["counts"], strict=True))
    for name, known in ((role, ROLES), (layer, counts)):
        if name not in known:
            raise nearest(name, known, "role or layer of the ablation")
    start = sum(list(counts.values())[: list(counts).index(layer)])
    of, units = ROLES.index(role), slice(start, start + counts[layer])
    low, high = run.arrays["ends"][of, :, units]
    return low + (high - low) * (run.arrays["units"][of, :, units].astype(np.float32) / 255)


def unitmem(run: Run, role: str, layer: str, chosen: NDArray[np.bool_]) -> float:
    """Mean UnitMem of a layer's units on some of the run's points, mask [P]: two or more."""
    return float(metrics.unitmem(torch.from_numpy(activations(run, role, layer)[chosen])).mean())
